//! The strings inside large collections: the members of sets and sorted sets, the fields of hashes.
//!
//! One word each. Up to 7 bytes stand in the word itself, longer strings in an allocation of their own:
//! ```text
//! word        bit 0 set: length in bits 1-3, bytes in the upper 7 bytes
//!             bit 0 clear: address in the lower 48 bits, length or LONG_LENGTH in the upper 16
//! allocation  the bytes; after LONG_LENGTH, 8 bytes length before them
//! ```
//! Allocations are even addresses of 48 bits, as those of entries are in `buckets`, and no word is zero, so an
//! `Option<Member>` is one word, too. A length in the allocation would put strings of 16 bytes into the next size class.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use super::buckets::prefetch;
use super::member_table::Item;
use crate::base::hash::KeyHasher;
use crate::base::memory::size_class;

/// Longest string kept in the word, in bytes.
const INLINE_BYTES_MAX: usize = size_of::<usize>() - 1;
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: usize = (1 << ADDRESS_BITS) - 1;
/// In the place of lengths that are longer than what fits there.
const LONG_LENGTH: usize = usize::MAX >> ADDRESS_BITS;
const LONG_HEADER_BYTES: usize = size_of::<u64>();
const INLINE: usize = 1;

const _: () = assert!(cfg!(target_endian = "little") && size_of::<usize>() == 8);
const _: () = assert!(size_of::<Option<Member>>() == 8);

static HASHER: LazyLock<KeyHasher> = LazyLock::new(KeyHasher::from_entropy);

/// The hash of a string inside a collection, for [`super::member_table::MemberTable`].
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    HASHER.hash(bytes)
}

/// An owned string. It never changes.
pub struct Member(NonZeroUsize);

fn header_bytes(len: usize) -> usize {
    if len < LONG_LENGTH { 0 } else { LONG_HEADER_BYTES }
}

fn layout(len: usize) -> Layout {
    // Two, so that bit 0 of the address is clear. A slice in memory is far shorter than isize::MAX.
    Layout::from_size_align(header_bytes(len) + len, 2).expect("a string that is in memory already fits")
}

impl Item for Member {
    /// Brings a string outside of its word towards the cache.
    #[inline]
    fn prefetch(&self) {
        if !self.is_inline() {
            prefetch(self.address());
        }
    }
}

impl Member {
    pub fn new(bytes: &[u8]) -> Member {
        let len = bytes.len();
        if len <= INLINE_BYTES_MAX {
            let mut word = [0; size_of::<usize>()];
            word[0] = (INLINE | len << 1) as u8;
            word[1..1 + len].copy_from_slice(bytes);
            let word = usize::from_le_bytes(word);
            return Member(NonZeroUsize::new(word).unwrap_or(NonZeroUsize::MIN));
        }
        let (layout, header) = (layout(len), header_bytes(len));
        // SAFETY: the layout is not empty, as there are bytes.
        let start = unsafe { alloc(layout) };
        let address = start as usize;
        if address == 0 {
            handle_alloc_error(layout);
        }
        assert!(address & !ADDRESS_MASK == 0, "addresses have {ADDRESS_BITS} bits");
        // SAFETY: the allocation has room for the header and the bytes, and is not yet anybody else's.
        unsafe {
            if header > 0 {
                start.cast::<u64>().write_unaligned(len as u64);
            }
            start.add(header).copy_from_nonoverlapping(bytes.as_ptr(), len);
        }
        let word = address | len.min(LONG_LENGTH) << ADDRESS_BITS;
        Member(NonZeroUsize::new(word).expect("an address that is not zero"))
    }

    #[inline]
    fn is_inline(&self) -> bool {
        self.0.get() & INLINE != 0
    }

    /// Where the allocation of a string begins that is not in the word.
    #[inline]
    fn address(&self) -> *mut u8 {
        (self.0.get() & ADDRESS_MASK) as *mut u8
    }

    /// The length of a string that is not in the word.
    #[inline]
    fn outside_len(&self) -> usize {
        match self.0.get() >> ADDRESS_BITS {
            // SAFETY: not inline, so `new` allocated this, and began it with the length.
            LONG_LENGTH => unsafe { self.address().cast::<u64>().read_unaligned() as usize },
            len => len,
        }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let (start, len) = if self.is_inline() {
            // The word's first byte in memory is the tag, as the target is little-endian.
            (std::ptr::from_ref(&self.0).cast::<u8>().wrapping_add(1), self.0.get() >> 1 & 0b111)
        } else {
            let len = self.outside_len();
            (self.address().wrapping_add(header_bytes(len)).cast_const(), len)
        };
        // SAFETY: `new` wrote so many bytes there, and they live and stay as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    #[inline]
    pub fn hash(&self) -> u64 {
        hash(self.as_bytes())
    }

    /// Bytes that the allocator gave for the string, beside its word.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        if self.is_inline() { 0 } else { size_class(layout(self.outside_len()).size()) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.is_inline() {
            // SAFETY: not inline, so `new` allocated this with the layout of the length, which never changes.
            unsafe { dealloc(self.address(), layout(self.outside_len())) }
        }
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        Member::new(self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_survive() {
        for len in (0..40).chain(250..260).chain(65_530..65_540).chain([100_000]) {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            let member = Member::new(&bytes);
            let copy = member.clone();
            assert_eq!(member.as_bytes(), bytes);
            drop(member);
            assert_eq!((copy.as_bytes(), copy.hash()), (&bytes[..], hash(&bytes)));
            let expected = match len {
                0..=7 => 0,
                8..=16 => size_class(len),
                17..=32 => 32,
                _ => size_class(header_bytes(len) + len),
            };
            assert_eq!(copy.heap_bytes(), expected, "{len}");
        }
    }

    #[test]
    fn members_of_moved_tables_stay_readable() {
        let mut members: Vec<Member> = Vec::new();
        for number in 0..1000u32 {
            members.push(Member::new(number.to_string().as_bytes()));
        }
        assert!(members.iter().enumerate().all(|(at, member)| member.as_bytes() == at.to_string().as_bytes()));
    }
}
