//! Random commands, valid and not: a template for every form of every command, filled from pools of ordinary and
//! awkward arguments, now and then damaged.

use cairn::base::crc64::crc64;
use cairn::base::sha1;
use cairn::rdb::{Value, payload};

use super::server_templates::LISTENING;
use super::{programs, templates};
use crate::support::Random;

/// Digits of a count of entries that there is room for.
const ROOMY_DIGITS: usize = 6;

const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"{t}1",
    b"{t}2",
    b"{t}3",
    b"{t}4",
    b"",
    b"bin\x00\xff\r\n",
    b"{}x",
    b"a long name of a key",
];

const LISTS: &[&[u8]] = &[b"list1", b"list2", b"{t}list"];
const SETS: &[&[u8]] = &[b"set1", b"set2", b"{t}set"];
const SORTED_SETS: &[&[u8]] = &[b"zset1", b"zset2", b"{t}zset"];
/// Sorted sets in which all scores are zero: elsewhere it is left open which members a lexical range has. Commands that
/// would give other scores never see them.
const LEXICAL: &[&[u8]] = &[b"lexical1", b"lexical2", b"{t}lexical"];
/// Sets of one member at most: what is drawn from them is certain.
const LONE: &[&[u8]] = &[b"lone"];
const HASHES: &[&[u8]] = &[b"hash1", b"hash2"];
const STREAMS: &[&[u8]] = &[b"stream1", b"stream2"];

const AWKWARD_INTEGERS: &[&str] = &[
    "",
    " ",
    "1 ",
    " 1",
    "+1",
    "-0",
    "00",
    "01",
    "0x10",
    "1.0",
    "1e3",
    "abc",
    "--1",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "1\x00",
];

const AWKWARD_FLOATS: &[&str] = &[
    "",
    " 1",
    "1 ",
    "+1",
    "-0",
    "0x10",
    "0x1p3",
    "1e400",
    "-1e400",
    "1e5000",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "+infinity",
    "abc",
    "1,5",
    ".5",
    "5.",
    ".",
    "1e",
    "1e+2",
    "1E2",
    "1.0e-3",
    "00.10",
    "1e-400",
    "0.1",
    "0.2",
    "3.14159265358979323846",
    "1e17",
    "123456789012345678",
    "99999999999999999.9",
    "1_000",
];

/// Exponents that no double has; two zeros less, and some do.
const OUT_OF_RANGE: &[&str] = &["e400", "e5000", "e-400"];

const AWKWARD_OFFSETS: &[&str] = &[
    "-1",
    "8388607",
    "8388608",
    "1048575",
    "1048576",
    "4294967295",
    "4294967296",
    "536870911",
    "536870912",
    "",
    "abc",
    "01",
    "+1",
    "1.5",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
];

const AWKWARD_FIELDS: &[&str] =
    &["u64", "i65", "u0", "i0", "x8", "u", "i", "8", "", "u8x", "u-1", "i+8", "u 8", "i9223372036854775808"];

const AWKWARD_POSITIONS: &[&str] =
    &["-1", "#-1", "#", "", "#abc", "8388600", "8388601", "#1048575", "#1048576", "##1", "1.5", "#4294967296"];

const PATTERNS: &[&str] = &[
    "*", "a", "?", "{t}*", "[ab]", "[^ab]", "[a-c]", "[c-a]", "*1", "a*b", "\\a", "[", "[a", "**", "", "\\", "{*}?",
    "*[1-3]",
];

const CHANNELS: &[&[u8]] = &[b"a", b"b", b"ab", b"{t}1", b"news", b""];

