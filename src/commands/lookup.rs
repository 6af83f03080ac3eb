//! From a name on the wire to a command, in any case of letters, without allocating.
//!
//! `NameIndex` is a perfect hash found when it is built: a name is read as its first and last eight bytes, folded to
//! lower case by setting one bit per byte, mixed with a multiplier under which no two known names share a place.
//! A lookup is then one multiplication chain, one table read and one comparison, which also refutes unknown names.
//! `Lookup` is the server's own view, with renamed and removed commands; built at start, immutable from then on.

use super::registry::{self, Command, CommandId};
use crate::resp::ReplyError;

/// Sets the bit that tells a lower-case letter from its upper case. Other bytes may collide; `Entry::is` knows.
const FOLD: u64 = 0x2020_2020_2020_2020;
const EMPTY: u16 = u16::MAX;
/// Multipliers tried at one table size before it is doubled. One in 55 fits the first size, so this is ample.
const TRIES: u64 = 1 << 12;
const LARGEST_TABLE: usize = 1 << 15;
/// Bytes of a call that an error quotes.
const QUOTED: usize = 128;

/// What the hash and the quick comparison see of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    first: u64,
    last: u64,
    length: usize,
}

impl Print {
    #[inline]
    fn of(name: &[u8]) -> Print {
        let length = name.len();
        let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32, 0)
        } else if let [first, .., last] = name {
            // Two or three bytes: the middle one is the last one again when there are two.
            (u64::from(*first) | u64::from(name[length / 2]) << 8 | u64::from(*last) << 16, 0)
        } else {
            (name.first().map_or(0, |byte| u64::from(*byte)), 0)
        };
        Print { first: first | FOLD, last: last | FOLD, length }
    }

    #[inline]
    fn place(self, multiplier: u64, shift: u32) -> usize {
        let mixed = (self.first ^ (self.length as u64) << 56).wrapping_mul(multiplier);
        let mixed = (mixed.rotate_left(29) ^ self.last).wrapping_mul(multiplier);
        (mixed >> shift) as usize
    }
}

struct Entry {
    print: Print,
    /// The print alone tells this name from every other: at most 16 bytes, nothing but letters.
    plain: bool,
    id: CommandId,
    name: Box<[u8]>,
}

impl Entry {
    fn new(name: &[u8], id: CommandId) -> Entry {
        let plain = name.len() <= 16 && name.iter().all(u8::is_ascii_alphabetic);
        Entry { print: Print::of(name), plain, id, name: name.into() }
    }

    #[inline]
    fn is(&self, print: Print, name: &[u8]) -> bool {
        self.print == print && (self.plain || self.name.eq_ignore_ascii_case(name))
    }
}

/// Names to ids. Of two equal names the first one given counts.
#[derive(Default)]
pub(super) struct NameIndex {
    entries: Vec<Entry>,
    table: Box<[u16]>,
    multiplier: u64,
    shift: u32,
    /// Entries from here on share a print with an earlier one (renamed commands alone can); they are sought in turn.
    hashed: usize,
}

impl NameIndex {
    pub fn new<'n>(names: impl Iterator<Item = (&'n [u8], CommandId)>) -> NameIndex {
        let mut entries: Vec<Entry> = Vec::new();
        let mut twins = Vec::new();
        for (name, id) in names {
            let entry = Entry::new(name, id);
            match entries.iter().any(|known| known.print == entry.print) {
                true => twins.push(entry),
                false => entries.push(entry),
            }
        }
        let hashed = entries.len();
        if hashed == 0 {
            return NameIndex::default();
        }
        // n names in n * n / 8 places are all apart under about one multiplier in e^4.
        let mut size = (hashed * hashed / 8).next_power_of_two().max(16);
        let (table, multiplier, shift) = loop {
            if let Some(found) = fit(&entries, size) {
                break found;
            }
            size *= 2;
            assert!(size <= LARGEST_TABLE, "no perfect hash for {hashed} command names");
        };
        entries.append(&mut twins);
        NameIndex { entries, table, multiplier, shift, hashed }
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<CommandId> {
        if self.entries.is_empty() {
            return None;
        }
        let print = Print::of(name);
        let entry = self.entries.get(usize::from(self.table[print.place(self.multiplier, self.shift)]))?;
        if entry.is(print, name) {
            return Some(entry.id);
        }
        self.entries[self.hashed..].iter().find(|twin| twin.is(print, name)).map(|twin| twin.id)
    }
}

/// A multiplier that gives each entry its own place among `size`.
fn fit(entries: &[Entry], size: usize) -> Option<(Box<[u16]>, u64, u32)> {
    let shift = 64 - size.trailing_zeros();
    let mut table = vec![EMPTY; size].into_boxed_slice();
    let mut multiplier: u64 = 0x9e37_79b9_7f4a_7c15;
    'tries: for _ in 0..TRIES {
        multiplier = multiplier.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(0x2545_f491_4f6c_dd1d);
        let odd = multiplier | 1;
        table.fill(EMPTY);
        for (number, entry) in entries.iter().enumerate() {
            let place = &mut table[entry.print.place(odd, shift)];
            if *place != EMPTY {
                continue 'tries;
            }
            *place = number as u16;
        }
        return Some((table, odd, shift));
    }
    None
}

