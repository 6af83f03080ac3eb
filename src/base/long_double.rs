//! The 80-bit floating point of the x87 (what C calls `long double` on x86-64), in software: reading, adding, writing.
//!
//! INCRBYFLOAT is defined by this arithmetic, so it must agree with it to the last bit on every machine. All roundings
//! are exact and to nearest, ties to even. A value is `mantissa * 2^exponent`; the mantissa of a normal number has its
//! top bit set, that of a subnormal one has not, and its exponent is the least one.

use std::cmp::Ordering;

/// Longest text that is read, in bytes: what Redis takes.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// The exponent of the last bit of the smallest and of the largest numbers.
const EXPONENT_MIN: i32 = -16445;
const EXPONENT_MAX: i32 = 16320;
/// Digits written after the point at the most.
const FRACTION_DIGITS: usize = 17;
/// A number whose first digit stands farther than this from the point is out of range either way.
const DECIMAL_EXPONENT_MAX: i64 = 5000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
}

const ZERO: Magnitude = Magnitude::Finite { mantissa: 0, exponent: EXPONENT_MIN };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

impl LongDouble {
    pub const ZERO: LongDouble = LongDouble { negative: false, magnitude: ZERO };

    /// Reads what C's `strtold` reads, as far as Redis accepts it: the whole text, no white space, not a NaN, and
    /// neither overflow nor underflow to zero. Decimal, hexadecimal and `inf` are fine.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = match rest {
            [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
            _ if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") => Magnitude::Infinite,
            _ => decimal(rest)?,
        };
        Some(LongDouble { negative, magnitude })
    }

    pub fn is_finite(self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// The rounded sum; `None` for the sum of opposite infinities, which is no number.
    pub fn sum(self, other: LongDouble) -> Option<LongDouble> {
        use Magnitude::{Finite, Infinite};
        match (self.magnitude, other.magnitude) {
            (Infinite, Infinite) => (self.negative == other.negative).then_some(self),
            (Infinite, _) => Some(self),
            (_, Infinite) => Some(other),
            (Finite { mantissa: a, exponent: a_exponent }, Finite { mantissa: b, exponent: b_exponent }) => {
                // With the larger exponent comes the larger number, or they are equally far from the least exponent.
                if (a_exponent, a) >= (b_exponent, b) {
                    Some(add_finite((self.negative, a, a_exponent), (other.negative, b, b_exponent)))
                } else {
                    Some(add_finite((other.negative, b, b_exponent), (self.negative, a, a_exponent)))
                }
            }
        }
    }

    /// A thousand times the number, rounded up to an integer; `None` when that is no 64-bit one.
    pub fn thousandfold_rounded_up(self) -> Option<i64> {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else { return None };
        if mantissa == 0 {
            return Some(0);
        }
        let Magnitude::Finite { mantissa, exponent } = rounded(u128::from(mantissa) * 1000, exponent, false) else {
            return None;
        };
        let integer = if exponent >= 0 {
            // Of two bits more the mantissa's first one is over the limit.
            u128::from(mantissa) << exponent.min(2)
        } else {
            let wide = u128::from(mantissa);
            let whole = wide.checked_shr(exponent.unsigned_abs()).unwrap_or(0);
            let has_fraction = whole.checked_shl(exponent.unsigned_abs()).unwrap_or(0) != wide;
            whole + u128::from(has_fraction && !self.negative)
        };
        let integer = i64::try_from(integer).ok()?;
        Some(if self.negative { -integer } else { integer })
    }

    /// The number in plain notation with at most 17 digits after the point, without trailing zeros.
    pub fn to_text(self) -> String {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return if self.negative { "-inf".into() } else { "inf".into() };
        };
        let digits = if exponent >= 0 {
            Natural::from(mantissa).shifted_left(exponent as usize).to_text()
        } else {
            fixed_point(mantissa, exponent)
        };
        if self.negative && digits != "0" { format!("-{digits}") } else { digits }
    }
}

