//! What a row of the command table says, and the small builders that let a row read as one.
//!
//! A `CommandSpec` is plain constant data: name, arity, flags, access groups, key positions, documentation, handler.
//! Nothing here is computed at run time; what follows from a row (implied groups, key shape, ids) is in `registry`.
//! The vocabulary is the protocol's: flags, groups and argument kinds bear the names that COMMAND replies with.

use super::Handler;
use super::keys::{KeyRefs, KeySpec};

/// Bits of `CommandSpec::flags`.
pub type Flags = u64;
/// Bits of `CommandSpec::categories`.
pub type Categories = u32;

pub const WRITE: Flags = 1 << 0;
pub const READONLY: Flags = 1 << 1;
/// Refused while memory is above its limit.
pub const DENYOOM: Flags = 1 << 2;
pub const ADMIN: Flags = 1 << 3;
pub const PUBSUB: Flags = 1 << 4;
pub const NOSCRIPT: Flags = 1 << 5;
pub const BLOCKING: Flags = 1 << 6;
/// Served while the data set loads.
pub const LOADING: Flags = 1 << 7;
/// Served by a replica that lost its primary and may not serve stale data.
pub const STALE: Flags = 1 << 8;
pub const SKIP_MONITOR: Flags = 1 << 9;
pub const SKIP_SLOWLOG: Flags = 1 << 10;
/// Counts as preceded by ASKING.
pub const ASKING: Flags = 1 << 11;
pub const FAST: Flags = 1 << 12;
/// Served before authentication.
pub const NO_AUTH: Flags = 1 << 13;
/// Not a write, yet may put something in the replication stream.
pub const MAY_REPLICATE: Flags = 1 << 14;
/// Its key arguments may all be absent.
pub const NO_MANDATORY_KEYS: Flags = 1 << 15;
/// Guarded by an `enable-*-command` directive.
pub const PROTECTED: Flags = 1 << 16;
pub const NO_ASYNC_LOADING: Flags = 1 << 17;
pub const NO_MULTI: Flags = 1 << 18;
/// First, last and step do not describe all keys. Derived, never written in a row.
pub const MOVABLE_KEYS: Flags = 1 << 19;
/// Served while a script or function overruns its time.
pub const ALLOW_BUSY: Flags = 1 << 20;
/// May meet, and so expire, keys it does not name.
pub const TOUCHES_ARBITRARY_KEYS: Flags = 1 << 21;
/// Cairn's own: needs every slot at rest, so it runs behind the exclusive gate.
pub const ALL_SLOTS: Flags = 1 << 32;
/// Cairn's own: visits slots one after the other beyond the keys it names, so a transaction with it needs every slot.
pub const WALKS_SLOTS: Flags = 1 << 33;
/// Cairn's own: steers a transaction, so it is never queued in one.
pub const NEVER_QUEUED: Flags = 1 << 34;
/// Cairn's own: runs the queue, so it needs what the queued commands need.
pub const RUNS_QUEUE: Flags = 1 << 35;
/// Cairn's own: runs a script, so what it needs is known of the script alone.
pub const RUNS_SCRIPT: Flags = 1 << 36;
/// Cairn's own: a RESP2 client that has subscriptions may call it.
pub const LISTENERS_MAY: Flags = 1 << 37;

/// Cairn's own: its arguments after the key are ranks.
pub const BY_RANK: Flags = 1 << 38;
/// Cairn's own: touches the head of a list, or its tail, and nothing else.
pub const AT_HEAD: Flags = 1 << 39;
pub const AT_TAIL: Flags = 1 << 40;

