//! When two different replies mean the same: what depends on time or chance, and the few places where the oracle's
//! version is older than the one whose behaviour is the target.

use std::fmt;

use cairn::base::number::double_text;

use crate::support::{Reply, escape};

/// The commands queued in a transaction, so that the parts of EXEC's reply can be told apart.
#[derive(Default)]
pub struct Queued {
    open: bool,
    commands: Vec<Vec<Vec<u8>>>,
}

impl Queued {
    pub fn note(&mut self, command: &[Vec<u8>], reply: &Reply) {
        match name_of(command).as_slice() {
            b"MULTI" if *reply == Reply::ok() => {
                self.open = true;
                self.commands.clear();
            }
            b"EXEC" | b"DISCARD" if command.len() == 1 => self.open = false,
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
        // Chance.
        (b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER", _, _) => shape(tested) == shape(oracle),
        (b"SSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, theirs, 1),
        (b"HSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, theirs, 2),
        (b"ZSCAN", Reply::Array(ours), Reply::Array(theirs)) => pages_alike(ours, &with_few_digits(theirs), 2),
        (b"ACL" | b"EVAL", _, _) if sorted(tested, 1).is_some() => sorted(tested, 1) == sorted(oracle, 1),
        (name, _, _)
            if [&b"Z"[..], b"BZ"].iter().any(|start| name.starts_with(start)) && doubles_alike(tested, oracle) =>
        {
            true
        }
        (b"LPOS", Reply::Error(ours), _) => ours.starts_with(b"ERR value is out of range, value must between"),
        (b"XPENDING", _, _) => shape(tested) == shape(oracle),
        // 7.2 tells more of consumers, and trees are built in other ways.
        (b"XINFO", Reply::Array(_) | Reply::Map(_), Reply::Array(_) | Reply::Map(_)) => true,
        // Whether the count in it is still right is noted in other ways.
        (b"GET", Reply::Bulk(ours), Reply::Bulk(theirs)) if ours.starts_with(b"HYLL") && ours.len() == theirs.len() => {
            ours[16..] == theirs[16..]
        }
        // Members of tables, in their order.
        (b"DUMP", Reply::Bulk(ours), Reply::Bulk(theirs)) if matches!(ours.first(), Some(2 | 4)) => {
            ours.len() == theirs.len()
        }
        // Packed scores, as texts.
        (b"DUMP", Reply::Bulk(ours), Reply::Bulk(theirs))
            if [ours, theirs].iter().all(|dump| dump.first() == Some(&17)) =>
        {
            theirs.contains(&b'.') || theirs.contains(&b'e')
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

/// Since 7.2 doubles have as few digits as tell them from others, in 7.0 they had 17.
fn doubles_alike(ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Double(ours), Reply::Double(theirs)) => ours.to_bits() == theirs.to_bits(),
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| doubles_alike(ours, theirs))
        }
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
