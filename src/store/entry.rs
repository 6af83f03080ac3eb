//! One key with its value: a single allocation, shaped to fit the allocator's small size classes.
//!
//! ```text
//! 0    3 bytes  access clock: seconds (LRU) or minutes and counter (LFU)
//! 3    1 byte   type (bits 0-2), HAS_EXPIRY, LONG_KEY, EXTERNAL, form of the string or collection (bits 6-7)
//! 4    2 bytes  key length; with LONG_KEY unused
//! 6    2 bytes  value length; with EXTERNAL unused
//! 8    8 bytes  only with HAS_EXPIRY: expiry in Unix milliseconds
//! ..   key      the key, or with LONG_KEY its pointer and length (16 bytes)
//! ..   value    the value: the bytes of a string or of a packed collection, or with EXTERNAL the pointer, length and
//!               capacity of a vector of them (24 bytes); of a large collection the pointer to it (16 bytes)
//! ```
//! Nothing after the header is aligned; multi-byte fields are read unaligned. The allocation is rounded up to its size
//! class, so a value that changes within the class is overwritten in place, and the size can be computed again when
//! the entry is freed. Owned by the word of the table that points at it, and touched only under its slot's lock.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};

pub use crate::base::memory::size_class;

use super::buckets::{CACHE_LINE_BYTES, prefetch, prefetch_two};
use super::collection::{Form, Large, ValueType};
use super::intset::Intset;
use super::listpack::Listpack;
use super::listpack::edit::PackedBytes;
use super::set::SetRef;

/// Longest value kept inside the entry, in bytes. Longer ones grow in a vector of their own.
pub const INLINE_VALUE_BYTES_MAX: usize = 4096;
/// Longest key kept inside the entry, in bytes.
const INLINE_KEY_BYTES_MAX: usize = u16::MAX as usize;
const HEADER_BYTES: usize = 8;
/// Of a packed collection so much is brought to the cache ahead; what follows the processor foresees.
const PREFETCHED_BYTES_MAX: usize = 512;
const EXPIRY_BYTES: usize = 8;
const LONG_KEY_BYTES: usize = 16;
const EXTERNAL_BYTES: usize = 24;
const LARGE_BYTES: usize = size_of::<*mut dyn Large>();
/// Longest string that Redis reports as `embstr`, in bytes.
const EMBEDDED_STRING_BYTES_MAX: usize = 44;

const TYPE_MASK: u8 = 0b111;
const HAS_EXPIRY: u8 = 1 << 3;
const LONG_KEY: u8 = 1 << 4;
const EXTERNAL: u8 = 1 << 5;
const FORM_SHIFT: u8 = 6;
const FORM_MASK: u8 = 0b11 << FORM_SHIFT;

/// How a string came to be, which decides what OBJECT ENCODING calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StringForm {
    /// Stored whole: an integer when it reads as one, else embedded or raw by its length.
    Auto = 0,
    /// Edited in place: always raw.
    Raw = 1,
    /// Written by the server as text: never an integer.
    Text = 2,
}

/// An entry that its table or its owner keeps, to be read.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    address: NonNull<u8>,
    owner: PhantomData<&'a Entry>,
}

