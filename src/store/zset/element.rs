//! A member of a large sorted set with its score: one allocation.
//!
//! ```text
//! 0    8 bytes  score
//! 8    1 byte   length of the member, or 255
//! 9    8 bytes  only after 255: the length
//! ..   member
//! ```
//! An [`Element`] owns its allocation; a leaf of the rank tree holds it. The index by member and the separators in the
//! tree's inner nodes refer to the same allocation by [`ElementRef`], a copied address. What keeps them sound: elements
//! leave the tree only through `RankTree::remove*`, whose caller (`large.rs`) has taken the reference out of the
//! index before it drops the element; the tree replaces separators on the way back from the leaf; and a whole sorted
//! set drops its index without reading through it. All are touched only under the lock of the key's slot.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::base::memory::size_class;

const SCORE_BYTES: usize = 8;
/// Members of this length or longer have their length in a word of its own.
const LONG: usize = 255;

/// An element that lives somewhere in the sorted set that this reference belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ElementRef(NonNull<u8>);

/// An owned element.
pub struct Element(NonNull<u8>);

// SAFETY: an element owns its allocation alone and holds no thread-bound state.
unsafe impl Send for Element {}
// SAFETY: a reference stays within its sorted set, which moves between threads as a whole.
unsafe impl Send for ElementRef {}
// SAFETY: shared references give shared access only.
unsafe impl Sync for Element {}
// SAFETY: as above.
unsafe impl Sync for ElementRef {}

/// What the places of an inner node that are not in use refer to.
static NOTHING: [u64; 2] = [0, 0];

impl Element {
    pub fn new(score: f64, member: &[u8]) -> Element {
        let header = if member.len() < LONG { SCORE_BYTES + 1 } else { SCORE_BYTES + 1 + 8 };
        let layout = layout(header + member.len());
        // SAFETY: the layout's size is not zero, and all parts are written inside of it.
        unsafe {
            let Some(address) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            let start = address.as_ptr();
            start.cast::<f64>().write(score);
            if member.len() < LONG {
                start.add(SCORE_BYTES).write(member.len() as u8);
            } else {
                start.add(SCORE_BYTES).write(LONG as u8);
                start.add(SCORE_BYTES + 1).cast::<u64>().write_unaligned(member.len() as u64);
            }
            start.add(header).copy_from_nonoverlapping(member.as_ptr(), member.len());
            Element(address)
        }
    }

    #[inline]
    pub fn reference(&self) -> ElementRef {
        ElementRef(self.0)
    }

    pub fn set_score(&mut self, score: f64) {
        self.reference().set_score(score);
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let layout = layout(self.reference().used_bytes());
        // SAFETY: allocated in `new` with this layout, and freed once.
        unsafe { dealloc(self.0.as_ptr(), layout) }
    }
}

impl ElementRef {
    /// A reference that leads to an empty member.
    pub fn nothing() -> ElementRef {
        ElementRef(NonNull::from(&NOTHING).cast())
    }

    #[inline]
    pub fn score(self) -> f64 {
        // SAFETY: the element is alive (head comment), and its allocation begins with the score.
        unsafe { self.0.as_ptr().cast::<f64>().read() }
    }

    /// For who has the element uniquely.
    pub fn set_score(&mut self, score: f64) {
        // SAFETY: the element is alive (head comment), and its allocation begins with the score.
        unsafe { self.0.as_ptr().cast::<f64>().write(score) }
    }

    /// The member's bytes. They live until the sorted set changes; whoever calls this lets them leave only under a
    /// borrow of the sorted set.
    #[inline]
    pub fn member<'a>(self) -> &'a [u8] {
        // SAFETY: the element is alive (head comment), its length tells how much of it is initialised.
        unsafe {
            let start = self.0.as_ptr();
            match usize::from(*start.add(SCORE_BYTES)) {
                LONG => {
                    let len = start.add(SCORE_BYTES + 1).cast::<u64>().read_unaligned() as usize;
                    std::slice::from_raw_parts(start.add(SCORE_BYTES + 1 + 8), len)
                }
                len => std::slice::from_raw_parts(start.add(SCORE_BYTES + 1), len),
            }
        }
    }

    fn used_bytes(self) -> usize {
        let len = self.member().len();
        len + if len < LONG { SCORE_BYTES + 1 } else { SCORE_BYTES + 1 + 8 }
    }

    /// Bytes that the allocator gave for the element.
    pub fn memory_bytes(self) -> usize {
        size_class(self.used_bytes())
    }

    /// Brings the element towards the cache.
    #[inline]
    pub fn prefetch(self) {
        crate::store::buckets::prefetch(self.0.as_ptr());
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size_class(size), 8).expect("a member is far smaller than the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_all_lengths_keep_score_and_bytes() {
        for len in [0, 1, 16, 254, 255, 256, 100_000] {
            let member = vec![b'm'; len];
            let mut element = Element::new(1.5, &member);
            assert_eq!((element.reference().score(), element.reference().member()), (1.5, &member[..]));
            element.set_score(-0.25);
            assert_eq!((element.reference().score(), element.reference().member()), (-0.25, &member[..]));
            assert!(element.reference().memory_bytes() > len);
        }
        assert_eq!(ElementRef::nothing().member(), b"");
    }
}