/// Why a call names no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Command,
    /// The first word is this command, but the second none of its subcommands.
    Subcommand(CommandId),
}

impl Unknown {
    /// The reply to such a call; it quotes the call, cut to a bearable length.
    pub fn error(self, args: &[&[u8]]) -> ReplyError {
        let quoted = |arg: &'_ [u8], most: usize| {
            let end = arg.iter().position(|byte| *byte == 0).unwrap_or(arg.len()).min(most);
            arg[..end].to_vec()
        };
        let word = |index: usize| quoted(args.get(index).copied().unwrap_or_default(), QUOTED);
        let text = match self {
            Unknown::Command => {
                let mut rest = Vec::new();
                for arg in args.iter().skip(1) {
                    if rest.len() >= QUOTED {
                        break;
                    }
                    let shown = quoted(arg, QUOTED - rest.len());
                    rest.extend_from_slice(&[b"'", &shown[..], b"' "].concat());
                }
                [b"ERR unknown command '", &word(0)[..], b"', with args beginning with: ", &rest].concat()
            }
            Unknown::Subcommand(_) => {
                let parent = args[0].to_ascii_uppercase();
                [b"ERR unknown subcommand '", &word(1)[..], b"'. Try ", &parent, b" HELP."].concat()
            }
        };
        ReplyError::Quoting(text)
    }
}

/// Why a `rename-command` cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameError {
    NoSuchCommand,
    NameTaken,
}

/// The names that a server answers to.
pub struct Lookup {
    commands: &'static [Command],
    top: NameIndex,
    /// Top-level commands that still have a name, in the order of ids.
    visible: Vec<CommandId>,
}

impl Lookup {
    /// All commands under their own names.
    pub fn plain() -> Lookup {
        let Ok(lookup) = Lookup::renamed(&[]) else { unreachable!("no rename, no rename error") };
        lookup
    }

    /// Renames are done in turn, each seeing what the former left; an empty new name removes the command.
    pub fn renamed(renames: &[(&[u8], &[u8])]) -> Result<Lookup, RenameError> {
        let commands = registry::all();
        let top_level = commands.iter().filter(|command| command.parent.is_none());
        let mut names: Vec<(&[u8], CommandId)> =
            top_level.map(|command| (command.spec.name.as_bytes(), command.id)).collect();
        for (old, new) in renames {
            let position = |sought: &[u8]| names.iter().position(|(name, _)| name.eq_ignore_ascii_case(sought));
            let renamed = position(old).ok_or(RenameError::NoSuchCommand)?;
            match position(new) {
                _ if new.is_empty() => drop(names.remove(renamed)),
                Some(other) if other != renamed => return Err(RenameError::NameTaken),
                _ => names[renamed].0 = new,
            }
        }
        let visible = names.iter().map(|(_, id)| *id).collect();
        Ok(Lookup { commands, top: NameIndex::new(names.into_iter()), visible })
    }

