//! Brings towards the cache what requests will touch, ahead of running them: slots, then buckets, then entries, then
//! what large collections point at. Each step is taken for all requests before the next, so that the waits overlap.
//!
//! Nothing here decides anything: what is not found in time, or stands in a slot that somebody else holds, is passed
//! over, and the request meets it itself.

use smallvec::SmallVec;

use super::keys::KeyShape;
use super::registry::Command;
use super::spec::{Group, RUNS_SCRIPT};
use crate::base::key_slot::SlotId;
use crate::engine::space::Place;
use crate::store::Keyspace;

/// Steps from the entry of a large collection to an item of it, at most.
const COLLECTION_STEPS: u32 = 4;
/// The first key of a call of a script.
const SCRIPT_KEY_AT: usize = 3;

/// What one request will touch.
struct Target<'b> {
    place: Place,
    /// What follows the key; empty unless the command works on a collection.
    items: &'b [&'b [u8]],
}

/// What some requests will touch.
pub struct Ahead<'b> {
    keyspace: &'b Keyspace,
    targets: SmallVec<[Target<'b>; 32]>,
    has_collections: bool,
}

impl<'b> Ahead<'b> {
    pub fn of(keyspace: &'b Keyspace) -> Ahead<'b> {
        Ahead { keyspace, targets: SmallVec::new(), has_collections: false }
    }

    /// Adds a call by its first key, whose slot is brought at once; gives its place if it is the call's only one.
    #[inline]
    pub fn add(&mut self, command: &Command, args: &'b [&'b [u8]]) -> Option<Place> {
        match command.shape {
            KeyShape::One(at) => {
                let at = usize::from(at);
                let place = self.add_key(args.get(at)?);
                if is_of_collections(command)
                    && let Some(target) = self.targets.last_mut()
                {
                    target.items = &args[at + 1..];
                    self.has_collections = true;
                }
                Some(place)
            }
            KeyShape::Special if command.has(RUNS_SCRIPT) => {
                if let Some(key) = args.get(SCRIPT_KEY_AT) {
                    self.add_key(key);
                }
                None
            }
            _ => None,
        }
    }

    #[inline]
    pub fn add_key(&mut self, key: &[u8]) -> Place {
        let place = Place { slot: SlotId::of_key(key), hash: self.keyspace.hasher().hash(key) };
        self.keyspace.slot(place.slot).prefetch();
        self.targets.push(Target { place, items: &[] });
        place
    }

    /// Brings what lies behind the slots.
    #[inline]
    pub fn bring(&self) {
        for target in &self.targets {
            self.keyspace.slot(target.place.slot).prefetch_home(target.place.hash);
        }
        for target in &self.targets {
            if let Some(slot) = self.keyspace.slot(target.place.slot).try_lock() {
                slot.prefetch_entry(target.place.hash);
            }
        }
        if self.has_collections {
            self.bring_items();
        }
    }

    fn bring_items(&self) {
        let mut going: SmallVec<[&Target<'_>; 32]> =
            self.targets.iter().filter(|target| !target.items.is_empty()).collect();
        for step in 0..COLLECTION_STEPS {
            going.retain(|target| {
                let slot = self.keyspace.slot(target.place.slot).try_lock();
                slot.is_some_and(|slot| slot.approach(target.place.hash, target.items, step))
            });
            if going.is_empty() {
                return;
            }
        }
    }
}

/// Whether its key may be a large collection.
#[inline]
fn is_of_collections(command: &Command) -> bool {
    matches!(command.spec.group, Group::Hash | Group::List | Group::Set | Group::SortedSet | Group::Stream)
}
