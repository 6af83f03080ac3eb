//! MIGRATE: keys go to another server.
//!
//! Only the client that asks waits for the other server, and whoever names the same keys: see `engine::departure`. In a
//! transaction or a script nobody can wait: there the worker does, and keeps the slots locked meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::account;
use super::arguments::integer;
use super::blocking;
use super::context::{Cx, Outcome};
use super::lookup::Lookup;
use super::registry::{self, CommandId};
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::engine::departure::{Delivery, Departure, HeldSlots, Login, Parcel, Receipt};
use crate::engine::effect::removal_bytes;
use crate::engine::notify::GENERIC;
use crate::engine::saved::value_of;
use crate::engine::session::{ReplyMode, Waiting};
use crate::engine::{Session, Worker};
use crate::rdb::payload;
use crate::resp::{Reply, ReplyError};
use crate::store::reclaim;

/// For a timeout of nothing.
const USUAL_TIMEOUT_MS: u64 = 1000;

const NO_WAY: ReplyError = ReplyError::of("IOERR error or timeout connecting to the client");

/// The words after the timeout.
#[derive(Default)]
struct Options {
    is_copy: bool,
    replace: bool,
    login: Option<Login>,
    /// Where the keys begin that follow KEYS.
    keys_at: Option<usize>,
}