/// Adds numbers of which the first is not the smaller one.
fn add_finite(
    (negative, a, a_exponent): (bool, u64, i32),
    (b_negative, b, b_exponent): (bool, u64, i32),
) -> LongDouble {
    /// Bits below the larger number's last one: room for the smaller one, and for what rounding looks at.
    const SPARE_BITS: u32 = 63;
    let large = u128::from(a) << SPARE_BITS;
    let distance = (a_exponent - b_exponent) as u32;
    let whole = u128::from(b) << SPARE_BITS;
    let small = whole.checked_shr(distance).unwrap_or(0);
    let lost = b != 0 && small.checked_shl(distance) != Some(whole);
    let exponent = a_exponent - SPARE_BITS as i32;
    if negative == b_negative {
        return LongDouble { negative, magnitude: rounded(large + small, exponent, lost) };
    }
    // What was lost makes the difference smaller, so that it lies between the two integers.
    let difference = large - small - u128::from(lost);
    if difference == 0 && !lost {
        return LongDouble::ZERO;
    }
    LongDouble { negative, magnitude: rounded(difference, exponent, lost) }
}

/// The nearest number to `(bits + rest) * 2^exponent`, where the rest is below one and above zero if `inexact`. With
/// `inexact`, `bits` has at least 66 significant bits or the result is subnormal.
fn rounded(bits: u128, exponent: i32, inexact: bool) -> Magnitude {
    if bits == 0 {
        return ZERO;
    }
    let significant = (u128::BITS - bits.leading_zeros()) as i32;
    let mut last = (exponent + significant - 64).max(EXPONENT_MIN);
    let drop = last - exponent;
    let mut mantissa = match drop {
        ..=0 => bits << -drop,
        1..=127 => bits >> drop,
        _ => 0,
    };
    if drop > 0 {
        let rest = bits - mantissa.checked_shl(drop as u32).unwrap_or(0);
        let half = 1u128.checked_shl(drop as u32 - 1).unwrap_or(0);
        let up = match rest.cmp(&half) {
            _ if half == 0 => false,
            Ordering::Greater => true,
            Ordering::Equal => inexact || mantissa & 1 == 1,
            Ordering::Less => false,
        };
        mantissa += u128::from(up);
    }
    if mantissa == 1 << 64 {
        mantissa >>= 1;
        last += 1;
    }
    if last > EXPONENT_MAX {
        return Magnitude::Infinite;
    }
    Magnitude::Finite { mantissa: mantissa as u64, exponent: last }
}

/// A magnitude that came of a text: neither zero, unless the text said so, nor infinite.
fn in_range(magnitude: Magnitude) -> Option<Magnitude> {
    match magnitude {
        Magnitude::Infinite | Magnitude::Finite { mantissa: 0, .. } => None,
        magnitude => Some(magnitude),
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// Digits with a point among them, and the exponent after them.
struct Digits {
    /// Values of the digits, without leading zeros.
    digits: Vec<u8>,
    /// How many of them stand after the point; negative when zeros are missing before it.
    after_point: i64,
    exponent: i64,
}

/// Splits `digits[.digits][mark[sign]digits]`; at least one digit before the mark.
fn split(text: &[u8], base: u32, mark: u8) -> Option<Digits> {
    let mut found = Digits { digits: Vec::new(), after_point: 0, exponent: 0 };
    let (mut seen_point, mut seen_digit) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if let Some(digit) = char::from(byte).to_digit(base) {
            seen_digit = true;
            found.after_point += i64::from(seen_point);
            if digit != 0 || !found.digits.is_empty() {
                found.digits.push(digit as u8);
            }
        } else if byte == b'.' && !seen_point {
            seen_point = true;
        } else if byte.eq_ignore_ascii_case(&mark) && seen_digit {
            found.exponent = exponent(&text[at + 1..])?;
            return Some(found);
        } else {
            return None;
        }
    }
    seen_digit.then_some(found)
}

/// A signed integer, cut to what decides: beyond it lies nothing but overflow and underflow.
fn exponent(text: &[u8]) -> Option<i64> {
    const CUT: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(CUT));
    Some(if negative { -value } else { value })
}

