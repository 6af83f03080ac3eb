//! Clients that wait for keys: BLPOP and its kin.
//!
//! A command that finds nothing leaves a [`Waiter`] in the line of each of its keys, while it still holds all their
//! slots. Whoever changes such a key answers for those who wait: it runs their commands again, first come first served,
//! as part of its own. So a waiter is taken exactly once, and this state says by whom:
//!
//! ```text
//!            claim (all its slots locked)            there was something: the reply is in the mailbox
//!  Waiting ------------------------------> Serving -----------------------------------------------> Served
//!     ^  |                                    |
//!     |  |                                    | still nothing: it keeps its places
//!     +--|------------------------------------+
//!        |
//!        +--> TimedOut         by the client's own connection, when the time is over
//!        +--> UnblockedQuietly by CLIENT UNBLOCK: as if the time was over
//!        +--> UnblockedLoudly  by CLIENT UNBLOCK ERROR
//!        +--> Dismissed        by REPLICAOF
//!        +--> Gone             by the client's own connection, when it ends
//! ```
//! The server takes a waiter that it served out of all lines, since it holds their slots; every other end is cleared up
//! by the connection, slot by slot. Lines may therefore hold waiters for a moment whose wait is over: claiming fails.
//! A deadline that passes while a waiter is being served in vain is seen right after: the server wakes the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use smallvec::SmallVec;

use super::clients::ClientHandle;
use crate::acl::user::SharedUser;
use crate::base::key_slot::SlotId;
use crate::resp::Protocol;
use crate::store::waiters::{InLine, WaiterHandle};
use crate::store::{DbIndex, Keyspace, SlotData, ValueType};

const WAITING: u8 = 0;
const SERVING: u8 = 1;
const SERVED: u8 = 2;
const TIMED_OUT: u8 = 3;
const UNBLOCKED_QUIETLY: u8 = 4;
const UNBLOCKED_LOUDLY: u8 = 5;
const GONE: u8 = 6;
const DISMISSED: u8 = 7;

/// What a client asked for when it began to wait.
pub struct Wait {
    pub handle: Arc<ClientHandle>,
    /// The command's id in the command table.
    pub command: u16,
    /// The call that is run again.
    pub arguments: Vec<Vec<u8>>,
    /// The keys that may bring something.
    pub keys: Vec<Vec<u8>>,
    /// The slots that running the call needs, in ascending order: those of `keys` among them.
    pub slots: SmallVec<[SlotId; 4]>,
    /// The type that a key must have to be worth looking at again.
    pub wanted: ValueType,
    /// The call is also run again when a key is removed or becomes another type.
    pub minds_end: bool,
    /// Unix time in milliseconds; `None` waits for ever.
    pub until_ms: Option<u64>,
    pub db: DbIndex,
    pub protocol: Protocol,
    pub no_touch: bool,
    /// CLIENT REPLY has said that no reply is wanted.
    pub silent: bool,
    /// Who asked, as of this generation of users: their rules may have changed since.
    pub user: Option<SharedUser>,
    pub users_generation: u64,
}

/// How a wait ended that nobody served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing came in time.
    TimedOut,
    /// CLIENT UNBLOCK ERROR.
    Unblocked,
    /// The server became a replica, where nobody may take what comes.
    Dismissed,
}

pub struct Waiter {
    pub wait: Wait,
    ticket: u64,
    state: AtomicU8,
}

