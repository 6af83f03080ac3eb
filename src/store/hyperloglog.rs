//! HyperLogLogs: counters of distinct elements that are wrong by less than a percent, usually, and at most 12 KiB.
//!
//! They are strings, laid out exactly as Redis's:
//! ```text
//! "HYLL", 1 byte encoding (0 dense, 1 sparse), 3 bytes unused, 8 bytes last count (little-endian; top bit set: stale)
//! dense   16,384 registers of 6 bits, the lowest bits of a byte first
//! sparse  runs of equal registers:
//!           00LLLLLL             zeros, up to 64
//!           01LLLLLL LLLLLLLL    zeros, up to 16,384
//!           1VVVVVLL             up to 4 registers of a value up to 32; all lengths and the value are one less in the bits
//! ```
//! An element's hash (MurmurHash64A, seeded as Redis does) chooses a register by its lower 14 bits; the register keeps
//! the longest run of zero bits, plus one, that the rest of a hash began with. Clients can write any bytes into such a
//! string, so a sparse one is checked whenever it is read.

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 14;
pub const REGISTERS: usize = 1 << INDEX_BITS;
const REGISTER_BITS: usize = 6;
/// The highest value that elements give a register.
const VALUE_MAX: usize = (u64::BITS - INDEX_BITS) as usize + 1;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
/// Where the last count stands.
pub const CACHE_AT: usize = 8;
/// The byte whose top bit says that the last count is stale.
const STALE_AT: usize = 15;
const STALE: u8 = 0x80;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
pub const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * REGISTER_BITS / 8;
const ZEROS_MAX: usize = 64;
const RUN_MAX: usize = 4;
const SPARSE_VALUE_MAX: u8 = 32;
const LONG_ZEROS: u8 = 0x40;
const VALUES: u8 = 0x80;
const HASH_SEED: u64 = 0xadc8_3b19;

/// A register for each index, unpacked.
pub type Registers = [u8; REGISTERS];

/// The bytes of a sparse one are not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Whether a string is a HyperLogLog, as far as its header tells.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_BYTES,
            encoding => encoding == SPARSE,
        }
}

pub fn is_dense(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == DENSE
}

fn header(encoding: u8) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(HEADER_BYTES, 0);
    bytes[ENCODING_AT] = encoding;
    bytes
}

/// A HyperLogLog that has seen nothing.
pub fn empty() -> Vec<u8> {
    let mut bytes = header(SPARSE);
    push_zeros(&mut bytes, REGISTERS);
    bytes
}

// ---- hashing --------------------------------------------------------------------------------------------------------

/// MurmurHash64A (Austin Appleby).
fn murmur(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = HASH_SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word = (word ^ (word >> SHIFT)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> SHIFT)
}

/// The register that an element belongs to, and the value it calls for.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let rest = hash >> INDEX_BITS | 1 << (u64::BITS - INDEX_BITS);
    (hash as usize % REGISTERS, rest.trailing_zeros() as u8 + 1)
}

// ---- dense ----------------------------------------------------------------------------------------------------------

fn dense_get(bytes: &[u8], index: usize) -> u8 {
    let bit = index * REGISTER_BITS;
    let (at, shift) = (HEADER_BYTES + bit / 8, bit % 8);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([bytes[at], next]) >> shift) as u8 & 63
}

fn dense_set(bytes: &mut [u8], index: usize, value: u8) {
    let bit = index * REGISTER_BITS;
    let (at, shift) = (HEADER_BYTES + bit / 8, bit % 8);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([bytes[at], next]) & !(63 << shift) | u16::from(value) << shift;
    let [low, high] = pair.to_le_bytes();
    bytes[at] = low;
    if let Some(next) = bytes.get_mut(at + 1) {
        *next = high;
    }
}

/// Adds an element to a dense one, in place; tells whether a register changed.
pub fn add_dense(bytes: &mut [u8], element: &[u8]) -> bool {
    let (index, value) = place(element);
    raise_dense(bytes, index, value)
}

fn raise_dense(bytes: &mut [u8], index: usize, value: u8) -> bool {
    let raises = dense_get(bytes, index) < value;
    if raises {
        dense_set(bytes, index, value);
        bytes[STALE_AT] |= STALE;
    }
    raises
}

