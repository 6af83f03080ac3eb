//! Strings as arrays of bits: bit 0 is the top bit of the first byte. What lies beyond a string's end reads as zero.

/// Counts the bits that are set.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// Counts the bits that are set from bit `first` to bit `last`, both included and inside the string.
pub fn count_range(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (from, to) = (first as usize / 8, last as usize / 8);
    let before = bytes[from] & !(0xff >> (first % 8));
    let after = bytes[to] & (0x7f >> (last % 8));
    count(&bytes[from..=to]) - u64::from(before.count_ones() + after.count_ones())
}

/// The first bit of this value from bit `first` to bit `last`, both included and inside the string.
pub fn find(bytes: &[u8], value: bool, first: u64, last: u64) -> Option<u64> {
    // Searches for ones, in inverted bytes when a zero is wanted.
    let flip = if value { 0 } else { 0xff };
    let (from, to) = (first as usize / 8, last as usize / 8);
    let head = (bytes[from] ^ flip) & (0xff >> (first % 8));
    let found = if head != 0 {
        from as u64 * 8 + u64::from(head.leading_zeros())
    } else {
        let at = from + 1 + find_other(bytes.get(from + 1..=to)?, flip)?;
        at as u64 * 8 + u64::from((bytes[at] ^ flip).leading_zeros())
    };
    (found <= last).then_some(found)
}

/// The place of the first byte that is not `byte`.
fn find_other(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let passed = words.iter().take_while(|word| **word == [byte; 8]).count() * 8;
    bytes[passed..].iter().position(|other| *other != byte).map(|at| passed + at)
}

pub fn get(bytes: &[u8], bit: u64) -> bool {
    bytes.get((bit / 8) as usize).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
}

/// Sets or clears a bit inside the string; gives what it was.
pub fn set(bytes: &mut [u8], bit: u64, value: bool) -> bool {
    let was = get(bytes, bit);
    let byte = &mut bytes[(bit / 8) as usize];
    let mask = 0x80 >> (bit % 8);
    *byte = if value { *byte | mask } else { *byte & !mask };
    was
}

// ---- combining ----------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOperation {
    And,
    Or,
    Xor,
}

/// Combines `other` into `result`. The shorter one counts as filled up with zeros.
pub fn combine(operation: BitOperation, result: &mut Vec<u8>, other: &[u8]) {
    if result.len() < other.len() {
        result.resize(other.len(), 0);
    }
    let (shared, beyond) = result.split_at_mut(other.len());
    match operation {
        BitOperation::And => {
            each(shared, other, |a, b| a & b);
            beyond.fill(0);
        }
        BitOperation::Or => each(shared, other, |a, b| a | b),
        BitOperation::Xor => each(shared, other, |a, b| a ^ b),
    }
}

#[inline]
fn each(result: &mut [u8], other: &[u8], operation: impl Fn(u64, u64) -> u64) {
    let (words, rest) = result.as_chunks_mut::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    for (word, other) in words.iter_mut().zip(other_words) {
        *word = operation(u64::from_ne_bytes(*word), u64::from_ne_bytes(*other)).to_ne_bytes();
    }
    for (byte, other) in rest.iter_mut().zip(other_rest) {
        *byte = operation(u64::from(*byte), u64::from(*other)) as u8;
    }
}

pub fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

// ---- fields -------------------------------------------------------------------------------------------------------

/// What becomes of a value that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Wrap,
    Saturate,
    /// Nothing is written.
    Fail,
}

/// The type of an integer inside a string: at most 64 bits signed or 63 unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    pub signed: bool,
    pub bits: u32,
}