/// What ACL SETUSER may be told, but nothing that lets a user see more or less of a command than another version knows.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    ">secret",
    ">other",
    "<secret",
    "<nosuch",
    "~a*",
    "~*",
    "%R~b",
    "%W~c",
    "%RW~d",
    "%X~e",
    "%R~",
    "~",
    "allkeys",
    "resetkeys",
    "&news",
    "&*",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "+get",
    "-get",
    "+@string",
    "-@write",
    "+@read",
    "+@junk",
    "+junk",
    "+config|get",
    "-config|set",
    "+get|junk",
    "+config|junk",
    "(+get ~x)",
    "(-@all +set %W~y)",
    "(junk)",
    "(",
    "clearselectors",
    "reset",
    "sanitize-payload",
    "skip-sanitize-payload",
    "junk",
    "",
    "#junk",
    "!junk",
    "+@all",
    "+select|0",
    "-select|1",
    "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "!2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
];

/// Directives with the same default in both, none of which takes any text.
const DIRECTIVES: &[&str] = &[
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "maxmemory-eviction-tenacity",
    "timeout",
    "tcp-keepalive",
    "hz",
    "databases",
    "list-max-listpack-size",
    "list-max-ziplist-size",
    "hash-max-listpack-entries",
    "hash-max-ziplist-value",
    "hash-max-listpack-value",
    "zset-max-listpack-entries",
    "zset-max-ziplist-entries",
    "zset-max-listpack-value",
    "set-max-intset-entries",
    "stream-node-max-bytes",
    "stream-node-max-entries",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "latency-monitor-threshold",
    "proto-max-bulk-len",
    "lua-time-limit",
    "busy-reply-threshold",
    "appendfsync",
    "activerehashing",
    "lfu-log-factor",
    "lfu-decay-time",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-user-del",
    "client-query-buffer-limit",
    "tracking-table-max-keys",
    "acllog-max-len",
    "list-compress-depth",
    "hll-sparse-max-bytes",
    "junk",
    "dynamic-hz",
    "activedefrag",
    "replica-serve-stale-data",
    "slave-read-only",
    "notify-keyspace-events",
    "tcp-backlog",
    "protected-mode",
    "jemalloc-bg-thread",
];

/// Bodies of payloads in uncommon forms, some of them damaged. None ends so that it reads on in its trailer, which the
/// oracle does not mind.
const SEALED_BODIES: &[&[u8]] = &[
    b"\x08",
    b"\x1a\x01x",
    b"\xc8",
    b"\xff",
    b"\x00\x3fshort",
    b"\x00\x82",
    b"\x00\xc4",
    b"\x00\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x02hi and more",
    b"\x00\x40\x02hi",
    b"\x00\x80\x00\x00\x00\x02hi",
    b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x02hi",
    b"\x00\xc0\x05",
    b"\x00\xc1\x05\x00",
    b"\x00\xc2\xff\xff\xff\x7f",
    b"\x00\xc3\x05\x15\x00a\xe0\x0b\x00",
    b"\x00\xc3\x02\x01\x00a",
    b"\x00\xc3\x02\x03\x00a",
    b"\x00\xc3\x05\x16\x00a\xe0\x0b\x00",
    b"\x00\xc3\x05\x15\x00a\xe0\x0b\x01",
];

/// One command of the families that are asked for, as its arguments. Only sequences that are `sorting` have SORT: they have
/// no zero bytes, which would end texts for the oracle; no numbers out of range, as it takes what they leave in errno for
/// an error of a later SORT; large sorted sets only, as it makes those large that it sorts; and one size of list nodes, as
/// its STORE knows the default only.
pub fn random_command(random: &mut Random, sorting: bool) -> Vec<Vec<u8>> {
    let unwanted: &[&str] = if sorting { &["zset-max-listpack-entries", "list-max-listpack-size"] } else { &["SORT"] };
    let mut template = templates::pick(random);
    while unwanted.iter().any(|word| template.contains(word)) {
        template = templates::pick(random);
    }
    let mut command = command_of(template, random, sorting);
    let is_about_commands = |command: &[Vec<u8>]| command[0].eq_ignore_ascii_case(b"COMMAND");
    if random.chance(8) && !is_about_commands(&command) {
        command = wrapped(command, random);
    }
    // The two versions want different numbers of arguments here, and inside MULTI that decides over the transaction.
    // With less, all commands are told, of which one version has more.
    while is_about_commands(&command) && command.len() < 4 {
        command.push(b"word".to_vec());
    }
    command
}

