//! The text forms that configuration uses: quoting, lenient integers, memory sizes, octal, CPU lists, templates. Pure
//! functions.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::quoting::split_arguments;

    #[test]
    fn quoting_reads_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(split_arguments(quote(&bytes).as_bytes()).unwrap(), [bytes]);
        assert_eq!(quote(b""), "\"\"");
    }

    #[test]
    fn lenient_integers() {
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
