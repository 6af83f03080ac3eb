//! What to send: commands as byte templates whose digits are patched in place, chosen by weight.
//!
//! Every key is 16 bytes: a four-byte prefix and twelve digits. A template is rendered once, so building a request
//! in the measured loop is one copy and six two-digit stores per number.

use std::cell::Cell;

const KEY_DIGITS: usize = 12;
const KEY_BYTES: usize = 16;
const RANK_DIGITS: usize = 6;

/// The commands by name. A word may be `{key}` (prefix and a number that is drawn), `{value}`, or hold `{number}` (12
/// digits, drawn), `{same}` (the last number again) or `{rank}` and `{rank+9}` (6 digits without leading zeros, for
/// positions; the second goes with the first).
const FORMS: &[(&str, &str)] = &[
    ("get", "GET {key}"),
    ("set", "SET {key} {value}"),
    ("incr", "INCR {key}"),
    ("mget10", "MGET {key} {key} {key} {key} {key} {key} {key} {key} {key} {key}"),
    ("ping", "PING"),
    ("lpush", "LPUSH {key} {value}"),
    ("rpush1", "RPUSH list {value}:{number}"),
    ("lpop", "LPOP {key}"),
    ("sadd", "SADD set member:{number}"),
    ("hset", "HSET {key} {value} {value}"),
    ("hget", "HGET {key} {value}"),
    ("hset3", "HSET {key} field1 {value} field2 {value} field3 {value}"),
    ("zadd", "ZADD zset {number} member:{number}"),
    ("zfill", "ZADD zset {number} member:{same}"),
    ("zrange10", "ZRANGE zset {rank} {rank+9}"),
    ("xadd", "XADD {key} * field {value}"),
    ("eval", "EVAL redis.call('SET',KEYS[1],ARGV[1]);return+redis.call('GET',KEYS[1]) 1 {key} {value}"),
    ("publish", "PUBLISH channel {value}"),
];
/// Positions are drawn from these.
const RANKS: std::ops::Range<u64> = 100_000..999_990;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Keys drawn uniformly.
    Random,
    /// Each key once, counting up: loads a known data set.
    Sequential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Letters: a server cannot store it as a number.
    Text,
    /// Decimal digits, so that INCR works on it.
    Digits,
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// What is written into a copy of the bytes, and where.
    patches: Vec<(usize, Patch)>,
    weight: u64,
}

#[derive(Debug, Clone, Copy)]
enum Patch {
    Number,
    SameNumber,
    Rank,
    /// The last position, and so many more.
    RankPlus(u64),
}

/// Shared by all connections of the one thread; interior counters are cells.
#[derive(Debug)]
pub struct Workload {
    templates: Vec<Template>,
    total_weight: u64,
    keys: u64,
    order: Order,
    next_key: Cell<u64>,
    random: Cell<u64>,
}

impl Workload {
    /// `mix` is `name[:weight]` joined by commas, for example `get:4,set:1`.
    pub fn new(mix: &str, prefix: &str, keys: u64, order: Order, value: &[u8], seed: u64) -> Result<Self, String> {
        if prefix.len() + KEY_DIGITS != KEY_BYTES {
            return Err(format!("prefix must have {} bytes", KEY_BYTES - KEY_DIGITS));
        }
        if keys == 0 {
            return Err("keys must be at least 1".to_owned());
        }
        let mut templates = Vec::new();
        for part in mix.split(',') {
            let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
            let weight = weight.parse::<u64>().map_err(|_| format!("bad weight in '{part}'"))?;
            templates.push(render(name, prefix, value, weight)?);
        }
        let total_weight = templates.iter().map(|template| template.weight).sum();
        if total_weight == 0 {
            return Err("the mix has no weight".to_owned());
        }
        Ok(Workload { templates, total_weight, keys, order, next_key: Cell::new(0), random: Cell::new(seed) })
    }

    /// Appends `commands` requests to `out`.
    pub fn append_batch(&self, out: &mut Vec<u8>, commands: usize) {
        for _ in 0..commands {
            let template = self.pick();
            let start = out.len();
            out.extend_from_slice(&template.bytes);
            let mut number = 0;
            for &(offset, patch) in &template.patches {
                let (digits, written) = match patch {
                    Patch::Number => (KEY_DIGITS, self.pick_key()),
                    Patch::SameNumber => (KEY_DIGITS, number),
                    Patch::Rank => (RANK_DIGITS, RANKS.start + self.draw(RANKS.end - RANKS.start)),
                    Patch::RankPlus(more) => (RANK_DIGITS, number + more),
                };
                number = written;
                let at = start + offset;
                write_digits(&mut out[at..at + digits], written);
            }
        }
    }

    #[inline]
    fn pick(&self) -> &Template {
        if self.templates.len() == 1 {
            return &self.templates[0];
        }
        let mut point = self.draw(self.total_weight);
        for template in &self.templates {
            if point < template.weight {
                return template;
            }
            point -= template.weight;
        }
        &self.templates[0]
    }

    #[inline]
    fn pick_key(&self) -> u64 {
        match self.order {
            Order::Random => self.draw(self.keys),
            Order::Sequential => {
                let key = self.next_key.get();
                self.next_key.set(if key + 1 == self.keys { 0 } else { key + 1 });
                key
            }
        }
    }

