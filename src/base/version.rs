//! The versions that the server reports: its own, and the one of Redis whose behaviour it offers.

/// What clients and exporters read as `redis_version`: they switch features on and off by it.
pub const REDIS_VERSION: &str = "7.2.6";
/// Cairn's own version.
pub const CAIRN_VERSION: &str = env!("CARGO_PKG_VERSION");
