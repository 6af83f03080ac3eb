//! When two different replies mean the same: what depends on time or chance, and the few places where the oracle's
//! version is older than the one whose behaviour is the target.

use std::fmt;

use cairn::base::number::{double_text, parse_i64};

use super::programs::ANY_COMMAND;
use crate::support::{Reply, escape};

/// The commands queued in a transaction, so that the parts of EXEC's reply can be told apart.
#[derive(Default)]
pub struct Queued {
    open: bool,
    commands: Vec<Vec<Vec<u8>>>,
}

impl Queued {
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn note(&mut self, command: &[Vec<u8>], reply: &Reply) {
        match name_of(command).as_slice() {
            b"MULTI" if *reply == Reply::ok() => {
                self.open = true;
                self.commands.clear();
            }
            b"EXEC" | b"DISCARD" | b"RESET" if command.len() == 1 => self.open = false,
            _ if self.open && *reply == Reply::Status(b"QUEUED".to_vec()) => self.commands.push(command.to_vec()),
            _ => {}
        }
    }
}

impl fmt::Display for Queued {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines =
            self.commands.iter().map(|command| command.iter().map(|word| escape(word)).collect::<Vec<_>>().join(" "));
        out.write_str(&lines.collect::<Vec<_>>().join("; "))
    }
}

fn name_of(command: &[Vec<u8>]) -> Vec<u8> {
    command[0].to_ascii_uppercase()
}

/// What a script runs that runs what it is given, else the command itself.
pub fn unwrapped(command: &[Vec<u8>]) -> &[Vec<u8>] {
    match command {
        [_, script, _, inner @ ..] if script == ANY_COMMAND.as_bytes() && !inner.is_empty() => inner,
        _ => command,
    }
}

/// True when the tested reply is as good as the oracle's.
pub fn alike(command: &[Vec<u8>], tested: &Reply, oracle: &Reply, queued: &Queued) -> bool {
    if tested == oracle {
        // Equal as values, but not as bytes: a null of the wrong kind, for instance, but for the digits of doubles.
        return holds_doubles(tested) && doubles_alike(tested, oracle);
    }
    answers_alike(command, tested, oracle) || transactions_alike(command, tested, oracle, queued)
}

fn transactions_alike(command: &[Vec<u8>], tested: &Reply, oracle: &Reply, queued: &Queued) -> bool {
    match (tested, oracle) {
        (Reply::Array(ours), Reply::Array(theirs)) if name_of(command) == b"EXEC" && queued.open => {
            let commands = &queued.commands;
            ours.len() == theirs.len()
                && commands.len() == ours.len()
                && (0..ours.len()).all(|index| {
                    ours[index] == theirs[index] || answers_alike(&commands[index], &ours[index], &theirs[index])
                })
        }
        _ => false,
    }
}

