//! Effects: what a write did, as a deterministic Redis command.
//!
//! A write's effect is the command itself unless the handler says otherwise: relative times become absolute, computed
//! values are written out, a key that expired is a DEL. One effect feeds everyone who follows the data set, under the
//! locks of the slots it touched, so that every follower sees each slot's changes in the order they happened.

use crate::store::DbIndex;

/// Who follows the data set.
pub trait EffectSink: Send + Sync {
    /// Called under the locks of the slots that `command` touched.
    fn append(&self, db: DbIndex, command: &[&[u8]]);
    /// Effects between `begin` and `end` of one thread are one transaction: all or none.
    fn begin(&self);
    fn end(&self);
}

/// What the command under way did, as far as its handler told.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// The command as the client sent it.
    #[default]
    Verbatim,
    /// These commands instead; none means that nothing is to be followed.
    Instead(Vec<Vec<Vec<u8>>>),
}

impl Effect {
    /// Replaces what was told before by one command.
    pub fn set(&mut self, command: &[&[u8]]) {
        *self = Effect::Instead(vec![owned(command)]);
    }

    /// Adds a command to those told so far.
    pub fn add(&mut self, command: &[&[u8]]) {
        match self {
            Effect::Verbatim => self.set(command),
            Effect::Instead(commands) => commands.push(owned(command)),
        }
    }
}

fn owned(command: &[&[u8]]) -> Vec<Vec<u8>> {
    command.iter().map(|argument| argument.to_vec()).collect()
}