impl FieldType {
    /// The field at bit `offset`.
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let (window, shift) = self.window(bytes, offset);
        let unsigned = (window >> shift) as u64 & self.mask();
        self.signed_value(unsigned)
    }

    /// Writes the low bits of `value` to the field at bit `offset`, which lies inside the string.
    pub fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        let (window, shift) = self.window(bytes, offset);
        let mask = u128::from(self.mask()) << shift;
        let window = window & !mask | (u128::from(value as u64) << shift) & mask;
        let first = (offset / 8) as usize;
        let touched = (offset % 8 + u64::from(self.bits)).div_ceil(8) as usize;
        bytes[first..first + touched].copy_from_slice(&window.to_be_bytes()[..touched]);
    }

    /// The bytes from the field's first on, as the top of an integer, and how far the field is from its low end.
    fn window(self, bytes: &[u8], offset: u64) -> (u128, u32) {
        let first = (offset / 8) as usize;
        let mut window = [0; 16];
        if let Some(there) = bytes.get(first..) {
            let there = &there[..there.len().min(9)];
            window[..there.len()].copy_from_slice(there);
        }
        (u128::from_be_bytes(window), u128::BITS - (offset % 8) as u32 - self.bits)
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The number that the low bits of `value` stand for.
    fn signed_value(self, value: u64) -> i64 {
        let spare = 64 - self.bits;
        if self.signed { (value << spare) as i64 >> spare } else { (value & self.mask()) as i64 }
    }

    fn limits(self) -> (i128, i128) {
        if self.signed {
            let max = i128::from(self.mask() >> 1);
            (-max - 1, max)
        } else {
            (0, i128::from(self.mask()))
        }
    }

    /// What is written when a client sets the field to `value`; `None` for nothing.
    pub fn settle(self, value: i64, overflow: Overflow) -> Option<i64> {
        // A negative number counts as a huge one in an unsigned field.
        let exact = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        let (_, max) = self.limits();
        if self.signed && self.bits < 64 && max - exact > i128::from(i64::MAX) {
            // So far below the minimum, Redis's check wraps around and takes the value for too large.
            return self.fit(max + 1, value, overflow);
        }
        self.fit(exact, value, overflow)
    }

    /// What is written when a client adds `increment` to the field, which holds `old`; `None` for nothing.
    pub fn add(self, old: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(old) + i128::from(increment), old.wrapping_add(increment), overflow)
    }

    /// Fits the exact value; its low 64 bits are `wrapped`.
    fn fit(self, exact: i128, wrapped: i64, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.limits();
        if (min..=max).contains(&exact) {
            return Some(exact as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.signed_value(wrapped as u64)),
            Overflow::Saturate => Some(exact.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    fn random_bytes(random: &mut Rng, len: u64) -> Vec<u8> {
        // Runs of equal bytes, so that searches go far.
        let fill = [0, 0xff, 0x10][random.below(3) as usize];
        (0..len).map(|_| if random.below(10) == 0 { random.next_u64() as u8 } else { fill }).collect()
    }

    #[test]
    fn ranges_agree_with_single_bits() {
        let mut random = Rng::from_seed(1);
        for _ in 0..2000 {
            let len = 1 + random.below(60);
            let bytes = random_bytes(&mut random, len);
            let (a, b) = (random.below(len * 8), random.below(len * 8));
            let (first, last) = (a.min(b), a.max(b));
            let set: Vec<u64> = (first..=last).filter(|bit| get(&bytes, *bit)).collect();
            assert_eq!(count_range(&bytes, first, last), set.len() as u64);
            assert_eq!(find(&bytes, true, first, last), set.first().copied());
            assert_eq!(find(&bytes, false, first, last), (first..=last).find(|bit| !get(&bytes, *bit)));
        }
    }

    #[test]
    fn combinations_fill_up_with_zeros() {
        let mut random = Rng::from_seed(2);
        for _ in 0..500 {
            let (a_len, b_len) = (random.below(40), random.below(40));
            let (a, b) = (random_bytes(&mut random, a_len), random_bytes(&mut random, b_len));
            for (operation, on_byte) in [
                (BitOperation::And, (|a, b| a & b) as fn(u8, u8) -> u8),
                (BitOperation::Or, |a, b| a | b),
                (BitOperation::Xor, |a, b| a ^ b),
            ] {
                let mut result = a.clone();
                combine(operation, &mut result, &b);
                let byte = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or(0);
                let expected: Vec<u8> =
                    (0..a.len().max(b.len())).map(|at| on_byte(byte(&a, at), byte(&b, at))).collect();
                assert_eq!(result, expected);
            }
        }
    }

    #[test]
    fn fields_hold_what_was_written_and_touch_nothing_else() {
        let mut random = Rng::from_seed(3);
        for _ in 0..3000 {
            let signed = random.below(2) == 0;
            let bits = 1 + random.below(if signed { 64 } else { 63 }) as u32;
            let field = FieldType { signed, bits };
            let mut bytes = random_bytes(&mut random, 20);
            let offset = random.below(160 - u64::from(bits) + 1);
            let before = bytes.clone();
            let value = random.next_u64() as i64;
            field.write(&mut bytes, offset, value);
            assert_eq!(field.read(&bytes, offset), field.settle(value, Overflow::Wrap).unwrap());
            for bit in (0..160).filter(|bit| !(offset..offset + u64::from(bits)).contains(bit)) {
                assert_eq!(get(&bytes, bit), get(&before, bit));
            }
        }
        assert_eq!(FieldType { signed: false, bits: 8 }.read(b"\xff", 4), 0xf0);
        assert_eq!(FieldType { signed: true, bits: 64 }.read(b"", 1 << 40), 0);
    }

    #[test]
    fn overflows() {
        let (u8, i8) = (FieldType { signed: false, bits: 8 }, FieldType { signed: true, bits: 8 });
        let i64_field = FieldType { signed: true, bits: 64 };
        let all = |field: FieldType, old, increment| {
            [Overflow::Wrap, Overflow::Saturate, Overflow::Fail].map(|overflow| field.add(old, increment, overflow))
        };
        assert_eq!(all(u8, 250, 5), [Some(255); 3]);
        assert_eq!(all(u8, 250, 6), [Some(0), Some(255), None]);
        assert_eq!(all(u8, 5, -6), [Some(255), Some(0), None]);
        assert_eq!(all(i8, 127, 1), [Some(-128), Some(127), None]);
        assert_eq!(all(i8, -128, -1), [Some(127), Some(-128), None]);
        assert_eq!(all(i64_field, i64::MAX, 1), [Some(i64::MIN), Some(i64::MAX), None]);
        assert_eq!(all(i64_field, i64::MIN, i64::MIN), [Some(0), Some(i64::MIN), None]);
        assert_eq!(u8.settle(-1, Overflow::Saturate), Some(255));
        assert_eq!(i8.settle(-200, Overflow::Saturate), Some(-128));
        assert_eq!(i8.settle(i64::MIN, Overflow::Saturate), Some(127));
        assert_eq!(i8.settle(i64::MIN, Overflow::Fail), None);
        assert_eq!(i64_field.settle(i64::MIN, Overflow::Fail), Some(i64::MIN));
    }
}
