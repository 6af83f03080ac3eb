//! What rules are read with, why a rule is refused, and rules whose parentheses stand in several words.

use super::catalogue::Catalogue;

/// What reading rules depends on.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub catalogue: &'a Catalogue,
    /// Whether a new user may use all channels before a rule says otherwise (`acl-pubsub-default`).
    pub all_channels: bool,
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Syntax,
    UnknownCommandOrCategory,
    KeyPatternAfterAll,
    ChannelPatternAfterAll,
    NoSuchPassword,
    BadPasswordHash,
    FirstArgumentOfSubcommand,
}

impl RuleError {
    /// The reason as error replies give it.
    pub fn text(self) -> &'static str {
        match self {
            RuleError::Syntax => "Syntax error",
            RuleError::UnknownCommandOrCategory => "Unknown command or category name in ACL",
            RuleError::KeyPatternAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelPatternAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::BadPasswordHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        }
    }
}

/// Whether a name or pattern could not be told apart in a line of rules.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0x0b || *byte == 0)
}

/// Joins a selector that was split at its spaces: the words from one that opens a parenthesis to the one that closes
/// it become one rule. The error is the word whose parenthesis stays open.
pub fn join_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<(&'a [u8], Vec<u8>)> = None;
    for word in words {
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    joined.extend(open.take().map(|(_, selector)| selector));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => open = Some((word, word.to_vec())),
            None => joined.push(word.to_vec()),
        }
    }
    match open {
        Some((word, _)) => Err(word),
        None => Ok(joined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_in_several_words() {
        let joined = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let joined = join_selectors(&words).map_err(|word| String::from_utf8_lossy(word).into_owned())?;
            Ok(joined.iter().map(|rule| String::from_utf8_lossy(rule).into_owned()).collect::<Vec<_>>().join("/"))
        };
        assert_eq!(joined("on (+get ~k) off"), Ok("on/(+get ~k)/off".to_owned()));
        assert_eq!(joined("( +get ) (~a)"), Ok("( +get )/(~a)".to_owned()));
        assert_eq!(joined("on (+get ~k"), Err("(+get".to_owned()));
    }

    #[test]
    fn spaces() {
        assert!(has_spaces(b"a b") && has_spaces(b"a\0") && has_spaces(b"a\t") && !has_spaces(b"a-b:*"));
    }
}