impl<'a> EntryRef<'a> {
    /// The entry at an address, for as long as the borrow of its owner lasts.
    ///
    /// # Safety
    /// `address` came from [`Entry::into_address`], and whoever owns it now is borrowed for `'a`.
    #[inline]
    pub(super) unsafe fn at(address: usize) -> EntryRef<'a> {
        // SAFETY: the caller's promise; an entry's address is never null.
        EntryRef { address: unsafe { NonNull::new_unchecked(address as *mut u8) }, owner: PhantomData }
    }

    #[inline]
    fn read<const N: usize>(self, at: usize) -> [u8; N] {
        debug_assert!(at + N <= self.inline_bytes());
        // SAFETY: every caller reads a field that this entry's header says is there.
        unsafe { ptr::read_unaligned(self.address.as_ptr().add(at).cast()) }
    }

    #[inline]
    fn slice(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: callers pass ranges within the initialised part of the allocation.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().add(at), len) }
    }

    /// Where the entry stands in memory, for people who debug. It stays while a value changes within its size class.
    pub fn address(self) -> usize {
        self.address.as_ptr() as usize
    }

    #[inline]
    fn meta(self) -> u8 {
        self.read::<1>(3)[0]
    }

    #[inline]
    fn key_len_field(self) -> u16 {
        u16::from_ne_bytes(self.read(4))
    }

    #[inline]
    fn value_len_field(self) -> u16 {
        u16::from_ne_bytes(self.read(6))
    }

    #[inline]
    fn key_at(self) -> usize {
        if self.meta() & HAS_EXPIRY != 0 { HEADER_BYTES + EXPIRY_BYTES } else { HEADER_BYTES }
    }

    #[inline]
    fn value_at(self) -> usize {
        let key_bytes = if self.meta() & LONG_KEY != 0 { LONG_KEY_BYTES } else { usize::from(self.key_len_field()) };
        self.key_at() + key_bytes
    }

    fn inline_bytes(self) -> usize {
        // SAFETY: the header is always initialised.
        let header: [u8; HEADER_BYTES] = unsafe { ptr::read_unaligned(self.address.as_ptr().cast()) };
        size_of_parts(header[3], u16::from_ne_bytes([header[4], header[5]]), u16::from_ne_bytes([header[6], header[7]]))
    }

    fn allocated_bytes(self) -> usize {
        size_class(self.inline_bytes())
    }

    fn long_key_parts(self) -> (*mut u8, usize) {
        let at = self.key_at();
        (usize::from_ne_bytes(self.read(at)) as *mut u8, usize::from_ne_bytes(self.read(at + 8)))
    }

    fn external_parts(self) -> (*mut u8, usize, usize) {
        let at = self.value_at();
        let word = |index: usize| usize::from_ne_bytes(self.read(at + 8 * index));
        (word(0) as *mut u8, word(1), word(2))
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        if self.meta() & LONG_KEY != 0 {
            let (pointer, len) = self.long_key_parts();
            // SAFETY: `new` stored the parts of a boxed slice that lives as long as the entry.
            unsafe { std::slice::from_raw_parts(pointer, len) }
        } else {
            self.slice(self.key_at(), usize::from(self.key_len_field()))
        }
    }

    /// The bytes of a string, or of a packed collection.
    #[inline]
    pub fn value(self) -> &'a [u8] {
        debug_assert!(!self.is_large());
        if self.meta() & EXTERNAL != 0 {
            let (pointer, len, _) = self.external_parts();
            // SAFETY: `put_external` stored the parts of a vector that lives as long as the entry.
            unsafe { std::slice::from_raw_parts(pointer, len) }
        } else {
            self.slice(self.value_at(), usize::from(self.value_len_field()))
        }
    }

    #[inline]
    pub fn value_type(self) -> ValueType {
        ValueType::ALL[usize::from(self.meta() & TYPE_MASK)]
    }

    #[inline]
    pub fn is_string(self) -> bool {
        self.meta() & TYPE_MASK == ValueType::String as u8
    }

    /// How a collection is kept.
    #[inline]
    pub fn collection_form(self) -> Form {
        debug_assert!(!self.is_string());
        match self.meta() >> FORM_SHIFT {
            0 => Form::Packed,
            1 => Form::PackedOther,
            _ => Form::Large,
        }
    }

    #[inline]
    pub fn is_large(self) -> bool {
        !self.is_string() && self.meta() >> FORM_SHIFT == Form::Large as u8
    }

    #[inline]
    fn large_pointer(self) -> *mut dyn Large {
        debug_assert!(self.is_large());
        // SAFETY: the value of a large collection is the pointer that `large` wrote there.
        unsafe { ptr::read_unaligned(self.address.as_ptr().add(self.value_at()).cast()) }
    }

    /// Brings a large collection's object towards the cache, or of a packed one what lies beyond the entry's first two
    /// lines, which are there.
    #[inline]
    pub fn prefetch_collection(self) {
        if self.is_large() {
            return prefetch_two(self.large_pointer().cast::<u8>().cast_const());
        }
        let bytes = self.inline_bytes().min(PREFETCHED_BYTES_MAX);
        for at in (2 * CACHE_LINE_BYTES..bytes).step_by(CACHE_LINE_BYTES).chain([bytes - 1]) {
            prefetch(self.address.as_ptr().wrapping_add(at));
        }
    }

    /// A large collection, whatever its type.
    pub fn any_large(self) -> &'a dyn Large {
        // SAFETY: the pointer came from a box that the entry owns, and the entry is borrowed for `'a`.
        unsafe { &*self.large_pointer() }
    }

    /// How many items a large collection has; 0 of everything else.
    pub fn large_len(self) -> usize {
        if self.is_large() { self.any_large().len() } else { 0 }
    }

    /// A large collection.
    ///
    /// # Panics
    /// If it is of another type: its entry's type was not looked at.
    #[inline]
    pub fn large<T: Large>(self) -> &'a T {
        assert!(self.owns::<T>(), "an entry's type says which object it owns");
        // SAFETY: the pointer came from a box of this type that the entry owns, and the entry is borrowed for `'a`.
        unsafe { &*self.large_pointer().cast() }
    }

    /// Whether its value is an object of this type.
    #[inline]
    fn owns<T: Large>(self) -> bool {
        self.kind() == collection_kind(T::own_type(), Form::Large)
    }

    /// Whether nothing is left of a collection whose key goes with its last item. Streams stay.
    pub fn is_spent(self) -> bool {
        match self.value_type() {
            ValueType::String | ValueType::Stream => false,
            _ if self.is_large() => self.any_large().is_empty(),
            ValueType::Set if self.collection_form() == Form::PackedOther => Intset::new(self.value()).is_empty(),
            _ => Listpack::new(self.value()).is_empty(),
        }
    }

    /// Expiry in Unix milliseconds.
    #[inline]
    pub fn expiry_ms(self) -> Option<u64> {
        (self.meta() & HAS_EXPIRY != 0).then(|| u64::from_ne_bytes(self.read(HEADER_BYTES)))
    }

    /// A key lives through the millisecond that it expires at, as in Redis.
    #[inline]
    pub fn is_expired(self, now_ms: u64) -> bool {
        self.expiry_ms().is_some_and(|expiry_ms| expiry_ms < now_ms)
    }

    /// The 24-bit access clock.
    pub fn access(self) -> u32 {
        u32::from_le_bytes(self.read(0)) & 0x00ff_ffff
    }

    pub fn form(self) -> StringForm {
        match self.meta() >> FORM_SHIFT {
            0 => StringForm::Auto,
            1 => StringForm::Raw,
            _ => StringForm::Text,
        }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> &'static str {
        match self.value_type() {
            ValueType::String => self.string_encoding(),
            ValueType::List if self.is_large() => "quicklist",
            ValueType::Set => SetRef::of(self).encoding(),
            ValueType::Zset if self.is_large() => "skiplist",
            ValueType::Hash => match self.collection_form() {
                Form::Packed => "listpack",
                Form::PackedOther => "listpackex",
                Form::Large => "hashtable",
            },
            ValueType::Stream => "stream",
            _ => "listpack",
        }
    }

    fn string_encoding(self) -> &'static str {
        let value = self.value();
        match self.form() {
            StringForm::Auto if value.len() <= 20 && crate::base::number::parse_i64(value).is_some() => "int",
            StringForm::Auto | StringForm::Text if value.len() <= EMBEDDED_STRING_BYTES_MAX => "embstr",
            _ => "raw",
        }
    }

    /// A copy of the value and its expiry under another key.
    pub fn copied_as(self, key: &[u8], access: u32) -> Entry {
        if self.is_large() {
            return Entry::large(key, self.any_large().copied(), self.expiry_ms(), access);
        }
        Entry::build(key, self.kind(), self.value(), self.expiry_ms(), access)
    }

    /// Whether this is its key.
    #[inline]
    pub fn has_key(self, key: &[u8]) -> bool {
        let own = self.key();
        own.len() == key.len() && equal(own, key)
    }

    /// Type and form, as they stand in the header.
    #[inline]
    fn kind(self) -> u8 {
        self.meta() & (TYPE_MASK | FORM_MASK)
    }

    /// Bytes that the allocator gave for this entry, its key and its value.
    pub fn memory_bytes(self) -> usize {
        let key = if self.meta() & LONG_KEY != 0 { size_class(self.long_key_parts().1) } else { 0 };
        let value = match self.meta() & EXTERNAL != 0 {
            true => size_class(self.external_parts().2),
            false if self.is_large() => self.any_large().memory_bytes(),
            false => 0,
        };
        self.allocated_bytes() + key + value
    }
}