impl Options {
    fn read(cx: &mut Cx<'_>, args: &[&[u8]]) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut at = 6;
        while at < args.len() {
            let left = args.len() - at - 1;
            match &args[at].to_ascii_lowercase()[..] {
                b"copy" => options.is_copy = true,
                b"replace" => options.replace = true,
                b"auth" if left >= 1 => {
                    cx.redact(at + 1);
                    options.login = Some(Login { user: None, password: args[at + 1].to_vec() });
                    at += 1;
                }
                b"auth2" if left >= 2 => {
                    cx.redact(at + 1);
                    cx.redact(at + 2);
                    options.login = Some(Login { user: Some(args[at + 1].to_vec()), password: args[at + 2].to_vec() });
                    at += 2;
                }
                b"keys" if !args[3].is_empty() => {
                    return Err(ReplyError::of(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                b"keys" => {
                    options.keys_at = Some(at + 1);
                    break;
                }
                _ => return Err(ReplyError::Syntax),
            }
            at += 1;
        }
        Ok(options)
    }
}

/// MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key ...]
pub fn migrate(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(cx, args)?;
    let timeout_ms = integer(args[5])?;
    let db = integer(args[4])?;
    let keys = options.keys_at.map_or(&args[3..4], |at| &args[at..]);
    let parcels: Vec<Parcel> = keys.iter().filter_map(|key| take_out(cx, key)).collect();
    if parcels.is_empty() {
        cx.reply.simple("NOKEY");
        return Ok(());
    }
    let delivery = Delivery {
        host: args[1].to_vec(),
        port: args[2].to_vec(),
        login: options.login,
        db,
        patience: Duration::from_millis(if timeout_ms > 0 { timeout_ms as u64 } else { USUAL_TIMEOUT_MS }),
        replace: options.replace,
        parcels,
    };
    // Without a network there is no way to anybody.
    let courier = cx.engine().courier.get().ok_or(NO_WAY)?;
    if cx.may_not_wait() {
        let receipt = courier.bring(&delivery);
        if !options.is_copy {
            taken(&delivery.parcels, &receipt).for_each(|parcel| delete(cx, &parcel.key));
        }
        return match receipt.error {
            None => {
                cx.reply.ok();
                Ok(())
            }
            Some(text) => Err(ReplyError::Text(text.into())),
        };
    }
    let held = (!options.is_copy).then(|| {
        for parcel in &delivery.parcels {
            let db = cx.space.db;
            cx.space.slot(SlotId::of_key(&parcel.key)).watch(db, &parcel.key, &parcel.changed);
        }
        let slots = delivery.parcels.iter().map(|parcel| SlotId::of_key(&parcel.key)).collect();
        HeldSlots::hold(&cx.worker.engine, slots)
    });
    let silent = matches!(cx.session.reply_mode, ReplyMode::Off | ReplyMode::Skip);
    cx.session.waiting = Some(Waiting::Departure { silent });
    courier.send(Departure {
        delivery,
        is_copy: options.is_copy,
        error: None,
        db: cx.space.db,
        client: cx.session.handle.clone(),
        protocol: cx.session.protocol,
        call: args.iter().map(|argument| argument.to_vec()).collect(),
        redacted: cx.session.redacted.clone(),
        command: cx.command.id.0,
        started: clock::ticks(),
        held,
    });
    Ok(())
}

/// A key as it is now, if it is there.
fn take_out(cx: &mut Cx<'_>, key: &[u8]) -> Option<Parcel> {
    let compressing = cx.config().rdbcompression;
    let entry = cx.space.read(key)?;
    let (payload, expiry_ms) = (payload::encode(value_of(entry), compressing), entry.expiry_ms());
    Some(Parcel { key: key.to_vec(), payload, expiry_ms, changed: Default::default() })
}

/// The parcels that the other server has.
fn taken<'a>(parcels: &'a [Parcel], receipt: &'a Receipt) -> impl Iterator<Item = &'a Parcel> {
    parcels.iter().zip(&receipt.taken).filter(|(_, taken)| **taken).map(|(parcel, _)| parcel)
}

/// Deletes a key that is with the other server.
fn delete(cx: &mut Cx<'_>, key: &[u8]) {
    if let Some(entry) = cx.space.remove(key) {
        reclaim::discard(entry);
        cx.space.notify(GENERIC, "del", key);
        cx.space.effect.add(cx.space.db, &[b"DEL", key]);
    }
}

/// Ends a departure by what came of it: deletes the keys that were taken, one by one, and answers the client. Gives it
/// back when keys have changed meanwhile, which are to be sent again. The caller is inside the gate and holds no slot.
pub fn finish(worker: &Worker, lookup: &Lookup, mut departure: Departure, mut receipt: Receipt) -> Option<Departure> {
    departure.error = departure.error.take().or(receipt.error.take());
    let parcels = std::mem::take(&mut departure.delivery.parcels);
    if !departure.is_copy {
        let taken = receipt.taken.iter().copied().chain(std::iter::repeat(false));
        let (mut again, mut unserved) = (Vec::new(), Vec::new());
        for (parcel, is_taken) in parcels.into_iter().zip(taken) {
            let slots: SmallVec<[SlotId; 16]> = smallvec![SlotId::of_key(&parcel.key)];
            let settled = blocking::with_slots(worker, lookup, &slots, |cx| {
                cx.space.db = departure.db;
                let settled = settle(cx, parcel, is_taken);
                if cx.space.has_ready() {
                    unserved.extend(blocking::serve(cx));
                }
                settled
            });
            match settled {
                Ok(parcel) => again.extend(parcel),
                Err(error) => departure.error = departure.error.take().or(Some(error.text().into_owned())),
            }
        }
        if !unserved.is_empty() {
            blocking::serve_unheld(worker, lookup, unserved);
        }
        if !again.is_empty() {
            departure.delivery.parcels = again;
            // What stands there came from here.
            departure.delivery.replace = true;
            return Some(departure);
        }
    }
    answer(worker, departure);
    None
}

/// Deletes a key that was taken; gives it as it is now if it has changed since. The key's slot is locked.
fn settle(cx: &mut Cx<'_>, parcel: Parcel, is_taken: bool) -> Result<Option<Parcel>, ReplyError> {
    let db = cx.space.db;
    let has_changed = parcel.changed.load(Ordering::Relaxed);
    cx.space.slot(SlotId::of_key(&parcel.key)).unwatch(db, &parcel.key, &parcel.changed);
    if !is_taken {
        return Ok(None);
    }
    if has_changed {
        let again = take_out(cx, &parcel.key);
        if let Some(again) = &again {
            cx.space.slot(SlotId::of_key(&again.key)).watch(db, &again.key, &again.changed);
        }
        return Ok(again);
    }
    cx.space.reserve(removal_bytes(&parcel.key)).map_err(|_| account::stopped_log(cx))?;
    let changes_before = cx.space.changes;
    delete(cx, &parcel.key);
    let changes = cx.space.changes - changes_before;
    if changes > 0 || cx.space.has_told() {
        account::hand_on_effect(cx, db, &[], changes)?;
    }
    Ok(None)
}

fn answer(worker: &Worker, departure: Departure) {
    let mut text = Vec::new();
    let mut reply = Reply::new(&mut text, departure.protocol);
    match departure.error {
        None => reply.ok(),
        Some(error) => {
            let error = ReplyError::Text(error.into());
            reply.error(&error);
            worker.engine.count_error(error.code());
            worker.stats.commands[usize::from(departure.command)].failed_calls.add(1);
        }
    }
    let mut session = Session::trusted(departure.client);
    session.redacted = departure.redacted;
    let args: SmallVec<[&[u8]; 8]> = departure.call.iter().map(Vec::as_slice).collect();
    let command = registry::by_id(CommandId(departure.command));
    let took_ns = clock::ticks().nanos_since(departure.started);
    account::record_if_slow(worker, &session, command, &args, took_ns, worker.config());
    session.handle.order(|orders| orders.answer = Some(text));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::commands::testing::TestServer;
    use crate::engine::departure::Courier;

    /// Keeps departures for the test to finish, and takes what it is to bring.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Vec<Departure>>>);

    impl Courier for Fake {
        fn send(&self, departure: Departure) {
            self.0.lock().push(departure);
        }

        fn bring(&self, delivery: &Delivery) -> Receipt {
            Receipt { taken: delivery.parcels.iter().map(|parcel| parcel.key != b"refused").collect(), error: None }
        }

        fn kept_connections(&self) -> usize {
            0
        }

        fn close_idle(&self) {}
    }

    fn server() -> (TestServer, Fake) {
        let (server, fake) = (TestServer::new(), Fake::default());
        assert!(server.engine.courier.set(Box::new(fake.clone())).is_ok());
        (server, fake)
    }

    fn receipt(taken: &[bool]) -> Receipt {
        Receipt { taken: taken.to_vec(), error: None }
    }

    #[test]
    fn words_in_their_order() {
        let mut server = TestServer::new();
        server.run("SET k v");
        for (words, reply) in [
            ("h 1 k x x NOSUCH", "-ERR syntax error"),
            ("h 1 k x x AUTH", "-ERR syntax error"),
            ("h 1 k x x AUTH2 user", "-ERR syntax error"),
            (
                "h 1 k x x COPY KEYS a",
                "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
            ),
            ("h 1 k 0 x", "-ERR value is not an integer or out of range"),
            ("h 1 k x 0", "-ERR value is not an integer or out of range"),
            ("h 1 none 0 0", "+NOKEY"),
            ("h 1 \"\" 0 0 KEYS", "+NOKEY"),
            ("h 1 \"\" 0 0 REPLACE AUTH KEYS KEYS none k", "-IOERR error or timeout connecting to the client"),
        ] {
            assert_eq!(server.run(&format!("MIGRATE {words}")), format!("{reply}\r\n"), "{words}");
        }
    }

    #[test]
    fn keys_go_once_they_are_taken_each_with_an_effect() {
        let (mut server, fake) = server();
        for line in ["MSET a 1 b 2 c 3", "PEXPIREAT b 4000000000000"] {
            server.run(line);
        }
        server.captured();
        assert_eq!(server.run("MIGRATE h 1 \"\" 5 0 KEYS a b none c"), "");
        let departure = fake.0.lock().pop().unwrap();
        let parcels = &departure.delivery.parcels;
        assert_eq!(parcels.iter().map(|parcel| &parcel.key[..]).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!((departure.delivery.db, parcels[1].expiry_ms), (5, Some(4_000_000_000_000)));
        assert!(server.answer(0).is_none());
        let mut receipt = receipt(&[true, false]);
        receipt.error = Some("IOERR gone".into());
        assert!(server.executor.finish_departure(departure, receipt).is_none());
        assert_eq!(server.answer(0).unwrap(), "-IOERR gone\r\n");
        assert_eq!(server.effects(), ["DEL a"]);
        server.expect(&[("EXISTS a", ":0\r\n"), ("EXISTS b c", ":2\r\n")]);
        // Nothing is watched or held any more.
        assert_eq!(server.engine.persistence.obstacles(), 0);
        assert!(SlotId::all().all(|id| server.engine.keyspace.lock(id).watched_keys().next().is_none()));
    }

    #[test]
    fn a_change_meanwhile_sends_the_key_again() {
        let (mut server, fake) = server();
        server.run("MSET a 1 b 2 c 3");
        server.run("MIGRATE h 1 \"\" 0 0 KEYS a b c");
        let departure = fake.0.lock().pop().unwrap();
        // A way around the wait: as a script does that reaches beyond its keys.
        let change = |server: &mut TestServer, key: &str, value: Option<&str>| {
            let slot = server.engine.keyspace.lock(SlotId::of_key(key.as_bytes()));
            let _ = slot.touch(0, key.as_bytes());
            drop(slot);
            if value.is_none() {
                server.plant_expired(0, key);
            }
        };
        change(&mut server, "b", Some("changed"));
        change(&mut server, "c", None);
        let again = server.executor.finish_departure(departure, receipt(&[true; 3])).unwrap();
        assert!(again.delivery.replace);
        assert_eq!(again.delivery.parcels.len(), 1, "b has changed, c is gone");
        assert_eq!(again.delivery.parcels[0].key, b"b");
        assert!(server.answer(0).is_none());
        assert!(server.executor.finish_departure(again, receipt(&[true])).is_none());
        assert_eq!(server.answer(0).unwrap(), "+OK\r\n");
        server.expect(&[("EXISTS a b c", ":0\r\n")]);
    }

    #[test]
    fn whoever_names_a_held_slot_waits() {
        let (mut server, fake) = server();
        server.run("MSET a 1 b 2");
        server.run("MIGRATE h 1 a 0 0");
        let held = |server: &mut TestServer, line: &str| {
            server.session(1);
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut session = Session::trusted(server.session(1).handle.clone());
            let batch = crate::commands::Batch { arguments: &args, ends: &[args.len()], source: None };
            server.executor.run(&mut session, &batch, &mut Vec::new()).hold.is_some()
        };
        for (line, waits) in [
            ("GET a", true),
            ("MGET b a", true),
            ("FLUSHALL", true),
            ("MIGRATE h 1 a 0 0", true),
            ("GET b", false),
            ("GET", false),
            ("PING", false),
            ("SCAN 0", false),
        ] {
            assert_eq!(held(&mut server, line), waits, "{line}");
        }
        let departure = fake.0.lock().pop().unwrap();
        server.executor.finish_departure(departure, receipt(&[true]));
        assert!(!held(&mut server, "GET a"));
        // A copy holds nobody up.
        server.answer(0);
        server.run("MIGRATE h 1 b 0 0 COPY");
        assert!(!held(&mut server, "GET b"));
        let departure = fake.0.lock().pop().unwrap();
        server.executor.finish_departure(departure, receipt(&[true]));
        assert_eq!(server.answer(0).unwrap(), "+OK\r\n");
        server.expect(&[("EXISTS b", ":1\r\n")]);
    }

    #[test]
    fn in_a_transaction_the_answer_is_there_at_once() {
        let (mut server, _) = server();
        server.run("MSET a 1 refused 2");
        server.captured();
        server.expect(&[
            ("MULTI", "+OK\r\n"),
            ("MIGRATE h 1 \"\" 0 0 KEYS a refused", "+QUEUED\r\n"),
            ("EXISTS a refused", "+QUEUED\r\n"),
            ("EXEC", "*2\r\n+OK\r\n:1\r\n"),
        ]);
        assert_eq!(server.effects(), ["DEL a"]);
    }
}
