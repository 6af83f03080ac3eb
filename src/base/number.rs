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

/// The texts of 0 to 99, two digits each.
const DIGIT_PAIRS: [u8; 200] = {
    let (mut pairs, mut number) = ([0; 200], 0);
    while number < 100 {
        pairs[2 * number] = b'0' + (number / 10) as u8;
        pairs[2 * number + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

/// Writes the digits of a number so that they end at `end`; gives where they begin.
#[inline]
pub fn put_digits(buffer: &mut [u8], end: usize, number: u64) -> usize {
    let (mut at, mut rest) = (end, number);
    while rest >= 10 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    }
    if rest > 0 || at == end {
        at -= 1;
        buffer[at] = b'0' + rest as u8;
    }
    at
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
        let mut at = put_digits(&mut decimal.buffer, I64_TEXT_MAX, value.unsigned_abs());
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

/// Doubles without a fraction are written as integers up to here.
pub const INTEGER_DOUBLES_MAX: f64 = (i64::MAX / 2) as f64;

/// A double as Redis sends it: the fewest digits that read back as the same number, `inf`, `-inf` and `nan` spelled so.
/// There is an exponent where plain digits would need over seven zeros, or end seven or more places behind the point in
/// a number that is not around one.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}inf");
    }
    let size = value.abs();
    if size.trunc() == size && size <= INTEGER_DOUBLES_MAX {
        return format!("{sign}{}", size as i64);
    }
    let scientific = format!("{size:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a small integer");
    let digits = mantissa.replace('.', "");
    let count = digits.len() as i32;
    // Digits before the point, and behind it.
    let (before, behind) = (exponent + 1, count - exponent - 1);
    if behind <= 0 && exponent < count + 7 {
        format!("{sign}{digits}{}", "0".repeat(-behind as usize))
    } else if behind > 0 && (behind < 7 || exponent.abs() < 4) {
        match before {
            ..=0 => format!("{sign}0.{}{digits}", "0".repeat(-before as usize)),
            _ => format!("{sign}{}.{}", &digits[..before as usize], &digits[before as usize..]),
        }
    } else {
        format!("{sign}{mantissa}e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
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
        assert_eq!(parse_u64(b"007"), Some(7));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
    }

    #[test]
    fn doubles_are_written_with_the_fewest_digits() {
        for (value, text) in [
            (0.1, "0.1"),
            (-7.4, "-7.4"),
            (3.0, "3"),
            (-0.0, "-0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123456.789, "123456.789"),
            (1234.5678901234, "1234.5678901234"),
            (12345.67890123, "1.234567890123e+4"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (5e18, "5e+18"),
            (12345678901234567000.0, "12345678901234567000"),
            (1267650600228229401496703205376.0, "1.2676506002282294e+30"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (0.0001234567, "1.234567e-4"),
            (0.001234567, "0.001234567"),
            (-1.5e-9, "-1.5e-9"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }
}
