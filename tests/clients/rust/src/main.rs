//! Everyday use of the `redis` crate: a plain connection, a multiplexed one, and a deadpool of them, in both protocols.
//!
//!     cairn-client-tests HOST PORT

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    self, AsyncCommands, Client, Commands, Connection, InfoDict, Pipeline, RedisError, RedisResult, SetExpiry,
    SetOptions, Value, cmd, pipe,
};
use deadpool_redis::{Config, Runtime};
use futures_util::StreamExt;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn check<T: PartialEq + Debug>(checks: &mut usize, name: &str, found: T, wanted: T) -> Outcome {
    *checks += 1;
    if found == wanted { Ok(()) } else { Err(format!("{name}: wanted {wanted:?}, found {found:?}").into()) }
}

/// The error must carry `text`, as the code or in its detail.
fn check_error<T: Debug>(checks: &mut usize, name: &str, found: RedisResult<T>, text: &str) -> Outcome {
    *checks += 1;
    match found {
        Err(error) if error.to_string().contains(text) => Ok(()),
        other => Err(format!("{name}: wanted an error with {text:?}, found {other:?}").into()),
    }
}

fn strings(connection: &mut Connection, checks: &mut usize) -> Outcome {
    let _: () = connection.flushall()?;
    let _: () = connection.set("rs:a", 1)?;
    check(checks, "get", connection.get("rs:a")?, 1)?;
    check(checks, "missing key", connection.get("rs:none")?, None::<String>)?;
    check(checks, "incr", connection.incr("rs:a", 41)?, 42)?;
    check(checks, "append", connection.append("rs:s", "hello")?, 5)?;
    check(checks, "getrange", connection.getrange("rs:s", 1, 3)?, "ell".to_owned())?;
    let _: () = connection.mset(&[("rs:m1", "a"), ("rs:m2", "b")])?;
    let several: Vec<Option<String>> = connection.mget(&["rs:m1", "rs:none", "rs:m2"])?;
    check(checks, "mget", several, vec![Some("a".to_owned()), None, Some("b".to_owned())])?;
    check(checks, "del", connection.del(&["rs:m1", "rs:m2"])?, 2)?;
    let binary: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let _: () = connection.set("rs:binary", &binary)?;
    check(checks, "binary value", connection.get::<_, Vec<u8>>("rs:binary")? == binary, true)?;

    let options = SetOptions::default().with_expiration(SetExpiry::EX(100));
    let _: () = connection.set_options("rs:e", "v", options)?;
    let ttl_s: i64 = connection.ttl("rs:e")?;
    check(checks, "ttl", (99..=100).contains(&ttl_s), true)?;
    let _: () = connection.pset_ex("rs:short", "v", 40)?;
    std::thread::sleep(Duration::from_millis(80));
    check(checks, "expired", connection.exists("rs:short")?, false)
}

fn transactions(connection: &mut Connection, client: &Client, checks: &mut usize) -> Outcome {
    let mut many = Pipeline::new();
    for number in 0..1000 {
        many.set(format!("rs:p:{number}"), number).ignore();
    }
    let _: () = many.query(connection)?;
    let replies: (u8, String) =
        pipe().atomic().set("rs:t", 1).ignore().incr("rs:t", 1).get("rs:t").query(connection)?;
    check(checks, "transaction", replies, (2, "2".to_owned()))?;

    let mut other = client.get_connection()?;
    let _: () = cmd("WATCH").arg("rs:w").query(connection)?;
    let _: () = other.set("rs:w", "changed")?;
    let aborted: Option<()> = pipe().atomic().set("rs:w", "mine").ignore().query(connection)?;
    check(checks, "changed watched key", aborted, None)?;
    let doubled: (i64,) = redis::transaction(connection, &["rs:t"], |connection, pipe| {
        let now: i64 = connection.get("rs:t")?;
        pipe.set("rs:t", now * 2).ignore().get("rs:t").query(connection)
    })?;
    check(checks, "optimistic transaction", doubled, (4,))?;

    let _: () = connection.set("rs:text", "text")?;
    check_error(checks, "incr of text", connection.incr::<_, _, i64>("rs:text", 1), "not an integer")?;
    check_error(checks, "unknown command", cmd("NOSUCH").query::<Value>(connection), "unknown command")?;
    check_error(checks, "arity", cmd("GET").query::<Value>(connection), "wrong number of arguments")?;
    let nonsense = cmd("SET").arg(&["k", "v", "NONSENSE"]).query::<Value>(connection);
    check_error(checks, "syntax", nonsense, "syntax error")?;
    check(checks, "alive after the errors", cmd("PING").query(connection)?, "PONG".to_owned())
}

