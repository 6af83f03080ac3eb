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
    /// Its subcommands by their own words; empty for most.
    pub(super) sub_index: NameIndex,
}

impl Command {
    /// Whether any of these flags is set.
    pub fn has(&self, flags: Flags) -> bool {
        self.flags & flags != 0
    }

    /// The full name as error texts about access and HELP show it: "CLIENT".
    pub fn upper_name(&self) -> String {
        self.full_name.to_ascii_uppercase()
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
    Command { spec, id, parent, full_name, flags, categories, shape, range, sub_index }
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
