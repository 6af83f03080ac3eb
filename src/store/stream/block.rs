//! A run of entries in one listpack, laid out as Redis does, so that saving a stream copies it.
//!
//! ```text
//! entries, deleted ones, fields, each field, 0                 the head; its fields are those of the first entry
//! flags, ms, seq, [fields, each field and value | each value], elements from flags to here        an entry
//! ```
//! The id of an entry is the difference to the block's id, which is its first entry's. An entry with `SAME_FIELDS` has
//! the head's fields and keeps values only; one with `DELETED` is not there any more. The number at an entry's end is
//! how one gets to its beginning from behind; the 0 says that the head is before it.
//!
//! Bytes from outside become a block by way of [`Block::of_framed`] only, which checks all of that.

use smallvec::SmallVec;

use super::StreamId;
use crate::store::buckets::prefetch;
use crate::store::listpack::edit::{pack, push_back, replace};
use crate::store::listpack::{BYTES_MAX, Element, HEADER_BYTES, Listpack, unframe};
use crate::store::reclaim;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Elements of an entry that are packed without an allocation.
const ELEMENTS_ON_STACK: usize = 12;
/// Elements of an entry with the head's fields besides its values: flags, ms, seq.
const BARE_ELEMENTS: i64 = 3;

/// When a new entry begins a new block.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// `stream-node-max-bytes`; 0 is no limit.
    pub bytes_max: usize,
    /// `stream-node-max-entries`; 0 is no limit.
    pub entries_max: u64,
}

#[derive(Clone, Debug)]
pub struct Block {
    bytes: Vec<u8>,
}

impl Drop for Block {
    fn drop(&mut self) {
        reclaim::give_way();
    }
}

/// What the head says, and where.
#[derive(Clone, Copy)]
struct Head {
    live: u64,
    deleted: u64,
    fields: usize,
    deleted_at: usize,
    fields_at: usize,
    /// Where the head ends and the first entry begins.
    end: usize,
}

fn natural(element: Element<'_>) -> Option<u64> {
    match element {
        Element::Integer(value) => u64::try_from(value).ok(),
        Element::Bytes(_) => None,
    }
}

impl Head {
    /// Everything but `end`, which takes a walk over the fields.
    #[inline]
    fn counts(list: Listpack<'_>) -> Option<Head> {
        let live = natural(list.get(HEADER_BYTES)?)?;
        let deleted_at = list.after(HEADER_BYTES)?;
        let deleted = natural(list.get(deleted_at)?)?;
        let count_at = list.after(deleted_at)?;
        let fields = usize::try_from(natural(list.get(count_at)?)?).ok()?;
        let fields_at = list.after(count_at)?;
        Some(Head { live, deleted, fields, deleted_at, fields_at, end: fields_at })
    }

    fn read(list: Listpack<'_>) -> Option<Head> {
        let head = Head::counts(list)?;
        let zero_at = list.skip(head.fields_at, head.fields)?;
        Some(Head { end: list.after(zero_at)?, ..head })
    }
}

/// An entry of a block.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    pub id: StreamId,
    list: Listpack<'a>,
    flags: i64,
    /// Where its flags stand.
    at: usize,
    pub field_count: usize,
    /// Where its fields stand: the head's, or its own before the values.
    fields_at: usize,
    values_at: usize,
}

impl<'a> Item<'a> {
    fn read(list: Listpack<'a>, head: &Head, base: StreamId, at: usize) -> Option<Item<'a>> {
        let integer_at = |at: usize| match list.get(at)? {
            Element::Integer(value) => Some((value, list.after(at)?)),
            Element::Bytes(_) => None,
        };
        let (flags, ms_at) = integer_at(at)?;
        let (ms, seq_at) = integer_at(ms_at)?;
        let (seq, behind_at) = integer_at(seq_at)?;
        let id = StreamId::new(base.ms.wrapping_add(ms as u64), base.seq.wrapping_add(seq as u64));
        if flags & SAME_FIELDS != 0 {
            let (field_count, fields_at) = (head.fields, head.fields_at);
            return Some(Item { id, list, flags, at, field_count, fields_at, values_at: behind_at });
        }
        let (count, fields_at) = integer_at(behind_at)?;
        let field_count = usize::try_from(count).ok()?;
        Some(Item { id, list, flags, at, field_count, fields_at, values_at: fields_at })
    }

    fn is_live(&self) -> bool {
        self.flags & DELETED == 0
    }

    fn has_same_fields(&self) -> bool {
        self.flags & SAME_FIELDS != 0
    }

    /// Elements from the flags up to the number that tells them.
    fn element_count(&self) -> i64 {
        let fields = self.field_count as i64;
        if self.has_same_fields() { BARE_ELEMENTS + fields } else { BARE_ELEMENTS + 1 + 2 * fields }
    }

    /// Where the next entry begins.
    fn end(&self) -> Option<usize> {
        let values = if self.has_same_fields() { self.field_count } else { self.field_count.checked_mul(2)? };
        self.list.after(self.list.skip(self.values_at, values)?)
    }

    /// Its fields and their values.
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> + use<'a> {
        let (list, same) = (self.list, self.has_same_fields());
        let (mut field_at, mut value_at) = (self.fields_at, self.values_at);
        (0..self.field_count).map_while(move |_| {
            let field = list.get(field_at)?;
            if !same {
                value_at = list.after(field_at)?;
            }
            let value = list.get(value_at)?;
            if same {
                (field_at, value_at) = (list.after(field_at)?, list.after(value_at)?);
            } else {
                field_at = list.after(value_at)?;
            }
            Some((field, value))
        })
    }
}

