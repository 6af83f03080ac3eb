//! Sorted sets in memory.

mod element;
mod large;
mod node;
pub mod packed;
mod range;
mod rank_tree;

pub use large::{Gathering, Sorted, Zset};
pub use range::{LexRange, ScoreRange};
