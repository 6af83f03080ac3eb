//! Streams: their blocks as they are kept, and their consumer groups.
//!
//! ```text
//! blocks: a length, then of each
//!   id: a string of 16 bytes
//!   listpack: a string
//! entries: a length, last id: two lengths
//! [first id, greatest deleted id: two lengths each; entries ever added: a length]     from type 19 on
//! groups: a length, then of each
//!   name: a string, last id: two lengths
//!   [entries read: a length, all bits set for unknown]                                from type 19 on
//!   pending: a length, then of each: id, 16 bytes; when given, 8 bytes; how often, a length
//!   consumers: a length, then of each
//!     name: a string, when seen, 8 bytes
//!     [when active, 8 bytes, all bits set for never]                                  type 21
//!     pending: a length, then ids of 16 bytes
//! ```
//! Ids in bytes are big-endian, moments are little-endian and in Unix milliseconds. Everything is checked: what is read
//! becomes a stream or an error.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;
use crate::store::Detached;
use crate::store::stream::{Block, COUNT_MAX, Consumer, Entries, Group, Pending, Stream, StreamId};

pub const TYPE_FIRST: u8 = 15;
/// The type with counts of what was added and read, which is written.
pub const TYPE_COUNTED: u8 = 19;
/// The type with the moments at which consumers were active.
pub const TYPE_ACTIVE: u8 = 21;

const ID_BYTES: usize = 16;
const UNKNOWN: u64 = u64::MAX;

pub fn read<'a, R: Read>(source: &mut Source<R>, type_byte: u8) -> Result<Value<'a>, RdbError> {
    let mut entries = read_blocks(source)?;
    if source.length()? != entries.len() {
        return Err(source.error(Fault::Damaged("a stream with another number of entries than it says")));
    }
    if !entries.is_empty() && entries.first_id().is_zero() {
        return Err(source.error(Fault::Damaged("an entry of a stream without an id")));
    }
    let last_id = read_id(source)?;
    if last_id < entries.last_id {
        return Err(source.error(Fault::Damaged("a stream with entries after its last one")));
    }
    entries.last_id = last_id;
    entries.added = entries.len();
    if type_byte >= TYPE_COUNTED {
        // The first id follows from the entries.
        read_id(source)?;
        entries.max_deleted_id = read_id(source)?;
        entries.added = count(source)?;
    }
    let mut stream = Stream::default();
    stream.entries = entries;
    for _ in 0..source.length()? {
        let (name, group) = read_group(source, type_byte, &stream.entries)?;
        if !stream.add_group(&name, group) {
            return Err(source.error(Fault::Damaged("two groups of one name")));
        }
    }
    Ok(Value::Read(Detached::Large(Box::new(stream))))
}

/// A count; Redis counts further than Cairn does.
fn count<R: Read>(source: &mut Source<R>) -> Result<u64, RdbError> {
    Ok(source.length()?.min(COUNT_MAX))
}

fn read_id<R: Read>(source: &mut Source<R>) -> Result<StreamId, RdbError> {
    Ok(StreamId::new(source.length()?, source.length()?))
}

fn read_blocks<R: Read>(source: &mut Source<R>) -> Result<Entries, RdbError> {
    let mut blocks = Vec::new();
    for _ in 0..source.length()? {
        let mut id = Vec::new();
        source.string(&mut id)?;
        let id: [u8; ID_BYTES] =
            id.try_into().map_err(|_| source.error(Fault::Damaged("a block of a stream without an id")))?;
        let base = StreamId::of_bytes(id);
        let mut bytes = Vec::new();
        source.string(&mut bytes)?;
        let block = Block::of_framed(&bytes, base);
        blocks.push((base, block.ok_or_else(|| source.error(Fault::Damaged("a damaged block of a stream")))?));
    }
    Entries::of_blocks(blocks).ok_or_else(|| source.error(Fault::Damaged("blocks of a stream that overlap")))
}

