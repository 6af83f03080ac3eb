//! The keyspace as one command sees it: the slots it locked, one database, one instant.
//!
//! All reading and writing of keys goes through here, so that expiry, access times, hit counts, watched keys, change
//! counts and effects are right by construction. Time does not pass inside a command: `now_ms` is fixed.
//!
//! A replay of effects sees the keyspace through a space whose time is 0, so that nothing expires but by an effect; and so
//! does a replica the commands of its primary.

mod collections;
mod fields;
mod news;
mod whole;

use std::sync::atomic::AtomicBool;

use smallvec::SmallVec;

pub use self::news::{Changed, News};
use super::effect::{self, Effect, EffectSink};
use super::following::OwnExpiries;
use super::notify::{self, KeyEvent};
use super::patience::Patience;
use super::replicas::stream::{Commands, Stream};
use super::state::Engine;
use crate::base::hash::KeyHasher;
use crate::base::key_slot::{SLOT_COUNT, SlotId};
use crate::base::{clock, random};
use crate::log::health::Stopped;
use crate::log::transaction::{Change, Parts};
use crate::metrics::WorkerStats;
use crate::resp::ReplyError;
use crate::store::access::AccessClock;
use crate::store::hash::soonest_field_expiry_ms;
use crate::store::keyspace::DbCounts;
use crate::store::reclaim;
use crate::store::table::{At, CURSOR_END};
use crate::store::waiters::WaitedKey;
use crate::store::{Db, DbIndex, Entry, EntryRef, Keyspace, SlotGuard, StringForm, ValueType};

/// What becomes of a key's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The key no longer expires.
    Clear,
    /// The key keeps the expiry it has.
    Keep,
    /// The key expires at this Unix time in milliseconds.
    At(u64),
}

/// The slots a command may touch.
enum Held<'a> {
    Nothing,
    One(SlotId, SlotGuard<'a>),
    /// In ascending order, which is also the order in which they were locked.
    Some(Vec<(SlotId, SlotGuard<'a>)>),
    /// All of them: the gate is closed, and each is locked when it is first touched.
    All {
        guards: Box<[Option<SlotGuard<'a>>]>,
        observed: bool,
    },
}

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub slot: SlotId,
    pub hash: u64,
}

pub struct Space<'a> {
    keyspace: &'a Keyspace,
    held: Held<'a>,
    stats: &'a WorkerStats,
    /// The place of the key argument that dispatch has worked out already, by the argument's address.
    known: Option<(*const u8, Place)>,
    pub db: DbIndex,
    /// By this instant keys expire.
    pub now_ms: u64,
    /// The instant from which times to live count; not 0 where the effects of another server are done again.
    pub wall_ms: u64,
    /// Whether reads set access clocks (CLIENT NO-TOUCH).
    touches: bool,
    clock: AccessClock,
    /// What the access clock of a key that is made now shows.
    pub access_now: u32,
    /// Changes to the data set since the space was made.
    pub changes: u64,
    /// What the command under way did.
    pub effect: Effect,
    /// While clients are paused, and on a replica, nothing goes by time: an expired key is not seen, but stays.
    pub keeps_expired: bool,
    /// On a replica whose clients write: keys that they give an expiry, of which the primary knows nothing.
    pub own_expiries: Option<&'a OwnExpiries>,
    /// Whether the last edit left nothing of its collection, so that its key went.
    pub spent: bool,
    /// How often the command has met a long one in its way; after enough of that it waits for it.
    pub held_tries: u32,
    /// A long command holds a slot that was to be counted: what was counted is not all.
    pub missed_slot: bool,
    /// The classes of events that are noted for those who listen.
    pub wanted_events: u32,
    followers: Option<Followers<'a>>,
    /// Space in the log that the effects of the command were promised, beyond what every request is.
    reserved_bytes: usize,
    /// Replicas are told nothing: a script asked for that.
    pub unreplicated: bool,
    /// Made when there is something to put in: most commands have nothing.
    outbox: Option<Box<Outbox>>,
}

/// What goes out once a command is done.
#[derive(Default)]
struct Outbox {
    /// Effects told and not handed on yet: those of a transaction, and keys that expired under a command's eyes, each
    /// a DEL ahead of the command's own effect.
    parts: Parts,
    /// The same for the replication stream, in its words.
    commands: Commands,
    /// What happened to keys, for those who listen.
    events: Vec<KeyEvent>,
    news: News,
    /// Keys that changed and that somebody waits for, in the order in which they changed.
    ready: Vec<WaitedKey>,
}

impl<'a> Followers<'a> {
    /// Who follows the data set now; `None` is nobody. Asked inside the gate, and true until it is left.
    #[inline]
    pub fn of(
        engine: &'a Engine,
        sink: Option<&'a dyn EffectSink>,
        lane: usize,
        writes: bool,
    ) -> Option<Followers<'a>> {
        let stream = &*engine.stream;
        (sink.is_some() || stream.is_on()).then_some(Followers { sink, stream, lane, writes })
    }

    /// Makes sure that the log takes so many bytes of effects.
    pub fn reserve(&self, bytes: usize) -> Result<(), Stopped> {
        self.sink.map_or(Ok(()), |sink| sink.reserve(self.lane, bytes))
    }

    /// Whether effects are taken.
    pub fn is_running(&self) -> bool {
        self.sink.is_none_or(|sink| sink.is_running())
    }

    /// Tells of a change that no client waits for: where the sink has stopped, it lets no later change in either.
    pub fn tell(&self, slot: &mut SlotGuard<'_>, id: SlotId, database: DbIndex, time_ms: u64, arguments: &[&[u8]]) {
        if let Some(sink) = self.sink {
            let sequence = slot.next_sequence();
            let _ = sink.append(self.lane, &Change { slot: id, database, sequence, time_ms, arguments });
        }
        if self.stream.is_on() {
            self.stream.append_one(database, arguments);
        }
    }
}

