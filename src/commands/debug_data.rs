//! The subcommands of DEBUG that look at keys, or make them.

use super::arguments::{integer, quantity};
use super::context::{Cx, Outcome};
use super::object::is_shared_integer;
use crate::base::digest::Digest;
use crate::base::key_slot::SlotId;
use crate::engine::saved::value_of;
use crate::rdb::value::packed_bytes;
use crate::resp::ReplyError;
use crate::store::member_table::{Item, MemberTable};
use crate::store::set::SetRef;
use crate::store::slot::NEVER_MS;
use crate::store::table::CURSOR_END;
use crate::store::{DbIndex, Entry, EntryRef, StringForm, ValueType, digest};

/// Looks at the entry of a key, expired or not.
fn with_entry<R>(cx: &mut Cx<'_>, key: &[u8], look: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
    let (place, db) = (cx.space.place(key), cx.space.db);
    cx.space.with_slot(place.slot, |slot| {
        let db = slot.db(db)?;
        db.find(place.hash, key).map(|at| look(db.entry(at)))
    })
}

/// DEBUG OBJECT key
pub fn object(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    let clock = cx.space.clock();
    let config = cx.config();
    let line = with_entry(cx, key, |entry| {
        format!(
            "Value at:{:#x} refcount:{} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
            entry.address(),
            if is_shared_integer(config, entry) { i64::from(i32::MAX) } else { 1 },
            entry.encoding(),
            packed_bytes(&value_of(entry), config.rdbcompression),
            entry.access(),
            clock.idle_seconds(entry.access())
        )
    });
    cx.reply.simple(&line.ok_or(ReplyError::NoSuchKey)?);
    Ok(())
}

/// DEBUG SDSLEN key
pub fn string_lengths(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    let line = with_entry(cx, key, |entry| {
        (entry.is_string() && entry.encoding() != "int").then(|| {
            let (key, value) = (entry.key().len(), entry.value().len());
            let value_bytes = entry.memory_bytes() - key;
            format!(
                "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, val_sds_avail:{}, \
                 val_zmalloc: {value_bytes}",
                value_bytes - value
            )
        })
    });
    let line = line.ok_or(ReplyError::NoSuchKey)?;
    cx.reply.simple(&line.ok_or(ReplyError::of("ERR Not an sds encoded string."))?);
    Ok(())
}

/// DEBUG LISTPACK key and DEBUG QUICKLIST key: where Redis prints a value's bytes, the log tells its size.
pub fn layout(cx: &mut Cx<'_>, key: &[u8], encoding: &str, name: &str) -> Outcome {
    let found = with_entry(cx, key, |entry| (entry.encoding() == encoding).then(|| entry.memory_bytes()));
    let bytes = found.ok_or(ReplyError::NoSuchKey)?;
    let bytes = bytes.ok_or_else(|| ReplyError::Text(format!("ERR Not a {encoding} encoded object.").into()))?;
    tracing::info!("{name} of key {}: {bytes} bytes", String::from_utf8_lossy(key));
    cx.reply.simple(&format!("{name} structure printed on stdout"));
    Ok(())
}

/// DEBUG DIGEST. Keys that have expired do not count, removed or not.
pub fn digest(cx: &mut Cx<'_>) -> Outcome {
    let now_ms = cx.space.now_ms;
    let hasher = cx.engine().keyspace.hasher();
    let mut whole = Digest::default();
    for id in SlotId::all() {
        cx.space.with_slot(id, |slot| {
            for (index, db) in slot.dbs() {
                let mut cursor = 0;
                while !db.is_empty() && cursor < CURSOR_END {
                    cursor = db.table().scan(cursor as u32, hasher, |entry| {
                        if !entry.is_expired(now_ms) {
                            whole.combine(digest::of_entry(index, entry));
                        }
                    });
                }
            }
        });
    }
    cx.reply.simple(&whole.to_string());
    Ok(())
}

