//! Brings towards the cache what requests will touch, ahead of running them: slots, then buckets, then entries, then
//! what large collections point at. Each step is taken for all requests before the next, so that the waits overlap.
//!
//! Nothing here decides anything: what is not found in time, or stands in a slot that somebody else holds, is passed
//! over, and the request meets it itself.

use smallvec::SmallVec;

use super::keys::KeyShape;
use super::registry::Command;
use super::spec::{AT_HEAD, AT_TAIL, BY_RANK, Group, RUNS_SCRIPT, WRITE};
use crate::base::key_slot::SlotId;
use crate::engine::space::Place;
use crate::store::Keyspace;
use crate::store::collection::{Aim, Sought};

/// Steps from the object of a large collection to what is sought in it, at most.
const COLLECTION_STEPS: u32 = 4;
/// The first key of a call of a script.
const SCRIPT_KEY_AT: usize = 3;

/// What one request will touch.
struct Target<'b> {
    place: Place,
    sought: Sought<'b>,
    /// There is a further step to take towards what is sought.
    goes_on: bool,
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
                    target.sought = Sought::new(&args[at + 1..], aim_of(command));
                    target.goes_on = true;
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
        self.targets.push(Target { place, sought: Sought::NOTHING, goes_on: false });
        place
    }

    /// Brings what lies behind the slots.
    #[inline]
    pub fn bring(&mut self) {
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

    fn bring_items(&mut self) {
        for step in 0..=COLLECTION_STEPS {
            let mut any_goes_on = false;
            // Those that go to the same collection go together.
            for group in self.targets.chunk_by_mut(|one, next| one.place == next.place) {
                if !group.iter().any(|target| target.goes_on) {
                    continue;
                }
                let slot = self.keyspace.slot(group[0].place.slot).try_lock();
                let entry = slot.as_ref().and_then(|slot| slot.likely_collection(group[0].place.hash));
                for target in group.iter_mut().filter(|target| target.goes_on) {
                    target.goes_on = entry.is_some_and(|entry| match step.checked_sub(1) {
                        None => {
                            entry.prefetch_collection();
                            entry.is_large()
                        }
                        Some(step) => entry.any_large().approach(&mut target.sought, step),
                    });
                    any_goes_on |= target.goes_on;
                }
            }
            if !any_goes_on {
                return;
            }
        }
    }
}

/// What the arguments after its key say of what a command touches.
#[inline]
fn aim_of(command: &Command) -> Aim {
    if command.has(AT_HEAD) {
        Aim::Head
    } else if command.has(AT_TAIL) {
        Aim::Tail
    } else if command.has(BY_RANK) {
        Aim::Ranks
    } else if command.has(WRITE) {
        Aim::Places
    } else {
        Aim::Items
    }
}

/// Whether its key may be a large collection.
#[inline]
fn is_of_collections(command: &Command) -> bool {
    matches!(command.spec.group, Group::Hash | Group::List | Group::Set | Group::SortedSet | Group::Stream)
}