fn answers_alike(command: &[Vec<u8>], tested: &Reply, oracle: &Reply) -> bool {
    // A number of keys that is none, like 1e+2: the oracle reads how it begins, and checks those keys.
    let runs_script =
        |word: &Vec<u8>| [&b"EVAL"[..], b"FCALL"].iter().any(|name| word.to_ascii_uppercase().starts_with(name));
    let is_word = |at: usize, words: &[&[u8]]| {
        command.get(at).is_some_and(|word| words.iter().any(|one| word.eq_ignore_ascii_case(one)))
    };
    let asked_about = match () {
        () if is_word(0, &[b"ACL"]) && is_word(1, &[b"DRYRUN"]) => command.get(3..),
        () if is_word(0, &[b"COMMAND"]) && is_word(1, &[b"GETKEYS", b"GETKEYSANDFLAGS"]) => command.get(2..),
        () => None,
    };
    if let Some([script, _, count, ..]) = asked_about
        && runs_script(script)
        && parse_i64(count).is_none()
    {
        return true;
    }
    // A destination with the name of the option: the oracle takes what comes behind it.
    let is_store = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"STORE");
    if let Some([sort, options @ ..]) = asked_about
        && sort.eq_ignore_ascii_case(b"SORT")
        && options.windows(2).any(|pair| pair.iter().all(is_store))
    {
        return true;
    }
    // What is no number becomes the least integer in C.
    let is_nan = |word: &Vec<u8>| word.to_ascii_lowercase().windows(3).any(|part| part == b"nan");
    if matches!((tested, oracle), (Reply::Integer(0), Reply::Integer(i64::MIN)))
        && runs_script(&command[0])
        && command.iter().any(is_nan)
    {
        return true;
    }
    let inner = unwrapped(command);
    if inner.len() < command.len() {
        // What is too large for an integer of Lua's is none to C.
        let is_too_large = matches!((tested, oracle), (Reply::Integer(i64::MAX), Reply::Integer(i64::MIN)));
        return is_too_large || answers_alike(inner, tested, oracle);
    }
    let subcommand = command.get(1).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    match (name_of(command).as_slice(), tested, oracle) {
        // Times to live: the servers work a moment apart.
        (b"TTL" | b"EXPIRETIME", Reply::Integer(ours), Reply::Integer(theirs)) => close(*ours, *theirs, 2),
        (b"PTTL" | b"PEXPIRETIME", Reply::Integer(ours), Reply::Integer(theirs)) => close(*ours, *theirs, 2000),
        // Order is free.
        (b"KEYS", Reply::Array(ours), Reply::Array(theirs)) => same_members(ours, theirs),
        (b"SCAN", Reply::Array(ours), Reply::Array(theirs)) => scans_alike(command, ours, theirs),
        // A table's order is its own.
        (b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"HKEYS" | b"HVALS" | b"SPOP", _, _) => {
            sorted(tested, 1) == sorted(oracle, 1)
        }
        (b"HGETALL", _, _) => sorted(tested, 2) == sorted(oracle, 2),
        (b"SSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, theirs, 1),
        (b"HSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, theirs, 2),
        (b"ZSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, &with_few_digits(theirs), 2),
        (b"ACL", Reply::Array(_), Reply::Array(_)) if subcommand == b"LOG" => true,
        // Passwords are chance.
        (b"ACL", Reply::Bulk(ours), Reply::Bulk(theirs)) if subcommand == b"GENPASS" => ours.len() == theirs.len(),
        // What is quoted of a command ends at a zero byte.
        (b"ACL", Reply::Bulk(_), Reply::Bulk(_)) => command.iter().any(|word| word.contains(&0)),
        // 7.2 shows rules on commands as they were given; which commands they allow is asked with DRYRUN.
        (b"ACL", _, _) if subcommand == b"GETUSER" && !tested.is_error() => {
            without_rules(tested) == without_rules(oracle)
        }
        (b"ACL", Reply::Array(ours), Reply::Array(theirs)) if subcommand == b"LIST" => ours.len() == theirs.len(),
        (b"ACL", _, _) if sorted(tested, 1).is_some() => sorted(tested, 1) == sorted(oracle, 1),
        // As above.
        (b"EVAL" | b"EVALSHA", Reply::Integer(i64::MAX), Reply::Integer(i64::MIN)) => true,
        (b"EVAL" | b"EVAL_RO", _, _) if sorted(tested, 1).is_some() => sorted(tested, 1) == sorted(oracle, 1),
        (b"EVAL" | b"EVAL_RO" | b"EVALSHA" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO", _, _) => {
            errors_alike(tested, oracle)
        }
        // Libraries and functions come in the order of a table.
        (b"FUNCTION", Reply::Array(_), Reply::Array(_)) => deeply_sorted(tested) == deeply_sorted(oracle),
        (b"FUNCTION", Reply::Bulk(ours), Reply::Bulk(theirs)) => subcommand == b"DUMP" && ours.len() == theirs.len(),
        (b"COMMAND", Reply::Array(_), Reply::Array(_)) if command.len() > 2 && subcommand == b"GETKEYSANDFLAGS" => {
            flags_alike(command, tested, oracle)
        }
        // It looks at what the transaction answered before.
        (b"SCRIPT", Reply::Error(_), Reply::Error(theirs)) if subcommand == b"DEBUG" => {
            theirs.ends_with(b"must be called outside a pipeline")
        }
        (b"PUBSUB", Reply::Array(_), Reply::Array(_)) => sorted(tested, 1) == sorted(oracle, 1),
        (b"CONFIG", _, _) if subcommand == b"GET" => sorted(tested, 2) == sorted(oracle, 2),
        // The newer version has more commands, and says more of them.
        (b"COMMAND", _, _) if command.len() <= 2 => !tested.is_error() && !oracle.is_error(),
        (b"COMMAND", Reply::Array(_), Reply::Array(_)) if subcommand == b"LIST" => {
            sorted(tested, 1) == sorted(oracle, 1)
        }
        // Names and versions, moments, counters.
        (b"HELLO", _, _) => !tested.is_error() && shape(tested) == shape(oracle),
        (b"INFO" | b"LASTSAVE" | b"SLOWLOG", _, _) if !tested.is_error() && !oracle.is_error() => true,
        (b"LATENCY" | b"MEMORY", _, _) if [&b"HISTOGRAM"[..], b"STATS", b"DOCTOR"].contains(&subcommand.as_slice()) => {
            !tested.is_error() && !oracle.is_error()
        }
        (b"CLIENT", Reply::Bulk(_) | Reply::Verbatim(_), Reply::Bulk(_) | Reply::Verbatim(_)) => {
            subcommand == b"LIST" || subcommand == b"INFO"
        }
        (name, _, _)
            if [&b"Z"[..], b"BZ"].iter().any(|start| name.starts_with(start)) && doubles_alike(tested, oracle) =>
        {
            true
        }
        (b"LPOS", Reply::Error(ours), _) => ours.starts_with(b"ERR value is out of range, value must between"),
        // Chance.
        (b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER", _, _) => shape(tested) == shape(oracle),
        (b"XPENDING" | b"XINFO", _, _) if !tested.is_error() => lasting(tested) == lasting(oracle),
        // From 7.4 on.
        (b"XREAD" | b"XREADGROUP", _, Reply::Error(theirs)) if command.iter().any(|word| word == b"+") => {
            theirs.starts_with(b"ERR Invalid stream ID")
        }
        // Whether the count in it is still right is noted in other ways.
        (b"GET", Reply::Bulk(ours), Reply::Bulk(theirs)) if ours.starts_with(b"HYLL") && ours.len() == theirs.len() => {
            ours[16..] == theirs[16..]
        }
        // Members of tables, in their order; the moments at which a stream's consumers were seen.
        (b"DUMP", Reply::Bulk(ours), Reply::Bulk(theirs)) if matches!(ours.first(), Some(2 | 4 | 19)) => {
            ours.len() == theirs.len()
        }
        // Packed scores, as texts.
        (b"DUMP", Reply::Bulk(ours), Reply::Bulk(theirs))
            if [ours, theirs].iter().all(|dump| dump.first() == Some(&17)) =>
        {
            theirs.contains(&b'.') || theirs.contains(&b'e')
        }
        // Lists are cut by what a directive was when they grew.
        (b"DUMP", Reply::Bulk(ours), Reply::Bulk(theirs))
            if [ours, theirs].iter().all(|dump| dump.first() == Some(&18)) =>
        {
            true
        }
        (b"RANDOMKEY", Reply::Bulk(_), Reply::Bulk(_)) => true,
        // Keys whose time has come may or may not be reclaimed yet.
        (b"DBSIZE", Reply::Integer(_), Reply::Integer(_)) => true,
        (b"TIME", Reply::Array(_), Reply::Array(_)) => true,
        // Inner accounts.
        (b"CLIENT", Reply::Integer(_), Reply::Integer(_)) => subcommand == b"ID",
        (b"OBJECT", Reply::Integer(_), Reply::Integer(_)) => subcommand != b"ENCODING",
        (b"MEMORY" | b"SLOWLOG", Reply::Integer(_), Reply::Integer(_)) => true,
        // A zero byte ends a word for the oracle, which is nothing to imitate.
        (b"SCAN" | b"SSCAN" | b"HSCAN" | b"ZSCAN", _, _) if command[1..].iter().any(|word| word.contains(&0)) => true,
        (_, Reply::Error(_), Reply::Error(_)) if command.iter().any(|word| word.contains(&0)) => true,
        // The oracle also measures a key whose time has come.
        (b"MEMORY", Reply::Null, Reply::Integer(_)) => true,
        // Short lists are packed, and endless timeouts are told apart from negative ones.
        (b"OBJECT", Reply::Bulk(ours), Reply::Bulk(theirs)) => ours == b"listpack" && theirs == b"quicklist",
        (_, Reply::Error(ours), Reply::Error(theirs)) if ours.starts_with(b"ERR timeout is out") => {
            theirs.starts_with(b"ERR timeout is negative")
        }
        _ => newer_version(command),
    }
}

/// What 7.2 answers differently from the 7.0 that Debian ships.
fn newer_version(command: &[Vec<u8>]) -> bool {
    // A zero byte ends what is checked of a name.
    command.len() > 2 && command[1].eq_ignore_ascii_case(b"SETNAME") && command[2].contains(&0)
}

fn close(ours: i64, theirs: i64, tolerance: i64) -> bool {
    ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= tolerance as u64
}

/// The items of a reply in an order of their own, each with the `group - 1` that follow it.
fn sorted(reply: &Reply, group: usize) -> Option<Vec<String>> {
    let mut items: Vec<String> = match reply {
        Reply::Array(items) | Reply::Set(items) => items.chunks(group).map(|items| format!("{items:?}")).collect(),
        Reply::Map(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
        _ => return None,
    };
    items.sort();
    Some(items)
}

/// The pages of scans that return everything at once.
fn pages_alike(ours: &[Reply], theirs: &[Reply], group: usize) -> bool {
    ours.len() == 2 && theirs.len() == 2 && ours[0] == theirs[0] && sorted(&ours[1], group) == sorted(&theirs[1], group)
}

fn holds_doubles(reply: &Reply) -> bool {
    match reply {
        Reply::Double(_) => true,
        Reply::Array(items) => items.iter().any(holds_doubles),
        _ => false,
    }
}

/// Since 7.2 doubles have as few digits as tell them from others, in 7.0 they had 17. A sorted set that became large while
/// it was stored has the sign of zero for the oracle only in what came after that.
fn doubles_alike(ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Double(ours), Reply::Double(theirs)) => {
            ours.to_bits() == theirs.to_bits() || (*ours == 0.0 && ours.is_sign_negative() && *theirs == 0.0)
        }
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| doubles_alike(ours, theirs))
        }
        (Reply::Bulk(ours), Reply::Bulk(theirs)) if ours == b"-0" && theirs == b"0" => true,
        (Reply::Bulk(ours), Reply::Bulk(theirs)) if ours != theirs => {
            let number = std::str::from_utf8(theirs).ok().and_then(|text| text.parse().ok());
            number.is_some_and(|number| double_text(number).as_bytes() == ours)
        }
        _ => ours == theirs,
    }
}