/// DEBUG DIGEST-VALUE key [key ...]
pub fn digest_value(cx: &mut Cx<'_>, keys: &[&[u8]]) -> Outcome {
    cx.reply.array(keys.len());
    for key in keys {
        let digest = with_entry(cx, key, digest::of_value).unwrap_or_default();
        cx.reply.simple(&digest.to_string());
    }
    Ok(())
}

/// DEBUG POPULATE count [prefix [size]]
pub fn populate(cx: &mut Cx<'_>, count: &[u8], rest: &[&[u8]]) -> Outcome {
    let count = quantity(count)?;
    let prefix = rest.first().copied().unwrap_or(b"key");
    let size = rest.get(1).map_or(Ok(0), |size| quantity(size))?;
    let index = cx.space.db;
    for number in 0..count {
        let key = [prefix, b":", number.to_string().as_bytes()].concat();
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        add(cx, index, &key, &value);
    }
    cx.reply.ok();
    Ok(())
}

/// Adds a string unless there is something under its key.
fn add(cx: &mut Cx<'_>, index: DbIndex, key: &[u8], value: &[u8]) {
    let (place, now_ms, access) = (cx.space.place(key), cx.space.now_ms, cx.space.access_now);
    let hasher = cx.engine().keyspace.hasher();
    let at_once = cx.space.followers().filter(|_| !cx.space.holds_slots());
    let (mut added, mut is_waited_for) = (false, false);
    cx.space.with_slot(place.slot, |slot| {
        let db = slot.db_mut(index);
        if db.find(place.hash, key).is_some() {
            return;
        }
        let entry = Entry::new(key, value, None, StringForm::Auto, access);
        db.insert(place.hash, entry, hasher);
        (added, is_waited_for) = (true, slot.touch(index, key));
        if let Some(followers) = at_once {
            followers.tell(slot, place.slot, index, now_ms, &[b"SET", key, value]);
        }
    });
    if is_waited_for {
        cx.space.note_ready(index, key);
    }
    if added && cx.space.holds_slots() {
        cx.space.tell(place.slot, index, &[b"SET", key, value]);
    }
}

/// DEBUG HTSTATS db
pub fn table_stats(cx: &mut Cx<'_>, db: &[u8]) -> Outcome {
    let number = integer(db)?;
    let databases = cx.engine().keyspace.databases();
    let index = DbIndex::try_from(number).ok().filter(|index| *index < databases);
    let index = index.ok_or(ReplyError::of("ERR Out of range database"))?;
    let (mut keys, mut expiring, mut bytes, mut tables, mut moving, mut largest) = (0, 0, 0, 0, 0, 0);
    let mut soonest_ms = NEVER_MS;
    for id in SlotId::all() {
        cx.space.with_slot(id, |slot| {
            let Some(db) = slot.db(index).filter(|db| !db.is_empty()) else { return };
            keys += db.len();
            expiring += db.expiring_count();
            bytes += db.table().memory_bytes();
            tables += 1;
            moving += usize::from(db.table().capacity().1.is_some());
            largest = largest.max(db.len());
            soonest_ms = soonest_ms.min(db.soonest_expiry_ms());
        });
    }
    let soonest = if soonest_ms == NEVER_MS { "never".to_owned() } else { soonest_ms.to_string() };
    cx.reply.verbatim(
        "txt",
        format!(
            "[Dictionary HT]\nnumber of elements: {keys}\ntables: {tables}\ntables changing size: {moving}\n\
             table bytes: {bytes}\nlargest table: {largest} elements\n[Expires HT]\nnumber of elements: {expiring}\n\
             soonest (lower bound): {soonest}\n"
        ),
    );
    Ok(())
}

/// DEBUG HTSTATS-KEY key
pub fn collection_stats(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    let stats = with_entry(cx, key, |entry| match entry.value_type() {
        ValueType::Set => match SetRef::of(entry) {
            SetRef::Large(set) => Some(member_table_stats(set.table())),
            _ => None,
        },
        _ => None,
    });
    let not_one = ReplyError::of("ERR The value stored at the specified key is not represented using an hash table");
    cx.reply.verbatim("txt", &stats.ok_or(ReplyError::NoSuchKey)?.ok_or(not_one)?);
    Ok(())
}

