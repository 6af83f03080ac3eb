//! Every command of the table with what follows from its row: id, full name, implied groups, key shape.
//!
//! Built once, on first use, and immutable from then on. Ids are dense and do not depend on the configuration: a
//! renamed or removed command keeps its id, so per-command counters and access bitmaps are arrays of `count()`.

use std::sync::LazyLock;

use super::keys::{KeyRange, KeyShape, range_and_shape};
use super::lookup::NameIndex;
use super::spec::{self, Categories, CommandSpec, FLAG_NAMES, Flags, category};
use super::table;

/// Position of a command in `all()`: a top-level command's is followed by those of its subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u16);

impl CommandId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Which arguments are channels: those behind the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// The index behind the last one; all that follow the name where there is none.
    pub last: Option<usize>,
    pub are_patterns: bool,
}

/// A row and what follows from it.
pub struct Command {
    pub spec: &'static CommandSpec,
    pub id: CommandId,
    pub parent: Option<CommandId>,
    /// "get", "client|list".
    pub full_name: String,
    /// The row's flags and the derived ones.
    pub flags: Flags,
    /// The row's groups and those that its flags imply.
    pub categories: Categories,
    pub shape: KeyShape,
    pub range: KeyRange,
    /// The channels among its arguments that users need permission for.
    pub channels: Option<Channels>,
    /// Its subcommands by their own words; empty for most.
    pub(super) sub_index: NameIndex,
}

impl Command {
    /// Whether any of these flags is set.
    pub fn has(&self, flags: Flags) -> bool {
        self.flags & flags != 0
    }

    /// Whether a call needs every slot at rest.
    #[inline]
    pub fn needs_all_slots(&self, args: &[&[u8]]) -> bool {
        self.has(spec::ALL_SLOTS) || self.spec.reach.is_some_and(|reach| reach(args))
    }

    pub fn subcommands(&self) -> &'static [Command] {
        let first = self.id.index() + 1;
        &all()[first..first + self.spec.subcommands.len()]
    }

    /// Whether a call may name keys.
    pub fn has_keys(&self) -> bool {
        self.spec.key_finder.is_some() || self.spec.keys.iter().any(|key| key.flags & super::keys::NOT_KEY == 0)
    }

    /// Names of its flags as COMMAND INFO shows them.
    pub fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        let flags = self.flags;
        FLAG_NAMES.iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| *name)
    }
}

static REGISTRY: LazyLock<Vec<Command>> = LazyLock::new(build);

/// Every command in the order of ids: by name, subcommands after their parent.
pub fn all() -> &'static [Command] {
    &REGISTRY
}

/// How many ids there are.
pub fn count() -> usize {
    all().len()
}

pub fn by_id(id: CommandId) -> &'static Command {
    &all()[id.index()]
}

fn build() -> Vec<Command> {
    let mut rows: Vec<&'static CommandSpec> = table::GROUPS.iter().copied().flatten().collect();
    rows.sort_by_key(|row| row.name);
    let mut commands = Vec::new();
    for row in rows {
        let parent = CommandId(commands.len() as u16);
        let subcommands = row.subcommands.iter().zip(parent.0 + 1..);
        let sub_index = NameIndex::new(subcommands.map(|(sub, id)| (sub.name.as_bytes(), CommandId(id))));
        commands.push(derive(row, parent, None, row.name.to_owned(), sub_index));
        for sub in row.subcommands {
            let id = CommandId(commands.len() as u16);
            let full_name = format!("{}|{}", row.name, sub.name);
            commands.push(derive(sub, id, Some(parent), full_name, NameIndex::default()));
        }
    }
    commands
}

fn derive(
    spec: &'static CommandSpec,
    id: CommandId,
    parent: Option<CommandId>,
    full_name: String,
    sub_index: NameIndex,
) -> Command {
    let (range, shape, movable) = range_and_shape(spec.keys);
    let flags = spec.flags | if movable { spec::MOVABLE_KEYS } else { 0 };
    let categories = spec.categories | implied_categories(flags, spec.categories);
    let channels = channels_of(&full_name);
    Command { spec, id, parent, full_name, flags, categories, shape, range, channels, sub_index }
}

/// Leaving a channel needs no permission.
fn channels_of(full_name: &str) -> Option<Channels> {
    let (last, are_patterns) = match full_name {
        "publish" | "spublish" => (Some(2), false),
        "subscribe" | "ssubscribe" => (None, false),
        "psubscribe" => (None, true),
        _ => return None,
    };
    Some(Channels { last, are_patterns })
}