/// An owned entry. Dropping it frees the key and the value.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its allocation alone and holds no thread-bound state.
unsafe impl Send for Entry {}

impl Entry {
    /// A string.
    pub fn new(key: &[u8], value: &[u8], expiry_ms: Option<u64>, form: StringForm, access: u32) -> Entry {
        Entry::build(key, string_kind(form), value, expiry_ms, access)
    }

    /// A packed collection.
    pub fn packed(
        key: &[u8],
        value_type: ValueType,
        form: Form,
        bytes: &[u8],
        expiry_ms: Option<u64>,
        access: u32,
    ) -> Entry {
        debug_assert!(value_type != ValueType::String && form != Form::Large);
        Entry::build(key, collection_kind(value_type, form), bytes, expiry_ms, access)
    }

    /// Brings the entry towards the cache.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_two(self.0.as_ptr());
    }

    /// A large collection.
    pub fn large(key: &[u8], large: Box<dyn Large>, expiry_ms: Option<u64>, access: u32) -> Entry {
        let kind = collection_kind(large.value_type(), Form::Large);
        let entry = Entry::build(key, kind, &[0; LARGE_BYTES], expiry_ms, access);
        let place = entry.0.as_ptr().wrapping_add(entry.view().value_at()).cast::<*mut dyn Large>();
        // SAFETY: the value's bytes are the entry's own and as many as a pointer has.
        unsafe { ptr::write_unaligned(place, Box::into_raw(large)) };
        entry
    }

    fn build(key: &[u8], kind: u8, value: &[u8], expiry_ms: Option<u64>, access: u32) -> Entry {
        let long_key = key.len() > INLINE_KEY_BYTES_MAX;
        let external = value.len() > INLINE_VALUE_BYTES_MAX;
        let mut meta = kind;
        meta |= if expiry_ms.is_some() { HAS_EXPIRY } else { 0 };
        meta |= if long_key { LONG_KEY } else { 0 } | if external { EXTERNAL } else { 0 };
        let key_len = if long_key { 0 } else { key.len() as u16 };
        let value_len = if external { 0 } else { value.len() as u16 };
        let mut entry = Entry::allocate(meta, key_len, value_len, access);
        if let Some(expiry_ms) = expiry_ms {
            entry.write(HEADER_BYTES, &expiry_ms.to_ne_bytes());
        }
        if long_key {
            let raw = Box::into_raw(Box::<[u8]>::from(key));
            entry.write_pair(entry.view().key_at(), raw.cast::<u8>() as usize, key.len());
        } else {
            entry.write(entry.view().key_at(), key);
        }
        if external {
            entry.put_external(value.to_vec());
        } else {
            entry.write(entry.view().value_at(), value);
        }
        entry
    }

    fn allocate(meta: u8, key_len: u16, value_len: u16, access: u32) -> Entry {
        let size = size_of_parts(meta, key_len, value_len);
        // SAFETY: the size is at least the header's, so not zero.
        let raw = unsafe { alloc(layout(size)) };
        let Some(raw) = NonNull::new(raw) else { handle_alloc_error(layout(size)) };
        let mut entry = Entry(raw);
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&(access & 0x00ff_ffff | u32::from(meta) << 24).to_le_bytes());
        header[4..6].copy_from_slice(&key_len.to_ne_bytes());
        header[6..].copy_from_slice(&value_len.to_ne_bytes());
        entry.write(0, &header);
        entry
    }

    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef { address: self.0, owner: PhantomData }
    }

    // ---- raw access -------------------------------------------------------------------------------------------

    #[inline]
    fn write(&mut self, at: usize, bytes: &[u8]) {
        debug_assert!(at == 0 || at + bytes.len() <= self.view().allocated_bytes());
        // SAFETY: every caller writes within the size class that `allocate` asked for; `bytes` cannot overlap an
        // allocation that `self` borrows uniquely.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(at), bytes.len()) }
    }

    fn write_pair(&mut self, at: usize, first: usize, second: usize) {
        self.write(at, &first.to_ne_bytes());
        self.write(at + 8, &second.to_ne_bytes());
    }

    fn set_meta(&mut self, meta: u8) {
        self.write(3, &[meta]);
    }

    /// Takes the external vector out for editing; it must be put back before anything else touches the value.
    fn take_external(&mut self) -> Vec<u8> {
        let (pointer, len, capacity) = self.view().external_parts();
        // SAFETY: these are the parts of the vector that `put_external` stored, and the caller puts one back.
        unsafe { Vec::from_raw_parts(pointer, len, capacity) }
    }

    fn put_external(&mut self, value: Vec<u8>) {
        let mut value = ManuallyDrop::new(value);
        let at = self.view().value_at();
        self.write_pair(at, value.as_mut_ptr() as usize, value.len());
        self.write(at + 16, &value.capacity().to_ne_bytes());
    }

    // ---- the table's handle -----------------------------------------------------------------------------------

    /// The address, giving up ownership to whoever keeps it.
    pub(super) fn into_address(self) -> usize {
        ManuallyDrop::new(self).0.as_ptr() as usize
    }

    /// Takes ownership back from an address.
    ///
    /// # Safety
    /// `address` came from [`Entry::into_address`] and nobody else takes it back.
    pub(super) unsafe fn from_address(address: usize) -> Entry {
        // SAFETY: the caller's promise; an entry's address is never null.
        Entry(unsafe { NonNull::new_unchecked(address as *mut u8) })
    }

    // ---- changing ---------------------------------------------------------------------------------------------

    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let bytes = access.to_le_bytes();
        self.write(0, &bytes[..3]);
    }

    /// Replaces the value, keeping the expiry.
    #[inline]
    pub fn set_value(&mut self, value: &[u8], form: StringForm) {
        self.replace_value(string_kind(form), value);
    }

    /// Replaces a collection with a packed one of the same type.
    pub fn set_packed(&mut self, form: Form, bytes: &[u8]) {
        self.replace_value(collection_kind(self.view().value_type(), form), bytes);
    }

    /// Replaces a collection with a large one of the same type.
    pub fn become_large(&mut self, large: Box<dyn Large>) {
        assert_eq!(large.value_type(), self.view().value_type(), "a collection keeps its type");
        let view = self.view();
        let replacing = Entry::large(view.key(), large, view.expiry_ms(), view.access());
        super::reclaim::discard(std::mem::replace(self, replacing));
    }

    #[inline]
    fn replace_value(&mut self, kind: u8, value: &[u8]) {
        if self.fits_inline(value.len()) {
            self.write(self.view().value_at(), value);
            self.write(6, &(value.len() as u16).to_ne_bytes());
            self.set_meta(self.view().meta() & !(TYPE_MASK | FORM_MASK) | kind);
        } else {
            let view = self.view();
            let replacing = Entry::build(view.key(), kind, value, view.expiry_ms(), view.access());
            super::reclaim::discard(std::mem::replace(self, replacing));
        }
    }

    /// Whether a value of so many bytes fits where the present one is. One that points at memory is in the way.
    #[inline]
    fn fits_inline(&self, value_bytes: usize) -> bool {
        let view = self.view();
        value_bytes <= INLINE_VALUE_BYTES_MAX && view.meta() & EXTERNAL == 0 && !view.is_large() && {
            let others = view.inline_bytes() - usize::from(view.value_len_field());
            size_class(others + value_bytes) == view.allocated_bytes()
        }
    }

    /// The bytes of a packed collection, to be changed where they stand.
    pub fn packed_mut(&mut self) -> &mut [u8] {
        debug_assert!(!self.view().is_string());
        self.value_mut()
    }

    fn value_mut(&mut self) -> &mut [u8] {
        let value = self.view().value();
        // SAFETY: `self` is borrowed uniquely for as long as the slice lives, and the value is its own memory.
        unsafe { std::slice::from_raw_parts_mut(value.as_ptr().cast_mut(), value.len()) }
    }

    /// Replaces a part of a packed collection's bytes by `room` bytes of any content, in place if they stay within their
    /// size class; gives all bytes.
    ///
    /// # Panics
    /// If the part is not within the bytes.
    pub fn make_packed_room(&mut self, part: Range<usize>, room: usize) -> &mut [u8] {
        let view = self.view();
        debug_assert!(!view.is_string());
        let old_len = view.value().len();
        assert!(part.start <= part.end && part.end <= old_len, "a part within the bytes");
        let tail_len = old_len - part.end;
        let behind = part.start + room;
        let new_len = behind + tail_len;
        if self.fits_inline(new_len) {
            let at = self.0.as_ptr().wrapping_add(view.value_at());
            // SAFETY: old and new value lie within the allocation, as `fits_inline` says; the ranges may overlap. What
            // the value grows by is written first, so that all of it is initialised.
            unsafe {
                ptr::write_bytes(at.wrapping_add(old_len), 0, new_len.saturating_sub(old_len));
                ptr::copy(at.wrapping_add(part.end), at.wrapping_add(behind), tail_len);
            }
            self.write(6, &(new_len as u16).to_ne_bytes());
        } else if view.meta() & EXTERNAL != 0 && new_len > INLINE_VALUE_BYTES_MAX / 2 {
            let mut value = self.take_external();
            if new_len > value.capacity() {
                value.reserve_exact(size_class(new_len) - value.len());
            }
            value.make_room(part, room);
            self.put_external(value);
        } else {
            let mut whole = Vec::with_capacity(new_len);
            whole.extend_from_slice(&view.value()[..part.start]);
            whole.resize(behind, 0);
            whole.extend_from_slice(&view.value()[part.end..]);
            *self = Entry::build(view.key(), view.kind(), &whole, view.expiry_ms(), view.access());
        }
        self.packed_mut()
    }

    /// A large collection, to be changed.
    ///
    /// # Panics
    /// If it is of another type: its entry's type was not looked at.
    #[inline]
    pub fn large_mut<T: Large>(&mut self) -> &mut T {
        assert!(self.view().owns::<T>(), "an entry's type says which object it owns");
        // SAFETY: the pointer came from a box of this type that the entry owns, and the entry is borrowed uniquely.
        unsafe { &mut *self.view().large_pointer().cast() }
    }

    fn set_form(&mut self, form: StringForm) {
        self.set_meta(self.view().meta() & !FORM_MASK | (form as u8) << FORM_SHIFT);
    }

    /// Makes the value `len` bytes long, with zero bytes where it grows, and gives it for editing. It becomes raw.
    pub fn edit_value(&mut self, len: usize) -> &mut [u8] {
        let old_len = self.view().value().len();
        if self.view().meta() & EXTERNAL != 0 {
            let mut value = self.take_external();
            value.resize(len, 0);
            self.put_external(value);
        } else if len != old_len {
            let mut value = Vec::with_capacity(len);
            value.extend_from_slice(&self.view().value()[..old_len.min(len)]);
            value.resize(len, 0);
            if len > INLINE_VALUE_BYTES_MAX {
                let mut grown =
                    Entry::new(self.view().key(), b"", self.view().expiry_ms(), StringForm::Raw, self.view().access());
                grown.become_external(value);
                *self = grown;
            } else {
                self.set_value(&value, StringForm::Raw);
            }
        }
        self.set_form(StringForm::Raw);
        self.value_mut()
    }

    /// Moves an entry with an empty inline value to an external one.
    fn become_external(&mut self, value: Vec<u8>) {
        let key_len = self.view().key_len_field();
        let mut moved = Entry::allocate(self.view().meta() | EXTERNAL, key_len, 0, self.view().access());
        moved.write(HEADER_BYTES, self.view().slice(HEADER_BYTES, self.view().value_at() - HEADER_BYTES));
        moved.put_external(value);
        // A long key's box now belongs to `moved`; without the flag, freeing the old entry leaves it alone.
        let shell = std::mem::replace(self, moved);
        shell.free_shell();
    }

    /// Sets, moves or clears the expiry.
    pub fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        match expiry_ms {
            Some(expiry_ms) if self.view().meta() & HAS_EXPIRY != 0 => {
                self.write(HEADER_BYTES, &expiry_ms.to_ne_bytes())
            }
            None if self.view().meta() & HAS_EXPIRY == 0 => {}
            changed => {
                let meta = self.view().meta() & !HAS_EXPIRY | if changed.is_some() { HAS_EXPIRY } else { 0 };
                let mut moved = Entry::allocate(
                    meta,
                    self.view().key_len_field(),
                    self.view().value_len_field(),
                    self.view().access(),
                );
                if let Some(expiry_ms) = changed {
                    moved.write(HEADER_BYTES, &expiry_ms.to_ne_bytes());
                }
                let from = self.view().key_at();
                moved.write(moved.view().key_at(), self.view().slice(from, self.view().inline_bytes() - from));
                // The long key's box and the external vector, if any, now belong to `moved`.
                let shell = std::mem::replace(self, moved);
                shell.free_shell();
            }
        }
    }

    /// The same value and expiry under another key. One that lies outside of the entry is handed over, not copied.
    pub fn rekeyed(mut self, key: &[u8]) -> Entry {
        if self.view().is_large() {
            let (expiry_ms, access) = (self.view().expiry_ms(), self.view().access());
            return Entry::large(key, self.take_large(), expiry_ms, access);
        }
        if self.view().meta() & EXTERNAL == 0 {
            return self.view().copied_as(key, self.view().access());
        }
        let value = self.take_external();
        let view = self.view();
        let mut moved = Entry::build(key, view.kind(), b"", view.expiry_ms(), view.access());
        moved.become_external(value);
        // What is left behind must not free the value that `moved` has now.
        self.put_external(Vec::new());
        moved
    }

    /// Takes a large collection out; an empty string stands in its place.
    fn take_large(&mut self) -> Box<dyn Large> {
        let pointer = self.view().large_pointer();
        self.set_meta(self.view().meta() & !(TYPE_MASK | FORM_MASK));
        // SAFETY: `large` made the pointer from a box, and what the header says now keeps it from being taken again.
        unsafe { Box::from_raw(pointer) }
    }

    /// Frees the entry's own allocation but nothing that it points at.
    fn free_shell(self) {
        let shell = ManuallyDrop::new(self);
        // SAFETY: the allocation was made with this layout, and `ManuallyDrop` keeps `drop` from freeing it again.
        unsafe { dealloc(shell.0.as_ptr(), layout(shell.view().inline_bytes())) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.view().meta() & LONG_KEY != 0 {
            let (pointer, len) = self.view().long_key_parts();
            // SAFETY: the parts of the box that `new` gave up, taken back once.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(pointer, len)) });
        }
        if self.view().meta() & EXTERNAL != 0 {
            drop(self.take_external());
        } else if self.view().is_large() {
            drop(self.take_large());
        }
        // SAFETY: the allocation was made with this layout and is freed once.
        unsafe { dealloc(self.0.as_ptr(), layout(self.view().inline_bytes())) }
    }
}

