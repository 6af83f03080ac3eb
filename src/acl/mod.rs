//! Users and what they may do: rules, passwords, the users' file, the log of refusals.
//!
//! Nothing here knows the command table: commands are ids with names and groups, given as a [`Catalogue`], and a key is
//! read or written as the caller says. So the room lies below the engine, whose sessions hold a user each.

pub mod catalogue;
pub mod file;
pub mod log;
pub mod password;
pub mod rule;
pub mod selector;
pub mod user;
pub mod users;

pub use catalogue::Catalogue;
pub use rule::{RuleError, Rules};
pub use selector::Selector;
pub use user::User;
pub use users::Users;
