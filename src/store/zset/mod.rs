//! Sorted sets: members with scores, ordered by score and then by their bytes.
//!
//! ```text
//! small   a listpack in the entry: member, score, member, score ... (packed.rs)
//! large   a counted B+ tree that owns the elements (rank_tree.rs over node.rs and element.rs), and a hash table that
//!         finds them by member (large.rs)
//! ```
//! Commands use both through the views of `view.rs`; every range is one of ranks.

mod element;
mod large;
mod node;
pub mod packed;
mod range;
mod rank_tree;
mod view;

pub use large::{Gathering, Sorted, Zset};
pub use range::{LexRange, ScoreRange};
pub use view::{AddOptions, Added, Items, ZsetMut, ZsetRef};