    #[inline]
    pub fn top_level(&self, name: &[u8]) -> Option<&'static Command> {
        self.top.get(name).map(|id| &self.commands[id.index()])
    }

    /// The command that a call names with its first word, or its first two where the first has subcommands.
    /// Such a command alone resolves to itself; its arity then refuses the call.
    #[inline]
    pub fn resolve(&self, args: &[&[u8]]) -> Result<&'static Command, Unknown> {
        let name = args.first().ok_or(Unknown::Command)?;
        let command = self.top_level(name).ok_or(Unknown::Command)?;
        match args.get(1) {
            Some(sub) if !command.spec.subcommands.is_empty() => {
                let id = command.sub_index.get(sub).ok_or(Unknown::Subcommand(command.id))?;
                Ok(&self.commands[id.index()])
            }
            _ => Ok(command),
        }
    }

    /// By full name: "get", "client|list".
    pub fn by_full_name(&self, name: &[u8]) -> Option<&'static Command> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let command = self.top_level(words.next()?)?;
        match words.next() {
            None => Some(command),
            Some(sub) => command.sub_index.get(sub).map(|id| &self.commands[id.index()]),
        }
    }

    /// Top-level commands that can be called, by name.
    pub fn visible(&self) -> impl ExactSizeIterator<Item = &'static Command> {
        self.visible.iter().map(|id| &self.commands[id.index()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lookup: &Lookup, name: &str) -> Option<String> {
        lookup.by_full_name(name.as_bytes()).map(|command| command.full_name.clone())
    }

    #[test]
    fn every_command_in_any_case() {
        let lookup = Lookup::plain();
        for command in registry::all() {
            let name = &command.full_name;
            let mixed: String =
                name.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
            for spelled in [name.clone(), name.to_ascii_uppercase(), mixed] {
                assert_eq!(found(&lookup, &spelled).as_ref(), Some(name), "{spelled}");
            }
            let words: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
            assert_eq!(lookup.resolve(&words).map(|command| command.id), Ok(command.id));
        }
    }

    #[test]
    fn nothing_but_commands() {
        let lookup = Lookup::plain();
        let known: Vec<&str> = registry::all().iter().map(|command| command.full_name.as_str()).collect();
        for name in &known {
            let bytes = name.as_bytes();
            for cut in 0..bytes.len() {
                let (prefix, suffix) = (&name[..cut], &name[cut + 1..]);
                assert!(known.contains(&prefix) || lookup.by_full_name(prefix.as_bytes()).is_none(), "{prefix}");
                assert!(known.contains(&suffix) || lookup.by_full_name(suffix.as_bytes()).is_none(), "{suffix}");
                // Every other byte in that place, among them those that differ in the folded bit only.
                let mut other = bytes.to_vec();
                for byte in (0..=255).filter(|byte| !bytes[cut].eq_ignore_ascii_case(byte)) {
                    other[cut] = byte;
                    let is_known = known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&other));
                    assert_eq!(lookup.by_full_name(&other).is_some(), is_known, "{}", other.escape_ascii());
                }
            }
            assert!(lookup.by_full_name(format!("{name} ").as_bytes()).is_none());
            assert!(lookup.by_full_name(format!("{name}{}", "x".repeat(300)).as_bytes()).is_none());
        }
        assert!(lookup.by_full_name(b"").is_none());
        assert!(lookup.by_full_name(b"client|").is_none());
        assert!(lookup.by_full_name(b"client|list|x").is_none());
        assert!(lookup.top_level(b"client|list").is_none());
        assert!(lookup.top_level(&[b'g'; 1 << 16]).is_none());
    }

    #[test]
    fn unknown_calls_are_quoted() {
        let lookup = Lookup::plain();
        let error = |args: &[&[u8]]| lookup.resolve(args).err().unwrap().error(args).text().into_owned();
        assert_eq!(error(&[b"nosuch"]), "ERR unknown command 'nosuch', with args beginning with: ");
        assert_eq!(error(&[b"Foo", b"a", b"b"]), "ERR unknown command 'Foo', with args beginning with: 'a' 'b' ");
        assert_eq!(error(&[b"config", b"Foo"]), "ERR unknown subcommand 'Foo'. Try CONFIG HELP.");
        let long = [b'x'; 200];
        let quoted = "x".repeat(128);
        let expected = format!("ERR unknown command '{quoted}', with args beginning with: '{quoted}' ");
        assert_eq!(error(&[&long, &long, b"more"]), expected);
        assert!(lookup.resolve(&[]).is_err());
        // A container by itself is found; its arity refuses the call.
        assert!(lookup.resolve(&[b"config"]).is_ok_and(|command| !command.spec.accepts(1)));
    }

    #[test]
    fn renamed_and_removed() {
        let long = "a-name-well-beyond-sixteen-bytes";
        let twin = "a-name-whose-end-is-sixteen-bytes";
        let renames: &[(&[u8], &[u8])] = &[
            (b"CONFIG", b"hidden"),
            (b"debug", b""),
            (b"get", long.as_bytes()),
            (b"set", b"GET"),
            (b"ping", twin.as_bytes()),
            (b"echo", b"Echo"),
        ];
        let lookup = Lookup::renamed(renames).ok().unwrap();
        assert_eq!(found(&lookup, "config"), None);
        assert_eq!(found(&lookup, "HIDDEN|get").as_deref(), Some("config|get"));
        assert_eq!(found(&lookup, "debug"), None);
        assert_eq!(found(&lookup, long).as_deref(), Some("get"));
        assert_eq!(found(&lookup, &long.to_uppercase()).as_deref(), Some("get"));
        assert_eq!(found(&lookup, "get").as_deref(), Some("set"));
        assert_eq!(found(&lookup, twin).as_deref(), Some("ping"));
        assert_eq!(found(&lookup, "echo").as_deref(), Some("echo"));
        assert_eq!(lookup.visible().len(), Lookup::plain().visible().len() - 1);
        let error = |renames: &[(&[u8], &[u8])]| Lookup::renamed(renames).err();
        assert_eq!(error(&[(b"nosuch", b"x")]), Some(RenameError::NoSuchCommand));
        assert_eq!(error(&[(b"get", b"set")]), Some(RenameError::NameTaken));
        assert_eq!(error(&[(b"get", b""), (b"get", b"x")]), Some(RenameError::NoSuchCommand));
    }

    #[test]
    fn names_that_share_a_print() {
        let names: [&[u8]; 4] = [b"prefix--one-suffix--", b"prefix--two-suffix--", b"a[b", b"a{b"];
        let index = NameIndex::new(names.iter().zip(0..).map(|(name, id)| (*name, CommandId(id))));
        for (name, id) in names.iter().zip(0..) {
            assert_eq!(index.get(name), Some(CommandId(id)));
        }
        assert_eq!(index.get(b"prefix--six-suffix--"), None);
        assert_eq!(NameIndex::default().get(b"get"), None);
    }
}