/// A page of ZSCAN with its scores written as 7.2 does.
fn with_few_digits(page: &[Reply]) -> Vec<Reply> {
    let mut page = page.to_vec();
    if let Some(Reply::Array(items)) = page.get_mut(1) {
        for score in items.iter_mut().skip(1).step_by(2) {
            let number = std::str::from_utf8(score.bytes()).ok().and_then(|text| text.parse().ok());
            *score = Reply::bulk(&double_text(number.expect("a score is a number")));
        }
    }
    page
}

/// A reply without what its leaves say.
fn shape(reply: &Reply) -> String {
    match reply {
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
            items.iter().map(shape).collect::<Vec<_>>().join(",")
        }
        Reply::Map(pairs) => pairs.iter().map(|(name, value)| format!("{name:?}:{}", shape(value))).collect(),
        Reply::Integer(_) => "integer".into(),
        Reply::Bulk(_) => "bulk".into(),
        Reply::Double(_) => "double".into(),
        other => format!("{other:?}"),
    }
}

/// Cairn's counts stop at the greatest number, the oracle's go on below the least.
fn is_greatest(reply: &Reply) -> bool {
    matches!(reply, Reply::Integer(count) if count.unsigned_abs() > i64::MAX as u64 / 2)
}

/// What a report on a stream tells, without what 7.2 adds, times, and the nodes of a tree of another kind.
fn lasting(reply: &Reply) -> String {
    const ADDED: &[&[u8]] = &[b"inactive", b"active-time"];
    const PASSING: &[&[u8]] = &[b"idle", b"seen-time", b"radix-tree-nodes"];
    let is_one = |name: &Reply, names: &[&[u8]]| matches!(name, Reply::Bulk(name) if names.contains(&name.as_slice()));
    match reply {
        Reply::Map(pairs) => {
            let items: Vec<Reply> = pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
            lasting(&Reply::Array(items))
        }
        // A pending entry of XPENDING: who has it for how long.
        Reply::Array(items)
            if matches!(&items[..], [Reply::Bulk(_), Reply::Bulk(_), Reply::Integer(_), Reply::Integer(_)]) =>
        {
            format!("[{:?} {:?} {:?}]", items[0], items[1], items[3])
        }
        Reply::Array(items) => {
            let (mut told, mut rest) = (String::from("["), &items[..]);
            // What is counted further is further behind.
            let counted_out = items.iter().any(is_greatest);
            while let [first, more @ ..] = rest {
                rest = match more {
                    [_, more @ ..] if is_one(first, ADDED) => more,
                    [_, more @ ..] if is_one(first, PASSING) => more,
                    [_, more @ ..] if counted_out && is_one(first, &[b"lag"]) => more,
                    _ => {
                        told += &lasting(first);
                        more
                    }
                };
            }
            told + "]"
        }
        greatest if is_greatest(greatest) => "greatest".into(),
        Reply::Integer(moment) if MOMENTS_MS.contains(moment) => "moment".into(),
        other => format!("{other:?} "),
    }
}