fn hexadecimal(text: &[u8]) -> Option<Magnitude> {
    let Digits { digits, after_point, exponent } = split(text, 16, b'p')?;
    if digits.is_empty() {
        return Some(ZERO);
    }
    // Digits beyond the 30th only matter as a whole: whether all of them are zero.
    let (head, tail) = digits.split_at(digits.len().min(30));
    let bits = head.iter().fold(0, |bits: u128, &digit| bits << 4 | u128::from(digit));
    let exponent = exponent - 4 * after_point + 4 * tail.len() as i64;
    let exponent = exponent.clamp(-100_000, 100_000) as i32;
    in_range(rounded(bits, exponent, tail.iter().any(|&digit| digit != 0)))
}

fn decimal(text: &[u8]) -> Option<Magnitude> {
    let Digits { mut digits, after_point, exponent } = split(text, 10, b'e')?;
    let mut exponent = exponent - after_point;
    while digits.last() == Some(&0) {
        digits.pop();
        exponent += 1;
    }
    if digits.is_empty() {
        return Some(ZERO);
    }
    if (digits.len() as i64 + exponent).abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let power = exponent.unsigned_abs() as u32;
    if digits.len() <= 19 && power <= 18 {
        let integer = digits.iter().fold(0, |integer: u128, &digit| integer * 10 + u128::from(digit));
        let power = 10u128.pow(power);
        if exponent >= 0 {
            return in_range(rounded(integer * power, 0, false));
        }
        let shift = integer.leading_zeros();
        let dividend = integer << shift;
        // The divisor has 60 bits at the most, so the quotient has 68 or more.
        return in_range(rounded(dividend / power, -(shift as i32), dividend % power != 0));
    }
    let mut numerator = Natural::from_digits(&digits);
    let (bits, exponent, inexact) = if exponent >= 0 {
        numerator.multiply_by_power_of_ten(power);
        numerator.leading()
    } else {
        let mut denominator = Natural::from(1);
        denominator.multiply_by_power_of_ten(power);
        quotient(numerator, denominator)
    };
    in_range(rounded(bits, exponent, inexact))
}

/// The first 68 bits or so of a quotient, the exponent of the last of them, and whether something follows.
fn quotient(mut numerator: Natural, mut denominator: Natural) -> (u128, i32, bool) {
    const BITS: i32 = 68;
    // Both get the same number of bits; then the quotient lies between one half and two.
    let shift = denominator.bits() as i32 - numerator.bits() as i32;
    if shift >= 0 {
        numerator = numerator.shifted_left(shift as usize);
    } else {
        denominator = denominator.shifted_left(-shift as usize);
    }
    let mut bits = 0u128;
    for _ in 0..BITS {
        bits <<= 1;
        if numerator.compare(&denominator) != Ordering::Less {
            numerator.subtract(&denominator);
            bits |= 1;
        }
        numerator.multiply_add(2, 0);
    }
    (bits, -shift - BITS + 1, !numerator.is_zero())
}

// ---- writing ------------------------------------------------------------------------------------------------------

/// `mantissa * 2^exponent` for a negative exponent, rounded to 17 digits after the point.
fn fixed_point(mantissa: u64, exponent: i32) -> String {
    const UNIT: u128 = 10u128.pow(FRACTION_DIGITS as u32);
    let scaled = u128::from(mantissa) * UNIT;
    let drop = exponent.unsigned_abs();
    // Below 2^121, so all of it is less than one half when more bits than that are dropped.
    let mut hundred_quadrillionths = scaled.checked_shr(drop).unwrap_or(0);
    if drop < u128::BITS {
        let (rest, half) = (scaled - (hundred_quadrillionths << drop), 1 << (drop - 1));
        if rest > half || rest == half && hundred_quadrillionths & 1 == 1 {
            hundred_quadrillionths += 1;
        }
    }
    let (whole, fraction) = (hundred_quadrillionths / UNIT, hundred_quadrillionths % UNIT);
    if fraction == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{fraction:0FRACTION_DIGITS$}");
    text.trim_end_matches('0').to_owned()
}