/// The flags that COMMAND INFO names, in its order; the others are internal.
pub const FLAG_NAMES: &[(Flags, &str)] = &[
    (WRITE, "write"),
    (READONLY, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (PUBSUB, "pubsub"),
    (NOSCRIPT, "noscript"),
    (BLOCKING, "blocking"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_MONITOR, "skip_monitor"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (ASKING, "asking"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (NO_ASYNC_LOADING, "no_async_loading"),
    (NO_MULTI, "no_multi"),
    (MOVABLE_KEYS, "movablekeys"),
    (ALLOW_BUSY, "allow_busy"),
];

/// Access groups ("@string"): a row names those that its flags do not imply.
pub mod category {
    use super::Categories;

    pub const KEYSPACE: Categories = 1 << 0;
    pub const READ: Categories = 1 << 1;
    pub const WRITE: Categories = 1 << 2;
    pub const SET: Categories = 1 << 3;
    pub const SORTEDSET: Categories = 1 << 4;
    pub const LIST: Categories = 1 << 5;
    pub const HASH: Categories = 1 << 6;
    pub const STRING: Categories = 1 << 7;
    pub const BITMAP: Categories = 1 << 8;
    pub const HYPERLOGLOG: Categories = 1 << 9;
    pub const GEO: Categories = 1 << 10;
    pub const STREAM: Categories = 1 << 11;
    pub const PUBSUB: Categories = 1 << 12;
    pub const ADMIN: Categories = 1 << 13;
    pub const FAST: Categories = 1 << 14;
    pub const SLOW: Categories = 1 << 15;
    pub const BLOCKING: Categories = 1 << 16;
    pub const DANGEROUS: Categories = 1 << 17;
    pub const CONNECTION: Categories = 1 << 18;
    pub const TRANSACTION: Categories = 1 << 19;
    pub const SCRIPTING: Categories = 1 << 20;

    /// Every group, in the order in which ACL CAT lists them.
    pub const NAMES: &[(Categories, &str)] = &[
        (KEYSPACE, "keyspace"),
        (READ, "read"),
        (WRITE, "write"),
        (SET, "set"),
        (SORTEDSET, "sortedset"),
        (LIST, "list"),
        (HASH, "hash"),
        (STRING, "string"),
        (BITMAP, "bitmap"),
        (HYPERLOGLOG, "hyperloglog"),
        (GEO, "geo"),
        (STREAM, "stream"),
        (PUBSUB, "pubsub"),
        (ADMIN, "admin"),
        (FAST, "fast"),
        (SLOW, "slow"),
        (BLOCKING, "blocking"),
        (DANGEROUS, "dangerous"),
        (CONNECTION, "connection"),
        (TRANSACTION, "transaction"),
        (SCRIPTING, "scripting"),
    ];

    /// The groups among these bits, in the same order.
    pub fn names(bits: Categories) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(bit, _)| bits & bit != 0).map(|(_, name)| *name)
    }

    /// The bit of a group named without its "@", in any case.
    pub fn by_name(name: &[u8]) -> Option<Categories> {
        let found = NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(bit, _)| *bit)
    }
}

/// The chapter of the command reference that a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    PubSub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    pub const fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::List => "list",
            Group::PubSub => "pubsub",
            Group::Scripting => "scripting",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

/// Since when a command is deprecated, and what stands in its place.
#[derive(Clone, Copy, Debug)]
pub struct Deprecation {
    pub since: &'static str,
    pub replaced_by: &'static str,
}

/// Finds keys that the key specs cannot, or cannot with the right flags. Leaves `out` empty when the arguments
/// make no sense; the handler then words the error.
pub type KeyFinder = fn(args: &[&[u8]], out: &mut KeyRefs);

/// Tells whether a call reaches keys beyond those that it names.
pub type Reach = fn(args: &[&[u8]]) -> bool;

/// One row. `arity` counts the command's name (and subcommand's); negative means at least.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// Lower case. A subcommand's is its own word; `registry` joins it to its parent's.
    pub name: &'static str,
    pub group: Group,
    pub arity: i16,
    pub flags: Flags,
    pub categories: Categories,
    pub handler: Handler,
    pub since: &'static str,
    pub summary: &'static str,
    /// Empty where no statement makes sense.
    pub complexity: &'static str,
    pub keys: &'static [KeySpec],
    pub key_finder: Option<KeyFinder>,
    /// Of a command whose arguments decide whether it needs every slot, as those with `ALL_SLOTS` always do.
    pub reach: Option<Reach>,
    pub tips: &'static [&'static str],
    /// (version, what changed) pairs, oldest first.
    pub history: &'static [(&'static str, &'static str)],
    pub deprecated: Option<Deprecation>,
    /// Internal: documented as "syscmd".
    pub system: bool,
    pub args: &'static [ArgSpec],
    /// Sorted by name.
    pub subcommands: &'static [CommandSpec],
}

impl CommandSpec {
    pub const fn new(
        group: Group,
        name: &'static str,
        arity: i16,
        flags: Flags,
        categories: Categories,
        handler: Handler,
    ) -> Self {
        CommandSpec {
            name,
            group,
            arity,
            flags,
            categories,
            handler,
            since: "",
            summary: "",
            complexity: "",
            keys: &[],
            key_finder: None,
            reach: None,
            tips: &[],
            history: &[],
            deprecated: None,
            system: false,
            args: &[],
            subcommands: &[],
        }
    }

    /// A command that is nothing but a prefix of its subcommands.
    pub const fn container(group: Group, name: &'static str) -> Self {
        CommandSpec::new(group, name, -2, 0, 0, super::command::unknown_subcommand)
    }

