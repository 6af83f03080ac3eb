//! What the table says about one directive, and the macro that turns the table into `Config` and `ROWS`.

use std::path::PathBuf;

use super::table::Config;

/// The row of one directive. Everything that reads, shows, sets, rewrites or documents it goes by this row.
pub struct Row {
    pub name: &'static str,
    /// Older spellings of the same directive: readable and settable under either name.
    pub aliases: &'static [&'static str],
    pub section: &'static str,
    pub kind: Kind,
    pub flags: u16,
    pub status: Status,
    /// What the directive does, a sentence or more per line.
    pub documentation: &'static [&'static str],
    pub(super) assign: Assign,
    pub(super) show: fn(&Config, &Row) -> String,
    pub(super) written: fn(&Config, &Config, &Row) -> Written,
}

type Assign = fn(&mut Config, &Row, &[&str], &mut Reading) -> Result<(), String>;

/// The values that a directive takes. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    Integer(i128, i128),
    /// A memory size.
    Memory(i128, i128),
    /// A memory size, or a share of maxmemory up to so many percent.
    MemoryOrPercent(i128),
    Octal(i128, i128),
    /// One word of a list.
    Enum(&'static [&'static str]),
    /// Words of a list.
    EnumSet(&'static [&'static str]),
    Text(TextForm),
    /// A form of its own, described in words.
    Special(&'static str),
    /// Only in files: may be given many times, with so many arguments each.
    Repeated(usize, usize, &'static str),
}

/// What a string directive must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    Any,
    /// A file name without a directory; may be empty.
    BaseName,
    /// A name without a directory, not empty; the word says of what.
    RequiredBaseName(&'static str),
    Hostname,
    NodeName,
    TitleTemplate,
    CpuList,
}

/// Whether Cairn acts on a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Honoured,
    /// Taken, remembered and shown, without effect for the reason given.
    Accepted(&'static str),
}

/// May be changed by CONFIG SET.
pub const MUTABLE: u16 = 1;
/// Takes several arguments in a file.
pub const MULTI: u16 = 1 << 1;
/// Shown by CONFIG GET only when named exactly.
pub const HIDDEN: u16 = 1 << 2;
/// A secret: keep its value out of logs, slow log and MONITOR.
pub const SENSITIVE: u16 = 1 << 3;
/// Changed at run time only as enable-protected-configs allows.
pub const PROTECTED: u16 = 1 << 4;
/// Not changed while the data set loads.
pub const NOT_WHILE_LOADING: u16 = 1 << 5;
/// Setting it to the same value acts again, as files that it names may have changed.
pub const REAPPLY: u16 = 1 << 6;
/// An empty text means "not set": CONFIG REWRITE then leaves the directive out.
pub const EMPTY_IS_UNSET: u16 = 1 << 7;
/// Known to configuration files only, not to CONFIG GET and SET.
pub const FILE_ONLY: u16 = 1 << 8;

impl Row {
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub fn is_mutable(&self) -> bool {
        self.has(MUTABLE)
    }

    pub fn is_sensitive(&self) -> bool {
        self.has(SENSITIVE)
    }

    /// The value as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config, self)
    }

    /// Whether the two configurations hold different values.
    pub fn differs(&self, left: &Config, right: &Config) -> bool {
        self.show(left) != self.show(right)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Row({})", self.name)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What assigning a value needs to know about where it comes from.
#[derive(Debug)]
pub struct Reading {
    /// From a file, standard input or the command line, not from CONFIG SET.
    pub(super) from_file: bool,
    /// A `save` line was met: the first replaces the defaults, later ones add to it.
    pub(super) save_seen: bool,
    /// What relative paths are relative to.
    pub(super) directory: PathBuf,
}

/// What CONFIG REWRITE writes for a directive.
pub enum Written {
    /// Nothing: lines that the file has are dropped.
    Absent,
    /// Leave lines that the file has alone.
    Untouched,
    /// These lines. One that is not forced appears only if the file has a line for it to take.
    Lines(Vec<(String, Forced)>),
    /// These lines, all of them or none: the first alone would mean something else.
    Together(Vec<String>, Forced),
}

/// Whether a line is written even if the file did not have it.
pub type Forced = bool;

macro_rules! directives {
    ($(
        section $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty = $default:expr, $name:literal $(| $alias:literal)*,
                $kind:expr, [$($flag:ident)*], $status:expr;
            )*
        }
    )*) => {
        /// The value of every directive. Published whole and never changed in place; see `Live`.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $($( $(#[doc = $doc])+ pub $field: $type, )*)*
        }

        impl Default for Config {
            fn default() -> Self {
                Config { $($( $field: $default, )*)* }
            }
        }

        /// Every directive, by section, in the order in which the default file shows them.
        pub static ROWS: &[Row] = &[
            $($(
                Row {
                    name: $name,
                    aliases: &[$($alias),*],
                    section: $section,
                    kind: $kind,
                    flags: 0 $(| $flag)*,
                    status: $status,
                    documentation: &[$($doc),+],
                    assign: |config, row, arguments, reading| config.$field.assign(row, arguments, reading),
                    show: |config, row| config.$field.show(row),
                    written: |config, default, row| config.$field.written(&default.$field, row),
                },
            )*)*
        ];
    };
}
pub(super) use directives;