impl Waiter {
    /// Puts a client in the line of each of its keys. `with_slot` runs a closure on a slot that is locked.
    pub fn begin(
        wait: Wait,
        ticket: u64,
        mut with_slot: impl FnMut(SlotId, &mut dyn FnMut(&mut SlotData)),
    ) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter { wait, ticket, state: AtomicU8::new(WAITING) });
        *waiter.wait.handle.waiter.lock() = Some(waiter.clone());
        for key in &waiter.wait.keys {
            let place = InLine { ticket, minds_end: waiter.wait.minds_end, waiter: waiter.clone() };
            with_slot(SlotId::of_key(key), &mut |slot| slot.wait(waiter.wait.db, key, place.clone()));
        }
        waiter
    }

    /// The waiter that stands in a line.
    pub fn of(handle: &WaiterHandle) -> Option<Arc<Waiter>> {
        handle.clone().downcast().ok()
    }

    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes the waiter for serving it; false when its wait is over. All its slots are locked.
    pub fn claim(&self) -> bool {
        self.step(WAITING, SERVING)
    }

    /// Lets a claimed waiter go on waiting.
    pub fn put_back(&self, now_ms: u64) {
        self.state.store(WAITING, Ordering::Release);
        if self.is_due(now_ms) {
            self.wait.handle.wake();
        }
    }

    /// Answers a claimed waiter. `with_slot` runs a closure on one of its slots, all of which are locked.
    pub fn answer(&self, reply: Vec<u8>, with_slot: impl FnMut(SlotId, &mut dyn FnMut(&mut SlotData))) {
        self.state.store(SERVED, Ordering::Release);
        self.leave(with_slot);
        self.wait.handle.order(|orders| orders.answer = Some(reply));
    }

    fn leave(&self, mut with_slot: impl FnMut(SlotId, &mut dyn FnMut(&mut SlotData))) {
        *self.wait.handle.waiter.lock() = None;
        for key in &self.wait.keys {
            with_slot(SlotId::of_key(key), &mut |slot| slot.stop_waiting(self.wait.db, key, self.ticket));
        }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.wait.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Ends the wait unless it is over, in favour of `state`. Whoever serves it in this moment holds slots and waits for
    /// nobody, so that is soon decided; the caller holds none of them.
    fn end(&self, state: u8) -> bool {
        loop {
            match self.state.compare_exchange_weak(WAITING, state, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(WAITING) => {}
                Err(SERVING) => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
    }

    /// CLIENT UNBLOCK; false when the wait was over.
    pub fn unblock(&self, with_error: bool) -> bool {
        self.end_and_tell(if with_error { UNBLOCKED_LOUDLY } else { UNBLOCKED_QUIETLY })
    }

    /// The server becomes a replica; false when the wait was over.
    pub fn dismiss(&self) -> bool {
        self.end_and_tell(DISMISSED)
    }

    fn end_and_tell(&self, state: u8) -> bool {
        let ended = self.end(state);
        if ended {
            self.wait.handle.wake();
        }
        ended
    }

    /// Asked by the client's connection: how the wait ended, if it did and no answer is on its way.
    pub fn poll(&self, now_ms: u64, keyspace: &Keyspace) -> Option<End> {
        let end = match self.state.load(Ordering::Acquire) {
            UNBLOCKED_QUIETLY => End::TimedOut,
            UNBLOCKED_LOUDLY => End::Unblocked,
            DISMISSED => End::Dismissed,
            WAITING if self.is_due(now_ms) && self.step(WAITING, TIMED_OUT) => End::TimedOut,
            _ => return None,
        };
        self.leave(|id, work| work(&mut keyspace.lock(id)));
        Some(end)
    }

    /// The client's connection ends.
    pub fn forget(&self, keyspace: &Keyspace) {
        self.end(GONE);
        if self.state.load(Ordering::Acquire) != SERVED {
            self.leave(|id, work| work(&mut keyspace.lock(id)));
        }
    }
}

/// Has those look again themselves who mind the end of a key: it was removed where no command of theirs can be run.
#[cold]
pub fn nudge(slot: &SlotData, db: DbIndex, key: &[u8]) {
    let mut after = 0;
    while let Some(place) = slot.waiters().and_then(|waiters| waiters.next(db, key, after)) {
        after = place.ticket;
        if place.minds_end
            && let Some(waiter) = Waiter::of(&place.waiter)
        {
            waiter.wait.handle.order(|orders| orders.look_again = true);
        }
    }
}
