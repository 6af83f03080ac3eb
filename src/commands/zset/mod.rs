//! Handlers: sorted sets. The values' own logic is in [`crate::store::zset`].

mod combine;
mod pop;
mod range;
mod read;
mod replies;
#[cfg(test)]
mod tests;
mod write;

pub use combine::{store, zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
pub use pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
pub use range::{
    zcount, zlexcount, zrange, zrangebylex, zrangebyscore, zrangestore, zremrangebylex, zremrangebyrank,
    zremrangebyscore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
pub use read::{zcard, zmscore, zrandmember, zrank, zrevrank, zscan, zscore};
pub use write::{zadd, zincrby, zrem};
