//! Handlers of SORT and SORT_RO.
//!
//! The patterns of BY and GET lead to keys that the request does not name. A call with such a pattern runs behind the
//! gate ([`reaches_beyond`] tells so), and its effect is the list that it stored; any other touches the keys it names.

use super::access::may_read_every_key;
use super::account::reserve;
use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use super::creation::{creation_bytes, tell_made};
use super::keys::{self, KeyRef, KeyRefs};
use crate::base::double::parse_double;
use crate::base::key_slot::SlotId;
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::hash::HashRef;
use crate::store::limits::Limits;
use crate::store::list::{ListMut, ListRef, Side};
use crate::store::reclaim;
use crate::store::set::SetRef;
use crate::store::sort::{Collation, Item, Weight, order};
use crate::store::zset::ZsetRef;
use crate::store::{Detached, ValueType};

/// A pattern of BY or GET.
enum Pattern<'a> {
    /// `#`: the item itself.
    Item,
    /// No `*` in it: nothing is found.
    Constant,
    /// The text before and after the item, and the field of a hash if it asks for one.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn of(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Item;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Constant };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        match memchr::memmem::find(behind, b"->").filter(|arrow| arrow + 2 < behind.len()) {
            Some(arrow) => Pattern::Key { before, after: &behind[..arrow], field: Some(&behind[arrow + 2..]) },
            None => Pattern::Key { before, after: behind, field: None },
        }
    }

    /// What the pattern finds for an item.
    fn look_up(&self, cx: &mut Cx<'_>, item: &[u8]) -> Option<Vec<u8>> {
        let (before, after, field) = match self {
            Pattern::Item => return Some(item.to_vec()),
            Pattern::Constant => return None,
            Pattern::Key { before, after, field } => (before, after, field),
        };
        let now_ms = cx.space.now_ms;
        let entry = cx.space.read(&[before, item, after].concat())?;
        match (field, entry.value_type()) {
            (None, ValueType::String) => Some(entry.value().to_vec()),
            (Some(field), ValueType::Hash) => {
                let found = HashRef::new(entry).get(field).filter(|found| !found.is_expired(now_ms))?;
                Some(found.value.to_vec())
            }
            _ => None,
        }
    }
}

/// What a call asks for.
struct Request<'a> {
    /// `None`: by the items themselves.
    by: Option<Pattern<'a>>,
    /// BY a constant: the items stay in the order that they have.
    unsorted: bool,
    gets: Vec<Pattern<'a>>,
    skip: i64,
    count: i64,
    descending: bool,
    alphabetic: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn read(cx: &Cx<'_>, args: &'a [&'a [u8]], may_store: bool) -> Result<Request<'a>, ReplyError> {
        let mut request = Request {
            by: None,
            unsorted: false,
            gets: Vec::new(),
            skip: 0,
            count: -1,
            descending: false,
            alphabetic: false,
            store: None,
        };
        let mut reader = Arguments::from(args, 2);
        while !reader.is_done() {
            if reader.word("ASC") {
                request.descending = false;
            } else if reader.word("DESC") {
                request.descending = true;
            } else if reader.word("ALPHA") {
                request.alphabetic = true;
            } else if reader.option_of("LIMIT", 2) {
                (request.skip, request.count) = (reader.integer(), reader.integer());
            } else if may_store && reader.option("STORE") {
                request.store = Some(reader.next_bytes());
            } else if reader.option("BY") {
                let pattern = Pattern::of(reader.next_bytes());
                let is_constant = matches!(pattern, Pattern::Item | Pattern::Constant);
                // One of several is enough.
                request.unsorted |= is_constant;
                if !is_constant {
                    check_pattern(cx, args, "BY").unwrap_or_else(|error| reader.fail(error));
                }
                request.by = Some(pattern);
            } else if reader.option("GET") {
                check_pattern(cx, args, "GET").unwrap_or_else(|error| reader.fail(error));
                request.gets.push(Pattern::of(reader.next_bytes()));
            } else {
                reader.fail(ReplyError::Syntax);
            }
        }
        reader.finish()?;
        Ok(request)
    }

    /// The items to tell, of so many.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let within = |number: i64| usize::try_from(number).unwrap_or(0).min(len);
        let first = within(self.skip);
        let end = if self.count < 0 { len } else { first.saturating_add(within(self.count)).min(len) };
        first..end
    }
}

/// Whether a pattern may lead to any key whatever.
fn check_pattern(cx: &Cx<'_>, args: &[&[u8]], option: &str) -> Result<(), ReplyError> {
    let denied = |reason| Err(ReplyError::Text(format!("ERR {option} option of SORT denied {reason}").into()));
    if cx.config().cluster_enabled {
        return denied("in Cluster mode.");
    }
    if !may_read_every_key(cx.session, cx.command, args) {
        return denied("due to insufficient ACL permissions.");
    }
    Ok(())
}

