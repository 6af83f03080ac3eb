//! Glob patterns over bytes, as KEYS, SCAN, PSUBSCRIBE, ACL rules and CONFIG GET use them.
//!
//! `*` any run, `?` one byte, `[abc]`, `[a-z]`, `[^a]` a class, `\x` the byte x itself. Pure: no state. The match
//! walks both inputs with one point to go back to (the last `*`), so the worst case is pattern length times text
//! length and no pattern can make it recurse or take exponential time.
//!
//! Two oddities are part of the protocol's behaviour and kept: an empty text matches only an empty pattern, not `*`, and
//! what follows [`STARS_MAX`] stars matches nothing.

/// A match passes so many runs of `*` at most, but for one at the pattern's end.
const STARS_MAX: usize = 1000;

/// Whether `text` as a whole matches `pattern`. With `ignore_case`, ASCII letters match either case.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: pattern after it, text it has not yet eaten.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            while pattern.get(at_pattern) == Some(&b'*') {
                at_pattern += 1;
            }
            if at_pattern == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            retry = Some((at_pattern, at_text));
            continue;
        }
        if let Some(next) = step(pattern, at_pattern, text[at_text], ignore_case) {
            at_pattern = next;
            at_text += 1;
            continue;
        }
        let Some((pattern_after_star, eaten_to)) = retry else {
            return false;
        };
        retry = Some((pattern_after_star, eaten_to + 1));
        at_pattern = pattern_after_star;
        at_text = eaten_to + 1;
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

/// Whether a pattern holds anything but literal bytes.
pub fn is_pattern(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The literal bytes that every match of `pattern` begins with, and whether they are the whole pattern.
pub fn literal_prefix(pattern: &[u8]) -> (Vec<u8>, bool) {
    let mut prefix = Vec::new();
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] => return (prefix, true),
            [b'*' | b'?' | b'[', ..] => return (prefix, false),
            [b'\\', escaped, rest @ ..] => {
                prefix.push(*escaped);
                rest
            }
            [literal, rest @ ..] => {
                prefix.push(*literal);
                rest
            }
        };
    }
}

/// Matches one byte against the pattern's element at `at`; the position after that element, or None.
fn step(pattern: &[u8], at: usize, byte: u8, ignore_case: bool) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte, ignore_case),
        b'\\' if at + 1 < pattern.len() => same(pattern[at + 1], byte, ignore_case).then_some(at + 2),
        literal => same(literal, byte, ignore_case).then_some(at + 1),
    }
}