/// The entries of a block that are there, from either end.
pub struct Items<'a> {
    list: Listpack<'a>,
    head: Head,
    base: StreamId,
    front: usize,
    back: usize,
}

impl<'a> Items<'a> {
    /// The next entry, deleted or not.
    fn advance(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let item = Item::read(self.list, &self.head, self.base, self.front)?;
        self.front = item.end()?;
        Some(item)
    }

    /// The last entry, deleted or not.
    fn retreat(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let mut at = self.list.before(self.back)?;
        let elements = natural(self.list.get(at)?)?;
        for _ in 0..elements {
            at = self.list.before(at)?;
        }
        if at < self.front {
            return None;
        }
        self.back = at;
        Item::read(self.list, &self.head, self.base, at)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = self.advance()?;
            if item.is_live() {
                return Some(item);
            }
        }
    }
}

impl DoubleEndedIterator for Items<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let item = self.retreat()?;
            if item.is_live() {
                return Some(item);
            }
        }
    }
}

impl Block {
    /// A block whose head has the fields of `pairs`, fields and values in turn, and no entry.
    fn of_fields(pairs: &[&[u8]]) -> Block {
        let count = (pairs.len() / 2) as i64;
        let fields = pairs.iter().step_by(2).map(|field| Element::of(field));
        let counts = [0, 0, count].map(Element::Integer);
        Block { bytes: pack(counts.into_iter().chain(fields).chain([Element::Integer(0)])) }
    }

    /// A block with one entry, whose id is the block's.
    pub fn new(pairs: &[&[u8]]) -> Block {
        let mut block = Block::of_fields(pairs);
        if let Some(head) = Head::counts(Listpack::new(&block.bytes)) {
            block.push_behind(&head, StreamId::MIN, StreamId::MIN, pairs);
        }
        block
    }

    /// The block in these bytes of a file, if they are one.
    pub fn of_framed(framed: &[u8], base: StreamId) -> Option<Block> {
        let block = Block { bytes: unframe(framed)?.to_vec() };
        block.is_whole(base).then_some(block)
    }

    /// Whether a listpack that is whole is a block: its entries as many as the head says, each with as many elements as it
    /// says, in the order of their ids.
    fn is_whole(&self, base: StreamId) -> bool {
        let list = Listpack::new(&self.bytes);
        let Some(head) = Head::read(list).filter(|head| list.before(head.end).and_then(|at| list.get(at)) == ZERO)
        else {
            return false;
        };
        let mut items = self.all_from(head, base);
        let (mut live, mut deleted, mut last) = (0, 0, None);
        while let Some(item) = items.advance() {
            let told = list.before(items.front).and_then(|at| list.get(at));
            if item.field_count == 0
                || last.unwrap_or(base) > item.id
                || last == Some(item.id)
                || told != Some(Element::Integer(item.element_count()))
            {
                return false;
            }
            last = Some(item.id);
            if item.is_live() {
                live += 1;
            } else {
                deleted += 1;
            }
        }
        items.front == list.end() && (live, deleted) == (head.live, head.deleted) && last.is_some()
    }

    /// The block as it stands in files.
    pub fn framed(&self) -> Vec<u8> {
        Listpack::new(&self.bytes).framed()
    }

    /// Brings the head and the end towards the cache.
    pub fn prefetch_ends(&self) {
        let end = self.bytes.as_ptr().wrapping_add(self.bytes.len());
        prefetch(self.bytes.as_ptr());
        prefetch(end.wrapping_sub(1));
        prefetch(end.wrapping_add(64));
    }