/// Goes through the options of a call that make sense; `meet` is given each word and the argument behind it.
fn each_option<'a>(args: &[&'a [u8]], mut meet: impl FnMut(&[u8], &'a [u8], usize)) {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let word = word.to_ascii_lowercase();
        let values = match word.as_slice() {
            b"limit" => 2,
            b"by" | b"get" | b"store" => 1,
            _ => 0,
        };
        if values == 1
            && let Some(value) = args.get(at + 1)
        {
            meet(&word, value, at + 1);
        }
        at += 1 + values;
    }
}

/// Whether a call reads keys that it does not name.
pub fn reaches_beyond(args: &[&[u8]]) -> bool {
    let mut reaches = false;
    each_option(args, |word, value, _| {
        reaches |= word != b"store" && matches!(Pattern::of(value), Pattern::Key { .. })
    });
    reaches
}

/// The key that is sorted, and the last one to store in.
pub fn sort_keys(args: &[&[u8]], out: &mut KeyRefs) {
    let mut store = None;
    each_option(args, |word, _, at| {
        if word == b"store" {
            store = Some(at as u32);
        }
    });
    sort_ro_keys(args, out);
    out.extend(store.map(|index| KeyRef { index, flags: keys::OW | keys::UPDATE }));
}

/// The key that is sorted.
pub fn sort_ro_keys(_: &[&[u8]], out: &mut KeyRefs) {
    out.push(KeyRef { index: 1, flags: keys::RO | keys::ACCESS });
}

/// The items under the key, cut to the range that is asked for if their own order stands.
fn items(cx: &mut Cx<'_>, key: &[u8], request: &mut Request<'_>) -> Result<Vec<Item>, ReplyError> {
    let mut items = Vec::new();
    let mut push = |text: &[u8]| items.push(Item { text: text.to_vec(), weight: Weight::Own });
    let Some(entry) = cx.space.read(key) else { return Ok(items) };
    let part = |len: usize, request: &Request<'_>| if request.unsorted { request.range(len) } else { 0..len };
    match entry.value_type() {
        ValueType::List => {
            let list = ListRef::of(entry);
            let range = part(list.count(), request);
            let backwards = request.unsorted && request.descending;
            let first = if backwards { list.count().saturating_sub(1 + range.start) } else { range.start };
            let mut left = range.len();
            if left > 0 {
                list.visit(first, backwards, |_, element| {
                    push(element.text().as_ref());
                    left -= 1;
                    left > 0
                });
            }
        }
        ValueType::Zset => {
            let zset = ZsetRef::of(entry);
            let len = zset.len() as usize;
            let range = part(len, request);
            let reversed = request.unsorted && request.descending;
            let ranks = if reversed { len - range.end..len - range.start } else { range };
            zset.range(ranks.start as u64..ranks.end as u64, reversed).for_each(|(member, _)| push(member.as_ref()));
        }
        ValueType::Set => {
            // They have no order of their own, and what is stored or told by a script must not depend on chance.
            if request.unsorted {
                (request.unsorted, request.alphabetic, request.by) = (false, true, None);
            }
            SetRef::of(entry).iter().for_each(|member| push(member.text().as_ref()));
        }
        ValueType::String | ValueType::Hash | ValueType::Stream => return Err(ReplyError::WrongType),
    }
    Ok(items)
}

/// A number as C reads it: white space may stand in front, a zero byte ends it, and no text at all is zero.
fn number(text: &[u8]) -> Result<f64, ReplyError> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let number = if text.is_empty() { Some(0.0) } else { parse_double(text.trim_ascii_start()) };
    number.ok_or(ReplyError::of("ERR One or more scores can't be converted into double"))
}

/// Gives the items the weights that they are ordered by.
fn weigh(cx: &mut Cx<'_>, items: &mut [Item], request: &Request<'_>) -> Outcome {
    for item in items {
        let found = request.by.as_ref().map(|pattern| pattern.look_up(cx, &item.text));
        item.weight = match (found, request.alphabetic) {
            (Some(found), true) => Weight::Text(found),
            (None, true) => Weight::Own,
            (Some(None), false) => Weight::Number(0.0),
            (Some(Some(text)), false) => Weight::Number(number(&text)?),
            (None, false) => Weight::Number(number(&item.text)?),
        };
    }
    Ok(())
}

fn sort_generic(cx: &mut Cx<'_>, args: &[&[u8]], may_store: bool) -> Outcome {
    let mut request = Request::read(cx, args, may_store)?;
    let mut items = items(cx, args[1], &mut request)?;
    if !request.unsorted {
        weigh(cx, &mut items, &request)?;
        let collation = if request.store.is_some() { Collation::Bytes } else { Collation::Text };
        order(&mut items, collation, request.descending);
        let range = request.range(items.len());
        items.truncate(range.end);
        items.drain(..range.start);
    }
    let mut told: Vec<Option<Vec<u8>>> = Vec::with_capacity(items.len() * request.gets.len().max(1));
    for item in items {
        if request.gets.is_empty() {
            told.push(Some(item.text));
        } else {
            told.extend(request.gets.iter().map(|pattern| pattern.look_up(cx, &item.text)));
        }
    }
    if let Some(target) = request.store {
        return store(cx, args, target, told);
    }
    cx.reply.array(told.len());
    told.iter().for_each(|text| cx.reply.bulk_or_null(text.as_deref()));
    Ok(())
}

