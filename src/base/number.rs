//! Numbers as Redis reads and writes them.

/// Parses a canonical signed decimal: no spaces, no `+`, no leading zeros, no `-0`, no overflow.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    if digits[0] == b'0' {
        return (text.len() == 1).then_some(0);
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative {
        (value <= i64::MIN.unsigned_abs()).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// Parses an unsigned decimal as C's strtoull does after Redis's checks: digits only, leading zeros allowed.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The longest decimal text of an `i64`: a sign and 19 digits.
pub const I64_TEXT_MAX: usize = 20;

/// Decimal text of an `i64`, written from the end of a buffer that lives on the stack.
pub struct Decimal {
    buffer: [u8; I64_TEXT_MAX],
    start: u8,
}

impl Decimal {
    #[inline]
    pub fn new(value: i64) -> Decimal {
        let mut decimal = Decimal { buffer: [0; I64_TEXT_MAX], start: I64_TEXT_MAX as u8 };
        let mut rest = value.unsigned_abs();
        let mut at = I64_TEXT_MAX;
        loop {
            at -= 1;
            decimal.buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            decimal.buffer[at] = b'-';
        }
        decimal.start = at as u8;
        decimal
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[usize::from(self.start)..]
    }
}

impl AsRef<[u8]> for Decimal {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A double as C's `%.17g` prints it, which is what Redis sends: shortest of exponent and plain notation, no trailing
/// zeros, `inf`, `-inf` and `nan` spelled so.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == value.trunc() && value.abs() < 1e17 {
        return if value == 0.0 && value.is_sign_negative() { "-0".into() } else { format!("{value:.0}") };
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a small integer");
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if (-4..17).contains(&exponent) {
        trimmed(&format!("{value:.*}", (16 - exponent) as usize))
    } else {
        format!("{}e{}{:02}", trimmed(mantissa), if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_parse() {
        for value in [0, 1, -1, 42, i64::MAX, i64::MIN, 1_000_000_007] {
            assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
            assert_eq!(Decimal::new(value).as_bytes(), value.to_string().as_bytes());
        }
        for text in
            ["", "-", "+1", " 1", "1 ", "01", "-0", "00", "1.0", "0x1", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(double_text(0.1), "0.10000000000000001");
        assert_eq!(double_text(3.0), "3");
        assert_eq!(double_text(1267650600228229401496703205376.0), "1.2676506002282294e+30");
        assert_eq!(double_text(1e-5), "1.0000000000000001e-05");
        assert_eq!(parse_u64(b"007"), Some(7));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
    }
}
