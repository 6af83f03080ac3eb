//! Handlers that add entries and take them away.

use super::parse;
use crate::base::number::Decimal;
use crate::commands::arguments::integer;
use crate::commands::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::stream::{AppendError, Entries, Keep, NewId, Stream, StreamId, Trim};
use crate::store::{Detached, ValueType};

/// The most entries that approximate trimming removes where nobody says.
const REMOVED_MAX: u64 = 1_000_000;
/// The same where blocks have no limit to their entries.
const REMOVED_MAX_OF_UNLIMITED: u64 = 10_000;
/// Blocks that approximate trimming removes.
const BLOCKS_REMOVED_MAX: u64 = 100;

const BOTH_TRIMS: ReplyError =
    ReplyError::of("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");

/// What XADD and XTRIM are given besides key, fields and values.
struct Options {
    trim: Option<Trim>,
    no_create: bool,
    id: NewId,
    /// Where the id stands; the fields come behind it.
    id_at: usize,
}

impl Options {
    fn read(cx: &Cx<'_>, args: &[&[u8]], adds: bool) -> Result<Options, ReplyError> {
        let mut options = Options { trim: None, no_create: false, id: NewId::Auto, id_at: args.len() };
        let (mut limit, mut at) = (None, 2);
        while at < args.len() {
            let (word, more) = (args[at], args.len() - 1 - at);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if adds && word == b"*" {
                options.id_at = at;
                break;
            } else if more > 0 && (is("MAXLEN") || is("MINID")) {
                if options.trim.is_some() {
                    return Err(BOTH_TRIMS);
                }
                let whole_blocks = more >= 2 && args[at + 1] == b"~";
                at += 1 + usize::from(whole_blocks || more >= 2 && args[at + 1] == b"=");
                let keep = if is("MAXLEN") { Keep::Last(length(args[at])?) } else { Keep::From(parse::id(args[at])?) };
                options.trim = Some(Trim { keep, whole_blocks, removed_max: 0 });
            } else if more > 0 && is("LIMIT") {
                at += 1;
                let given = integer(args[at])?;
                let given = u64::try_from(given).map_err(|_| ReplyError::of("ERR The LIMIT argument must be >= 0."))?;
                limit = Some(given);
            } else if adds && is("NOMKSTREAM") {
                options.no_create = true;
            } else if adds {
                options.id = parse::new_id(word)?;
                options.id_at = at;
                break;
            } else {
                return Err(ReplyError::Syntax);
            }
            at += 1;
        }
        options.set_limit(cx, limit, adds)?;
        Ok(options)
    }

    fn set_limit(&mut self, cx: &Cx<'_>, limit: Option<u64>, adds: bool) -> Result<(), ReplyError> {
        let Some(trim) = &mut self.trim else {
            return match limit {
                Some(1..) => {
                    Err(ReplyError::of("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"))
                }
                _ if adds => Ok(()),
                _ => Err(ReplyError::of("ERR syntax error, XTRIM must be called with a trimming strategy")),
            };
        };
        match limit {
            // What is replayed says what happened, and no limit stood in its way.
            _ if parse::is_replay(cx.space.now_ms) => {}
            Some(_) if !trim.whole_blocks => {
                return Err(ReplyError::of("ERR syntax error, LIMIT cannot be used without the special ~ option"));
            }
            Some(limit) => trim.removed_max = limit,
            None if trim.whole_blocks => {
                trim.removed_max = match parse::block_limits(cx).entries_max {
                    0 => REMOVED_MAX_OF_UNLIMITED,
                    entries_max => entries_max.saturating_mul(BLOCKS_REMOVED_MAX).min(REMOVED_MAX),
                }
            }
            None => {}
        }
        Ok(())
    }
}

fn length(text: &[u8]) -> Result<u64, ReplyError> {
    u64::try_from(integer(text)?).map_err(|_| ReplyError::of("ERR The MAXLEN argument must be >= 0."))
}

fn refused(error: AppendError) -> ReplyError {
    match error {
        AppendError::NotAbove => {
            ReplyError::of("ERR The ID specified in XADD is equal or smaller than the target stream top item")
        }
        AppendError::Exhausted => {
            ReplyError::of("ERR The stream has exhausted the last possible ID, unable to add more items")
        }
        AppendError::TooLarge => ReplyError::of("ERR Elements are too large to be stored"),
    }
}

/// What an addition did.
struct Added {
    id: StreamId,
    removed: u64,
    /// Which entries trimming left, told exactly.
    kept: Option<Keep>,
}

/// Trims as far as it goes; gives how many entries went, and what exact trimming would have left the same.
fn trim(entries: &mut Entries, trim: Trim) -> (u64, Keep) {
    let removed = entries.trim(trim);
    let kept = match trim.keep {
        keep if !trim.whole_blocks => keep,
        Keep::From(_) if !entries.is_empty() => Keep::From(entries.first_id()),
        _ => Keep::Last(entries.len()),
    };
    (removed, kept)
}

/// XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT count]] * | id field value [field value ...]
pub fn xadd(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(cx, args, true)?;
    let key = args[1];
    let pairs = args.get(options.id_at + 1..).unwrap_or_default();
    if pairs.len() < 2 || pairs.len() % 2 == 1 {
        return Err(ReplyError::wrong_arity(&cx.command.full_name));
    }
    if options.id == NewId::Given(StreamId::MIN) {
        return Err(ReplyError::of("ERR The ID specified in XADD must be greater than 0-0"));
    }
    if options.no_create && cx.space.collection(key, ValueType::Stream)?.is_none() {
        cx.reply.null();
        return Ok(());
    }
    // Before a stream is made for it.
    Entries::check_size(pairs).map_err(refused)?;
    let (limits, now_ms) = (parse::block_limits(cx), cx.space.now_ms);
    let add = |entries: &mut Entries| {
        let id = entries.next_id(options.id, now_ms)?;
        entries.append(id, pairs, limits)?;
        let (removed, kept) = options.trim.map(|how| trim(entries, how)).unzip();
        Ok(Added { id, removed: removed.unwrap_or(0), kept })
    };
    let make = || Detached::Large(Box::<Stream>::default());
    let added = cx.space.edit_or_insert(key, ValueType::Stream, make, |entry| {
        let added = add(&mut entry.large_mut::<Stream>().entries);
        (u64::from(added.is_ok()), added)
    })?;
    let added = added.map_err(refused)?;
    let id = added.id.to_text();
    cx.reply.bulk(id.as_bytes());
    cx.space.notify(notify::STREAM, "xadd", key);
    if added.removed > 0 {
        cx.space.notify(notify::STREAM, "xtrim", key);
    }
    tell_added(cx, args, &options, added.kept, id.as_bytes());
    Ok(())
}

/// Tells an addition with the id that it got and the trimming that it did.
fn tell_added(cx: &mut Cx<'_>, args: &[&[u8]], options: &Options, kept: Option<Keep>, id: &[u8]) {
    let trims_roughly = options.trim.is_some_and(|trim| trim.whole_blocks);
    if !cx.space.is_followed() || matches!(options.id, NewId::Given(_)) && !trims_roughly {
        return;
    }
    if !trims_roughly {
        cx.space.effect.amend(options.id_at, id);
        return;
    }
    let kept = kept.map(threshold);
    let mut effect = vec![args[0], args[1]];
    if let Some((strategy, text)) = &kept {
        effect.extend([strategy, &b"="[..], text]);
    }
    effect.push(id);
    effect.extend(&args[options.id_at + 1..]);
    cx.space.effect.set(cx.space.db, &effect);
}

/// The words that say what trimming leaves.
fn threshold(kept: Keep) -> (&'static [u8], Vec<u8>) {
    match kept {
        Keep::Last(count) => (b"MAXLEN", Decimal::new(count as i64).as_bytes().to_vec()),
        Keep::From(id) => (b"MINID", id.to_text().as_bytes().to_vec()),
    }
}

/// XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT count]
pub fn xtrim(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(cx, args, false)?;
    let Some(how) = options.trim else { return Err(ReplyError::Syntax) };
    let key = args[1];
    let trimmed = cx.space.edit(key, ValueType::Stream, |entry| {
        let (removed, kept) = trim(&mut entry.large_mut::<Stream>().entries, how);
        (removed, (removed, kept))
    })?;
    let (removed, kept) = trimmed.unwrap_or((0, how.keep));
    if removed > 0 {
        cx.space.notify(notify::STREAM, "xtrim", key);
        if how.whole_blocks {
            let (strategy, text) = threshold(kept);
            cx.space.effect.set(cx.space.db, &[args[0], key, strategy, b"=", &text]);
        }
    }
    cx.reply.integer(removed as i64);
    Ok(())
}

/// XDEL key id [id ...]
pub fn xdel(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    if cx.space.collection(key, ValueType::Stream)?.is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    let ids = parse::ids(&args[2..])?;
    let deleted = cx.space.edit(key, ValueType::Stream, |entry| {
        let entries = &mut entry.large_mut::<Stream>().entries;
        let deleted = ids.into_iter().filter(|id| entries.delete(*id)).count() as u64;
        (deleted, deleted)
    })?;
    let deleted = deleted.unwrap_or(0);
    if deleted > 0 {
        cx.space.notify(notify::STREAM, "xdel", key);
    }
    cx.reply.integer(deleted as i64);
    Ok(())
}

/// XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]
pub fn xsetid(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let last_id = parse::id(args[2])?;
    let (mut added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut rest = &args[3..];
    while let [word, value, more @ ..] = rest {
        if word.eq_ignore_ascii_case(b"ENTRIESADDED") {
            let given = u64::try_from(integer(value)?);
            added = Some(given.map_err(|_| ReplyError::of("ERR entries_added must be positive"))?);
        } else if word.eq_ignore_ascii_case(b"MAXDELETEDID") {
            max_deleted_id = parse::id(value)?;
            if last_id < max_deleted_id && !parse::is_replay(cx.space.now_ms) {
                return Err(ReplyError::of(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            break;
        }
        rest = more;
    }
    if !rest.is_empty() {
        return Err(ReplyError::Syntax);
    }
    // What is replayed was checked when it was done.
    let checks = !parse::is_replay(cx.space.now_ms);
    let Some(entry) = cx.space.collection(args[1], ValueType::Stream)? else { return Err(ReplyError::NoSuchKey) };
    let entries = &entry.large::<Stream>().entries;
    if checks && entries.last_present_id().is_some_and(|top| last_id < top) {
        return Err(ReplyError::of("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if checks && !entries.is_empty() && added.is_some_and(|added| entries.len() > added) {
        return Err(ReplyError::of(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    cx.space.edit(args[1], ValueType::Stream, |entry| {
        let entries = &mut entry.large_mut::<Stream>().entries;
        entries.last_id = last_id;
        entries.added = added.unwrap_or(entries.added);
        if !max_deleted_id.is_zero() {
            entries.max_deleted_id = max_deleted_id;
        }
        (1, ())
    })?;
    cx.space.notify(notify::STREAM, "xsetid", args[1]);
    cx.reply.ok();
    Ok(())
}