fn store(cx: &mut Cx<'_>, args: &[&[u8]], target: &[u8], texts: Vec<Option<Vec<u8>>>) -> Outcome {
    let (db, access) = (cx.space.db, cx.space.access_now);
    cx.reply.integer(texts.len() as i64);
    if texts.is_empty() {
        if let Some(replaced) = cx.space.remove(target) {
            reclaim::discard(replaced);
            cx.space.notify(notify::GENERIC, "del", target);
            cx.space.effect.set(db, &[b"DEL", target]);
        }
        return Ok(());
    }
    let limits = Limits::of(cx.config());
    let mut entry = Detached::empty(ValueType::List).with_key(target, None, access);
    let mut list = ListMut::of(&mut entry, &limits);
    texts.iter().for_each(|text| list.push(Side::Tail, &[text.as_deref().unwrap_or_default()]));
    let tells_result = reaches_beyond(args) || SlotId::of_key(args[1]) != SlotId::of_key(target);
    if tells_result && cx.space.is_followed() {
        reserve(cx, args, creation_bytes(entry.view(), target))?;
    }
    reclaim::discard(cx.space.put(entry));
    cx.space.changes += texts.len() as u64 - 1;
    cx.space.notify(notify::LIST, "sortstore", target);
    if tells_result {
        tell_made(cx, db, target);
    }
    Ok(())
}

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]
pub fn sort(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    sort_generic(cx, args, true)
}

/// SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA]
pub fn sort_ro(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    sort_generic(cx, args, false)
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::commands::testing::TestServer;

    fn bulks(texts: &[&str]) -> String {
        let items = texts.iter().map(|text| match *text {
            "-" => "$-1\r\n".to_owned(),
            text => format!("${}\r\n{text}\r\n", text.len()),
        });
        format!("*{}\r\n{}", texts.len(), items.collect::<String>())
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, expected) in [
            (&b""[..], Some(0.0)),
            (b"\0junk", Some(0.0)),
            (b" 1\0junk", Some(1.0)),
            (b"1 \0", None),
            (b" \0", None),
            (b"1junk", None),
        ] {
            assert_eq!(number(text).ok(), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn orders_and_ranges() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SADD s 10 9 1 100", ":4\r\n"),
            ("SADD words b a C", ":3\r\n"),
            ("ZADD z 3 x 1 y 2 w", ":3\r\n"),
            ("SET text x", "+OK\r\n"),
            ("SET w_x 2", "+OK\r\n"),
            ("SET w_y 10", "+OK\r\n"),
            ("SORT text", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
            ("SORT none", "*0\r\n"),
            ("SORT s LIMIT x 1", "-ERR value is not an integer or out of range\r\n"),
            ("SORT s LIMIT 1", "-ERR syntax error\r\n"),
            ("SORT_RO s STORE d", "-ERR syntax error\r\n"),
            ("SORT words", "-ERR One or more scores can't be converted into double\r\n"),
        ]);
        for (command, expected) in [
            ("SORT s", &["1", "9", "10", "100"][..]),
            ("SORT s DESC LIMIT 1 2", &["10", "9"]),
            ("SORT s LIMIT 3 -1", &["100"]),
            ("SORT s LIMIT 9 9", &[]),
            ("SORT s LIMIT -5 1", &["1"]),
            ("SORT s ALPHA", &["1", "10", "100", "9"]),
            ("SORT_RO words ALPHA", &["C", "a", "b"]),
            ("SORT words BY nosort", &["C", "a", "b"]),
            ("SORT z BY nosort DESC LIMIT 0 2", &["x", "w"]),
            ("SORT z BY w_*", &["w", "x", "y"]),
            ("SORT z BY w_* DESC GET # GET w_* GET constant", &["y", "10", "-", "x", "2", "-", "w", "-", "-"]),
            ("SORT z BY w_* ALPHA", &["w", "y", "x"]),
        ] {
            assert_eq!(server.run(command), bulks(expected), "{command}");
        }
    }

    #[test]
    fn keys_and_reach_of_calls() {
        let reach = |line: &str| super::reaches_beyond(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        for (line, expected) in [
            ("sort k", false),
            ("sort k by nosort get #", false),
            ("sort k by w_*", true),
            ("sort k limit by w_* asc", false),
            ("sort k get a_*->b", true),
            ("sort k store w_*", false),
            ("sort k get", false),
        ] {
            assert_eq!(reach(line), expected, "{line}");
        }
    }
}