/// Matches one byte against a class whose body starts at `at`. A class that is never closed ends with the pattern.
fn class(pattern: &[u8], mut at: usize, byte: u8, ignore_case: bool) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut found = false;
    loop {
        match pattern.get(at..) {
            None | Some([]) => break,
            Some([b'\\', escaped, ..]) => {
                found |= *escaped == byte;
                at += 2;
            }
            Some([b']', ..]) => {
                at += 1;
                break;
            }
            Some([first, b'-', last, ..]) => {
                found |= in_range(*first, *last, byte, ignore_case);
                at += 3;
            }
            Some([literal, ..]) => {
                found |= same(*literal, byte, ignore_case);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// Ranges compare as signed bytes and may be given backwards: both are what existing clients meet.
fn in_range(first: u8, last: u8, byte: u8, ignore_case: bool) -> bool {
    let (mut low, mut high) = (first as i8, last as i8);
    let mut value = byte as i8;
    if low > high {
        std::mem::swap(&mut low, &mut high);
    }
    if ignore_case {
        low = (low as u8).to_ascii_lowercase() as i8;
        high = (high as u8).to_ascii_lowercase() as i8;
        value = (value as u8).to_ascii_lowercase() as i8;
    }
    low <= value && value <= high
}

fn same(left: u8, right: u8, ignore_case: bool) -> bool {
    if ignore_case { left.eq_ignore_ascii_case(&right) } else { left == right }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn literals_and_stars() {
        assert!(fits("abc", "abc"));
        assert!(!fits("abc", "abcd"));
        assert!(!fits("abcd", "abc"));
        assert!(fits("*", "x"));
        assert!(fits("a*", "a"));
        assert!(fits("a***", "a"));
        assert!(fits("*a*b*", "xxaxxbxx"));
        assert!(!fits("*a*b*", "xxbxxaxx"));
        assert!(fits("a*a", "aba"));
        assert!(!fits("a*a", "a"));
        assert!(fits("h?llo", "hello"));
        assert!(!fits("h?llo", "hllo"));
        assert!(fits("*?", "x"));
    }

    #[test]
    fn a_thousand_stars_match_and_one_more_does_not() {
        let pattern = |stars: usize| "*a".repeat(stars);
        assert!(fits(&pattern(1000), &"ba".repeat(1000)));
        assert!(fits(&(pattern(1000) + "*"), &"ba".repeat(1001)));
        assert!(!fits(&pattern(1001), &"ba".repeat(1001)));
    }

    #[test]
    fn the_empty_text_matches_only_the_empty_pattern() {
        assert!(fits("", ""));
        assert!(!fits("*", ""));
        assert!(!fits("", "a"));
    }

    #[test]
    fn classes() {
        assert!(fits("h[ae]llo", "hallo"));
        assert!(!fits("h[ae]llo", "hillo"));
        assert!(fits("h[^e]llo", "hallo"));
        assert!(!fits("h[^e]llo", "hello"));
        assert!(fits("[a-c]x", "bx"));
        assert!(fits("[c-a]x", "bx"));
        assert!(fits("[\\]]", "]"));
        assert!(fits("[a\\-z]", "-"));
        assert!(!fits("[a\\-z]", "b"));
        assert!(fits("a[bc", "ab"));
        assert!(!fits("a[bc", "ad"));
        assert!(!fits("[]", "a"));
        assert!(fits("[^]", "a"));
        assert!(!fits("[", "["));
        assert!(fits("x[^", "xy"));
    }

    #[test]
    fn escapes() {
        assert!(fits("\\*", "*"));
        assert!(!fits("\\*", "a"));
        assert!(fits("a\\", "a\\"));
        assert!(fits("\\?\\[", "?["));
    }

    #[test]
    fn case_and_bytes() {
        assert!(matches(b"HeL*", b"hello", true));
        assert!(matches(b"[a-z]", b"Q", true));
        assert!(!matches(b"[a-z]", b"Q", false));
        assert!(matches(b"\xff?\x00", b"\xff\x80\x00", false));
        assert!(matches(b"[\x80-\xff]", b"\x90", false));
    }

    #[test]
    fn hostile_patterns_stay_quick() {
        let text = "a".repeat(5000);
        assert!(!fits(&("a*".repeat(STARS_MAX) + "b"), &text));
        assert!(fits(&"*a".repeat(STARS_MAX), &text));
    }

    #[test]
    fn literal_prefixes() {
        let prefix = |pattern: &str| literal_prefix(pattern.as_bytes());
        assert_eq!(prefix("abc"), (b"abc".to_vec(), true));
        assert_eq!(prefix("a\\*b\\"), (b"a*b\\".to_vec(), true));
        assert_eq!(prefix("{u}:*x"), (b"{u}:".to_vec(), false));
        assert_eq!(prefix("?"), (vec![], false));
        assert_eq!(prefix("a[b]"), (b"a".to_vec(), false));
        assert_eq!(prefix(""), (vec![], true));
    }

    #[test]
    fn what_counts_as_a_pattern() {
        assert!(is_pattern(b"max*"));
        assert!(is_pattern(b"[m]ax"));
        assert!(!is_pattern(b"maxmemory"));
        assert!(!is_pattern(b"a\\b"));
    }
}
