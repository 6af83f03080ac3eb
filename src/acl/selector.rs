//! One set of permissions: commands, keys, channels. A user has a first one and may have more, each sufficient alone.
//!
//! Which commands are allowed is a bit per id, so that a check is a look at one bit; how they came to be allowed is kept
//! beside it, as the rules given, to be shown again. Both always agree: applying `rules` to what `starts_with_all` says
//! gives `allowed`.

use std::collections::BTreeMap;

use super::rule::{RuleError, Rules, has_spaces};
use crate::base::glob;
use crate::base::quoting::split_arguments;

/// Bits of what is done to a key, and of what a pattern allows.
pub type Access = u8;
pub const READ: Access = 1;
pub const WRITE: Access = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    pattern: Vec<u8>,
    access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    all_commands: bool,
    all_keys: bool,
    all_channels: bool,
    /// Whether the last rule for all commands allowed them.
    starts_with_all: bool,
    allowed: Box<[u64]>,
    /// By command that is not allowed: values of its first argument with which it is.
    first_arguments: BTreeMap<usize, Vec<Vec<u8>>>,
    /// The rules since the last one for all commands, each with its sign; a later one on the same takes its place.
    rules: Vec<Vec<u8>>,
    keys: Vec<KeyPattern>,
    channels: Vec<Vec<u8>>,
}

impl Selector {
    /// One that allows nothing, but for channels where new users get them.
    pub fn new(rules: Rules<'_>) -> Selector {
        Selector { all_channels: rules.all_channels, ..Selector::none(rules.catalogue.commands.len()) }
    }

    fn none(commands: usize) -> Selector {
        Selector {
            all_commands: false,
            all_keys: false,
            all_channels: false,
            starts_with_all: false,
            allowed: vec![0; commands.div_ceil(64)].into(),
            first_arguments: BTreeMap::new(),
            rules: Vec::new(),
            keys: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// One that allows everything.
    pub fn everything(commands: usize) -> Selector {
        let mut selector = Selector { all_keys: true, all_channels: true, ..Selector::none(commands) };
        selector.set_all_commands(true);
        selector
    }

    // ---- checks -------------------------------------------------------------------------------------------------

    pub fn allows_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Whether a command may run; `first_argument` is what follows its name.
    #[inline]
    pub fn allows_command(&self, id: usize, first_argument: Option<&[u8]>) -> bool {
        self.all_commands || self.bit(id) || self.allows_first_argument(id, first_argument)
    }

    fn allows_first_argument(&self, id: usize, argument: Option<&[u8]>) -> bool {
        let (Some(allowed), Some(argument)) = (self.first_arguments.get(&id), argument) else { return false };
        allowed.iter().any(|known| known.eq_ignore_ascii_case(argument))
    }

    pub fn allows_all_keys(&self) -> bool {
        self.all_keys
    }

    /// Whether everything in `access` may be done to a key.
    pub fn allows_key(&self, key: &[u8], access: Access) -> bool {
        let allows = |known: &KeyPattern| known.access & access == access && glob::matches(&known.pattern, key, false);
        self.all_keys || self.keys.iter().any(allows)
    }

    /// Whether `access` to any key whatever is allowed.
    pub fn allows_every_key(&self, access: Access) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.access & access == access && known.pattern == b"*")
    }