    /// Version of introduction, summary, complexity.
    pub const fn doc(self, since: &'static str, summary: &'static str, complexity: &'static str) -> Self {
        CommandSpec { since, summary, complexity, ..self }
    }

    pub const fn keys(self, keys: &'static [KeySpec]) -> Self {
        CommandSpec { keys, ..self }
    }

    pub const fn find_keys_with(self, key_finder: KeyFinder) -> Self {
        CommandSpec { key_finder: Some(key_finder), ..self }
    }

    pub const fn reaches_beyond_keys_if(self, reach: Reach) -> Self {
        CommandSpec { reach: Some(reach), ..self }
    }

    pub const fn tips(self, tips: &'static [&'static str]) -> Self {
        CommandSpec { tips, ..self }
    }

    pub const fn history(self, history: &'static [(&'static str, &'static str)]) -> Self {
        CommandSpec { history, ..self }
    }

    pub const fn deprecated(self, since: &'static str, replaced_by: &'static str) -> Self {
        CommandSpec { deprecated: Some(Deprecation { since, replaced_by }), ..self }
    }

    pub const fn system(self) -> Self {
        CommandSpec { system: true, ..self }
    }

    pub const fn args(self, args: &'static [ArgSpec]) -> Self {
        CommandSpec { args, ..self }
    }

    pub const fn subcommands(self, subcommands: &'static [CommandSpec]) -> Self {
        CommandSpec { subcommands, ..self }
    }

    /// Whether a call with this many arguments (names included) is well formed.
    pub const fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 { count == self.arity as usize } else { count >= self.arity.unsigned_abs() as usize }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    /// The token is all there is.
    PureToken,
    /// Exactly one of the nested arguments.
    OneOf,
    /// All of the nested arguments.
    Block,
}

impl ArgKind {
    pub const fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

/// One documented argument, as COMMAND DOCS shows it.
#[derive(Clone, Copy, Debug)]
pub struct ArgSpec {
    pub name: &'static str,
    pub kind: ArgKind,
    /// Shown instead of the name.
    pub display: Option<&'static str>,
    /// Which of the command's key specs finds it.
    pub key_spec: Option<u8>,
    /// The word that introduces it.
    pub token: Option<&'static str>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// Each repetition repeats the token.
    pub multiple_token: bool,
    pub args: &'static [ArgSpec],
}

const fn arg(name: &'static str, kind: ArgKind) -> ArgSpec {
    ArgSpec {
        name,
        kind,
        display: None,
        key_spec: None,
        token: None,
        since: None,
        deprecated_since: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        args: &[],
    }
}

/// A key, found by the key spec of that index.
pub const fn key(name: &'static str, key_spec: u8) -> ArgSpec {
    ArgSpec { key_spec: Some(key_spec), ..arg(name, ArgKind::Key) }
}

pub const fn string(name: &'static str) -> ArgSpec {
    arg(name, ArgKind::String)
}

pub const fn integer(name: &'static str) -> ArgSpec {
    arg(name, ArgKind::Integer)
}

pub const fn double(name: &'static str) -> ArgSpec {
    arg(name, ArgKind::Double)
}

pub const fn pattern(name: &'static str) -> ArgSpec {
    arg(name, ArgKind::Pattern)
}

pub const fn unix_time(name: &'static str) -> ArgSpec {
    arg(name, ArgKind::UnixTime)
}

/// A word that stands alone.
pub const fn word(name: &'static str, token: &'static str) -> ArgSpec {
    arg(name, ArgKind::PureToken).token(token)
}

pub const fn one_of(name: &'static str, args: &'static [ArgSpec]) -> ArgSpec {
    ArgSpec { args, ..arg(name, ArgKind::OneOf) }
}

pub const fn block(name: &'static str, args: &'static [ArgSpec]) -> ArgSpec {
    ArgSpec { args, ..arg(name, ArgKind::Block) }
}

impl ArgSpec {
    pub const fn token(self, token: &'static str) -> Self {
        ArgSpec { token: Some(token), ..self }
    }

    pub const fn display(self, display: &'static str) -> Self {
        ArgSpec { display: Some(display), ..self }
    }

    pub const fn since(self, since: &'static str) -> Self {
        ArgSpec { since: Some(since), ..self }
    }

    pub const fn deprecated(self, since: &'static str) -> Self {
        ArgSpec { deprecated_since: Some(since), ..self }
    }

    pub const fn optional(self) -> Self {
        ArgSpec { optional: true, ..self }
    }

    pub const fn multiple(self) -> Self {
        ArgSpec { multiple: true, ..self }
    }

    /// Multiple, the token before each.
    pub const fn multiple_token(self) -> Self {
        ArgSpec { multiple: true, multiple_token: true, ..self }
    }
}
