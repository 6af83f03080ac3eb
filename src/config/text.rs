//! The text forms that configuration uses: quoted arguments, integers, memory sizes, octal, CPU lists. Pure functions.

/// Splits a line into arguments. `"..."` knows \n \r \t \b \a \\ \" and \xHH, `'...'` knows only \'. A closing quote
/// must end its argument. None means unbalanced quotes.
pub fn split_arguments(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_space(*byte)) {
            at += 1;
        }
        if at >= line.len() {
            return Some(arguments);
        }
        let mut current = Vec::new();
        while let Some(&byte) = line.get(at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => break,
                b'"' | b'\'' => {
                    at = quoted(line, at + 1, byte, &mut current)?;
                    break;
                }
                _ => current.push(byte),
            }
            at += 1;
        }
        arguments.push(current);
    }
}

/// Reads a quoted part from `at` up to its closing quote; the position after it.
fn quoted(line: &[u8], mut at: usize, quote: u8, current: &mut Vec<u8>) -> Option<usize> {
    loop {
        let rest = line.get(at..)?;
        match rest {
            [] => return None,
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                current.push(hex_value(*high) * 16 + hex_value(*low));
                at += 4;
            }
            [b'\\', escaped, ..] if quote == b'"' => {
                current.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [b'\\', b'\'', ..] if quote == b'\'' => {
                current.push(b'\'');
                at += 2;
            }
            [first, ..] if *first == quote => {
                let next = line.get(at + 1);
                return next.is_none_or(|byte| is_space(*byte)).then_some(at + 1);
            }
            [other, ..] => {
                current.push(*other);
                at += 1;
            }
        }
    }
}

/// Writes bytes as a quoted argument that `split_arguments` reads back to the same bytes.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(byte as char);
            }
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// A decimal integer in its one canonical spelling: no plus sign, no leading zeros, no spaces, within 64 bits signed.
pub fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

/// A decimal integer as C's strtoll takes it: leading spaces, a sign and leading zeros allowed, nothing after it. The
/// empty text is 0. Saturates.
pub fn lenient_integer(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let trimmed = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, digits) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let limit = if negative { i64::MIN } else { i64::MAX };
    let signed = if negative { format!("-{digits}") } else { digits.to_string() };
    Some(signed.parse().unwrap_or(limit))
}

/// An octal number such as 700 or 0700.
pub fn octal(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches([' ', '\t']);
    i64::from_str_radix(digits, 8).ok()
}

/// An amount of memory: digits and a unit (b, k, kb, m, mb, g, gb; k is 1000 and kb is 1024), case ignored.
pub fn memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let amount: u64 = match &text[..digits] {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    amount.checked_mul(unit)
}

/// An amount of memory in the largest binary unit that divides it.
pub fn format_memory(bytes: u64) -> String {
    for (unit, name) in [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// The CPUs that a list such as `0-3`, `0,2` or `0-10:2` names, in order. None if it is malformed.
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    const CPUS_MAX: usize = 4096;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<usize>().ok().filter(|cpu| *cpu < CPUS_MAX) } else { None }
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (range, stride) = match part.split_once(':') {
            Some((range, stride)) => (range, number(stride).filter(|stride| *stride > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return None;
        }
        cpus.extend((first..=last).step_by(stride));
    }
    Some(cpus)
}

/// Fills `{name}` in a template from `lookup`; `{{` is a brace. None for an unknown name or an unclosed brace.
/// Spaces at both ends are dropped.
pub fn expand_template(template: &str, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(brace) = rest.find('{') {
        out.push_str(&rest[..brace]);
        rest = &rest[brace + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let end = rest.find('}')?;
        out.push_str(&lookup(&rest[..end])?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out.trim_matches(' ').to_string())
}

/// The operating system's own words for an error, without Rust's "(os error N)".
pub fn system_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let arguments = split_arguments(line.as_bytes())?;
        Some(arguments.into_iter().map(|argument| String::from_utf8(argument).unwrap()).collect())
    }

    #[test]
    fn arguments_split_and_unquote() {
        assert_eq!(split("  a  b\tc ").unwrap(), ["a", "b", "c"]);
        assert_eq!(split("").unwrap(), Vec::<String>::new());
        assert_eq!(split(r#"save "" 'x y'"#).unwrap(), ["save", "", "x y"]);
        assert_eq!(split(r#"a "q\"\n\x41\z\x4""#).unwrap(), ["a", "q\"\nAzx4"]);
        assert_eq!(split(r"a 'it\'s \n'").unwrap(), ["a", r"it's \n"]);
        assert_eq!(split(r#"ab"c d""#).unwrap(), ["abc d"]);
        assert_eq!(split(r#"a "b"#), None);
        assert_eq!(split(r#"a "b"c"#), None);
        assert_eq!(split("a 'b'c"), None);
        assert_eq!(split("a 'b"), None);
        assert_eq!(split_arguments(br#""\xff""#).unwrap(), [vec![0xff]]);
    }

    #[test]
    fn quoting_reads_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(split_arguments(quote(&bytes).as_bytes()).unwrap(), [bytes]);
        assert_eq!(quote(b""), "\"\"");
    }

    #[test]
    fn integers_are_canonical() {
        assert_eq!(integer("-12"), Some(-12));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "+1", "01", "-0", " 1", "1 ", "1k", "9223372036854775808", "-"] {
            assert_eq!(integer(bad), None, "{bad:?}");
        }
        assert_eq!(lenient_integer("007"), Some(7));
        assert_eq!(lenient_integer(" -7"), Some(-7));
        assert_eq!(lenient_integer(""), Some(0));
        assert_eq!(lenient_integer("7x"), None);
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(memory("1k"), Some(1000));
        assert_eq!(memory("1KB"), Some(1024));
        assert_eq!(memory("5Mb"), Some(5 << 20));
        assert_eq!(memory("2g"), Some(2_000_000_000));
        assert_eq!(memory("1GB"), Some(1 << 30));
        assert_eq!(memory("0"), Some(0));
        for bad in ["-1", "1kk", "1.5m", "x", "99999999999999999999", "99999999999gb"] {
            assert_eq!(memory(bad), None, "{bad:?}");
        }
        assert_eq!(format_memory(0), "0");
        assert_eq!(format_memory(1000), "1000");
        assert_eq!(format_memory(256 << 20), "256mb");
        assert_eq!(format_memory(3 << 30), "3gb");
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(cpu_list("0-6:3,9"), Some(vec![0, 3, 6, 9]));
        for bad in ["", "a", "3-1", "0-4:0", "0,", "1-", "0-99999999"] {
            assert_eq!(cpu_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn templates() {
        let known = |name: &str| (name == "port").then(|| "7".to_string());
        assert_eq!(expand_template(" p={port} {{ ", known).unwrap(), "p=7 {");
        assert_eq!(expand_template("{nope}", known), None);
        assert_eq!(expand_template("{port", known), None);
        assert_eq!(expand_template("x{", known), None);
    }
}
