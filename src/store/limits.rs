//! How large a collection may be while it is packed.

use crate::config::Config;

/// The thresholds of all types, as the directives of the same names say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub hash: PackedLimits,
    pub set: PackedLimits,
    pub zset: PackedLimits,
    /// `set-max-intset-entries`.
    pub intset_entries: usize,
    /// `list-max-listpack-size`: entries of a node, or if negative one of Redis's sizes in bytes.
    pub list_node_size: i32,
    /// `list-compress-depth`: nodes at either end that stay uncompressed; 0 compresses none.
    pub list_compress_depth: u32,
    /// `stream-node-max-bytes` and `stream-node-max-entries`; 0 is no limit.
    pub stream_node_bytes: usize,
    pub stream_node_entries: usize,
}

/// Beyond either, a packed collection becomes a large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLimits {
    /// Entries; a field and its value are one.
    pub entries: usize,
    /// Bytes of one member, field or value.
    pub value_bytes: usize,
}

impl Limits {
    pub fn of(config: &Config) -> Limits {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let packed = |entries, value_bytes| PackedLimits { entries: size(entries), value_bytes: size(value_bytes) };
        Limits {
            hash: packed(config.hash_max_listpack_entries, config.hash_max_listpack_value),
            set: packed(config.set_max_listpack_entries, config.set_max_listpack_value),
            zset: packed(config.zset_max_listpack_entries, config.zset_max_listpack_value),
            intset_entries: size(config.set_max_intset_entries),
            list_node_size: config.list_max_listpack_size,
            list_compress_depth: config.list_compress_depth,
            stream_node_bytes: size(config.stream_node_max_bytes),
            stream_node_entries: usize::try_from(config.stream_node_max_entries).unwrap_or(0),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            hash: PackedLimits { entries: 512, value_bytes: 64 },
            set: PackedLimits { entries: 128, value_bytes: 64 },
            zset: PackedLimits { entries: 128, value_bytes: 64 },
            intset_entries: 512,
            list_node_size: -2,
            list_compress_depth: 0,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
        }
    }
}