fn read_group<R: Read>(source: &mut Source<R>, type_byte: u8, entries: &Entries) -> Result<(Vec<u8>, Group), RdbError> {
    let mut name = Vec::new();
    source.string(&mut name)?;
    let last_id = read_id(source)?;
    let entries_read = match type_byte {
        TYPE_COUNTED.. => Some(source.length()?).filter(|read| i64::try_from(*read).is_ok()),
        _ => entries.added_up_to(last_id),
    };
    let mut group = Group::new(last_id, entries_read);
    let mut given = BTreeMap::new();
    for _ in 0..source.length()? {
        let id = StreamId::of_bytes(source.array()?);
        let delivery_time_ms = u64::from_le_bytes(source.array()?);
        if given.insert(id, (delivery_time_ms, count(source)?)).is_some() {
            return Err(source.error(Fault::Damaged("an entry that is pending twice")));
        }
    }
    for _ in 0..source.length()? {
        read_consumer(source, type_byte, &mut group, &mut given)?;
    }
    if !given.is_empty() {
        return Err(source.error(Fault::Damaged("a pending entry without a consumer")));
    }
    Ok((name, group))
}

fn read_consumer<R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    group: &mut Group,
    given: &mut BTreeMap<StreamId, (u64, u64)>,
) -> Result<(), RdbError> {
    let mut name = Vec::new();
    source.string(&mut name)?;
    let seen_time_ms = u64::from_le_bytes(source.array()?);
    let (consumer, made) = group.find_or_add_consumer(&name, seen_time_ms);
    if !made {
        return Err(source.error(Fault::Damaged("two consumers of one name")));
    }
    let active_time_ms = match type_byte {
        TYPE_ACTIVE => Some(u64::from_le_bytes(source.array()?)).filter(|time_ms| *time_ms != UNKNOWN),
        // A moment that was not kept: that of the last attempt is as good.
        _ => Some(seen_time_ms),
    };
    if let Some(consumer) = group.consumer_mut(consumer) {
        consumer.active_time_ms = active_time_ms;
    }
    for _ in 0..source.length()? {
        let id = StreamId::of_bytes(source.array()?);
        let Some((delivery_time_ms, delivery_count)) = given.remove(&id) else {
            return Err(source.error(Fault::Damaged("a consumer's pending entry that is not its group's")));
        };
        group.set_pending(id, Pending { consumer, delivery_time_ms, delivery_count });
    }
    Ok(())
}

pub fn write<W: Write>(packer: &mut Packer<W>, stream: &Stream) -> io::Result<()> {
    let entries = &stream.entries;
    packer.length(entries.block_count() as u64)?;
    for (base, block) in entries.blocks() {
        packer.string(&base.to_bytes())?;
        packer.string(&block.framed())?;
    }
    packer.length(entries.len())?;
    for id in [entries.last_id, entries.first_id(), entries.max_deleted_id] {
        write_id(packer, id)?;
    }
    packer.length(entries.added)?;
    packer.length(stream.groups().len() as u64)?;
    stream.groups().try_for_each(|(name, group)| write_group(packer, name, group))
}

fn write_id<W: Write>(packer: &mut Packer<W>, id: StreamId) -> io::Result<()> {
    packer.length(id.ms)?;
    packer.length(id.seq)
}

fn write_group<W: Write>(packer: &mut Packer<W>, name: &[u8], group: &Group) -> io::Result<()> {
    packer.string(name)?;
    write_id(packer, group.last_id)?;
    packer.length(group.entries_read.unwrap_or(UNKNOWN))?;
    packer.length(group.pending_count() as u64)?;
    for (id, pending) in group.pending_in(..) {
        packer.to.write_all(&id.to_bytes())?;
        packer.to.write_all(&pending.delivery_time_ms.to_le_bytes())?;
        packer.length(pending.delivery_count)?;
    }
    packer.length(group.consumer_count() as u64)?;
    group.consumers().try_for_each(|consumer| write_consumer(packer, group, consumer))
}

fn write_consumer<W: Write>(packer: &mut Packer<W>, group: &Group, consumer: &Consumer) -> io::Result<()> {
    packer.string(&consumer.name)?;
    packer.to.write_all(&consumer.seen_time_ms.to_le_bytes())?;
    packer.length(consumer.pending_count() as u64)?;
    let id = group.find_consumer(&consumer.name);
    let mut pending = id.into_iter().flat_map(|id| group.pending_of(id, ..));
    pending.try_for_each(|(id, _)| packer.to.write_all(&id.to_bytes()))
}