/// One command of any family that is about values.
pub fn any_command(random: &mut Random) -> Vec<Vec<u8>> {
    command_of(templates::pick_of_values(random), random, false)
}

fn command_of(template: &'static str, random: &mut Random, sorting: bool) -> Vec<Vec<u8>> {
    let mut template = template;
    // What empties everything or moves databases about stays rare, or there would be nothing to compare.
    if (template.starts_with("FLUSH") || template.starts_with("SWAPDB") || template.starts_with("SELECT"))
        && random.chance(85)
    {
        template = "GET <key>";
    }
    let mut command = Vec::new();
    expand(template, random, &mut command);
    // SPOP takes everything as it is: less would leave each side with other members. Nor may there be other members of
    // the lone set, or other scores in lexical sets. A HELLO that fails at its end has set a name for the oracle.
    let is_fixed = ["SPOP", "SADD <lone>", "ZADD <lexical>", "HELLO"].iter().any(|start| template.starts_with(start));
    if random.chance(6) && !is_fixed {
        damage(&mut command, random);
    }
    // In the ids of streams a zero byte ends what the oracle reads, which is nothing to imitate.
    if command[0].first().is_some_and(|first| first.eq_ignore_ascii_case(&b'X')) {
        command.iter_mut().flatten().filter(|byte| **byte == 0).for_each(|byte| *byte = 1);
    }
    // The oracle makes room for as many entries as it is told to look at, and may have none.
    if command[0].eq_ignore_ascii_case(b"XAUTOCLAIM") {
        let is_number = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
        command.iter_mut().filter(|word| is_number(word)).for_each(|word| word.truncate(ROOMY_DIGITS));
    }
    // The oracle has no WITHSCORE yet.
    if [&b"ZRANK"[..], b"ZREVRANK"].contains(&command[0].to_ascii_uppercase().as_slice()) {
        command.truncate(3);
    }
    if sorting || template.contains("<border>") {
        command.iter_mut().flatten().filter(|byte| **byte == 0).for_each(|byte| *byte = b'0');
    }
    // A timeout of fewer zeros would be waited for.
    if sorting && !template.starts_with('B') {
        let is_out_of_range = |word: &[u8]| OUT_OF_RANGE.iter().any(|end| word.ends_with(end.as_bytes()));
        command.iter_mut().filter(|word| is_out_of_range(word)).for_each(|word| word.truncate(word.len() - 2));
    }
    command
}

/// A command for a connection that listens.
pub fn listening_command(random: &mut Random) -> Vec<Vec<u8>> {
    let mut command = Vec::new();
    expand(random.pick(LISTENING), random, &mut command);
    if random.chance(3) {
        command.push(b"*".to_vec());
    }
    command
}

/// The command as another runs it or tells of it, where the families have such a one.
fn wrapped(command: Vec<Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
    let others: &[&str] = match random.below(2) {
        0 if templates::is_chosen("scripts") => &["EVAL", programs::ANY_COMMAND, "0"],
        1 if templates::is_chosen("server") => random.pick(&[
            &["COMMAND", "GETKEYS"][..],
            &["COMMAND", "GETKEYSANDFLAGS"],
            &["ACL", "DRYRUN", "default"],
            &["ACL", "DRYRUN", "limited"],
            &["ACL", "DRYRUN", "tester"],
        ]),
        _ => return command,
    };
    others.iter().map(|word| word.as_bytes().to_vec()).chain(command).collect()
}