/// Who is told of effects, and how.
#[derive(Clone, Copy)]
pub struct Followers<'a> {
    /// The log, if there is one.
    pub sink: Option<&'a dyn EffectSink>,
    /// The replication stream, which may be off.
    pub stream: &'a Stream,
    pub lane: usize,
    /// Whether the command may write. One that may not leaves expired keys where they are, unseen, while the sink takes
    /// nothing; one that may was not let in.
    pub writes: bool,
}

/// Commands beside a late script, which is what raises it, do not come so far.
static NOT_BUSY: AtomicBool = AtomicBool::new(false);

/// Keys whose time to live is looked at to tell a database's average.
const TTL_SAMPLES: u64 = 256;
/// Buckets of a slot that are looked at for that.
const TTL_SAMPLE_STEPS: usize = 8;

/// Adds the times to live of a few keys to `counts`.
fn sample_ttls(db: &Db, now_ms: u64, hasher: &KeyHasher, counts: &mut DbCounts) {
    let mut cursor = 0;
    for _ in 0..TTL_SAMPLE_STEPS {
        cursor = db.table().scan(cursor as u32, hasher, |entry| {
            if let Some(expiry_ms) = entry.expiry_ms() {
                counts.sampled_ttl_ms += expiry_ms.saturating_sub(now_ms);
                counts.sampled += 1;
            }
        });
        if cursor >= CURSOR_END {
            break;
        }
    }
}

