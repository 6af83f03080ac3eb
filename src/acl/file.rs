//! The users' file: lines of "user name rule ...". There are no comments, for the file is written anew by ACL SAVE.

use std::fmt::Write;

use super::rule::{RuleError, Rules, has_spaces, join_selectors};
use super::user::User;

/// Reads a file's text; `file` is its name in errors. With any error none of it counts, and all errors are told in one
/// line.
pub fn read(text: &[u8], file: &str, rules: Rules<'_>, mut next_id: impl FnMut() -> u64) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let (line, number) = (line.trim_ascii(), index + 1);
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        // Writing to a string cannot fail.
        let _ = match &words[..] {
            [b"user", name, rest @ ..] => {
                let shown = String::from_utf8_lossy(name);
                if has_spaces(name) {
                    write!(errors, "'{file}:{number}: username '{shown}' contains invalid characters. ")
                } else if users.iter().any(|user| *user.name == **name) {
                    write!(errors, "WARNING: Duplicate user '{shown}' found on line {number}. ")
                } else {
                    let mut user = User::new(name, next_id(), rules);
                    apply(&mut user, rest, &format!("{file}:{number}"), rules, &mut errors);
                    users.push(user);
                    Ok(())
                }
            }
            _ => write!(errors, "{file}:{number} should start with user keyword followed by the username. "),
        };
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Names what is unknown, which is no secret; of other errors only the first is told, and no password.
fn apply(user: &mut User, words: &[&[u8]], place: &str, rules: Rules<'_>, errors: &mut String) {
    let joined = match join_selectors(words) {
        Ok(joined) => joined,
        Err(_) => return errors.push_str(&format!("{place}: Unmatched parenthesis in selector definition.")),
    };
    let mut told = false;
    for rule in joined {
        match user.apply(rule.trim_ascii(), rules) {
            Ok(()) => {}
            Err(error @ RuleError::UnknownCommandOrCategory) => {
                let shown = String::from_utf8_lossy(&rule);
                errors.push_str(&format!("{place}: Error in applying operation '{shown}': {}. ", error.text()));
            }
            Err(error) if !told => {
                errors.push_str(&format!("{place}: {}. ", error.text()));
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// The file's text for these users.
pub fn write<'u>(users: impl Iterator<Item = &'u User>) -> Vec<u8> {
    users.flat_map(|user| [b"user ", &user.describe()[..], b"\n"].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue;

    fn read_text(text: &str) -> Result<Vec<User>, String> {
        let catalogue = catalogue::sample();
        read(text.as_bytes(), "u.acl", Rules { catalogue: &catalogue, all_channels: false }, || 1)
    }

    #[test]
    fn files() {
        let text =
            "user alice on nopass ~* &* +@all\n\n  user bob off resetchannels -@all (~a* resetchannels -@all +get)\r\n";
        let users = read_text(text).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(read_text(&String::from_utf8(write(users.iter())).unwrap()).unwrap(), users);
    }

    #[test]
    fn errors_are_told_with_their_lines() {
        let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        for (text, expected) in [
            ("user a on\nuser a off", "WARNING: Duplicate user 'a' found on line 2. "),
            ("# no", "u.acl:1 should start with user keyword followed by the username. "),
            ("user", "u.acl:1 should start with user keyword followed by the username. "),
            (
                "user a +nosuch",
                "u.acl:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. ",
            ),
            ("\nuser a secret #1", "u.acl:2: Syntax error. "),
            ("user a (+get", "u.acl:1: Unmatched parenthesis in selector definition."),
        ] {
            assert_eq!(read_text(text), Err(format!("{expected}{end}")), "{text}");
        }
    }
}