fn expand(template: &str, random: &mut Random, command: &mut Vec<Vec<u8>>) {
    let mut rest = template;
    while !rest.is_empty() {
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('{') {
            let (content, after) = split_at_closing(inner, '{', '}');
            for _ in 0..random.below(4) {
                expand(content, random, command);
            }
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (content, after) = split_at_closing(inner, '[', ']');
            if random.chance(50) {
                expand(content, random, command);
            }
            rest = after;
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            let word = &rest[..end];
            if !word.is_empty() {
                let choices: Vec<&str> = word.split('|').collect();
                command.push(fill(random.pick(&choices), random));
            }
            rest = &rest[end..];
        }
    }
}

/// What stands before the bracket that closes one opened before `text`, and what behind it.
fn split_at_closing(text: &str, opening: char, closing: char) -> (&str, &str) {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        depth += i32::from(letter == opening);
        depth -= i32::from(letter == closing);
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    panic!("a template lacks a closing bracket");
}

fn fill(word: &str, random: &mut Random) -> Vec<u8> {
    match word {
        "<key>" => key(random, KEYS),
        "<list>" => key(random, LISTS),
        "<set>" => key(random, SETS),
        "<zset>" => key(random, SORTED_SETS),
        "<lexical>" => random.pick(LEXICAL).to_vec(),
        "<lone>" => random.pick(LONE).to_vec(),
        "<weight>" => [b"w_", &member(random)[..]].concat(),
        "<weighing>" => [b"h_", &member(random)[..]].concat(),
        "<hash>" => key(random, HASHES),
        "<stream>" => key(random, STREAMS),
        "<log>" => key(random, &[b"hll1", b"hll2"]),
        "<geo>" => key(random, &[b"geo1", b"geo2"]),
        "<member>" => member(random),
        "<count>" => match random.below(8) {
            0 => random.pick(AWKWARD_INTEGERS).as_bytes().to_vec(),
            _ => random.between(-3, 12).to_string().into_bytes(),
        },
        // For what draws as many as it is told to.
        "<few>" => random.between(-8, 8).to_string().into_bytes(),
        "<numkeys>" => random.pick(&["1", "2", "1", "2", "3", "0", "-1", "x", ""]).as_bytes().to_vec(),
        "<score>" => match random.below(4) {
            0 => random.pick(AWKWARD_FLOATS).as_bytes().to_vec(),
            1 => format!("{}.{}", random.between(-9, 9), random.below(100)).into_bytes(),
            _ => random.between(-9, 9).to_string().into_bytes(),
        },
        "<border>" => match random.below(6) {
            0 => [random.pick(&["", "("]), random.pick(AWKWARD_FLOATS)].concat().into_bytes(),
            1 | 2 => {
                random.pick(&["-inf", "+inf", "(0", "(3", "(x", "inf", "nan", "", "(", "(-inf"]).as_bytes().to_vec()
            }
            _ => random.between(-9, 9).to_string().into_bytes(),
        },
        "<lex>" => match random.below(3) {
            0 => random.pick(&["-", "+", "[", "(", "x", "", "[b", "(b"]).as_bytes().to_vec(),
            _ => [random.pick(&[&b"["[..], b"("]), &member(random)].concat(),
        },
        "<id>" => match random.below(6) {
            0 => random
                .pick(&["-", "+", "$", ">", "0", "0-0", "(5", "x", "5-", "-5", "1-2-3", "5-*"])
                .as_bytes()
                .to_vec(),
            1 => random.below(40).to_string().into_bytes(),
            _ => format!("{}-{}", random.below(40), random.below(4)).into_bytes(),
        },
        "<script>" => random.pick(programs::SCRIPTS).as_bytes().to_vec(),
        "<sha>" => match random.below(8) {
            0 => random.pick(&["", "junk", "0123456789012345678901234567890123456789"]).as_bytes().to_vec(),
            1 => sha1::hex(random.pick(programs::SCRIPTS).as_bytes()).to_uppercase().into_bytes(),
            _ => sha1::hex(random.pick(programs::SCRIPTS).as_bytes()).into_bytes(),
        },
        "<library>" => random.pick(programs::LIBRARIES).as_bytes().to_vec(),
        "<rule>" => random.pick(RULES).as_bytes().to_vec(),
        "<directive>" => random.pick(DIRECTIVES).as_bytes().to_vec(),
        "<channel>" => random.pick(CHANNELS).to_vec(),
        "<longitude>" => format!("{}.{}", random.between(-181, 181), random.below(1000)).into_bytes(),
        "<latitude>" => format!("{}.{}", random.between(-86, 86), random.below(1000)).into_bytes(),
        "<distance>" => random.pick(&["100", "1000", "0", "5000.5", "20000", "-1", "x"]).as_bytes().to_vec(),
        "<timeout>" => random.pick(&["0.001", "0.001", "0.001", "-1", "x", "", "1e400", "nan"]).as_bytes().to_vec(),
        "<value>" => value(random),
        "<integer>" => integer(random),
        "<float>" => match random.below(3) {
            0 => random.pick(AWKWARD_FLOATS).as_bytes().to_vec(),
            1 => random.between(-20, 20).to_string().into_bytes(),
            _ => format!("{}{}.{}", random.pick(&["", "-"]), random.below(1000), random.below(1000)).into_bytes(),
        },
        "<index>" => match random.below(5) {
            0 => random.pick(AWKWARD_INTEGERS).as_bytes().to_vec(),
            _ => random.between(-25, 25).to_string().into_bytes(),
        },
        "<offset>" => match random.below(25) {
            0 => random.pick(AWKWARD_OFFSETS).as_bytes().to_vec(),
            _ => random.below(200).to_string().into_bytes(),
        },
        "<bit>" => random.pick(&["0", "1", "0", "1", "0", "1", "2", "-1", "", "x", "01"]).as_bytes().to_vec(),
        "<field>" => match random.below(12) {
            0 => random.pick(AWKWARD_FIELDS).as_bytes().to_vec(),
            _ => format!("{}{}", random.pick(&["u", "i"]), 1 + random.below(64)).into_bytes(),
        },
        "<position>" => match random.below(20) {
            0 => random.pick(AWKWARD_POSITIONS).as_bytes().to_vec(),
            1..5 => format!("#{}", random.below(20)).into_bytes(),
            _ => random.below(150).to_string().into_bytes(),
        },
        "<time>" => time(random),
        "<ttl>" => match random.below(3) {
            0 => time(random),
            _ => b"0".to_vec(),
        },
        "<payload>" => restorable(random),
        "<database>" => random
            .pick(&["0", "0", "0", "1", "1", "2", "15", "16", "-1", "x", "", "01", "4294967296"])
            .as_bytes()
            .to_vec(),
        "<pattern>" => random.pick(PATTERNS).as_bytes().to_vec(),
        other => match random.below(10) {
            0 => other.to_lowercase().into_bytes(),
            _ => other.as_bytes().to_vec(),
        },
    }
}