/// The registers of a dense one, in order.
fn dense_registers(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes[HEADER_BYTES..].as_chunks::<3>().0.iter().flat_map(|&[a, b, c]| {
        let four = u32::from_le_bytes([a, b, c, 0]);
        [0, 6, 12, 18].map(|shift| (four >> shift) as u8 & 63)
    })
}

// ---- sparse ---------------------------------------------------------------------------------------------------------

/// A run of equal registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub value: u8,
    pub len: usize,
    /// Bytes that it takes.
    pub bytes: usize,
}

fn run_at(bytes: &[u8], at: usize) -> Option<Run> {
    let first = *bytes.get(at)?;
    Some(match first {
        VALUES.. => Run { value: (first >> 2 & 31) + 1, len: usize::from(first & 3) + 1, bytes: 1 },
        LONG_ZEROS.. => {
            // A run that is cut off covers what its first byte says.
            let second = bytes.get(at + 1).copied().unwrap_or(0);
            let len = usize::from(u16::from_be_bytes([first & 63, second])) + 1;
            Run { value: 0, len, bytes: 2 }
        }
        _ => Run { value: 0, len: usize::from(first) + 1, bytes: 1 },
    })
}

/// The runs of a sparse one.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let run = run_at(bytes, at)?;
        at += run.bytes;
        Some(run)
    })
}

fn push_zeros(out: &mut Vec<u8>, len: usize) {
    match len {
        0 => {}
        1..=ZEROS_MAX => out.push((len - 1) as u8),
        _ => {
            let [high, low] = ((len - 1) as u16).to_be_bytes();
            out.extend_from_slice(&[LONG_ZEROS | high, low]);
        }
    }
}

fn push_values(out: &mut Vec<u8>, value: u8, mut len: usize) {
    while len > 0 {
        let piece = len.min(RUN_MAX);
        out.push(VALUES | (value - 1) << 2 | (piece - 1) as u8);
        len -= piece;
    }
}

fn push_run(out: &mut Vec<u8>, value: u8, len: usize) {
    if value == 0 { push_zeros(out, len) } else { push_values(out, value, len) }
}

/// Raises a register of a sparse one, which may become dense by that; tells whether it changed.
fn raise_sparse(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    if value > SPARSE_VALUE_MAX {
        make_dense(bytes)?;
        return Ok(raise_dense(bytes, index, value));
    }
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, HEADER_BYTES);
    let run = loop {
        let run = run_at(bytes, at).ok_or(Corrupt)?;
        if index < first + run.len {
            break run;
        }
        (before, at, first) = (at, at + run.bytes, first + run.len);
    };
    if run.value >= value {
        return Ok(false);
    }
    let mut pieces = Vec::with_capacity(5);
    push_run(&mut pieces, run.value, index - first);
    push_run(&mut pieces, value, 1);
    push_run(&mut pieces, run.value, first + run.len - 1 - index);
    let end = at + run.bytes;
    if end > bytes.len() {
        return Err(Corrupt);
    }
    if pieces.len() > run.bytes && bytes.len() + pieces.len() - run.bytes > sparse_bytes_max {
        make_dense(bytes)?;
        return Ok(raise_dense(bytes, index, value));
    }
    bytes.splice(at..end, pieces);
    join_values(bytes, before);
    bytes[STALE_AT] |= STALE;
    Ok(true)
}

/// Joins neighbours of the same value among the runs from `at` on, as far as a change can have made some.
fn join_values(bytes: &mut Vec<u8>, mut at: usize) {
    /// One before the run that was changed, three that it became, one behind.
    const RUNS: usize = 5;
    for _ in 0..RUNS {
        let Some(run) = run_at(bytes, at) else { return };
        if run.value > 0
            && let Some(next) = run_at(bytes, at + 1)
            && next.value == run.value
            && run.len + next.len <= RUN_MAX
        {
            bytes[at + 1] += run.len as u8;
            bytes.remove(at);
        } else {
            at += run.bytes;
        }
    }
}

/// Gives a sparse one the other form.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        return Ok(());
    }
    let mut registers = [0; REGISTERS];
    merge(&mut registers, bytes)?;
    let mut dense = pack_dense(&registers);
    dense[CACHE_AT..HEADER_BYTES].copy_from_slice(&bytes[CACHE_AT..HEADER_BYTES]);
    *bytes = dense;
    Ok(())
}

