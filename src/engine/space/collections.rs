//! Keys that hold collections: found by their type, changed in place, and gone with their last item.

use super::{Place, Space};
use crate::base::random;
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::reclaim;
use crate::store::table::At;
use crate::store::{Detached, Entry, EntryRef, ValueType};

/// The entry, if it is of the type that a command works on.
fn of_type(entry: EntryRef<'_>, value_type: ValueType) -> Result<EntryRef<'_>, ReplyError> {
    if entry.value_type() == value_type { Ok(entry) } else { Err(ReplyError::WrongType) }
}

impl Space<'_> {
    /// The collection under `key` for a reading command: counts a hit or a miss and touches the access time.
    #[inline]
    pub fn read_collection(&mut self, key: &[u8], value_type: ValueType) -> Result<Option<EntryRef<'_>>, ReplyError> {
        self.read(key).map(|entry| of_type(entry, value_type)).transpose()
    }

    /// The collection under `key` for a command that is about to change it.
    #[inline]
    pub fn collection(&mut self, key: &[u8], value_type: ValueType) -> Result<Option<EntryRef<'_>>, ReplyError> {
        let (place, at) = self.find(key);
        let Some(at) = at else { return Ok(None) };
        self.touch_access(place, at);
        of_type(self.entry(place, at), value_type).map(Some)
    }

    /// The entry of a key that this command has looked for before: then several can be read side by side, and none of
    /// them has expired.
    pub fn at_hand(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        let place = self.place(key);
        let db = self.held_slot(place.slot)?.db(self.db)?;
        db.find(place.hash, key).map(|at| db.entry(at)).filter(|entry| !entry.is_expired(self.now_ms))
    }

    /// Has `change` change the collection under `key`, if there is one; it tells how many changes it made. A collection
    /// that has no items left afterwards goes with its key.
    #[inline]
    pub fn edit<R>(
        &mut self,
        key: &[u8],
        value_type: ValueType,
        change: impl FnOnce(&mut Entry) -> (u64, R),
    ) -> Result<Option<R>, ReplyError> {
        let (place, at) = self.find(key);
        let Some(at) = at else { return Ok(None) };
        of_type(self.entry(place, at), value_type)?;
        Ok(Some(self.edit_at(place, at, key, change)))
    }

    /// The same, where a key that is not there begins as an empty listpack.
    #[inline]
    pub fn edit_or_create<R>(
        &mut self,
        key: &[u8],
        value_type: ValueType,
        change: impl FnOnce(&mut Entry) -> (u64, R),
    ) -> Result<R, ReplyError> {
        self.edit_or_insert(key, value_type, || Detached::empty(value_type), change)
    }

    /// The same, where a key that is not there begins as what `make` gives.
    #[inline]
    pub fn edit_or_insert<R>(
        &mut self,
        key: &[u8],
        value_type: ValueType,
        make: impl FnOnce() -> Detached,
        change: impl FnOnce(&mut Entry) -> (u64, R),
    ) -> Result<R, ReplyError> {
        let (place, at) = self.find(key);
        let at = match at {
            Some(at) => {
                of_type(self.entry(place, at), value_type)?;
                at
            }
            None => {
                let (access, hasher) = (self.access_now, self.keyspace.hasher());
                let entry = make().with_key(key, None, access);
                let at = self.db_of(place).insert(place.hash, entry, hasher);
                self.notify(notify::NEW, "new", key);
                at
            }
        };
        Ok(self.edit_at(place, at, key, change))
    }

    #[inline]
    fn edit_at<R>(&mut self, place: Place, at: At, key: &[u8], change: impl FnOnce(&mut Entry) -> (u64, R)) -> R {
        let (clock, touches, hasher) = (self.clock, self.touches, self.keyspace.hasher());
        let db = self.db_of(place);
        let ((changes, result), spent) = db.update(at, |entry| {
            if touches {
                entry.set_access(clock.used(entry.view().access(), random::below));
            }
            (change(entry), entry.view().is_spent())
        });
        if spent {
            reclaim::discard(db.remove(at, hasher));
        }
        self.spent = spent;
        if changes > 0 {
            self.changed(place, key);
            self.changes += changes - 1;
        }
        result
    }
}
