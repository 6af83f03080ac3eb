//! Between entries of the store and values of the RDB format: what a snapshot and DUMP write, and what loading a file
//! and RESTORE make of it.

use crate::rdb::Value;
use crate::store::{Entry, EntryRef, StringForm};

/// An entry's value as it is saved.
pub fn value_of(entry: EntryRef<'_>) -> Value<'_> {
    Value::Kept(entry)
}

/// An entry of a value that was saved. How a string came to be is not: it is what SET would make of it.
pub fn entry_of(key: &[u8], value: Value<'_>, expiry_ms: Option<u64>, access: u32) -> Entry {
    match value {
        Value::String(bytes) => Entry::new(key, bytes, expiry_ms, StringForm::Auto, access),
        Value::Read(collection) => collection.with_key(key, expiry_ms, access),
        Value::Kept(entry) => unreachable!("a {} of the store was not read", entry.value_type().name()),
    }
}
