//! A user: whether it may log in, its passwords, its permissions. Never changed once sessions can hold it: a change
//! makes another one with the same id.

use std::sync::Arc;

use super::password;
use super::rule::{self, RuleError, Rules};
use super::selector::Selector;

/// The user that clients are before they log in.
pub const DEFAULT_NAME: &[u8] = b"default";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: Box<[u8]>,
    /// Tells a user from one of the same name that was deleted.
    pub id: u64,
    enabled: bool,
    no_password: bool,
    /// Whether its RESTORE payloads are checked, where a rule says so. They always are.
    sanitize_payload: Option<bool>,
    passwords: Vec<String>,
    first: Selector,
    more: Vec<Selector>,
}

/// Rules that cannot be applied to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// This word opens a parenthesis that nothing closes.
    OpenParenthesis(Vec<u8>),
    Rule(Vec<u8>, RuleError),
}

impl User {
    /// One that may do nothing and not even log in.
    pub fn new(name: &[u8], id: u64, rules: Rules<'_>) -> User {
        User {
            name: name.into(),
            id,
            enabled: false,
            no_password: false,
            sanitize_payload: None,
            passwords: Vec::new(),
            first: Selector::new(rules),
            more: Vec::new(),
        }
    }

    /// The default user before anything is configured: everybody is it, and may do everything.
    pub fn open(id: u64, commands: usize) -> User {
        User {
            name: DEFAULT_NAME.into(),
            id,
            enabled: true,
            no_password: true,
            sanitize_payload: None,
            passwords: Vec::new(),
            first: Selector::everything(commands),
            more: Vec::new(),
        }
    }

    // ---- checks -------------------------------------------------------------------------------------------------

    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether no password is needed.
    pub fn is_without_password(&self) -> bool {
        self.no_password
    }

    /// Whether a client is this user without logging in, if it is the default one.
    pub fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether there is nothing that it may not do, so that nothing needs to be checked.
    pub fn may_do_everything(&self) -> bool {
        self.first.allows_everything()
    }

    /// Whether one may log in as this user with this password.
    pub fn accepts(&self, given: &[u8]) -> bool {
        if !self.enabled || self.no_password {
            return self.enabled;
        }
        let given = password::hash(given);
        self.passwords.iter().fold(false, |found, known| found | password::same(known, &given))
    }

    /// The first and the others.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Whether any selector allows this.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    // ---- rules --------------------------------------------------------------------------------------------------

    /// Applies words of ACL SETUSER, all or none of them.
    pub fn changed_by(&self, words: &[&[u8]], rules: Rules<'_>) -> Result<User, SetError> {
        let joined = rule::join_selectors(words).map_err(|word| SetError::OpenParenthesis(word.to_vec()))?;
        let mut user = self.clone();
        for rule in joined {
            user.apply(&rule, rules).map_err(|error| SetError::Rule(rule, error))?;
        }
        Ok(user)
    }