/// Mostly a key of the pool, now and then any other, so that types meet commands of others.
fn key(random: &mut Random, pool: &[&[u8]]) -> Vec<u8> {
    let other = [KEYS, LISTS, SETS, SORTED_SETS, HASHES, STREAMS];
    let pool = if random.chance(4) { random.pick(&other) } else { pool };
    random.pick(pool).to_vec()
}

/// Members, fields and elements: few, so that they meet again; integers among them, and some too long to stay packed.
fn member(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => value(random),
        1 => vec![random.pick(b"xyz"); 60 + random.below(8)],
        2..7 => random.between(-3, 12).to_string().into_bytes(),
        _ => vec![random.pick(b"abcdefgh"); 1 + random.below(2)],
    }
}

fn integer(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => random.pick(AWKWARD_INTEGERS).as_bytes().to_vec(),
        _ => random.between(-100, 100).to_string().into_bytes(),
    }
}

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0 => random.pick(AWKWARD_INTEGERS).as_bytes().to_vec(),
        1 => random.pick(AWKWARD_FLOATS).as_bytes().to_vec(),
        2..4 => random.between(-200, 20_000).to_string().into_bytes(),
        4 => random.next().to_string().into_bytes(),
        5 => (0..random.below(30)).map(|_| random.next() as u8).collect(),
        6 => vec![random.pick(b"xyz"); 30 + random.below(40)],
        7 => vec![random.pick(b"\x00\xff\x0f"); random.below(40)],
        _ => (0..random.below(12)).map(|_| random.pick(b"abcd")).collect(),
    }
}