fn member_table_stats<T: Item>(table: &MemberTable<T>) -> String {
    let ((places, segments), bytes) = (table.capacity(), table.memory_bytes());
    format!(
        "[Dictionary HT]\nnumber of elements: {}\nplaces: {places}\nsegments: {segments}\ntable bytes: {bytes}\n",
        table.len()
    )
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::config::choices::ProtectedAction;

    fn server() -> TestServer {
        TestServer::with_config(|config| config.enable_debug_command = ProtectedAction::Yes)
    }

    #[test]
    fn objects_stay_where_they_are() {
        let mut server = server();
        server.expect(&[("SET n 20000", "+OK\r\n"), ("DEBUG OBJECT none", "-ERR no such key\r\n")]);
        let line = server.run("DEBUG OBJECT n");
        assert!(line.starts_with("+Value at:0x"), "{line}");
        assert!(line.contains(" refcount:1 encoding:int serializedlength:3 lru:"), "{line}");
        assert!(line.ends_with(" lru_seconds_idle:0\r\n"), "{line}");
        server.run("SET n 20001");
        assert_eq!(server.run("DEBUG OBJECT n").split(' ').nth(1), line.split(' ').nth(1));
        server.run("SET n 7");
        assert!(server.run("DEBUG OBJECT n").contains(" refcount:2147483647 "));
        assert_eq!(server.run("DEBUG SDSLEN n"), "-ERR Not an sds encoded string.\r\n");
        server.run("SET text hello");
        assert!(
            server
                .run("DEBUG SDSLEN text")
                .starts_with("+key_sds_len:4, key_sds_avail:0, key_zmalloc: 4, val_sds_len:5, ")
        );
        server.expect(&[
            ("DEBUG LISTPACK text", "-ERR Not a listpack encoded object.\r\n"),
            ("DEBUG LISTPACK none", "-ERR no such key\r\n"),
        ]);
        assert!(server.run("DEBUG OBJECT text").contains(" serializedlength:6 "));
    }

    #[test]
    fn digests_tell_data_sets_apart() {
        let (mut one, mut other) = (server(), server());
        assert_eq!(one.run("DEBUG DIGEST"), format!("+{}\r\n", "0".repeat(40)));
        for line in ["SET a 1", "SET b 2 PXAT 99999999999999", "SELECT 3", "SET a 3"] {
            one.run(line);
        }
        for line in ["SELECT 3", "SET a 3", "SELECT 0", "SET b 2 PXAT 99999999999999", "SET a 0", "SET a 1"] {
            other.run(line);
        }
        assert_eq!(one.run("DEBUG DIGEST"), other.run("DEBUG DIGEST"));
        other.run("SET b 2 PXAT 99999999999998");
        assert_ne!(one.run("DEBUG DIGEST"), other.run("DEBUG DIGEST"));
        other.run("SET copy 1");
        let values = other.run("DEBUG DIGEST-VALUE a copy none");
        let values: Vec<&str> = values.lines().skip(1).collect();
        assert!(values[0] == values[1] && values[2] == format!("+{}", "0".repeat(40)), "{values:?}");
        assert_eq!(other.run("DEBUG DIGEST-VALUE"), "*0\r\n");
    }

    #[test]
    fn populating() {
        let mut server = server();
        server.run("SET key:1 mine");
        server.expect(&[
            ("DEBUG POPULATE 3", "+OK\r\n"),
            ("DEBUG POPULATE 2 p 3", "+OK\r\n"),
            ("DBSIZE", ":5\r\n"),
            ("GET key:1", "$4\r\nmine\r\n"),
            ("GET key:2", "$7\r\nvalue:2\r\n"),
            ("GET p:0", "$3\r\nval\r\n"),
            ("DEBUG POPULATE -1", "-ERR value is out of range, must be positive\r\n"),
            ("DEBUG HTSTATS 99", "-ERR Out of range database\r\n"),
        ]);
        assert_eq!(server.effects().len(), 5);
        assert!(server.run("DEBUG HTSTATS 0").contains("number of elements: 5\n"));
    }
}
