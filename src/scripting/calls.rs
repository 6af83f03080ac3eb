//! The table `redis` of scripts, but for `call` and `pcall`: what the server offers them beside commands.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use super::arguments::{Args, Failure, Values, as_bytes, error_table, native, nothing, one};
use super::c_interface::Shared;
use crate::base::sha1;
use crate::base::version::REDIS_VERSION;
use crate::resp::Protocol;

/// Levels of redis.log, and their names.
const LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];
/// Which followers of the data set are told of a script's writes.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", REPLICA_FLAG), ("REPL_REPLICA", REPLICA_FLAG), ("REPL_ALL", 3)];
const REPLICA_FLAG: i64 = 2;

fn outside(function: &str) -> Failure {
    Failure::Reply(format!("ERR {function} can only be called inside a script invocation"))
}

/// Constants of `redis`.
pub fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (level, name) in LEVELS.iter().enumerate() {
        table.set(*name, level as f64)?;
    }
    for (name, flags) in REPLICATION {
        table.set(name, flags as f64)?;
    }
    table.set("REDIS_VERSION", REDIS_VERSION)?;
    let number = REDIS_VERSION.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0));
    table.set("REDIS_VERSION_NUM", f64::from(number))?;
    Ok(table)
}

/// The natives of `redis` that raise their failures.
pub fn natives(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("sha1hex", native(lua, |lua, args| one(lua, sha1hex(args)?))?)?;
    table.set("log", native(lua, |_, args| log(args))?)?;
    let own = shared.clone();
    table.set("setresp", native(lua, move |_, args| set_protocol(&own, args))?)?;
    let own = shared.clone();
    table.set("set_repl", native(lua, move |_, args| set_replication(&own, args))?)?;
    let own = shared.clone();
    table.set("acl_check_cmd", native(lua, move |lua, args| one(lua, may_call(&own, args)?))?)?;
    Ok(table)
}

/// `error_reply` and `status_reply`, which return their failures.
pub fn replies(lua: &Lua) -> mlua::Result<(Function, Function)> {
    let text = |args: &Args<'_>| match args.0 {
        [Value::String(text)] => Ok(text.as_bytes().to_vec()),
        _ => Err(Failure::Reply("ERR wrong number or type of arguments".into())),
    };
    let error = native(lua, move |lua, args| {
        let text = text(args)?;
        let text = text.strip_prefix(b"-").unwrap_or(&text);
        // Without a second word the first is no code.
        let text = if text.contains(&b' ') { text.to_vec() } else { [b"ERR ", text].concat() };
        one(lua, error_table(lua, &text)?)
    })?;
    let status = native(lua, move |lua, args| {
        let table = lua.create_table()?;
        table.raw_set("ok", lua.create_string(text(args)?)?)?;
        one(lua, table)
    })?;
    Ok((error, status))
}

fn sha1hex(args: &Args<'_>) -> Result<String, Failure> {
    match args.0 {
        [value] => Ok(sha1::hex(&as_bytes(value).unwrap_or_default())),
        _ => Err(Failure::Reply("ERR wrong number of arguments".into())),
    }
}

fn log(args: &Args<'_>) -> Values {
    if args.len() < 2 {
        return Err(Failure::Reply("ERR redis.log() requires two arguments or more.".into()));
    }
    let level =
        args.number("log", 0).map_err(|_| Failure::Reply("ERR First argument must be a number (log level).".into()))?;
    if !(0.0..4.0).contains(&level) {
        return Err(Failure::Reply("ERR Invalid debug level.".into()));
    }
    let words: Vec<String> =
        args.0[1..].iter().filter_map(as_bytes).map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
    let text = words.join(" ");
    match level as u8 {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
    nothing()
}

fn set_protocol(shared: &Shared, args: &Args<'_>) -> Values {
    let [value] = args.0 else {
        return Err(Failure::Reply("ERR redis.setresp() requires one argument.".into()));
    };
    let protocol = match super::arguments::as_number(value).map(|number| number as i64) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return Err(Failure::Reply("ERR RESP version must be 2 or 3.".into())),
    };
    shared.host.with(|host| host.set_protocol(protocol)).ok_or_else(|| outside("redis.setresp"))?;
    nothing()
}

/// Says whether replicas are told of writes. The log is, whatever is said, or it would not be the data.
fn set_replication(shared: &Shared, args: &Args<'_>) -> Values {
    shared.host.with(|_| ()).ok_or_else(|| outside("redis.set_repl"))?;
    let [value] = args.0 else {
        return Err(Failure::Reply("ERR redis.set_repl() requires two arguments.".into()));
    };
    let flags = super::arguments::as_number(value).unwrap_or(0.0) as i64;
    if flags & !3 != 0 {
        return Err(Failure::Reply(
            "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.".into(),
        ));
    }
    shared.host.with(|host| host.set_replicated(flags & REPLICA_FLAG != 0));
    nothing()
}

fn may_call(shared: &Shared, args: &Args<'_>) -> Result<bool, Failure> {
    if args.0.is_empty() {
        return Err(Failure::Reply("ERR Please specify at least one argument for this redis lib call".into()));
    }
    let words: Option<Vec<Vec<u8>>> = args.0.iter().map(as_bytes).collect();
    let words =
        words.ok_or(Failure::Reply("ERR Lua redis lib command arguments must be strings or integers".into()))?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let allowed = shared.host.with(|host| host.may_call(&words));
    let known = allowed.ok_or_else(|| outside("redis.acl_check_cmd"))?;
    known.ok_or_else(|| Failure::Reply("ERR Invalid command passed to redis.acl_check_cmd()".into()))
}