// ---- large integers -----------------------------------------------------------------------------------------------

/// An integer of any size: 64-bit limbs, the least one first, no zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(value: u64) -> Natural {
        Natural(if value == 0 { Vec::new() } else { vec![value] })
    }
}

impl Natural {
    fn from_digits(digits: &[u8]) -> Natural {
        let mut value = Natural::from(0);
        for chunk in digits.chunks(19) {
            let number = chunk.iter().fold(0, |number: u64, &digit| number * 10 + u64::from(digit));
            value.multiply_add(10u64.pow(chunk.len() as u32), number);
        }
        value
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |last| 64 * self.0.len() - last.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = u128::from(summand);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    fn multiply_by_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 19 {
            self.multiply_add(10u64.pow(19), 0);
        }
        self.multiply_add(10u64.pow(power % 19), 0);
    }

    fn shifted_left(&self, shift: usize) -> Natural {
        let mut limbs = vec![0; shift / 64];
        limbs.extend_from_slice(&self.0);
        let mut shifted = Natural(limbs);
        if !self.is_zero() {
            shifted.multiply_add(1 << (shift % 64), 0);
        } else {
            shifted.0.clear();
        }
        shifted
    }

    fn compare(&self, other: &Natural) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let (less, first) = limb.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (less, first || second);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The first 128 bits, the exponent of the last of them, and whether a bit after them is set.
    fn leading(&self) -> (u128, i32, bool) {
        let from = self.0.len().saturating_sub(3);
        let (below, top) = self.0.split_at(from);
        let top_bits = Natural(top.to_vec()).bits();
        let drop = top_bits.saturating_sub(128);
        let limb = |at: usize| u128::from(top.get(at).copied().unwrap_or(0));
        let (low, high) = (limb(0) | limb(1) << 64, limb(2));
        let bits = if drop == 0 { low } else { low >> drop | high << (128 - drop) };
        let inexact = below.iter().any(|&limb| limb != 0) || low & ((1u128 << drop) - 1) != 0;
        (bits, (64 * from + drop) as i32, inexact)
    }