fn housekeeping(connection: &mut Connection, checks: &mut usize) -> Outcome {
    let found: HashSet<String> = connection.scan_match("rs:p:*")?.collect::<Result<_, _>>()?;
    check(checks, "scan", found.len(), 1000)?;
    let _: () = cmd("CLIENT").arg("SETNAME").arg("rs-everyday").query(connection)?;
    let name: String = cmd("CLIENT").arg("GETNAME").query(connection)?;
    check(checks, "client name", name.as_str(), "rs-everyday")?;
    let rows: String = cmd("CLIENT").arg("LIST").query(connection)?;
    let mine: Vec<&str> = rows.lines().filter(|row| row.contains(" name=rs-everyday ")).collect();
    check(checks, "client list", mine.len(), 1)?;
    let info: InfoDict = cmd("INFO").query(connection)?;
    let version: String = info.get("redis_version").unwrap_or_default();
    check(checks, "info", version.starts_with("7."), true)?;
    if !version.starts_with("7.0") {
        // CLIENT SETINFO came with 7.2.
        check(checks, "client list: library", mine[0].contains("lib-name=redis-rs"), true)?;
        let _: () = cmd("CLIENT").arg(&["SETINFO", "LIB-VER", "1.2.3"]).query(connection)?;
    }
    let limits: HashMap<String, String> = cmd("CONFIG").arg(&["GET", "maxmemory", "databases"]).query(connection)?;
    check(checks, "config get", limits.get("databases").map(String::as_str), Some("16"))?;
    check(checks, "config get of two", limits.len(), 2)
}

async fn multiplexed(client: &Client, checks: &mut usize) -> Outcome {
    let mut connection: MultiplexedConnection = client.get_multiplexed_async_connection().await?;
    let _: () = connection.set("rs:async", 0).await?;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let mut shared = connection.clone();
            tokio::spawn(async move { shared.incr::<_, _, i64>("rs:async", 1).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    check(checks, "counter over one connection", connection.get("rs:async").await?, 200)?;
    let scanned = connection.scan_match::<_, String>("rs:p:1??").await?.collect::<Vec<_>>().await;
    let keys: HashSet<String> = scanned.into_iter().collect::<Result<_, RedisError>>()?;
    check(checks, "async scan", keys.len(), 100)
}

async fn pooled(url: &str, checks: &mut usize) -> Outcome {
    let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1))?;
    let _: () = pool.get().await?.set("rs:pool", 0).await?;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut connection = pool.get().await.map_err(|error| error.to_string())?;
                connection.incr::<_, _, i64>("rs:pool", 1).await.map_err(|error| error.to_string())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    check(checks, "counter over a pool", pool.get().await?.get("rs:pool").await?, 200)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, host, port] = arguments.as_slice() else {
        return Err("usage: cairn-client-tests HOST PORT".into());
    };
    let mut checks = 0;
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://{host}:{port}/?protocol={protocol}");
        let client = Client::open(url.as_str())?;
        let mut connection = client.get_connection()?;
        strings(&mut connection, &mut checks)?;
        transactions(&mut connection, &client, &mut checks)?;
        housekeeping(&mut connection, &mut checks)?;
        multiplexed(&client, &mut checks).await?;
        pooled(&url, &mut checks).await?;
    }
    println!("redis crate with deadpool-redis: {checks} checks");
    Ok(())
}