    /// Applies one rule; an error leaves the user as it was.
    pub fn apply(&mut self, rule: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.sanitize_payload = Some(false),
            b"sanitize-payload" => self.sanitize_payload = Some(true),
            b"nopass" => self.set_password(None),
            b"resetpass" => self.reset_passwords(),
            b"clearselectors" => self.more.clear(),
            b"reset" => {
                *self = User { sanitize_payload: Some(true), ..User::new(&self.name, self.id, rules) };
            }
            _ => match rule {
                [b'>', given @ ..] => self.add_password(password::hash(given)),
                [b'#', hash @ ..] => self.add_password(read_hash(hash)?),
                [b'<', given @ ..] => self.remove_password(&password::hash(given))?,
                [b'!', hash @ ..] => self.remove_password(&read_hash(hash)?)?,
                [b'(', .., b')'] => self.more.push(Selector::read(rule, rules)?),
                _ => self.first.apply(rule, rules)?,
            },
        }
        Ok(())
    }

    /// Makes this the only password; without one, any will do.
    pub fn set_password(&mut self, only: Option<&[u8]>) {
        self.reset_passwords();
        self.no_password = only.is_none();
        self.passwords.extend(only.map(password::hash));
    }

    fn reset_passwords(&mut self) {
        self.no_password = false;
        self.passwords.clear();
    }

    fn add_password(&mut self, hash: String) {
        self.no_password = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: &str) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    // ---- showing ------------------------------------------------------------------------------------------------

    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        flags.extend(self.no_password.then_some("nopass"));
        flags.extend(self.sanitize_payload.map(|on| if on { "sanitize-payload" } else { "skip-sanitize-payload" }));
        flags
    }

    /// Digests in hexadecimal.
    pub fn passwords(&self) -> &[String] {
        &self.passwords
    }

    pub fn first_selector(&self) -> &Selector {
        &self.first
    }

    pub fn more_selectors(&self) -> &[Selector] {
        &self.more
    }

    /// The name and all rules, as they stand in a file behind "user".
    pub fn describe(&self) -> Vec<u8> {
        let mut words = vec![self.name.to_vec()];
        words.extend(self.flags().iter().map(|flag| flag.as_bytes().to_vec()));
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.first.describe());
        words.extend(self.more.iter().map(|selector| [b"(", &selector.describe()[..], b")"].concat()));
        words.join(&b' ')
    }
}

fn read_hash(text: &[u8]) -> Result<String, RuleError> {
    if !password::is_hash(text) {
        return Err(RuleError::BadPasswordHash);
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A user as sessions hold it.
pub type SharedUser = Arc<User>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue;

    const HASH: &str = "34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6";

    fn user(line: &str) -> Result<User, SetError> {
        let catalogue = catalogue::sample();
        let rules = Rules { catalogue: &catalogue, all_channels: false };
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        User::new(b"bob", 1, rules).changed_by(&words, rules)
    }

    fn shown(line: &str) -> String {
        String::from_utf8(user(line).unwrap().describe()).unwrap()
    }

    #[test]
    fn descriptions_make_the_same_user_again() {
        for (line, expected) in [
            ("", "bob off resetchannels -@all"),
            ("on nopass ~* &* +@all", "bob on nopass ~* &* +@all"),
            ("on >passwd4 +get", &format!("bob on #{HASH} resetchannels -@all +get")),
            (
                "skip-sanitize-payload (~a +get) ( +set )",
                "bob off skip-sanitize-payload resetchannels -@all \
              (~a resetchannels -@all +get) (resetchannels -@all +set)",
            ),
            ("on nopass (~a) +@all reset", "bob off sanitize-payload resetchannels -@all"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
            assert_eq!(user(expected.strip_prefix("bob ").unwrap()), user(line), "{line}");
        }
    }

    #[test]
    fn passwords() {
        let accepts = |line: &str, given: &str| user(line).unwrap().accepts(given.as_bytes());
        assert!(accepts("on >a >b", "a") && accepts("on >a >b", "b") && !accepts("on >a >b", "c"));
        assert!(!accepts("on >a >b <a", "a") && !accepts("off >a", "a") && !accepts("on", ""));
        assert!(
            accepts("on nopass", "whatever") && !accepts("off nopass", "whatever") && !accepts("on nopass >a", "b")
        );
        assert!(accepts(&format!("on #{HASH}"), "passwd4") && !accepts(&format!("on #{HASH} !{HASH}"), "passwd4"));
        let reason = |line: &str| match user(line) {
            Err(SetError::Rule(_, error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("<a"), RuleError::NoSuchPassword);
        assert_eq!(reason("#abc"), RuleError::BadPasswordHash);
        assert_eq!(reason("bogus"), RuleError::Syntax);
        assert_eq!(user("(+get"), Err(SetError::OpenParenthesis(b"(+get".to_vec())));
    }
}
