//! The commands that make a key what it is, in one or more steps: for effects that cross slots, for compacted logs and for data sets that move
//! in.

use super::context::Cx;
use crate::base::number::Decimal;
use crate::engine::saved::value_of;
use crate::log::record;
use crate::rdb::payload;
use crate::store::list::ListRef;
use crate::store::{DbIndex, EntryRef, ValueType};

/// Larger lists are made in steps, each about as large as a chunk.
const LARGE_LIST_BYTES: usize = 256 << 10;
const CHUNK_BYTES: usize = 64 << 10;

/// Runs `emit` with each command that is needed to make the entry, under `key`, where there is none of that name or one
/// that may be replaced.
pub fn create(entry: EntryRef<'_>, key: &[u8], mut emit: impl FnMut(&[&[u8]])) {
    match entry.value_type() {
        ValueType::String => match entry.expiry_ms() {
            Some(expiry_ms) => {
                emit(&[b"SET", key, entry.value(), b"PXAT", Decimal::new(expiry_ms as i64).as_bytes()]);
            }
            None => emit(&[b"SET", key, entry.value()]),
        },
        ValueType::List if entry.memory_bytes() > LARGE_LIST_BYTES => create_list(entry, key, emit),
        _ => {
            let expiry = Decimal::new(entry.expiry_ms().unwrap_or(0) as i64);
            let payload = payload::encode(value_of(entry), true);
            emit(&[b"RESTORE", key, expiry.as_bytes(), &payload, b"REPLACE", b"ABSTTL"]);
        }
    }
}

/// A list's elements some at a time, so that no command is as large as the list.
fn create_list(entry: EntryRef<'_>, key: &[u8], mut emit: impl FnMut(&[&[u8]])) {
    emit(&[b"DEL", key]);
    let (mut texts, mut bytes) = (Vec::new(), 0);
    let mut push = |texts: &mut Vec<Vec<u8>>| {
        let command: Vec<&[u8]> = [b"RPUSH", key].into_iter().chain(texts.iter().map(Vec::as_slice)).collect();
        emit(&command);
        texts.clear();
    };
    ListRef::of(entry).range(0, usize::MAX, |element| {
        bytes += element.packed_bytes();
        texts.push(element.to_vec());
        if bytes >= CHUNK_BYTES {
            push(&mut texts);
            bytes = 0;
        }
    });
    if !texts.is_empty() {
        push(&mut texts);
    }
    if let Some(expiry_ms) = entry.expiry_ms() {
        emit(&[b"PEXPIREAT", key, Decimal::new(expiry_ms as i64).as_bytes()]);
    }
}

/// What those commands take in the log.
pub fn creation_bytes(entry: EntryRef<'_>, key: &[u8]) -> usize {
    let mut bytes = 0;
    create(entry, key, |command| bytes += record::record_bytes(record::effect_bytes(command)));
    bytes
}

/// Tells that `key` of database `db` now is what it is, whatever it was: for commands that took it from another slot.
pub fn tell_made(cx: &mut Cx<'_>, db: DbIndex, key: &[u8]) {
    if !cx.space.is_followed() {
        return;
    }
    let selected = std::mem::replace(&mut cx.space.db, db);
    let mut commands: Vec<Vec<Vec<u8>>> = Vec::new();
    if let Some(entry) = cx.space.peek(key) {
        create(entry, key, |command| commands.push(command.iter().map(|argument| argument.to_vec()).collect()));
    }
    cx.space.db = selected;
    for command in commands {
        let command: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        cx.space.effect.add(db, &command);
    }
}