fn pack_dense(registers: &Registers) -> Vec<u8> {
    let mut bytes = header(DENSE);
    for four in registers.as_chunks::<4>().0 {
        let packed = four.iter().rev().fold(0, |packed, value| packed << 6 | u32::from(*value));
        bytes.extend_from_slice(&packed.to_le_bytes()[..3]);
    }
    bytes
}

// ---- both -----------------------------------------------------------------------------------------------------------

/// Adds an element; tells whether a register changed.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    if is_dense(bytes) {
        return Ok(add_dense(bytes, element));
    }
    let (index, value) = place(element);
    raise_sparse(bytes, index, value, sparse_bytes_max)
}

/// A HyperLogLog of these registers, with a stale count.
pub fn pack(registers: &Registers, dense: bool, sparse_bytes_max: usize) -> Vec<u8> {
    let mut bytes = header(SPARSE);
    if !dense && registers.iter().all(|value| *value <= SPARSE_VALUE_MAX) {
        for run in registers.chunk_by(|a, b| a == b) {
            push_run(&mut bytes, run[0], run.len());
        }
    }
    if bytes.len() == HEADER_BYTES || bytes.len() > sparse_bytes_max {
        bytes = pack_dense(registers);
    }
    bytes[STALE_AT] |= STALE;
    bytes
}

/// Raises registers to those of a HyperLogLog.
pub fn merge(registers: &mut Registers, bytes: &[u8]) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        for (register, value) in registers.iter_mut().zip(dense_registers(bytes)) {
            *register = value.max(*register);
        }
        return Ok(());
    }
    let mut rest = &mut registers[..];
    for run in runs(bytes) {
        let (covered, behind) = rest.split_at_mut_checked(run.len).ok_or(Corrupt)?;
        if run.value > 0 {
            covered.iter_mut().for_each(|register| *register = run.value.max(*register));
        }
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(Corrupt) }
}

/// How many registers have each value.
struct Histogram([u32; 64]);

impl Histogram {
    fn of(bytes: &[u8]) -> Result<Histogram, Corrupt> {
        if is_dense(bytes) {
            return Ok(Histogram::of_registers(dense_registers(bytes)));
        }
        let (mut counts, mut seen) = ([0; 64], 0);
        for run in runs(bytes) {
            seen += run.len;
            if seen > REGISTERS {
                return Err(Corrupt);
            }
            counts[usize::from(run.value)] += run.len as u32;
        }
        if seen == REGISTERS { Ok(Histogram(counts)) } else { Err(Corrupt) }
    }

    fn of_registers(registers: impl Iterator<Item = u8>) -> Histogram {
        let mut counts = [0; 64];
        registers.for_each(|value| counts[usize::from(value & 63)] += 1);
        Histogram(counts)
    }

    /// The estimate of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017).
    fn estimate(&self) -> u64 {
        /// 1 / (2 ln 2)
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let registers = REGISTERS as f64;
        let share = |value: usize| f64::from(self.0[value]) / registers;
        let mut sum = registers * tau(1.0 - share(VALUE_MAX));
        for value in (1..VALUE_MAX).rev() {
            sum = 0.5 * (sum + f64::from(self.0[value]));
        }
        sum += registers * sigma(share(0));
        (ALPHA * registers * registers / sum).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// How many distinct elements a HyperLogLog has seen, about.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    Ok(Histogram::of(bytes)?.estimate())
}

pub fn count_registers(registers: &Registers) -> u64 {
    Histogram::of_registers(registers.iter().copied()).estimate()
}

/// The last count, unless something changed since.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let count = bytes.get(CACHE_AT..HEADER_BYTES)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
    (bytes[STALE_AT] & STALE == 0).then_some(count)
}

/// Marks the last count as one that something changed since.
pub fn forget_count(bytes: &mut [u8]) {
    bytes[STALE_AT] |= STALE;
}

pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[CACHE_AT..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Checks both forms against each other and against what they should tell. The error says what is wrong.
pub fn self_test() -> Result<(), String> {
    let (mut sparse, mut dense, mut seen) = (empty(), empty(), 0u64);
    make_dense(&mut dense).map_err(|_| "an empty one is corrupt".to_owned())?;
    for checkpoint in [1, 10, 100, 1_000, 10_000, 100_000] {
        while seen < checkpoint {
            let element = seen.to_le_bytes();
            let changed = add(&mut sparse, &element, 3_000);
            if changed != Ok(add_dense(&mut dense, &element)) {
                return Err(format!("the forms disagree about element {seen}"));
            }
            seen += 1;
        }
        let counts = (count(&sparse), count(&dense));
        if counts.0 != counts.1 {
            return Err(format!("{counts:?} after {seen} elements"));
        }
        // Six times the standard error of 1.04 / sqrt(registers), and one for the smallest.
        let (counted, allowed) = (count(&dense).unwrap_or(0), seen as f64 * 6.0 * 1.04 / 128.0 + 1.0);
        if (counted as f64 - seen as f64).abs() > allowed {
            return Err(format!("{counted} for {seen} elements"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    #[test]
    fn it_passes_its_own_test() {
        assert_eq!(self_test(), Ok(()));
    }

    #[test]
    fn hashes_are_redis_own() {
        // What Redis 7 makes of PFADD key a.
        assert_eq!(place(b"a"), (12_711, 2));
        let mut bytes = empty();
        assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(add(&mut bytes, b"a", 3000), Ok(true));
        assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x71\xa6\x84\x4e\x57");
    }

    #[test]
    fn forms_agree_whatever_is_added() {
        let mut rng = Rng::from_seed(1);
        for limit in [20, 100, 3000, 16_000] {
            let (mut sparse, mut dense, mut registers) = (empty(), empty(), [0; REGISTERS]);
            make_dense(&mut dense).unwrap();
            for _ in 0..3_000 {
                // Few registers, so that runs are split and joined.
                let (index, value) = (rng.below(700) as usize, rng.below(34) as u8 + 1);
                registers[index] = value.max(registers[index]);
                assert_eq!(
                    raise_sparse_or_dense(&mut sparse, index, value, limit),
                    raise_dense(&mut dense, index, value)
                );
            }
            let mut merged = [0; REGISTERS];
            merge(&mut merged, &sparse).unwrap();
            assert!(merged == registers && is_one(&sparse));
            assert_eq!(count(&sparse), count(&dense));
            for dense in [false, true] {
                let packed = pack(&registers, dense, 1_000);
                assert_eq!(count(&packed), Ok(count_registers(&registers)));
            }
        }
    }

    fn raise_sparse_or_dense(bytes: &mut Vec<u8>, index: usize, value: u8, limit: usize) -> bool {
        if is_dense(bytes) {
            return raise_dense(bytes, index, value);
        }
        raise_sparse(bytes, index, value, limit).unwrap()
    }

    #[test]
    fn registers_pack_and_the_count_is_cached() {
        let mut registers = [0; REGISTERS];
        (0..100).for_each(|index| registers[index * 7] = 1 + index as u8 % 32);
        let mut bytes = pack(&registers, false, 3000);
        assert!(!is_dense(&bytes) && is_dense(&pack(&registers, false, 50)));
        let mut again = [0; REGISTERS];
        merge(&mut again, &bytes).unwrap();
        assert!(again == registers);
        assert_eq!(cached_count(&bytes), None);
        cache_count(&mut bytes, 77);
        assert_eq!(cached_count(&bytes), Some(77));
        make_dense(&mut bytes).unwrap();
        assert_eq!(cached_count(&bytes), Some(77));
    }

    #[test]
    fn damage_is_told_and_does_no_harm() {
        let mut rng = Rng::from_seed(2);
        for _ in 0..2_000 {
            let mut bytes = empty();
            for _ in 0..rng.below(200) {
                add(&mut bytes, &rng.next_u64().to_le_bytes(), 3000).unwrap();
            }
            let at = HEADER_BYTES + rng.below((bytes.len() - HEADER_BYTES) as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
            if rng.below(2) == 0 {
                bytes.truncate(at);
            }
            let whole = count(&bytes).is_ok();
            assert_eq!(merge(&mut [0; REGISTERS], &bytes).is_ok(), whole);
            for _ in 0..20 {
                let _ = add(&mut bytes, &rng.next_u64().to_le_bytes(), 3000);
            }
            assert_eq!(make_dense(&mut bytes).is_ok(), is_dense(&bytes));
        }
        for (bytes, expected) in [(&b"HYLL"[..], false), (b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", false), (&empty(), true)] {
            assert_eq!(is_one(bytes), expected);
        }
        assert!(!is_one(&header(DENSE)));
    }
}
