//! Which of the 16,384 hash slots a key belongs to: CRC16 (XMODEM) of the key, or of its `{tag}`, modulo 16384.
//! Source: the Redis Cluster specification, "Key distribution model".

/// How many hash slots there are.
pub const SLOT_COUNT: usize = 16_384;

/// A hash slot's number, below [`SLOT_COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u16);

impl SlotId {
    /// The slot with this number, or `None` past the last.
    pub fn new(number: u16) -> Option<SlotId> {
        (usize::from(number) < SLOT_COUNT).then_some(SlotId(number))
    }

    /// The slot of `key`.
    #[inline]
    pub fn of_key(key: &[u8]) -> SlotId {
        SlotId(crc16(hashed_part(key)) & (SLOT_COUNT as u16 - 1))
    }

    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn number(self) -> u16 {
        self.0
    }

    /// Every slot in ascending order.
    pub fn all() -> impl Iterator<Item = SlotId> {
        (0..SLOT_COUNT as u16).map(SlotId)
    }
}

/// Longer keys are searched by a function of their own.
const SHORT_KEY_BYTES_MAX: usize = 64;

/// The part of `key` that is hashed: what stands between the first `{` and the next `}`, unless that is empty.
#[inline]
pub fn hashed_part(key: &[u8]) -> &[u8] {
    if has_brace(key) { tag_or_all(key) } else { key }
}

/// Whether a key has a `{`. Most are so short that the call of a search would be dearer than the search.
#[inline(always)]
fn has_brace(key: &[u8]) -> bool {
    // Every byte is looked at: without a way out the compiler compares sixteen at once.
    let in_block = |block: &[u8; 16]| block.iter().fold(false, |found, byte| found | (*byte == b'{'));
    match key.len() {
        0..16 => key.contains(&b'{'),
        16..=SHORT_KEY_BYTES_MAX => key.as_chunks().0.iter().any(in_block) || key.last_chunk().is_some_and(in_block),
        _ => memchr::memchr(b'{', key).is_some(),
    }
}

fn tag_or_all(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    match memchr::memchr(b'}', &key[open + 1..]) {
        Some(length) if length > 0 => &key[open + 1..open + 1 + length],
        _ => key,
    }
}

/// `TABLES[k][b]` is the checksum of byte `b` followed by `k` zero bytes, so that 16 bytes fold in one step.
static TABLES: [[u16; 256]; 16] = build_tables();

const fn build_tables() -> [[u16; 256]; 16] {
    let mut tables = [[0u16; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut distance = 1;
    while distance < 16 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[distance - 1][byte];
            tables[distance][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        distance += 1;
    }
    tables
}

/// CRC16 XMODEM: polynomial 0x1021, initial value 0, no reflection.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let mut folded =
            TABLES[15][usize::from(block[0] ^ (crc >> 8) as u8)] ^ TABLES[14][usize::from(block[1] ^ crc as u8)];
        for (at, &byte) in block.iter().enumerate().skip(2) {
            folded ^= TABLES[15 - at][usize::from(byte)];
        }
        crc = folded;
    }
    for &byte in tail {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc16_agrees_with_the_bitwise_definition() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let mut bytes = Vec::new();
        for length in 0..100u32 {
            let mut crc = 0u16;
            for &byte in &bytes {
                crc ^= u16::from(byte) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                }
            }
            assert_eq!(crc16(&bytes), crc, "length {length}");
            bytes.push((length * 37 + 11) as u8);
        }
    }

    #[test]
    fn a_tag_decides_alone_and_an_empty_one_does_not() {
        assert_eq!(SlotId::of_key(b"foo").number(), 12182);
        assert_eq!(SlotId::of_key(b"a{foo}b"), SlotId::of_key(b"foo"));
        assert_eq!(hashed_part(b"a{}{foo}"), b"a{}{foo}");
        assert_eq!(hashed_part(b"a{{x}y}"), b"{x");
        assert_eq!(hashed_part(b"a{open"), b"a{open");
        for len in 3..100 {
            for at in 0..len - 2 {
                let mut key = vec![b'a'; len];
                (key[at], key[at + 2]) = (b'{', b'}');
                assert_eq!(hashed_part(&key), &key[at + 1..at + 2], "{at} of {len}");
            }
        }
        assert_eq!(SlotId::new(16_384), None);
    }
}