/// What DUMP may have given, or nearly.
fn restorable(random: &mut Random) -> Vec<u8> {
    let mut payload = payload::encode(Value::String(&value(random)), random.chance(50));
    match random.below(8) {
        0 => {
            let at = random.below(payload.len());
            payload[at] ^= 1 << random.below(8);
        }
        1 => payload.truncate(random.below(payload.len())),
        2 => {
            // Up to version 10 both sides read it, none reads 200.
            let version = random.pick(&[0, 1, 6, 9, 10, 200]);
            payload = [random.pick(SEALED_BODIES), &[version, 0]].concat();
            payload.extend_from_slice(&crc64(0, &payload).to_le_bytes());
        }
        _ => {}
    }
    payload
}

/// Past or far ahead as a relative and as an absolute time, in seconds and in milliseconds. The far ones are drawn
/// from so wide a range that two of them never meet within the few milliseconds by which two servers differ.
fn time(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => random.pick(&["0", "-1", "-100", "-9223372036854775808", "-9223372036854775"]).as_bytes().to_vec(),
        1 => random.pick(&["", "abc", "1.5", " 1", "+100000000000", "0x10"]).as_bytes().to_vec(),
        2 => random
            .pick(&[
                "9223372036854775807",
                "9223372036854775808",
                "9223372036854776",
                "9223372036854775",
                "-9223372036854775809",
            ])
            .as_bytes()
            .to_vec(),
        _ => random.between(100_000_000_000, 9_000_000_000_000).to_string().into_bytes(),
    }
}

/// Drops, adds, doubles or replaces an argument.
fn damage(command: &mut Vec<Vec<u8>>, random: &mut Random) {
    let at = random.below(command.len());
    // A short time to live would end on one server while the other still answers.
    let name = command[0].to_ascii_uppercase();
    let timed = [b"SET".as_slice(), b"GETEX", b"CONFIG", b"CLIENT", b"WAIT", b"RESTORE", b"RESTORE-ASKING"].contains(&name.as_slice())
        || name.windows(2).any(|part| part == b"EX")
        // Nor may a client wait for ever.
        || [&b"BL"[..], b"BR", b"BZ", b"XREAD", b"SRAND", b"HRAND", b"ZRAND"].iter().any(|start| name.starts_with(start));
    let junk = |random: &mut Random| {
        if timed { b"junk".to_vec() } else { value(random) }
    };
    // A pattern without a star would leave sets in the order of their tables.
    let weighs = at > 0 && command[at - 1].eq_ignore_ascii_case(b"BY");
    match random.below(5) {
        0 if command.len() > 1 => {
            command.pop();
        }
        1 if at > 0 && !weighs => {
            command.remove(at);
        }
        2 => command.push(junk(random)),
        // Only a cursor that a scan gave means anything, and each server gives its own: a scan has to reach the end.
        3 if at > 0 && !weighs && !(at >= 2 && [&b"SSCAN"[..], b"HSCAN", b"ZSCAN"].contains(&name.as_slice())) => {
            command[at] = junk(random);
        }
        4 => command.insert(at + 1, command[at].clone()),
        _ => {}
    }
}
