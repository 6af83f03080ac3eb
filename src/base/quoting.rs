//! Splitting a line into arguments with Redis's quoting rules: inline requests and configuration lines.
//!
//! `"..."` knows the escapes \n \r \t \b \a \xHH and a backslash before any other byte; `'...'` knows only \'.
//! A closing quote must be followed by white space or the line's end.

/// Splits `line`, or gives `None` when its quotes do not balance.
pub fn split_arguments(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() || rest[0] == 0 {
            return Some(arguments);
        }
        let (argument, used) = one_argument(rest)?;
        arguments.push(argument);
        rest = &rest[used..];
    }
}

fn one_argument(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut argument = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | 0 => break,
            b'"' | b'\'' => {
                at = quoted(text, at + 1, byte, &mut argument)?;
                return match text.get(at) {
                    Some(after) if !is_space(*after) => None,
                    _ => Some((argument, at)),
                };
            }
            _ => argument.push(byte),
        }
        at += 1;
    }
    Some((argument, at))
}

/// Reads up to the closing `quote`; gives the position after it.
fn quoted(text: &[u8], mut at: usize, quote: u8, argument: &mut Vec<u8>) -> Option<usize> {
    loop {
        let byte = *text.get(at)?;
        if byte == quote {
            return Some(at + 1);
        }
        let escaped = text.get(at + 1).copied();
        match (byte, escaped) {
            (b'\\', Some(b'\'')) if quote == b'\'' => {
                argument.push(b'\'');
                at += 2;
            }
            (b'\\', Some(b'x')) if quote == b'"' && hex_pair(&text[at + 2..]).is_some() => {
                argument.extend(hex_pair(&text[at + 2..]));
                at += 4;
            }
            (b'\\', Some(escaped)) if quote == b'"' => {
                argument.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            _ => {
                argument.push(byte);
                at += 1;
            }
        }
    }
}

/// What C calls a space, which has a vertical tab that Rust's idea of one has not.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*text.first()?)? * 16 + digit(*text.get(1)?)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        Some(
            split_arguments(line.as_bytes())?
                .into_iter()
                .map(|argument| String::from_utf8(argument).unwrap())
                .collect(),
        )
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(split("  a  b\t c ").unwrap(), ["a", "b", "c"]);
        assert_eq!(split(r#""a b" 'c d' "\x41\n\q" '\''"#).unwrap(), ["a b", "c d", "A\nq", "'"]);
        assert_eq!(split(r#""""#).unwrap(), [""]);
        assert_eq!(split("\x0b\x0ca \x0bb\x0bc").unwrap(), ["a", "b\x0bc"]);
        assert_eq!(split(""), Some(vec![]));
        for unbalanced in [r#""a"#, "'a", r#""a"b"#, r#""a\""#] {
            assert_eq!(split(unbalanced), None, "{unbalanced}");
        }
    }
}