/// A reply of ACL GETUSER without what it says of commands.
fn without_rules(reply: &Reply) -> Vec<String> {
    let items: Vec<Reply> = match reply {
        Reply::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        Reply::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let commands = Reply::bulk("commands");
    let mut told = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item {
            _ if at > 0 && items[at - 1] == commands => {}
            Reply::Array(selectors) if selectors.iter().any(|one| matches!(one, Reply::Array(_) | Reply::Map(_))) => {
                told.push(selectors.iter().map(|one| without_rules(one).join(" ")).collect());
            }
            Reply::Array(_) | Reply::Set(_) => told.push(format!("{:?}", sorted(item, 1))),
            other => told.push(format!("{other:?}")),
        }
    }
    told
}

/// Times between 2017 and 2065.
const MOMENTS_MS: std::ops::Range<i64> = 1_500_000_000_000..3_000_000_000_000;

/// What COMMAND GETKEYSANDFLAGS tells: 7.2 has other flags for the keys of some commands.
fn flags_alike(command: &[Vec<u8>], tested: &Reply, oracle: &Reply) -> bool {
    const OTHERS: &[&[u8]] = &[
        b"BITFIELD",
        b"EVAL",
        b"EVALSHA",
        b"EVAL_RO",
        b"EVALSHA_RO",
        b"FCALL",
        b"FCALL_RO",
        b"GETEX",
        b"PFCOUNT",
        b"SET",
        b"SORT",
        b"SORT_RO",
        b"XADD",
        b"XAUTOCLAIM",
    ];
    let keys =
        |reply: &Reply| -> Vec<String> { reply.items().iter().map(|key| format!("{:?}", key.items()[0])).collect() };
    OTHERS.contains(&command[2].to_ascii_uppercase().as_slice()) && keys(tested) == keys(oracle)
}