    pub fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// A pattern of channels is allowed only as it stands.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |known: &Vec<u8>| match is_pattern {
            true => known == channel,
            false => glob::matches(known, channel, false),
        };
        self.all_channels || self.channels.iter().any(allows)
    }

    #[inline]
    fn bit(&self, id: usize) -> bool {
        self.allowed.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    // ---- rules --------------------------------------------------------------------------------------------------

    /// Reads "(rule rule ...)".
    pub fn read(text: &[u8], rules: Rules<'_>) -> Result<Selector, RuleError> {
        let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")")).ok_or(RuleError::Syntax)?;
        let mut selector = Selector::new(rules);
        for rule in split_arguments(inner).ok_or(RuleError::Syntax)? {
            selector.apply(&rule, rules)?;
        }
        Ok(selector)
    }

    /// Applies one rule; an error leaves everything as it was.
    pub fn apply(&mut self, rule: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => {
                self.all_keys = true;
                self.keys.clear();
            }
            b"resetkeys" => {
                self.all_keys = false;
                self.keys.clear();
            }
            b"allchannels" | b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            b"resetchannels" => {
                self.all_channels = false;
                self.channels.clear();
            }
            b"allcommands" | b"+@all" => self.set_all_commands(true),
            b"nocommands" | b"-@all" => self.set_all_commands(false),
            _ => match rule {
                [b'~' | b'%', ..] => self.add_keys(rule)?,
                [b'&', pattern @ ..] => self.add_channels(pattern)?,
                [sign @ (b'+' | b'-'), b'@', category @ ..] => self.set_category(*sign == b'+', category, rules)?,
                [b'+', name @ ..] if name.contains(&b'|') => self.allow_part(name, rules)?,
                [sign @ (b'+' | b'-'), name @ ..] => {
                    let id = rules.catalogue.find(name).ok_or(RuleError::UnknownCommandOrCategory)?;
                    self.set_command(*sign == b'+', id, rules);
                }
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    pub fn set_all_commands(&mut self, allow: bool) {
        self.allowed.fill(if allow { u64::MAX } else { 0 });
        self.all_commands = allow;
        self.starts_with_all = allow;
        self.first_arguments.clear();
        self.rules.clear();
    }

    /// "~pattern", "%R~pattern", "%W~pattern", "%RW~pattern".
    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeyPatternAfterAll);
        }
        let (access, pattern) = match rule {
            [b'~', pattern @ ..] => (READ | WRITE, pattern),
            _ => read_access(&rule[1..]).ok_or(RuleError::Syntax)?,
        };
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern { pattern: pattern.to_vec(), access }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelPatternAfterAll);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    fn set_category(&mut self, allow: bool, name: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        let category = rules.catalogue.category(name).ok_or(RuleError::UnknownCommandOrCategory)?;
        let mut changed = false;
        for (id, known) in rules.catalogue.commands.iter().enumerate() {
            if known.categories & category != 0 {
                changed |= self.set_with_subcommands(allow, id, rules);
            }
        }
        if changed {
            self.note_rule(allow, &[b"@", &name.to_ascii_lowercase()[..]].concat());
        }
        Ok(())
    }

    fn set_command(&mut self, allow: bool, id: usize, rules: Rules<'_>) {
        if self.set_with_subcommands(allow, id, rules) {
            self.note_rule(allow, rules.catalogue.commands[id].full_name.as_bytes());
        }
    }

    /// "+command|subcommand", or "+command|argument" where the command has no subcommands.
    fn allow_part(&mut self, name: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        let split = name.iter().rposition(|byte| *byte == b'|').unwrap_or_default();
        let (command, part) = (&name[..split], &name[split + 1..]);
        let id = rules.catalogue.find(command).ok_or(RuleError::UnknownCommandOrCategory)?;
        let known = &rules.catalogue.commands[id];
        if known.is_subcommand {
            return Err(RuleError::FirstArgumentOfSubcommand);
        }
        if part.is_empty() {
            return Err(RuleError::Syntax);
        }
        if !known.subcommands.is_empty() {
            let subcommand = rules.catalogue.find(name).ok_or(RuleError::UnknownCommandOrCategory)?;
            self.set_command(true, subcommand, rules);
            return Ok(());
        }
        if !self.bit(id) && !self.allows_first_argument(id, Some(part)) {
            self.first_arguments.entry(id).or_default().push(part.to_vec());
            self.note_rule(true, &[known.full_name.as_bytes(), b"|", part].concat());
        }
        Ok(())
    }

    /// Whether that changed anything.
    fn set_with_subcommands(&mut self, allow: bool, id: usize, rules: Rules<'_>) -> bool {
        let subcommands = rules.catalogue.commands[id].subcommands.clone();
        std::iter::once(id).chain(subcommands).fold(false, |changed, id| self.set_bit(allow, id) | changed)
    }

    fn set_bit(&mut self, allow: bool, id: usize) -> bool {
        let had_arguments = self.first_arguments.remove(&id).is_some();
        let changed = self.bit(id) != allow;
        self.allowed[id / 64] ^= u64::from(changed) << (id % 64);
        self.all_commands &= allow;
        changed || had_arguments
    }

    /// Keeps a rule that changed something. Earlier ones on the same command, or on parts of it, no longer matter.
    fn note_rule(&mut self, allow: bool, name: &[u8]) {
        self.rules.retain(|rule| {
            let rest = rule[1..].strip_prefix(name);
            !rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        });
        self.rules.push([if allow { b"+" } else { b"-" }, name].concat());
    }

    // ---- showing ------------------------------------------------------------------------------------------------

    /// The rules that make the same set of commands.
    pub fn describe_commands(&self) -> Vec<u8> {
        let mut text = if self.starts_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.rules {
            text.push(b' ');
            text.extend_from_slice(rule);
        }
        text
    }

    /// The same of keys; empty when none is allowed.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let show = |known: &KeyPattern| {
            let sign: &[u8] = match known.access {
                READ => b"%R~",
                WRITE => b"%W~",
                _ => b"~",
            };
            [sign, &known.pattern].concat()
        };
        self.keys.iter().map(show).collect::<Vec<_>>().join(&b' ')
    }

    /// The same of channels.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|pattern| [b"&", &pattern[..]].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules that make this selector of one that allows nothing.
    pub fn describe(&self) -> Vec<u8> {
        let channels = self.describe_channels();
        let start: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        let parts = [&self.describe_keys()[..], start, &channels, &self.describe_commands()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}

/// What stands between "%" and "~", and the pattern behind it. Without a "~" the pattern is empty: it allows nothing.
fn read_access(text: &[u8]) -> Option<(Access, &[u8])> {
    let mut access = 0;
    for (at, byte) in text.iter().enumerate() {
        let bit = match byte.to_ascii_lowercase() {
            b'r' => READ,
            b'w' => WRITE,
            b'~' if access != 0 => return Some((access, &text[at + 1..])),
            _ => return None,
        };
        if access & bit != 0 {
            return None;
        }
        access |= bit;
    }
    (access != 0).then_some((access, b""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue;

    fn read(text: &str) -> Result<Selector, RuleError> {
        Selector::read(text.as_bytes(), Rules { catalogue: &catalogue::sample(), all_channels: false })
    }

    fn shown(text: &str) -> String {
        match read(text) {
            Ok(selector) => String::from_utf8(selector.describe()).unwrap(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn rules_are_shown_as_they_were_given() {
        for (rules, expected) in [
            ("()", "resetchannels -@all"),
            ("(+@all ~* &*)", "~* &* +@all"),
            ("(+@all -CONFIG +config|GET)", "resetchannels +@all -config +config|get"),
            ("(+config|get +config)", "resetchannels -@all +config"),
            ("(+@all +config|get)", "resetchannels +@all"),
            ("(+@string -get)", "resetchannels -@all +@string -get"),
            ("(+get -get)", "resetchannels -@all -get"),
            ("(+select|0 +select|0 +SELECT|1)", "resetchannels -@all +select|0 +select|1"),
            ("(+select|0 -select)", "resetchannels -@all -select"),
            ("(+get +@all -@all)", "resetchannels -@all"),
            ("(%R~a %W~a %w~b %RW~c ~d &x &x &y)", "~a %W~b ~c ~d resetchannels &x &y -@all"),
            ("(~a allkeys)", "~* resetchannels -@all"),
            ("(~* ~a)", "KeyPatternAfterAll"),
            ("(&* &a)", "ChannelPatternAfterAll"),
            ("(+nosuch)", "UnknownCommandOrCategory"),
            ("(+config|nosuch)", "UnknownCommandOrCategory"),
            ("(-select|0)", "UnknownCommandOrCategory"),
            ("(+get|a|b)", "UnknownCommandOrCategory"),
            ("(+config|get|a)", "FirstArgumentOfSubcommand"),
            ("(+select|)", "Syntax"),
            ("(-@nosuch)", "UnknownCommandOrCategory"),
            ("(%~a)", "Syntax"),
            ("(%)", "Syntax"),
            ("(%RR~a)", "Syntax"),
            ("(word)", "Syntax"),
            (" ()", "Syntax"),
        ] {
            assert_eq!(shown(rules), expected, "{rules}");
            if expected.starts_with(|sign: char| !sign.is_ascii_uppercase()) {
                let (again, given) = (read(&format!("({expected})")).unwrap(), read(rules).unwrap());
                assert_eq!(again.allowed, given.allowed, "{rules}");
                assert_eq!((again.keys, again.channels), (given.keys, given.channels), "{rules}");
            }
        }
    }

    #[test]
    fn commands() {
        let catalogue = catalogue::sample();
        let allowed = |rules: &str| {
            let selector = read(rules).unwrap();
            let names = catalogue.commands.iter().enumerate();
            let names =
                names.filter(|(id, _)| selector.allows_command(*id, None)).map(|(_, known)| &known.full_name[..]);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(allowed("()"), "");
        assert_eq!(allowed("(+config)"), "config config|get config|set");
        assert_eq!(allowed("(+config|get)"), "config|get");
        assert_eq!(allowed("(+@slow)"), "config config|get config|set select");
        assert_eq!(allowed("(+@all -@string -config|set)"), "config config|get select");
        let selector = read("(+select|0)").unwrap();
        assert!(selector.allows_command(4, Some(b"0")) && !selector.allows_command(4, Some(b"1")));
        assert!(!selector.allows_command(4, None) && !selector.allows_command(3, Some(b"0")));
    }

    #[test]
    fn keys_and_channels() {
        let selector = read("(%R~r* %W~w* ~b* &c:* &p)").unwrap();
        for (key, access, expected) in [
            ("r1", READ, true),
            ("r1", WRITE, false),
            ("w1", WRITE, true),
            ("w1", READ | WRITE, false),
            ("b1", READ | WRITE, true),
            ("r1", 0, true),
            ("x", 0, false),
        ] {
            assert_eq!(selector.allows_key(key.as_bytes(), access), expected, "{key} {access}");
        }
        assert!(!selector.allows_every_key(READ) && read("(%R~*)").unwrap().allows_every_key(READ));
        assert!(!read("(%R~*)").unwrap().allows_every_key(WRITE));
        assert!(selector.allows_channel(b"c:1", false) && !selector.allows_channel(b"d", false));
        assert!(selector.allows_channel(b"c:*", true) && !selector.allows_channel(b"c:1", true));
        assert!(!read("(%RW)").unwrap().allows_key(b"x", WRITE));
    }
}
