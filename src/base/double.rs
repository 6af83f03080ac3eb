//! Doubles as C's `strtod` reads them, with the limits that Redis adds.

/// A number that is the whole text: no white space, not a NaN, and neither overflow nor underflow to zero. Decimal,
/// hexadecimal and `inf` are fine.
#[inline]
pub fn parse_double(text: &[u8]) -> Option<f64> {
    if let 1..=15 = text.len()
        && text.iter().all(u8::is_ascii_digit)
    {
        // So few digits are exact.
        return Some(text.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')) as f64);
    }
    let (value, in_range) = read(text)?;
    in_range.then_some(value)
}

/// A bound of a range: also what is out of range reads as infinite or zero, white space may stand in front, and no text
/// at all is zero.
pub fn parse_bound(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    read(&text[start..]).map(|(value, _)| value)
}

/// The value, and whether it is in the range of normal numbers, or zero or infinite because the text says so.
fn read(text: &[u8]) -> Option<(f64, bool)> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
        let (value, in_range) = hexadecimal(digits)?;
        return Some((if text[0] == b'-' { -value } else { value }, in_range));
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    let mantissa = || unsigned.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
    let in_range = match value {
        0.0 => !mantissa().any(|digit| matches!(digit, b'1'..=b'9')),
        _ if value.is_infinite() => unsigned[0].eq_ignore_ascii_case(&b'i'),
        _ => true,
    };
    Some((value, in_range))
}

/// Digits, perhaps a point among them, perhaps an exponent of two after `p`.
fn hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    /// Exponents beyond this are out of range whatever the digits, of which a request has fewer.
    const EXPONENT_MAX: i64 = 1 << 40;
    let split = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p')).unwrap_or(text.len());
    let (digits, exponent_text) = (&text[..split], text.get(split + 1..));
    let (mut mantissa, mut exponent, mut digit_count, mut after_point) = (0u64, 0i64, 0, false);
    for byte in digits {
        if *byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        let digit = u64::from(char::from(*byte).to_digit(16)?);
        digit_count += 1;
        if mantissa >> 58 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if after_point { 4 } else { 0 };
        } else {
            // What is cut off decides ties only.
            mantissa |= u64::from(digit != 0);
            exponent += if after_point { 0 } else { 4 };
        }
    }
    if let Some(text) = exponent_text {
        let number = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX);
        let written = number.iter().fold(0, add);
        exponent += if text[0] == b'-' { -written } else { written };
    }
    if digit_count == 0 {
        return None;
    }
    let mut value = mantissa as f64;
    let mut left = exponent.clamp(-3000, 3000);
    while left != 0 {
        let step = left.clamp(-500, 500);
        value *= 2f64.powi(step as i32);
        left -= step;
    }
    Some((value, mantissa == 0 || value != 0.0 && value.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_as_in_c() {
        let fine = [
            ("0", 0.0),
            ("-0", -0.0),
            ("1.5", 1.5),
            ("+1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("123456789012345", 123_456_789_012_345.0),
            ("0x10", 16.0),
            ("-0x1.8p1", -3.0),
            ("0x.8", 0.5),
            ("0x1ffffffffffffffff", 36_893_488_147_419_103_232.0),
            ("5e-324", 5e-324),
        ];
        for (text, value) in fine {
            assert_eq!(parse_double(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
        for text in
            ["", " 1", "1 ", "nan", "-nan", "1e", "e1", ".", "1e400", "-1e400", "1e-400", "0x", "0xp1", "0x1p", "abc"]
        {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        let bounds = [("", 0.0), (" 1", 1.0), ("1e400", f64::INFINITY), ("1e-400", 0.0), ("-inf", f64::NEG_INFINITY)];
        for (text, value) in bounds {
            assert_eq!(parse_bound(text.as_bytes()), Some(value), "{text}");
        }
        assert_eq!((parse_bound(b" "), parse_bound(b"nan"), parse_bound(b"1x")), (None, None, None));
    }
}
