//! The journal.
use super::segment::Segment;
use super::storage::Storage;
use crate::base::key_slot::SlotId;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub struct Options {
    pub lanes: usize,
    pub segment_bytes: usize,
    /// Above every number that was ever used.
    pub first_number: u64,
    /// Released segments that are kept for reuse.
    pub spares: usize,
    /// How far ahead of each lane's end space is filled.
    pub fill_ahead_bytes: usize,
    pub policy: Policy,
    /// What recovery found: unreleased, and in the first cut.
    pub recovered: Vec<Arc<Segment>>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    EverySecond,
    No,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Full,
    Failed,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Full,
    Failed(String),
}
pub struct Change<'a> {
    pub slot: SlotId,
    pub database: u16,
    pub sequence: u64,
    pub time_ms: u64,
    pub arguments: &'a [&'a [u8]],
}
#[derive(Default)]
pub struct Parts {}
impl Parts {
    pub fn push(&mut self, change: &Change<'_>) {
        let _ = change;
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn set_time(&mut self, time_ms: u64) {
        let _ = time_ms;
        todo!()
    }
    pub fn records(&self) -> impl Iterator<Item = super::record::Record<'_>> {
        std::iter::empty()
    }
    /// Bytes that they take in the journal.
    pub fn bytes(&self) -> usize {
        todo!()
    }
    pub fn clear(&mut self) {
        todo!()
    }
}
/// What a manifest says of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    pub numbers: Vec<u64>,
    pub last_number: u64,
}
pub struct Journal {}
#[allow(unused_variables)]
impl Journal {
    pub fn create(storage: Arc<dyn Storage>, options: Options) -> io::Result<Arc<Journal>> {
        todo!()
    }
    pub fn append(&self, lane: usize, change: &Change<'_>) -> Result<(), Stopped> {
        todo!()
    }
    pub fn append_all(&self, lane: usize, parts: &Parts) -> Result<(), Stopped> {
        todo!()
    }
    pub fn reserve(&self, lane: usize, bytes: usize) -> Result<(), Stopped> {
        todo!()
    }
    pub fn cut(&self) -> io::Result<Vec<Arc<Segment>>> {
        todo!()
    }
    /// Segments of a cut, all of it or the front of each lane's chain, that are settled, and that no manifest names.
    pub fn release(&self, segments: &[Arc<Segment>]) {
        todo!()
    }
    pub fn is_running(&self) -> bool {
        todo!()
    }
    pub fn state(&self) -> State {
        todo!()
    }
    pub fn heads(&self) -> Heads {
        todo!()
    }
    pub fn unsettled_bytes(&self) -> u64 {
        todo!()
    }
    pub fn appended_bytes(&self) -> u64 {
        todo!()
    }
    pub fn free_bytes(&self) -> Option<u64> {
        todo!()
    }
    pub fn set_policy(&self, policy: Policy) {
        todo!()
    }
    pub fn ticket(&self) -> u64 {
        todo!()
    }
    pub fn durable_round(&self) -> u64 {
        todo!()
    }
    pub fn request(&self) {
        todo!()
    }
    pub fn wait(&self, ticket: u64, timeout: Duration) -> Result<(), Stopped> {
        todo!()
    }
    pub fn on_durable(&self, ticket: u64, waker: &Waker) {
        todo!()
    }
    pub fn close(&self) -> Result<(), Stopped> {
        todo!()
    }
}