/// Errors that differ in whether they say where in a script they come from: what the last act of a script raises has no
/// place here.
fn errors_alike(tested: &Reply, oracle: &Reply) -> bool {
    let (Reply::Error(ours), Reply::Error(theirs)) = (tested, oracle) else { return false };
    // It fails before the oracle's reason is met.
    if ours.starts_with(b"ERR Script attempted to access a key that it was not called with, after it had written") {
        return true;
    }
    let without = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).replacen("ERR user_script:1: ", "ERR ", 1);
        text.split(" script: ").next().unwrap_or_default().to_owned()
    };
    ours.len() < theirs.len() && without(ours) == without(theirs)
}

/// A reply with the items of all its arrays in an order of their own.
fn deeply_sorted(reply: &Reply) -> String {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            let mut items: Vec<String> = items.iter().map(deeply_sorted).collect();
            items.sort();
            format!("[{}]", items.join(" "))
        }
        Reply::Map(pairs) => {
            let mut pairs: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name:?}:{}", deeply_sorted(value))).collect();
            pairs.sort();
            format!("{{{}}}", pairs.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// The commands that make the consumers which this command, once it succeeds, has made in 7.2.
pub fn made_consumers(command: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let made = |key: &[u8], group: &[u8], consumer: &[u8]| {
        [b"XGROUP", &b"CREATECONSUMER"[..], key, group, consumer].map(<[u8]>::to_vec).to_vec()
    };
    let command = unwrapped(command);
    match (name_of(command).as_slice(), command) {
        (b"XCLAIM" | b"XAUTOCLAIM", [_, key, group, consumer, ..]) => vec![made(key, group, consumer)],
        (b"XREADGROUP", _) => {
            let at = |word: &[u8]| command.iter().position(|one| one.eq_ignore_ascii_case(word));
            let (Some(group), Some(streams)) = (at(b"GROUP"), at(b"STREAMS")) else { return Vec::new() };
            let keys = &command[streams + 1..];
            keys[..keys.len() / 2].iter().map(|key| made(key, &command[group + 1], &command[group + 2])).collect()
        }
        _ => Vec::new(),
    }
}

fn same_members(ours: &[Reply], theirs: &[Reply]) -> bool {
    let sorted = |items: &[Reply]| {
        let mut bytes: Vec<Vec<u8>> = items.iter().map(|item| item.bytes().to_vec()).collect();
        bytes.sort();
        bytes
    };
    sorted(ours) == sorted(theirs)
}

/// One call that covers everything must return the same keys; cursors that mean nothing may return anything.
fn scans_alike(command: &[Vec<u8>], ours: &[Reply], theirs: &[Reply]) -> bool {
    let whole = command[1] == b"0"
        && command.windows(2).any(|pair| pair[0].eq_ignore_ascii_case(b"COUNT") && pair[1] == b"1000000");
    !whole || (ours[0] == theirs[0] && same_members(ours[1].items(), theirs[1].items()))
}
