//! The commands as rules see them: ids, full names, groups, and which subcommands belong to which command.

use std::ops::Range;

/// A command, or a subcommand named "command|subcommand".
pub struct Known {
    pub full_name: String,
    /// Bits of the groups that it belongs to.
    pub categories: u32,
    pub is_subcommand: bool,
    /// The ids of its subcommands; empty for most.
    pub subcommands: Range<usize>,
}

/// Every command at the place of its id, and every group.
pub struct Catalogue {
    pub commands: Vec<Known>,
    /// Bit and name, in the order in which they are listed.
    pub categories: &'static [(u32, &'static str)],
}

impl Catalogue {
    /// The id of the command with this full name, in any case of letters.
    pub fn find(&self, full_name: &[u8]) -> Option<usize> {
        self.commands.iter().position(|known| known.full_name.as_bytes().eq_ignore_ascii_case(full_name))
    }

    /// The bit of a group named without its "@", in any case.
    pub fn category(&self, name: &[u8]) -> Option<u32> {
        self.categories.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(bit, _)| *bit)
    }
}

/// A small one for tests.
#[cfg(test)]
pub(super) fn sample() -> Catalogue {
    let known = |full_name: &str, categories, subcommands: Range<usize>| Known {
        full_name: full_name.to_owned(),
        categories,
        is_subcommand: full_name.contains('|'),
        subcommands,
    };
    Catalogue {
        commands: vec![
            known("config", 4, 1..3),
            known("config|get", 6, 0..0),
            known("config|set", 6, 0..0),
            known("get", 1, 0..0),
            known("select", 4, 0..0),
            known("set", 1, 0..0),
        ],
        categories: &[(1, "string"), (2, "admin"), (4, "slow")],
    }
}