fn implied_categories(flags: Flags, explicit: Categories) -> Categories {
    // Scripts are not data: calling one read-only is no @read.
    let reads = if explicit & category::SCRIPTING == 0 { category::READ } else { 0 };
    let implications = [
        (spec::WRITE, category::WRITE),
        (spec::READONLY, reads),
        (spec::ADMIN, category::ADMIN | category::DANGEROUS),
        (spec::PUBSUB, category::PUBSUB),
        (spec::BLOCKING, category::BLOCKING),
        (spec::FAST, category::FAST),
    ];
    let implied = implications.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |sum, (_, bit)| sum | bit);
    let speed = if (implied | explicit) & category::FAST == 0 { category::SLOW } else { 0 };
    implied | speed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::keys::{ACCESS, DELETE, INSERT, KeySpec, NOT_KEY, OW, RM, RO, RW, UPDATE};
    use crate::commands::spec::{ALL_SLOTS, ArgKind, ArgSpec, MAY_REPLICATE, MOVABLE_KEYS, READONLY, WRITE};

    fn named(full_name: &str) -> &'static Command {
        all().iter().find(|command| command.full_name == full_name).unwrap()
    }

    #[test]
    fn names_are_sorted_unique_and_lower_case() {
        for rows in table::GROUPS {
            assert!(rows.is_sorted_by(|one, next| one.name < next.name));
            for row in *rows {
                assert!(row.subcommands.is_sorted_by(|one, next| one.name < next.name), "{}", row.name);
            }
        }
        let top_level: Vec<&str> =
            all().iter().filter(|command| command.parent.is_none()).map(|command| command.spec.name).collect();
        assert!(top_level.is_sorted_by(|one, next| one < next));
        assert!(all().iter().all(|command| !command.full_name.bytes().any(|byte| byte.is_ascii_uppercase())));
    }

    #[test]
    fn ids_are_places() {
        for (index, command) in all().iter().enumerate() {
            assert_eq!(command.id.index(), index);
            assert!(std::ptr::eq(by_id(command.id), command));
            for sub in command.subcommands() {
                assert_eq!(sub.parent, Some(command.id));
                assert!(sub.spec.subcommands.is_empty(), "{}: only one level of subcommands", sub.full_name);
            }
        }
        assert_eq!(count(), all().len());
    }

    #[test]
    fn every_row_is_complete_and_consistent() {
        for command in all() {
            let (name, spec) = (&command.full_name, command.spec);
            assert!(!spec.summary.is_empty() && !spec.since.is_empty(), "{name}");
            assert!(spec.arity != 0 && spec.flags & MOVABLE_KEYS == 0, "{name}");
            assert!(spec.flags & (WRITE | READONLY) != WRITE | READONLY, "{name}");
            assert!(!command.has_keys() || spec.flags & (WRITE | READONLY) != 0 || read_beside_data(name), "{name}");
            assert!(spec.key_finder.is_none() || !spec.keys.is_empty(), "{name}");
            let least = usize::from(spec.arity.unsigned_abs());
            for key in spec.keys {
                let accesses = u32::from(key.flags & NOT_KEY == 0);
                assert_eq!((key.flags & (RO | RW | OW | RM)).count_ones(), accesses, "{name}: one kind of access");
                let changes = key.flags & (RW | OW | RM) != 0;
                assert!(
                    !changes || spec.flags & (WRITE | MAY_REPLICATE) != 0,
                    "{name}: changes a key, but is no write"
                );
                assert!(key.flags & (UPDATE | INSERT | DELETE) == 0 || changes || key.flags & ACCESS != 0, "{name}");
            }
            // The shortest call there is already holds the keys that are not repeated.
            if command.has_keys() {
                let fixed = command.shape != KeyShape::Special;
                assert!(!fixed || command.shape.indexes(least).count() >= 1, "{name}");
                assert!(usize::from(command.range.first.unsigned_abs()) < least, "{name}");
            }
            check_args(name, spec.args, spec.keys);
        }
        assert!(all().iter().any(|command| command.has(ALL_SLOTS)));
    }

    /// WATCH takes keys but neither reads nor writes the data; what scripts do their commands say.
    fn read_beside_data(name: &str) -> bool {
        matches!(name, "watch" | "eval" | "evalsha" | "fcall")
    }

    fn check_args(name: &str, args: &[ArgSpec], keys: &[KeySpec]) {
        for arg in args {
            let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
            assert_eq!(nested, arg.args.len() > 1, "{name}: {}", arg.name);
            assert_eq!(arg.args.is_empty(), !nested, "{name}: {}", arg.name);
            assert!(arg.key_spec.is_none_or(|index| usize::from(index) < keys.len()), "{name}: {}", arg.name);
            let is_unit = |token: &str| matches!(token, "m" | "km" | "ft" | "mi");
            let token_fits = |token: &str| is_unit(token) || token == token.to_ascii_uppercase();
            assert!(arg.token.is_none_or(token_fits), "{name}: {}", arg.name);
            check_args(name, arg.args, keys);
        }
    }

    #[test]
    fn implied_categories() {
        for (name, expected) in [
            ("get", "read string fast"),
            ("set", "write string slow"),
            ("append", "write string fast"),
            ("setbit", "write bitmap slow"),
            ("keys", "keyspace read slow dangerous"),
            ("flushall", "keyspace write slow dangerous"),
            ("swapdb", "keyspace write fast dangerous"),
            ("exec", "slow transaction"),
            ("multi", "fast transaction"),
            ("ping", "fast connection"),
            ("client", "slow"),
            ("client|kill", "admin slow dangerous connection"),
            ("client|list", "admin slow dangerous connection"),
            ("config|get", "admin slow dangerous"),
            ("config|help", "slow"),
            ("debug", "admin slow dangerous"),
            ("info", "slow dangerous"),
            ("command|docs", "slow connection"),
            ("object|encoding", "keyspace read slow"),
            ("monitor", "admin slow dangerous"),
            ("lolwut", "read fast"),
            ("lastsave", "admin fast dangerous"),
        ] {
            let names: Vec<&str> = category::names(named(name).categories).collect();
            assert_eq!(names.join(" "), expected, "{name}");
        }
    }
}
