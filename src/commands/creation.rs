//! The commands that make a key what it is, in one or more steps: for effects that cross slots, for compacted logs and for
//! data sets that move in.

use std::borrow::Cow;

use super::context::Cx;
use crate::base::number::{Decimal, double_text};
use crate::engine::saved::value_of;
use crate::log::record;
use crate::rdb::payload;
use crate::store::hash::Hash;
use crate::store::list::ListRef;
use crate::store::listpack::Text;
use crate::store::set::Set;
use crate::store::stream::{Stream, StreamId};
use crate::store::zset::ZsetRef;
use crate::store::{DbIndex, Detached, EntryRef, Form, ValueType};

/// Bytes of a piece of a large collection, about.
const PIECE_BYTES: usize = 16 << 10;
/// A stream that takes more is not made in one piece.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// What an item takes beside its bytes, about.
const ITEM_BYTES: usize = 32;

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
        ValueType::Stream if entry.memory_bytes() > WHOLE_BYTES_MAX => create_stream(entry, key, &mut emit),
        ValueType::List | ValueType::Set | ValueType::Zset | ValueType::Hash
            if entry.collection_form() == Form::Large =>
        {
            create_large(entry, key, &mut emit);
        }
        _ => {
            let expiry = Decimal::new(entry.expiry_ms().unwrap_or(0) as i64);
            let payload = payload::encode(value_of(entry), true);
            emit(&[b"RESTORE", key, expiry.as_bytes(), &payload, b"REPLACE", b"ABSTTL"]);
        }
    }
}

/// Pieces of `command key item ...`. `each` hands over the items, the arguments of each together.
fn in_pieces<'e>(
    key: &[u8],
    command: &[u8],
    emit: &mut impl FnMut(&[&[u8]]),
    each: impl FnOnce(&mut dyn FnMut(&[Cow<'e, [u8]>])),
) {
    let (mut items, mut bytes) = (Vec::new(), 0);
    let mut emit_piece = |items: &mut Vec<Cow<'e, [u8]>>| {
        let piece: Vec<&[u8]> = [command, key].into_iter().chain(items.iter().map(AsRef::as_ref)).collect();
        emit(&piece);
        items.clear();
    };
    each(&mut |item| {
        bytes += item.iter().map(|argument| argument.len()).sum::<usize>() + ITEM_BYTES;
        items.extend_from_slice(item);
        if bytes >= PIECE_BYTES {
            emit_piece(&mut items);
            bytes = 0;
        }
    });
    if !items.is_empty() {
        emit_piece(&mut items);
    }
}

/// A large list, set, sorted set or hash; with a hash the expiry of each field that has one.
fn create_large(entry: EntryRef<'_>, key: &[u8], emit: &mut impl FnMut(&[&[u8]])) {
    emit(&[b"DEL", key]);
    match entry.value_type() {
        ValueType::List => in_pieces(key, b"RPUSH", emit, |push| {
            ListRef::of(entry).range(0, usize::MAX, |element| push(&[element.to_vec().into()]));
        }),
        ValueType::Set => in_pieces(key, b"SADD", emit, |push| {
            entry.large::<Set>().iter().for_each(|member| push(&[member.into()]));
        }),
        ValueType::Zset => in_pieces(key, b"ZADD", emit, |push| {
            let zset = ZsetRef::of(entry).iter();
            zset.for_each(|(member, score)| push(&[double_text(score).into_bytes().into(), member.into()]));
        }),
        ValueType::Hash => {
            let hash: &Hash = entry.large();
            in_pieces(key, b"HSET", emit, |push| {
                hash.iter().for_each(|field| push(&[field.key().into(), field.value().into()]));
            });
            for field in hash.iter() {
                if let Some(expiry_ms) = field.expiry_ms() {
                    let expiry = Decimal::new(expiry_ms as i64);
                    emit(&[b"HPEXPIREAT", key, expiry.as_bytes(), b"FIELDS", b"1", field.key()]);
                }
            }
        }
        ValueType::String | ValueType::Stream => unreachable!("it is no collection of items"),
    }
    if let Some(expiry_ms) = entry.expiry_ms() {
        emit(&[b"PEXPIREAT", key, Decimal::new(expiry_ms as i64).as_bytes()]);
    }
}

/// A large stream: its groups, then its entries one by one, then what it remembers of those that are gone.
fn create_stream(entry: EntryRef<'_>, key: &[u8], emit: &mut impl FnMut(&[&[u8]])) {
    let stream = entry.large::<Stream>();
    // Groups come first, as they may have pending what is not there any more.
    let groups = Detached::Large(Box::new(stream.without_entries())).with_key(b"", None, 0);
    let expiry = Decimal::new(entry.expiry_ms().unwrap_or(0) as i64);
    let payload = payload::encode(value_of(groups.view()), true);
    emit(&[b"RESTORE", key, expiry.as_bytes(), &payload, b"REPLACE", b"ABSTTL"]);
    let entries = &stream.entries;
    for item in entries.range(StreamId::MIN, StreamId::MAX) {
        let id = item.id.to_text();
        let texts: Vec<Text<'_>> = item.pairs().flat_map(|(field, value)| [field.text(), value.text()]).collect();
        let mut command: Vec<&[u8]> = vec![b"XADD", key, id.as_bytes()];
        command.extend(texts.iter().map(|text| &text[..]));
        emit(&command);
    }
    let (last_id, deleted_id) = (entries.last_id.to_text(), entries.max_deleted_id.to_text());
    let added = Decimal::new(entries.added as i64);
    let mut command = vec![&b"XSETID"[..], key, last_id.as_bytes(), b"ENTRIESADDED", added.as_bytes()];
    command.extend([&b"MAXDELETEDID"[..], deleted_id.as_bytes()]);
    emit(&command);
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
