//! The 64-bit checksum of RDB files and DUMP payloads: the CRC that Jones proposed, reflected, starting at zero.
//!
//! Sixteen tables let it take sixteen bytes at a step. A checksum goes on from where it stood: the parts of some bytes
//! give what the whole gives.

/// The polynomial 0xad93d23594c935a9 with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
const TABLES: usize = 16;

/// `TABLE[n][byte]` is the checksum of `byte` followed by `n` zero bytes.
static TABLE: [[u64; 256]; TABLES] = tables();

const fn tables() -> [[u64; 256]; TABLES] {
    let mut tables = [[0; 256]; TABLES];
    let mut byte = 0;
    while byte < 256 {
        let mut checksum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            checksum = (checksum >> 1) ^ if checksum & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = checksum;
        byte += 1;
    }
    let mut table = 1;
    while table < TABLES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of what gave `checksum` followed by `bytes`. That of nothing is zero.
pub fn crc64(mut checksum: u64, bytes: &[u8]) -> u64 {
    let (steps, rest) = bytes.as_chunks::<TABLES>();
    for step in steps {
        let (first, second) = (u64::from_le_bytes(half(step, 0)) ^ checksum, u64::from_le_bytes(half(step, 8)));
        checksum = 0;
        for index in 0..8 {
            checksum ^= TABLE[15 - index][(first >> (8 * index)) as usize & 0xff];
            checksum ^= TABLE[7 - index][(second >> (8 * index)) as usize & 0xff];
        }
    }
    for &byte in rest {
        checksum = (checksum >> 8) ^ TABLE[0][(checksum as u8 ^ byte) as usize];
    }
    checksum
}

fn half(step: &[u8; TABLES], at: usize) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&step[at..at + 8]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, a bit at a time.
    fn slow(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |checksum, byte| {
            (0..8).fold(checksum ^ u64::from(*byte), |checksum, _| {
                (checksum >> 1) ^ if checksum & 1 == 1 { POLYNOMIAL } else { 0 }
            })
        })
    }

    #[test]
    fn known_slow_and_in_parts() {
        assert_eq!(crc64(0, b""), 0);
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let bytes: Vec<u8> = (0..300u32).map(|number| (number * number % 251) as u8).collect();
        for len in 0..bytes.len() {
            let whole = crc64(0, &bytes[..len]);
            assert_eq!(whole, slow(&bytes[..len]), "{len} bytes");
            assert_eq!(crc64(crc64(0, &bytes[..len / 3]), &bytes[len / 3..len]), whole, "{len} bytes in parts");
        }
    }
}
