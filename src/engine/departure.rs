//! Keys on their way to another server (MIGRATE), and who waits for them.
//!
//! A key must be here or there, whoever looks. MIGRATE takes the values of its keys out under the locks of their slots and
//! then holds these slots, without a lock, until the other server has answered: a client whose command names one of them
//! waits, all others go on. What changes a key all the same (a script that reaches beyond its keys, a value moved there
//! by BLMOVE, an expiry) raises the parcel's flag, as for WATCH; then the key is sent again rather than deleted.
//!
//! ```text
//! [locks: take out, watch, hold] -> send, wait for the answers -> [lock, key by key: delete, or take out again] -> let go
//! ```
//! Holding is a mark in [`Departures`], behind a bit of `Persistence::obstacles`, so that no command pays for it while
//! nothing is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::clients::ClientHandle;
use super::persistence::obstacle;
use super::state::Engine;
use crate::base::clock::Ticks;
use crate::base::key_slot::SlotId;
use crate::resp::Protocol;
use crate::store::{DbIndex, WatchFlag};

/// One key as it was when it was taken out.
pub struct Parcel {
    pub key: Vec<u8>,
    /// What DUMP tells of it.
    pub payload: Vec<u8>,
    pub expiry_ms: Option<u64>,
    /// Raised when the key changes here; unused for a copy.
    pub changed: WatchFlag,
}

/// What to log in with at the other server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub user: Option<Vec<u8>>,
    pub password: Vec<u8>,
}

/// Keys for another server.
pub struct Delivery {
    pub host: Vec<u8>,
    pub port: Vec<u8>,
    pub login: Option<Login>,
    /// The other server judges it.
    pub db: i64,
    /// How long it may keep silent.
    pub patience: Duration,
    pub replace: bool,
    pub parcels: Vec<Parcel>,
}

/// What came of a delivery.
#[derive(Default)]
pub struct Receipt {
    /// Of the parcels, in their order, which were taken; what is missing was not.
    pub taken: Vec<bool>,
    /// The first error, as the client is told.
    pub error: Option<String>,
}

/// A delivery that its client waits for, while its worker goes on.
pub struct Departure {
    pub delivery: Delivery,
    /// Of a copy nothing is deleted.
    pub is_copy: bool,
    /// The first error so far.
    pub error: Option<String>,
    pub db: DbIndex,
    pub client: Arc<ClientHandle>,
    pub protocol: Protocol,
    /// The call, for the slow log.
    pub call: Vec<Vec<u8>>,
    pub redacted: Vec<usize>,
    pub command: u16,
    pub started: Ticks,
    /// The slots of the keys, unless they are copied.
    pub held: Option<HeldSlots>,
}

/// Who brings deliveries to other servers: the room that has sockets.
pub trait Courier: Send + Sync {
    /// Takes a departure on its way, beside the calling worker's commands, and has that worker finish it.
    fn send(&self, departure: Departure);
    /// Brings a delivery while the calling thread waits.
    fn bring(&self, delivery: &Delivery) -> Receipt;
    /// Connections kept for the next delivery.
    fn kept_connections(&self) -> usize;
    /// Closes those that were kept for long; called about once a second.
    fn close_idle(&self);
}

#[derive(Default)]
pub struct Departures {
    held: Mutex<Held>,
    /// How often slots were let go.
    generation: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// A slot may be there more than once.
    slots: Vec<SlotId>,
    /// Clients to wake when slots are let go.
    kept_out: Vec<Arc<ClientHandle>>,
}

impl Departures {
    /// Keeps a client out whose next command touches a held slot. Gives the generation whose end it waits for.
    pub fn keep_out(&self, client: &Arc<ClientHandle>, touches: impl Fn(SlotId) -> bool) -> Option<u64> {
        let mut held = self.held.lock();
        if !held.slots.iter().any(|slot| touches(*slot)) {
            return None;
        }
        held.kept_out.push(client.clone());
        Some(self.generation.load(Ordering::Acquire))
    }

    /// Whether no slot was let go since.
    pub fn is_generation(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }
}

/// Slots of keys that are on their way. They are let go when this is dropped, however the departure ends.
pub struct HeldSlots {
    engine: Arc<Engine>,
    slots: Vec<SlotId>,
}

impl HeldSlots {
    /// Holds slots that are locked by the caller.
    pub fn hold(engine: &Arc<Engine>, slots: Vec<SlotId>) -> HeldSlots {
        let mut held = engine.departures.held.lock();
        held.slots.extend_from_slice(&slots);
        engine.persistence.set_obstacle(obstacle::DEPARTURES, true);
        drop(held);
        HeldSlots { engine: engine.clone(), slots }
    }
}

impl Drop for HeldSlots {
    fn drop(&mut self) {
        let departures = &self.engine.departures;
        let mut held = departures.held.lock();
        for slot in &self.slots {
            if let Some(at) = held.slots.iter().position(|other| other == slot) {
                held.slots.swap_remove(at);
            }
        }
        self.engine.persistence.set_obstacle(obstacle::DEPARTURES, !held.slots.is_empty());
        departures.generation.fetch_add(1, Ordering::AcqRel);
        let kept_out = std::mem::take(&mut held.kept_out);
        drop(held);
        kept_out.iter().for_each(|client| client.wake());
    }
}
