//! Sorted sets in memory.

mod element;
mod node;
mod rank_tree;
