//! What lists, sets, sorted sets, hashes and streams have in common: how an entry keeps one, and what may be asked of
//! any of them.
//!
//! A small collection is packed: bytes in the entry itself. A large one is an object of its own that the entry owns.
//! What the bytes mean, when a collection grows from one into the other, and all that is done with it is the type's own
//! file's business.

#![allow(unsafe_code)]

use super::entry::Entry;
use super::{listpack, member};

/// The type of a value, as TYPE tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ValueType {
    String = 0,
    List = 1,
    Set = 2,
    Zset = 3,
    Hash = 4,
    Stream = 5,
}

impl ValueType {
    pub const ALL: [ValueType; 6] =
        [ValueType::String, ValueType::List, ValueType::Set, ValueType::Zset, ValueType::Hash, ValueType::Stream];

    pub fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::List => "list",
            ValueType::Set => "set",
            ValueType::Zset => "zset",
            ValueType::Hash => "hash",
            ValueType::Stream => "stream",
        }
    }
}

/// How an entry keeps a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// A listpack in the entry.
    Packed = 0,
    /// Other bytes in the entry: a set's integers, or a hash's listpack of fields, values and expiries.
    PackedOther = 1,
    /// An object of the type's own.
    Large = 2,
}

/// A collection that has outgrown its entry.
///
/// # Safety
/// `value_type` gives the `own_type`, and those of no other type do: by that alone an entry knows what object it owns.
pub unsafe trait Large: Send {
    /// The value type that is kept in objects of this type.
    fn own_type() -> ValueType
    where
        Self: Sized;

    /// The same of an object whose type is not known.
    fn value_type(&self) -> ValueType;

    /// How many items it has.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes, itself included. Asked often, so it must be known, not counted.
    fn memory_bytes(&self) -> usize;

    fn copied(&self) -> Box<dyn Large>;

    /// Goes a step towards what a command touches: reads what earlier steps, counted from 0, brought to the cache, and
    /// brings the next. Tells whether there is a further step.
    fn approach(&self, _sought: &mut Sought<'_>, _step: u32) -> bool {
        false
    }
}

/// What a command goes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The items that its arguments name.
    Items,
    /// The same, and their places where they stand in order.
    Places,
    /// The items from a rank on.
    Ranks,
    /// The first items of a list.
    Head,
    /// The last.
    Tail,
}

/// What a command touches in a large collection, as far as its arguments tell.
#[derive(Clone, Copy)]
pub struct Sought<'a> {
    /// The arguments after the key.
    pub arguments: &'a [&'a [u8]],
    pub aim: Aim,
    /// The hash of the item, since the first step.
    hash: u64,
}

impl<'a> Sought<'a> {
    pub const NOTHING: Sought<'static> = Sought::new(&[], Aim::Items);

    #[inline]
    pub const fn new(arguments: &'a [&'a [u8]], aim: Aim) -> Sought<'a> {
        Sought { arguments, aim, hash: 0 }
    }

    /// The hash of the item that is sought, worked out in the first step only.
    #[inline]
    pub fn hash_of(&mut self, item: &[u8], step: u32) -> u64 {
        if step == 0 {
            self.hash = member::hash(item);
        }
        self.hash
    }
}

/// A collection without a key.
pub enum Detached {
    Packed(ValueType, Form, Vec<u8>),
    Large(Box<dyn Large>),
}

impl Detached {
    /// A listpack without elements.
    pub fn empty(value_type: ValueType) -> Detached {
        Detached::Packed(value_type, Form::Packed, listpack::EMPTY.to_vec())
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Detached::Packed(value_type, ..) => *value_type,
            Detached::Large(large) => large.value_type(),
        }
    }

    pub fn with_key(self, key: &[u8], expiry_ms: Option<u64>, access: u32) -> Entry {
        match self {
            Detached::Packed(value_type, form, bytes) => {
                Entry::packed(key, value_type, form, &bytes, expiry_ms, access)
            }
            Detached::Large(large) => Entry::large(key, large, expiry_ms, access),
        }
    }
}