    /// Bytes that the block takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// How many entries are there.
    pub fn len(&self) -> u64 {
        Head::counts(Listpack::new(&self.bytes)).map_or(0, |head| head.live)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all_from(&self, head: Head, base: StreamId) -> Items<'_> {
        let list = Listpack::new(&self.bytes);
        Items { list, head, base, front: head.end, back: list.end() }
    }

    /// The entries that are there. `base` is the block's id.
    pub fn items(&self, base: StreamId) -> Items<'_> {
        let list = Listpack::new(&self.bytes);
        match Head::read(list) {
            Some(head) => self.all_from(head, base),
            None => {
                let head = Head { live: 0, deleted: 0, fields: 0, deleted_at: 0, fields_at: 0, end: 0 };
                Items { list, head, base, front: 0, back: 0 }
            }
        }
    }

    /// The last id that was given in the block, of an entry that is there or not.
    pub fn last_id(&self, base: StreamId) -> Option<StreamId> {
        self.items(base).retreat().map(|item| item.id)
    }

    /// Adds an entry behind all others, unless the block is full. `pairs` are fields and values in turn, of so many bytes;
    /// `base` is the block's id.
    #[inline]
    pub fn push(&mut self, base: StreamId, id: StreamId, pairs: &[&[u8]], bytes: usize, limits: BlockLimits) -> bool {
        let list = Listpack::new(&self.bytes);
        let bytes_max = if limits.bytes_max == 0 { BYTES_MAX } else { limits.bytes_max.min(BYTES_MAX) };
        if list.framed_bytes() + bytes >= bytes_max {
            return false;
        }
        let Some(head) = Head::counts(list) else { return false };
        let has_room = limits.entries_max == 0 || head.live + head.deleted < limits.entries_max;
        if has_room {
            self.push_behind(&head, base, id, pairs);
        }
        has_room
    }

    #[inline]
    fn push_behind(&mut self, head: &Head, base: StreamId, id: StreamId, pairs: &[&[u8]]) {
        let list = Listpack::new(&self.bytes);
        let count = pairs.len() / 2;
        let same = head.fields == count && {
            let mut field_at = head.fields_at;
            pairs.iter().step_by(2).all(|field| {
                let same = list.get(field_at).is_some_and(|of_head| of_head.is(field));
                field_at = list.after(field_at).unwrap_or(field_at);
                same
            })
        };
        let mut elements: SmallVec<[Element<'_>; ELEMENTS_ON_STACK]> = SmallVec::new();
        let mut push = |element| elements.push(element);
        push(Element::Integer(if same { SAME_FIELDS } else { 0 }));
        push(Element::Integer(id.ms.wrapping_sub(base.ms) as i64));
        push(Element::Integer(id.seq.wrapping_sub(base.seq) as i64));
        if same {
            pairs.iter().skip(1).step_by(2).for_each(|value| push(Element::of(value)));
            push(Element::Integer(BARE_ELEMENTS + count as i64));
        } else {
            push(Element::Integer(count as i64));
            pairs.iter().for_each(|part| push(Element::of(part)));
            push(Element::Integer(BARE_ELEMENTS + 1 + pairs.len() as i64));
        }
        push_back(&mut self.bytes, &elements);
        replace(&mut self.bytes, HEADER_BYTES, Element::Integer(head.live as i64 + 1));
    }

    /// Marks as deleted what `choose` says of the entries that are there, first to last, until it says `None`. Gives how
    /// many there were.
    pub fn delete(&mut self, base: StreamId, mut choose: impl FnMut(StreamId) -> Option<bool>) -> u64 {
        let Some(head) = Head::read(Listpack::new(&self.bytes)) else { return 0 };
        let mut at = head.end;
        let mut count = 0;
        loop {
            let list = Listpack::new(&self.bytes);
            if at >= list.end() {
                break;
            }
            let Some(item) = Item::read(list, &head, base, at) else { break };
            let Some(end) = item.end() else { break };
            if item.is_live() {
                match choose(item.id) {
                    Some(true) => {
                        let (flags_at, flags) = (item.at, item.flags);
                        // Both are numbers of one byte, so nothing moves.
                        replace(&mut self.bytes, flags_at, Element::Integer(flags | DELETED));
                        count += 1;
                    }
                    Some(false) => {}
                    None => break,
                }
            }
            at = end;
        }
        if count > 0 {
            let deleted = Element::Integer((head.deleted + count) as i64);
            replace(&mut self.bytes, head.deleted_at, deleted);
            replace(&mut self.bytes, HEADER_BYTES, Element::Integer(head.live.saturating_sub(count) as i64));
        }
        count
    }

    /// Gives back the room for more entries.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

const ZERO: Option<Element<'static>> = Some(Element::Integer(0));

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: StreamId = StreamId::new(1000, 5);

    fn push(block: &mut Block, id: StreamId, pairs: &[&[u8]], bytes_max: usize, entries_max: u64) -> bool {
        let bytes = pairs.iter().map(|part| part.len()).sum();
        block.push(BASE, id, pairs, bytes, BlockLimits { bytes_max, entries_max })
    }

    fn sample() -> Block {
        let mut block = Block::new(&[b"a", b"1", b"b", b"two"]);
        assert!(push(&mut block, StreamId::new(1000, 6), &[b"a", b"3", b"b", b"four"], 0, 0));
        assert!(push(&mut block, StreamId::new(1001, 0), &[b"other", b"5"], 0, 0));
        assert!(push(&mut block, StreamId::new(2000, 9), &[b"a", b"x", b"c", b"y"], 0, 0));
        block
    }

    fn told(item: Item<'_>) -> String {
        let pairs: Vec<String> = item
            .pairs()
            .map(|(field, value)| {
                format!("{}={}", String::from_utf8_lossy(&field.text()), String::from_utf8_lossy(&value.text()))
            })
            .collect();
        format!("{} {}", item.id, pairs.join(" "))
    }

    #[test]
    fn entries_are_read_from_both_ends() {
        let block = sample();
        let expected = ["1000-5 a=1 b=two", "1000-6 a=3 b=four", "1001-0 other=5", "2000-9 a=x c=y"];
        assert_eq!(block.items(BASE).map(told).collect::<Vec<_>>(), expected);
        let mut backwards = block.items(BASE).rev().map(told).collect::<Vec<_>>();
        backwards.reverse();
        assert_eq!(backwards, expected);
        assert_eq!((block.len(), block.last_id(BASE)), (4, Some(StreamId::new(2000, 9))));
        assert!(Block::of_framed(&block.framed(), BASE).is_some());
    }

    #[test]
    fn deleted_entries_leave_their_ids() {
        let mut block = sample();
        assert_eq!(block.delete(BASE, |id| Some(id.ms == 2000 || id.seq == 5)), 2);
        assert_eq!(block.items(BASE).map(|item| item.id.ms).collect::<Vec<_>>(), [1000, 1001]);
        assert_eq!((block.len(), block.last_id(BASE)), (2, Some(StreamId::new(2000, 9))));
        assert_eq!(block.delete(BASE, |id| (id.ms == 1000).then_some(true)), 1);
        assert!(Block::of_framed(&block.framed(), BASE).is_some());
    }

    #[test]
    fn limits() {
        let takes = |bytes: usize, bytes_max, entries_max| {
            let mut block = sample();
            let takes =
                push(&mut block, StreamId::new(3000, 0), &[b"a", &vec![b'x'; bytes - 1][..]], bytes_max, entries_max);
            assert_eq!(block.len(), if takes { 5 } else { 4 });
            takes
        };
        assert!(takes(10, 0, 0) && takes(10, 4096, 5));
        assert!(!takes(10, 4096, 4) && !takes(4090, 4096, 100));
    }

    #[test]
    fn damage_is_found() {
        let block = sample();
        let whole = block.framed();
        let mut refused = 0;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                match Block::of_framed(&damaged, BASE) {
                    None => refused += 1,
                    // Only a text or a number changed: all can be read.
                    Some(block) => {
                        assert_eq!(block.items(BASE).count() as u64, block.len());
                        assert_eq!(block.items(BASE).rev().count() as u64, block.len());
                    }
                }
            }
            assert!(Block::of_framed(&whole[..at], BASE).is_none());
        }
        assert!(refused > whole.len() * 3, "{refused}");
        let no_entry = Block::of_fields(&[b"a", b"1"]);
        assert!(Block::of_framed(&no_entry.framed(), BASE).is_none());
    }

    #[test]
    fn the_layout_is_redis_own() {
        let block = Block::new(&[b"f", b"v"]);
        assert_eq!(
            block.framed(),
            [
                &[29, 0, 0, 0, 10, 0][..],
                &[1, 1, 0, 1, 1, 1, 0x81, b'f', 2, 0, 1],
                &[2, 1, 0, 1, 0, 1, 0x81, b'v', 2, 4, 1],
                &[0xff],
            ]
            .concat()
        );
    }
}