    /// Uniform in `0..bound` (splitmix64, then a multiply instead of a division).
    #[inline]
    fn draw(&self, bound: u64) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}

/// The value that every write of a run stores.
pub fn value_of(bytes: usize, kind: ValueKind) -> Vec<u8> {
    let alphabet: &[u8] = match kind {
        ValueKind::Text => b"cairnstonepilevw",
        ValueKind::Digits => b"1234567",
    };
    (0..bytes).map(|index| alphabet[index % alphabet.len()]).collect()
}

fn render(name: &str, prefix: &str, value: &[u8], weight: u64) -> Result<Template, String> {
    let (_, form) =
        FORMS.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("unknown command '{name}' in the mix"))?;
    let words: Vec<&str> = form.split(' ').collect();
    let mut template = Template { bytes: format!("*{}\r\n", words.len()).into_bytes(), patches: Vec::new(), weight };
    for word in words {
        // A script has blanks that do not part words.
        let word = word.replace('+', if word.starts_with('{') { "+" } else { " " });
        let (text, patches) = render_word(&word, prefix, value);
        template.bytes.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
        let start = template.bytes.len();
        template.patches.extend(patches.into_iter().map(|(at, patch)| (start + at, patch)));
        template.bytes.extend_from_slice(&text);
        template.bytes.extend_from_slice(b"\r\n");
    }
    Ok(template)
}

/// A word's bytes, and what is patched into them.
fn render_word(word: &str, prefix: &str, value: &[u8]) -> (Vec<u8>, Vec<(usize, Patch)>) {
    let (mut text, mut patches, mut rest) = (Vec::new(), Vec::new(), word);
    while let Some((before, name, behind)) = rest
        .split_once('{')
        .and_then(|(before, other)| other.split_once('}').map(|(name, behind)| (before, name, behind)))
    {
        text.extend_from_slice(before.as_bytes());
        let (digits, patch) = match name {
            "value" => {
                text.extend_from_slice(value);
                rest = behind;
                continue;
            }
            "key" => {
                text.extend_from_slice(prefix.as_bytes());
                (KEY_DIGITS, Patch::Number)
            }
            "number" => (KEY_DIGITS, Patch::Number),
            "same" => (KEY_DIGITS, Patch::SameNumber),
            "rank" => (RANK_DIGITS, Patch::Rank),
            "rank+9" => (RANK_DIGITS, Patch::RankPlus(9)),
            other => panic!("a form names '{other}'"),
        };
        patches.push((text.len(), patch));
        text.resize(text.len() + digits, b'0');
        rest = behind;
    }
    text.extend_from_slice(rest.as_bytes());
    (text, patches)
}

#[inline]
fn write_digits(out: &mut [u8], mut number: u64) {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[0u8; 2]; 100];
        let mut index = 0;
        while index < 100 {
            pairs[index] = [b'0' + (index / 10) as u8, b'0' + (index % 10) as u8];
            index += 1;
        }
        pairs
    };
    for pair in out.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(mix: &str, keys: u64, order: Order, commands: usize) -> String {
        let value = value_of(8, ValueKind::Text);
        let workload = Workload::new(mix, "key:", keys, order, &value, 1).unwrap();
        let mut out = Vec::new();
        workload.append_batch(&mut out, commands);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_well_formed() {
        assert_eq!(
            batch("set", 1000, Order::Sequential, 2),
            "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$8\r\ncairnsto\r\n\
             *3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$8\r\ncairnsto\r\n"
        );
        let mget = batch("mget10", 5, Order::Random, 1);
        assert!(mget.starts_with("*11\r\n$4\r\nMGET\r\n$16\r\nkey:00000000000"));
        assert_eq!(mget.matches("$16\r\n").count(), 10);
    }

    #[test]
    fn numbers_go_where_the_form_says() {
        assert_eq!(
            batch("zfill", 1000, Order::Sequential, 1),
            "*4\r\n$4\r\nZADD\r\n$4\r\nzset\r\n$12\r\n000000000000\r\n$19\r\nmember:000000000000\r\n"
        );
        let range = batch("zrange10", 1, Order::Random, 1);
        let words: Vec<&str> = range.split("\r\n").collect();
        let [start, stop] = [words[6], words[8]].map(|word| word.parse::<u64>().unwrap());
        assert!(RANKS.contains(&start) && stop == start + 9, "{range}");
        assert!(batch("eval", 1, Order::Random, 1).contains("return redis.call('GET',KEYS[1])"));
    }

    #[test]
    fn a_mix_keeps_its_weights() {
        let text = batch("get:4,set:1", 1000, Order::Random, 10_000);
        let sets = text.matches("SET").count();
        assert!((1800..2200).contains(&sets), "{sets}");
    }

    #[test]
    fn bad_arguments_are_refused() {
        let refused = |mix, prefix, keys| {
            assert!(Workload::new(mix, prefix, keys, Order::Random, b"v", 1).is_err());
        };
        refused("nosuch", "key:", 1);
        refused("get:x", "key:", 1);
        refused("get:0", "key:", 1);
        refused("get", "toolong:", 1);
        refused("get", "key:", 0);
    }
}