    fn to_text(&self) -> String {
        const CHUNK_DIGITS: usize = 19;
        let mut limbs = self.0.clone();
        let mut chunks = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0u128;
            for limb in limbs.iter_mut().rev() {
                rest = rest << 64 | u128::from(*limb);
                *limb = (rest / 10u128.pow(CHUNK_DIGITS as u32)) as u64;
                rest %= 10u128.pow(CHUNK_DIGITS as u32);
            }
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
            chunks.push(rest as u64);
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:0CHUNK_DIGITS$}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let read = |text: &str| LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        read(a).sum(read(b)).unwrap().to_text()
    }

    fn text(number: &str) -> String {
        sum(number, "0")
    }

    #[test]
    fn plain_sums() {
        for (a, b, expected) in [
            ("3.0e3", "200", "3200"),
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("1", "-1.1", "-0.1"),
            ("-1.5", "1.5", "0"),
            ("0", "-1e-30", "0"),
            ("17179869184", "1.5", "17179869185.5"),
            ("1e20", "1", "100000000000000000000"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    /// Taken from a run of redis-server on x86-64 with random numbers.
    #[test]
    fn sums_that_redis_gave() {
        for (a, b, expected) in [
            ("0e5", "+4085842245725626.3444906567142651", "4085842245725626.344482421875"),
            ("855.417205836e-7", "-765383435976768.4", "-765383435976768.39996337890625"),
            ("-34155032075576", "9396988.792926534168664", "-34155022678587.20707321166992188"),
            ("102.901392154e-3", "-110658305", "-110658304.89709860784932971"),
            ("656.4", "-3993486481", "-3993485824.60000000009313226"),
            ("388.619073954e23", "274.642381616e-17", "38861907395399999998132224"),
            ("424.316799763e39", "-307048.1305109833129392642", "424316799762999999984514882756676052582400"),
            ("380", "322.981269591e-6", "380.00032298126959099"),
            ("18030.862985637075", "0x1d2a0c8.39626349ef6123a4fp-48", "18030.8629857457203105"),
            ("90454066280.89922775644231246", "385.93037604e8", "129047103884.89922775328159332"),
            ("-0.949659138586128", "-945537496248843356.440", "-945537496248843357.375"),
            ("457.313998922e8", "712.100957022e31", "7121009570219999999979907278962688"),
            ("-228.10722", "223.1343500574985", "-4.9728699425015"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(text("1e30"), "1000000000000000000024696061952");
        assert_eq!(text("18446744073709551615"), "18446744073709551615");
        assert_eq!(text("18446744073709551616"), "18446744073709551616");
        // Halfway between two numbers: the even one.
        assert_eq!(text("18446744073709551617"), "18446744073709551616");
        assert_eq!(text("18446744073709551619"), "18446744073709551620");
        assert_eq!(text("0x1p-1"), "0.5");
        assert_eq!(text("0X.8"), "0.5");
        assert_eq!(text("-0x10"), "-16");
        assert_eq!(text("-0"), "0");
        assert_eq!(text("+.5"), "0.5");
        assert_eq!(text("5."), "5");
        assert_eq!(text("0e99999999999999999999"), "0");
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            " 1",
            "1 ",
            "+",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "0x",
            "0xg",
            "0x1p",
            "nan",
            "NaN",
            "-nan",
            "infi",
            "--1",
            "1.2.3",
            "1e5000",
            "1e99999999999999999999",
            "1e-5000",
            "1e-4951",
            "0x1p99999",
            "0x1p-99999",
            "1\0",
            "1,5",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LongDouble::parse(&[b'0'; TEXT_BYTES_MAX + 1]), None);
        assert_eq!(LongDouble::parse(&[b'0'; TEXT_BYTES_MAX]), Some(LongDouble::ZERO));
    }

    #[test]
    fn the_ends_of_the_range() {
        let parse = |text: &str| LongDouble::parse(text.as_bytes());
        let largest = parse("0x1.fffffffffffffffep16383").unwrap();
        assert!(largest.is_finite());
        assert!(!largest.sum(largest).unwrap().is_finite());
        assert_eq!(parse("0x1.ffffffffffffffffp16383"), None);
        assert_eq!(parse("1.18973149535723176502126385303097021e+4932"), Some(largest));
        let smallest =
            LongDouble { negative: false, magnitude: Magnitude::Finite { mantissa: 1, exponent: EXPONENT_MIN } };
        assert_eq!(parse("3.6451995318824746025e-4951"), Some(smallest));
        assert_eq!(parse("0x1p-16445"), Some(smallest));
        assert_eq!(parse("0x1p-16446"), None);
        assert_eq!(parse("0x1.8p-16446"), Some(smallest));
        let infinity = parse("-Infinity").unwrap();
        assert!(!infinity.is_finite());
        assert_eq!(infinity.sum(parse("inf").unwrap()), None);
        assert_eq!(infinity.sum(largest), Some(infinity));
    }

    #[test]
    fn both_ways_of_reading_agree() {
        let mut random = crate::base::random::Rng::from_seed(7);
        for _ in 0..2000 {
            let integer = (random.next_u64() >> random.below(64)).max(1);
            let power = random.below(19) as u32;
            let mut denominator = Natural::from(1);
            denominator.multiply_by_power_of_ten(power);
            let (bits, exponent, inexact) = quotient(Natural::from(integer), denominator);
            let long_way = rounded(bits, exponent, inexact);
            assert_eq!(decimal(format!("{integer}e-{power}").as_bytes()), Some(long_way), "{integer}e-{power}");
            let mut product = Natural::from(integer);
            product.multiply_by_power_of_ten(power);
            let (bits, exponent, inexact) = product.leading();
            assert_eq!(decimal(format!("{integer}e{power}").as_bytes()), Some(rounded(bits, exponent, inexact)));
        }
    }
}