#[inline]
fn string_kind(form: StringForm) -> u8 {
    ValueType::String as u8 | (form as u8) << FORM_SHIFT
}

/// Whether texts of one length are equal. Most keys are so short that a call would take longer than the comparison: one of
/// both ends, which overlap.
#[inline]
fn equal(one: &[u8], other: &[u8]) -> bool {
    fn ends<const N: usize>(text: &[u8]) -> Option<[[u8; N]; 2]> {
        Some([*text.first_chunk()?, *text.last_chunk()?])
    }
    match one.len() {
        8..=16 => ends::<8>(one) == ends(other),
        17..=32 => ends::<16>(one) == ends(other),
        _ => one == other,
    }
}

#[inline]
fn collection_kind(value_type: ValueType, form: Form) -> u8 {
    value_type as u8 | (form as u8) << FORM_SHIFT
}

#[inline]
fn size_of_parts(meta: u8, key_len: u16, value_len: u16) -> usize {
    let expiry = if meta & HAS_EXPIRY != 0 { EXPIRY_BYTES } else { 0 };
    let key = if meta & LONG_KEY != 0 { LONG_KEY_BYTES } else { usize::from(key_len) };
    let value = if meta & EXTERNAL != 0 { EXTERNAL_BYTES } else { usize::from(value_len) };
    HEADER_BYTES + expiry + key + value
}

