//! Expiry inside of hashes, as a command meets it.

use smallvec::SmallVec;

use super::Space;
use crate::engine::effect::field_removal_bytes;
use crate::engine::notify;
use crate::store::hash::HashMut;
use crate::store::reclaim;

impl Space<'_> {
    /// Removes fields of a hash that have expired, as a change of its own ahead of what the command does. The hash goes
    /// with its last field.
    #[cold]
    pub fn expire_fields<N: AsRef<[u8]>>(&mut self, key: &[u8], names: &[N]) {
        let (place, Some(at)) = self.find(key) else { return };
        if names.is_empty() || !self.may_expire(field_removal_bytes(key, names)) {
            return;
        }
        let (index, hasher) = (self.db, self.keyspace.hasher());
        let db = self.db_of(place);
        let spent = db.update(at, |entry| {
            HashMut::shrinking(entry).remove_all(names);
            entry.view().is_spent()
        });
        if spent {
            reclaim::discard(db.remove(at, hasher));
        }
        // Clients wait for what is added, never for a hash.
        let _ = self.slot(place.slot).touch(index, key);
        self.stats.expired_fields.add(names.len() as u64);
        let mut effect: SmallVec<[&[u8]; 8]> = SmallVec::from_slice(&[b"HDEL", key]);
        effect.extend(names.iter().map(AsRef::as_ref));
        self.tell(place.slot, index, &effect);
        self.note_changed(key, true);
        self.notify(notify::HASH, "hexpired", key);
        if spent {
            self.notify(notify::GENERIC, "del", key);
        }
    }

    /// Told of an expiry that a field of a hash got, so that the expiry cycle finds it.
    pub fn note_field_expiry(&mut self, key: &[u8], expiry_ms: u64) {
        let place = self.place(key);
        self.db_of(place).note_field_expiry(expiry_ms);
        self.note_expiry(key, expiry_ms);
    }
}