impl<'a> Space<'a> {
    /// A space without any slot.
    #[inline(always)]
    pub fn new(
        keyspace: &'a Keyspace,
        stats: &'a WorkerStats,
        db: DbIndex,
        now_ms: u64,
        clock: AccessClock,
        touch: bool,
        followers: Option<Followers<'a>>,
    ) -> Space<'a> {
        Space {
            keyspace,
            held: Held::Nothing,
            stats,
            known: None,
            db,
            now_ms,
            wall_ms: now_ms,
            touches: touch,
            clock,
            access_now: clock.fresh(),
            changes: 0,
            effect: Effect::default(),
            keeps_expired: false,
            own_expiries: None,
            spent: false,
            held_tries: u32::MAX,
            missed_slot: false,
            wanted_events: 0,
            followers,
            reserved_bytes: 0,
            unreplicated: false,
            outbox: None,
        }
    }

    /// A space for running effects of the past again: nobody follows it, nothing expires in it, and what it changes
    /// was last used at `used_ms`.
    pub fn replaying(keyspace: &'a Keyspace, stats: &'a WorkerStats, db: DbIndex, used_ms: u64) -> Space<'a> {
        let clock = keyspace.access_clock(used_ms);
        Space::new(keyspace, stats, db, 0, clock, false, None)
    }

    /// Has the space see the keyspace as a replica does for its primary: nothing expires but by what the primary says.
    pub fn obey(&mut self) {
        self.now_ms = 0;
    }

    /// Lets time pass between the commands of a space, unless the primary says what time does.
    pub fn let_time_pass(&mut self) {
        if self.now_ms != 0 {
            let now_ms = clock::unix_ms();
            (self.now_ms, self.wall_ms) = (now_ms, now_ms);
        }
    }

    /// Locks the one slot of `key`, whose place is known. False, and nothing is locked, when `is_patient` said no while
    /// somebody else held the slot.
    #[inline]
    pub fn lock_one(&mut self, key: &[u8], place: Place, is_patient: impl FnMut() -> bool) -> bool {
        let Some(guard) = self.keyspace.lock_alone_while(place.slot, is_patient) else { return false };
        self.known = Some((key.as_ptr(), place));
        self.held = Held::One(place.slot, guard);
        true
    }

    /// Locks these slots, in ascending order whatever order they come in, or none when `is_patient` says no while
    /// somebody else holds one of them.
    pub fn lock_some(&mut self, mut slots: SmallVec<[SlotId; 16]>, mut is_patient: impl FnMut() -> bool) -> bool {
        slots.sort_unstable();
        slots.dedup();
        let mut guards = Vec::with_capacity(slots.len());
        for slot in slots {
            let Some(guard) = self.keyspace.slot(slot).lock_while(&mut is_patient) else { return false };
            guards.push((slot, guard));
        }
        if self.keyspace.is_observed() {
            guards.iter_mut().for_each(|(id, guard)| self.keyspace.show(*id, guard));
        }
        self.held = Held::Some(guards);
        true
    }

    pub fn holds_all(&self) -> bool {
        matches!(self.held, Held::All { .. })
    }

    /// Locks one more slot beside those that are held. One above all of them keeps the order of locking, and is waited
    /// for; any other is had only if it is free now.
    pub fn extend(&mut self, id: SlotId) -> bool {
        if self.holds(id) {
            return true;
        }
        let mut guards = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => Vec::new(),
            Held::One(held, guard) => vec![(held, guard)],
            Held::Some(guards) => guards,
            all @ Held::All { .. } => {
                self.held = all;
                return true;
            }
        };
        let is_highest = guards.last().is_none_or(|(highest, _)| *highest < id);
        let slot = self.keyspace.slot(id);
        let guard = if is_highest { Some(slot.lock()) } else { slot.try_lock() };
        let locked = guard.is_some();
        if let Some(mut guard) = guard {
            if self.keyspace.is_observed() {
                self.keyspace.show(id, &mut guard);
            }
            let at = guards.partition_point(|(held, _)| *held < id);
            guards.insert(at, (id, guard));
        }
        self.held = Held::Some(guards);
        locked
    }

    /// Makes every slot reachable. The caller has closed the gate.
    pub fn lock_all(&mut self) {
        let observed = self.keyspace.is_observed();
        self.held = Held::All { guards: (0..SLOT_COUNT).map(|_| None).collect(), observed };
    }

    /// The moment as access clocks see it.
    pub fn clock(&self) -> AccessClock {
        self.clock
    }

    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    #[inline]
    pub fn place(&self, key: &[u8]) -> Place {
        match self.known {
            Some((address, place)) if address == key.as_ptr() && !key.is_empty() => place,
            _ => Place { slot: SlotId::of_key(key), hash: self.keyspace.hasher().hash(key) },
        }
    }

    /// A locked slot.
    ///
    /// # Panics
    /// If the command's row in the command table does not name the key that led here: a fault of the row.
    #[inline(always)]
    pub fn slot(&mut self, id: SlotId) -> &mut SlotGuard<'a> {
        match &mut self.held {
            Held::One(held, guard) if *held == id => guard,
            Held::Some(guards) => match guards.binary_search_by_key(&id, |(held, _)| *held) {
                Ok(at) => &mut guards[at].1,
                Err(_) => panic!("slot {} is touched but not locked", id.number()),
            },
            Held::All { guards, observed } => guards[id.index()].get_or_insert_with(|| {
                let mut guard = self.keyspace.lock(id);
                if *observed {
                    self.keyspace.show(id, &mut guard);
                }
                guard
            }),
            _ => panic!("slot {} is touched but not locked", id.number()),
        }
    }

    /// A locked slot, to be read. One of all slots is there only if it was touched before.
    fn held_slot(&self, id: SlotId) -> Option<&SlotGuard<'a>> {
        match &self.held {
            Held::Nothing => None,
            Held::One(held, guard) => (*held == id).then_some(guard),
            Held::Some(guards) => guards.binary_search_by_key(&id, |(held, _)| *held).ok().map(|at| &guards[at].1),
            Held::All { guards, .. } => guards[id.index()].as_ref(),
        }
    }

    // ---- finding ------------------------------------------------------------------------------------------------

    /// The key's place in its table; a key that has expired is removed and not found.
    #[inline(always)]
    fn find(&mut self, key: &[u8]) -> (Place, Option<At>) {
        let place = self.place(key);
        let (index, now_ms) = (self.db, self.now_ms);
        let slot = self.slot(place.slot);
        let Some(db) = slot.db(index) else { return (place, None) };
        match db.find(place.hash, key) {
            Some(at) if db.entry(at).is_expired(now_ms) => {
                self.expire(place, at, key);
                (place, None)
            }
            found => (place, found),
        }
    }

    #[cold]
    fn expire(&mut self, place: Place, at: At, key: &[u8]) {
        if self.keeps_expired || !self.may_expire(effect::removal_bytes(key)) {
            return;
        }
        let (index, hasher) = (self.db, self.keyspace.hasher());
        let slot = self.slot(place.slot);
        reclaim::discard(slot.db_mut(index).remove(at, hasher));
        if slot.touch(index, key) {
            self.note_ready(index, key);
        }
        self.stats.expired_keys.add(1);
        self.note_expired(key);
        self.tell(place.slot, index, &[b"DEL", key]);
    }

    /// Whether keys whose time is over may be removed now, which takes so many bytes of the log. Those of a command that
    /// writes were reckoned with when it was let in.
    fn may_expire(&mut self, bytes: usize) -> bool {
        self.followers.is_none_or(|followers| followers.writes) || self.reserve(bytes).is_ok()
    }

    /// Makes sure, before anything is changed, that the log takes so many bytes of effects more than the request says and
    /// this space was promised before.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Stopped> {
        let Some(followers) = self.followers else { return Ok(()) };
        followers.reserve(self.reserved_bytes + bytes)?;
        self.reserved_bytes += bytes;
        Ok(())
    }

    /// Told what was reserved for the requests to come, before the first of them runs.
    pub fn keep_reserved(&mut self, bytes: usize) {
        self.reserved_bytes = bytes;
    }

    // ---- effects ------------------------------------------------------------------------------------------------

    pub fn followers(&self) -> Option<Followers<'a>> {
        self.followers
    }

    /// Whether anybody follows the data set.
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.followers.is_some()
    }

    fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// Whether effects are told that were not handed on.
    #[inline]
    pub fn has_told(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| !outbox.parts.is_empty() || !outbox.commands.is_empty())
    }

    /// Keeps an effect on a locked slot for [`Space::hand_on`].
    pub fn tell(&mut self, id: SlotId, database: DbIndex, arguments: &[&[u8]]) {
        self.tell_log(id, database, arguments);
        self.tell_replicas(database, arguments);
    }

    /// The same for the log alone, where replicas are told in other words: a part of what concerns several slots.
    pub fn tell_log(&mut self, id: SlotId, database: DbIndex, arguments: &[&[u8]]) {
        if self.followers.is_some_and(|followers| followers.sink.is_some()) {
            let (sequence, time_ms) = (self.slot(id).next_sequence(), self.wall_ms);
            self.outbox().parts.push(&Change { slot: id, database, sequence, time_ms, arguments });
        }
    }

    /// The same for replicas alone: what is no change of any slot, or of more than one.
    pub fn tell_replicas(&mut self, database: DbIndex, arguments: &[&[u8]]) {
        if self.is_replicated() {
            self.outbox().commands.push(database, arguments);
        }
    }

    fn is_replicated(&self) -> bool {
        !self.unreplicated && self.followers.is_some_and(|followers| followers.stream.is_on())
    }

    /// Hands on one effect of a locked slot, right behind those that were told. It saves a transaction's costs where
    /// the effect is the only one.
    #[inline]
    pub fn hand_on_one(&mut self, id: SlotId, database: DbIndex, arguments: &[&[u8]]) -> Result<(), Stopped> {
        let Some(followers) = self.followers else { return Ok(()) };
        if self.has_told() {
            self.tell(id, database, arguments);
            return self.hand_on();
        }
        if let Some(sink) = followers.sink {
            let (sequence, time_ms) = (self.slot(id).next_sequence(), self.wall_ms);
            sink.append(followers.lane, &Change { slot: id, database, sequence, time_ms, arguments })?;
        }
        if self.is_replicated() {
            followers.stream.append_one(database, arguments);
        }
        Ok(())
    }

    /// Hands on all effects that were told, as one transaction.
    pub fn hand_on(&mut self) -> Result<(), Stopped> {
        let (Some(followers), Some(outbox)) = (self.followers, &mut self.outbox) else { return Ok(()) };
        let (parts, commands) = (&mut outbox.parts, &mut outbox.commands);
        let mut outcome = Ok(());
        if let Some(sink) = followers.sink.filter(|_| !parts.is_empty()) {
            // Read under all locks: in none of the slots is there an earlier change with a later time, so a cut at any
            // time has the whole transaction or nothing of it.
            parts.set_time(clock::unix_ms().max(self.wall_ms));
            outcome = sink.append_all(followers.lane, parts);
            parts.clear();
        }
        if !commands.is_empty() {
            if outcome.is_ok() {
                followers.stream.append(commands);
            }
            commands.clear();
        }
        outcome
    }

    #[inline(always)]
    fn entry(&mut self, place: Place, at: At) -> EntryRef<'_> {
        let index = self.db;
        self.slot(place.slot).db_mut(index).table().entry(at)
    }

    #[inline(always)]
    fn db_of(&mut self, place: Place) -> &mut Db {
        let index = self.db;
        self.slot(place.slot).db_mut(index)
    }

    /// The key's entry, without counting a hit or touching its access time.
    pub fn peek(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let (place, at) = self.find(key);
        at.map(|at| self.entry(place, at))
    }

    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.find(key).1.is_some()
    }

    #[inline]
    fn miss(&mut self, key: &[u8]) {
        self.stats.keyspace_misses.add(1);
        self.notify(notify::KEY_MISS, "keymiss", key);
    }

    /// The key's entry for a reading command: counts a hit or a miss and touches the access time.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let (place, at) = self.find(key);
        let Some(at) = at else {
            self.miss(key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        self.touch_access(place, at);
        Some(self.entry(place, at))
    }

    /// The key's entry for a command that tells about it: counts a hit or a miss and leaves the access time.
    pub fn look(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let (place, at) = self.find(key);
        let Some(at) = at else {
            self.miss(key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        Some(self.entry(place, at))
    }

    /// Sets the access time of a key as if it was read, whether or not the client's reads do; false when there is none.
    pub fn mark_used(&mut self, key: &[u8]) -> bool {
        let before = std::mem::replace(&mut self.touches, true);
        let found = self.read(key).is_some();
        self.touches = before;
        found
    }

    #[inline(always)]
    fn touch_access(&mut self, place: Place, at: At) {
        if self.touches {
            let clock = self.clock;
            let db = self.db_of(place);
            let before = db.entry(at).access();
            let after = clock.used(before, random::below);
            // An entry read twice within a second is not written twice.
            if before != after {
                db.set_access(at, after);
            }
        }
    }

    /// The string under `key` for a reading command.
    #[inline]
    pub fn read_string(&mut self, key: &[u8]) -> Result<Option<&[u8]>, ReplyError> {
        match self.read(key) {
            Some(entry) if !entry.is_string() => Err(ReplyError::WrongType),
            entry => Ok(entry.map(|entry| entry.value())),
        }
    }

    /// The string under `key` for a command that is about to change it.
    #[inline]
    pub fn string(&mut self, key: &[u8]) -> Result<Option<&[u8]>, ReplyError> {
        let (place, at) = self.find(key);
        let Some(at) = at else { return Ok(None) };
        self.touch_access(place, at);
        let entry = self.entry(place, at);
        if entry.is_string() { Ok(Some(entry.value())) } else { Err(ReplyError::WrongType) }
    }

    // ---- changing -----------------------------------------------------------------------------------------------

    #[inline]
    fn changed(&mut self, place: Place, key: &[u8]) {
        self.changes += 1;
        let index = self.db;
        if self.slot(place.slot).touch(index, key) {
            self.note_ready(index, key);
        }
        self.note_changed(key, false);
    }

    /// Sets a string, whatever the key held.
    #[inline]
    pub fn set_string(&mut self, key: &[u8], value: &[u8], expiry: Expiry, form: StringForm) {
        let (place, at) = self.find(key);
        let (clock, hasher) = (self.clock, self.keyspace.hasher());
        let db = self.db_of(place);
        match at {
            Some(at) => db.update(at, |entry| {
                entry.set_value(value, form);
                match expiry {
                    Expiry::Clear => entry.set_expiry(None),
                    Expiry::Keep => {}
                    Expiry::At(expiry_ms) => entry.set_expiry(Some(expiry_ms)),
                }
                entry.set_access(clock.used(entry.view().access(), random::below));
            }),
            None => {
                let expiry_ms = if let Expiry::At(expiry_ms) = expiry { Some(expiry_ms) } else { None };
                db.insert(place.hash, Entry::new(key, value, expiry_ms, form, clock.fresh()), hasher);
                self.notify(notify::NEW, "new", key);
            }
        }
        if let Expiry::At(expiry_ms) = expiry {
            self.note_expiry(key, expiry_ms);
        }
        self.changed(place, key);
    }

    /// Replaces the string under `key`, or makes one, by what `rewrite` makes of it; the key keeps its expiry. An error
    /// changes nothing.
    #[inline]
    pub fn rewrite_string<T: AsRef<[u8]>>(
        &mut self,
        key: &[u8],
        form: StringForm,
        rewrite: impl FnOnce(Option<&[u8]>) -> Result<T, ReplyError>,
    ) -> Result<T, ReplyError> {
        let (place, at) = self.find(key);
        let (clock, hasher) = (self.clock, self.keyspace.hasher());
        let db = self.db_of(place);
        let old = at.map(|at| db.entry(at));
        if old.is_some_and(|entry| !entry.is_string()) {
            return Err(ReplyError::WrongType);
        }
        let value = rewrite(old.map(|entry| entry.value()))?;
        match at {
            Some(at) => db.update(at, |entry| {
                entry.set_value(value.as_ref(), form);
                entry.set_access(clock.used(entry.view().access(), random::below));
            }),
            None => {
                db.insert(place.hash, Entry::new(key, value.as_ref(), None, form, clock.fresh()), hasher);
                self.notify(notify::NEW, "new", key);
            }
        }
        self.changed(place, key);
        Ok(value)
    }

    /// Makes the string under `key` at least `len` bytes long, creating it if need be, with zero bytes where it grows,
    /// and has `edit` change it in place. `edit` is told whether the string grew, and tells how many changes it made;
    /// growing alone is a change.
    pub fn edit_string<R>(
        &mut self,
        key: &[u8],
        len: usize,
        edit: impl FnOnce(&mut [u8], bool) -> (u64, R),
    ) -> Result<R, ReplyError> {
        let (place, at) = self.find(key);
        let (clock, hasher) = (self.clock, self.keyspace.hasher());
        let db = self.db_of(place);
        let old = at.map(|at| db.entry(at));
        if old.is_some_and(|entry| !entry.is_string()) {
            return Err(ReplyError::WrongType);
        }
        let old_len = old.map_or(0, |entry| entry.value().len());
        let (is_new, grew) = (at.is_none(), at.is_none() || old_len < len);
        let at = at.unwrap_or_else(|| {
            db.insert(place.hash, Entry::new(key, b"", None, StringForm::Raw, clock.fresh()), hasher)
        });
        let (changes, result) = db.update(at, |entry| edit(entry.edit_value(len.max(old_len)), grew));
        if is_new {
            self.notify(notify::NEW, "new", key);
        }
        if grew || changes > 0 {
            self.changed(place, key);
            self.changes += changes.saturating_sub(1);
        }
        Ok(result)
    }

    /// Removes a key; its entry goes to the caller.
    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (place, at) = self.find(key);
        let hasher = self.keyspace.hasher();
        let entry = self.db_of(place).remove(at?, hasher);
        self.changed(place, key);
        Some(entry)
    }

    /// Puts an entry under its key, replacing what is there; what was there goes to the caller.
    pub fn put(&mut self, entry: Entry) -> Option<Entry> {
        let expiries_ms = [entry.view().expiry_ms(), soonest_field_expiry_ms(entry.view())];
        let key = entry.view().key().to_vec();
        let (place, at) = self.find(&key);
        let hasher = self.keyspace.hasher();
        let db = self.db_of(place);
        let replaced = at.map(|at| db.remove(at, hasher));
        db.insert(place.hash, entry, hasher);
        for expiry_ms in expiries_ms.into_iter().flatten() {
            self.note_expiry(&key, expiry_ms);
        }
        if replaced.is_none() {
            self.notify(notify::NEW, "new", &key);
        }
        self.changed(place, &key);
        replaced
    }

    /// Sets, moves or clears the expiry of a key that exists; false when it does not.
    pub fn set_expiry(&mut self, key: &[u8], expiry_ms: Option<u64>) -> bool {
        let (place, at) = self.find(key);
        let Some(at) = at else { return false };
        self.db_of(place).update(at, |entry| entry.set_expiry(expiry_ms));
        if let Some(expiry_ms) = expiry_ms {
            self.note_expiry(key, expiry_ms);
        }
        self.changed(place, key);
        true
    }

    /// Told of an expiry that a key, or a field of it, got.
    fn note_expiry(&self, key: &[u8], expiry_ms: u64) {
        self.keyspace.note_expiry(expiry_ms);
        if let Some(own) = self.own_expiries {
            own.note(self.db, key);
        }
    }

    // ---- keys waited for ----------------------------------------------------------------------------------------

    /// Told of a change of a key that somebody waits for.
    #[cold]
    pub fn note_ready(&mut self, db: DbIndex, key: &[u8]) {
        let ready = &mut self.outbox().ready;
        if ready.last().is_none_or(|last| last.db != db || *last.key != *key) {
            ready.push(WaitedKey { db, key: key.into() });
        }
    }

    #[inline]
    pub fn has_ready(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| !outbox.ready.is_empty())
    }

    /// The keys that changed and are waited for.
    pub fn take_ready(&mut self) -> Vec<WaitedKey> {
        self.outbox.as_mut().map(|outbox| std::mem::take(&mut outbox.ready)).unwrap_or_default()
    }

    /// Whether a slot is locked until the command ends.
    pub fn holds(&self, id: SlotId) -> bool {
        match &self.held {
            Held::Nothing => false,
            Held::One(held, _) => *held == id,
            Held::Some(guards) => guards.binary_search_by_key(&id, |(held, _)| *held).is_ok(),
            Held::All { .. } => true,
        }
    }

    /// Removes a key of a held slot if it has expired; tells whether it had.
    pub fn drop_expired(&mut self, db: DbIndex, key: &[u8]) -> bool {
        let index = std::mem::replace(&mut self.db, db);
        let told = self.has_told();
        self.find(key);
        self.db = index;
        !told && self.has_told()
    }

    /// What kind of value stands under a key of a held slot. Nothing is counted, touched or removed.
    pub fn kind(&mut self, db: DbIndex, key: &[u8]) -> Option<ValueType> {
        let (slot, hash) = (SlotId::of_key(key), self.keyspace.hasher().hash(key));
        let now_ms = self.now_ms;
        let db = self.slot(slot).db(db)?;
        let entry = db.entry(db.find(hash, key)?);
        (!entry.is_expired(now_ms)).then(|| entry.value_type())
    }

    /// Has the space serve another client's command under the same locks. What was told before is handed on.
    pub fn serve(&mut self, db: DbIndex, touch: bool) {
        self.known = None;
        self.db = db;
        self.touches = touch;
        self.effect = Effect::default();
        self.reserved_bytes = 0;
        if let Some(followers) = &mut self.followers {
            followers.writes = true;
        }
    }

    // ---- the whole database ---------------------------------------------------------------------------------------

    /// How many keys the database holds, the expired ones that are not removed yet included.
    pub fn key_count(&mut self) -> u64 {
        let index = self.db;
        SlotId::all().map(|id| self.look_at_slot(id, |slot| slot.db(index).map_or(0, Db::len)) as u64).sum()
    }

    /// Whether slots stay locked until the command ends. Then no change may be told ahead of what the command told so far.
    pub fn holds_slots(&self) -> bool {
        !matches!(self.held, Held::Nothing)
    }

    /// Runs `work` on a slot, locking it for the call unless it is held already. A command that holds some slots but
    /// not all may reach only those: locking another would break the order of locking.
    pub fn with_slot<R>(&mut self, id: SlotId, work: impl FnOnce(&mut SlotGuard<'a>) -> R) -> R {
        match self.held {
            Held::Nothing => work(&mut self.keyspace.lock_alone(id)),
            _ => work(self.slot(id)),
        }
    }

    /// The same for a look at each of all slots: one that a long command holds is missed, which the caller is to ask about.
    pub fn look_at_slot<R: Default>(&mut self, id: SlotId, work: impl FnOnce(&SlotGuard<'a>) -> R) -> R {
        if self.holds_slots() {
            return work(self.slot(id));
        }
        let mut patience = Patience::with_slots(self.held_tries, &NOT_BUSY);
        match self.keyspace.slot(id).lock_while(|| patience.lasts()) {
            Some(slot) => work(&slot),
            None => {
                self.missed_slot = true;
                R::default()
            }
        }
    }

    /// Keys of each database. Unless all slots are held, they are counted one after the other.
    pub fn counts(&mut self) -> Vec<DbCounts> {
        let mut counts = vec![DbCounts::default(); usize::from(self.keyspace.databases())];
        let (now_ms, hasher) = (self.now_ms, self.keyspace.hasher());
        for id in SlotId::all() {
            self.look_at_slot(id, |slot| {
                for (index, db) in slot.dbs() {
                    let counts = &mut counts[usize::from(index)];
                    counts.keys += db.len() as u64;
                    counts.expiring += db.expiring_count() as u64;
                    counts.table_bytes += db.table().memory_bytes() as u64;
                    if db.expiring_count() > 0 && counts.sampled < TTL_SAMPLES {
                        sample_ttls(db, now_ms, hasher, counts);
                    }
                }
            });
        }
        counts
    }

    /// Unlocks everything.
    pub fn release(&mut self) {
        self.held = Held::Nothing;
        self.known = None;
    }
}