#[inline]
fn layout(size: usize) -> Layout {
    // SAFETY: 8 is a power of two, and a class of at most a few keys' and values' bytes is far below `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(size_class(size), 8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_keeps_key_value_and_expiry() {
        for key_len in [0, 1, 16, 300, 65_535, 65_536, 100_000] {
            for value_len in [0, 1, 44, 45, 4096, 4097, 70_000] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let mut entry = Entry::new(&key, &value, None, StringForm::Auto, 77);
                for expiry_ms in [None, Some(5), Some(6), None, Some(7)] {
                    entry.set_expiry(expiry_ms);
                    assert_eq!((entry.view().key(), entry.view().value()), (&key[..], &value[..]));
                    assert_eq!((entry.view().expiry_ms(), entry.view().access()), (expiry_ms, 77));
                }
                for new_len in [0, 3, 4096, 5000, 10] {
                    entry.edit_value(new_len).fill(b'x');
                    assert_eq!((entry.view().key(), entry.view().value()), (&key[..], &vec![b'x'; new_len][..]));
                    assert_eq!(entry.view().expiry_ms(), Some(7));
                    entry.set_value(&value, StringForm::Auto);
                    assert_eq!(entry.view().value(), &value[..]);
                }
            }
        }
    }

    #[test]
    fn growth_is_filled_with_zeros_and_keeps_what_was_there() {
        let mut entry = Entry::new(b"k", b"ab", None, StringForm::Auto, 0);
        assert_eq!(entry.edit_value(4), b"ab\0\0");
        assert_eq!(&entry.edit_value(5000)[..4], b"ab\0\0");
        assert_eq!(entry.edit_value(1), b"a");
    }

    #[test]
    fn another_key_takes_value_expiry_and_form_along() {
        let long = vec![b'k'; 70_000];
        for from in [&b"from"[..], &long] {
            for to in [&b"to"[..], &b"a longer key"[..], &long] {
                for value_len in [0, 10, 4096, 4097, 100_000] {
                    for expiry_ms in [None, Some(9)] {
                        let value = vec![b'7'; value_len];
                        let entry = Entry::new(from, &value, expiry_ms, StringForm::Raw, 5);
                        let copied = entry.view().copied_as(to, 6);
                        let moved = entry.rekeyed(to);
                        for (entry, access) in [(copied, 6), (moved, 5)] {
                            let view = entry.view();
                            assert_eq!((view.key(), view.value()), (to, &value[..]));
                            assert_eq!((view.expiry_ms(), view.access()), (expiry_ms, access));
                            assert_eq!(view.encoding(), "raw");
                        }
                    }
                }
            }
        }
    }

    struct Items(Vec<u64>);

    // SAFETY: no entry of these tests owns another object of this type.
    unsafe impl Large for Items {
        fn own_type() -> ValueType {
            ValueType::Zset
        }

        fn value_type(&self) -> ValueType {
            Self::own_type()
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn memory_bytes(&self) -> usize {
            size_of::<Items>() + self.0.capacity() * size_of::<u64>()
        }

        fn copied(&self) -> Box<dyn Large> {
            Box::new(Items(self.0.clone()))
        }
    }

    #[test]
    fn parts_of_packed_collections_are_replaced_wherever_they_stand() {
        let mut model: Vec<u8> = Vec::new();
        let mut entry = Entry::packed(b"key", ValueType::Hash, Form::PackedOther, b"", Some(9), 1);
        for round in 0..3000_usize {
            let (start, removed) = (round * 7 % (model.len() + 1), round * 13 % 60);
            let end = (start + removed).min(model.len());
            // Grows beyond what stays inside of the entry, and shrinks back.
            let insert = vec![round as u8; if round % 2000 < 1000 { 40 } else { 20 }];
            model.splice(start..end, insert.iter().copied());
            entry.splice(start..end, &insert);
            assert_eq!(entry.view().value(), &model[..], "round {round}");
        }
        model[0] = 1;
        entry.packed_mut()[0] = 1;
        let view = entry.view();
        assert_eq!((view.key(), view.value(), view.expiry_ms()), (&b"key"[..], &model[..], Some(9)));
        assert_eq!((view.value_type(), view.collection_form()), (ValueType::Hash, Form::PackedOther));
        entry.set_packed(Form::Packed, b"abc");
        assert_eq!((entry.view().value(), entry.view().collection_form()), (&b"abc"[..], Form::Packed));
    }

    #[test]
    fn large_collections_move_with_their_entry_and_are_freed_once() {
        let mut entry = Entry::packed(b"key", ValueType::Zset, Form::Packed, b"xyz", Some(9), 1);
        entry.become_large(Box::new(Items(vec![1; 1000])));
        entry.set_expiry(None);
        entry.large_mut::<Items>().0.push(2);
        let copied = entry.view().copied_as(b"copy", 2);
        entry.large_mut::<Items>().0.clear();
        assert!(entry.view().is_spent() && !copied.view().is_spent());
        assert!(copied.view().memory_bytes() > 8000);
        let mut moved = copied.rekeyed(&[b'k'; 70_000]);
        assert_eq!(moved.view().large::<Items>().0.len(), 1001);
        assert_eq!((moved.view().key().len(), moved.view().collection_form()), (70_000, Form::Large));
        moved.set_value(b"text", StringForm::Auto);
        assert_eq!((moved.view().value_type(), moved.view().value()), (ValueType::String, &b"text"[..]));
    }

    #[test]
    fn encodings_follow_how_a_string_was_made() {
        let entry = |value: &[u8], form| Entry::new(b"k", value, None, form, 0).view().encoding();
        assert_eq!(entry(b"12", StringForm::Auto), "int");
        assert_eq!(entry(b"012", StringForm::Auto), "embstr");
        assert_eq!(entry(&[b'x'; 45], StringForm::Auto), "raw");
        assert_eq!(entry(b"12", StringForm::Raw), "raw");
        assert_eq!(entry(b"12", StringForm::Text), "embstr");
    }
}
