//! What a script returns, as a reply. A table's fields `err`, `ok`, `double`, `big_number`, `verbatim_string`, `map` and
//! `set` say what it stands for.

use mlua::{Table, Value};

use super::arguments::plain_number;
use crate::resp::{Protocol, Reply};

/// Tables inside tables that are answered; each takes some of the thread's stack.
const DEPTH_MAX: usize = 1000;

/// The error that a value stands for, and whether it was counted.
pub fn error_of(value: &Value) -> Option<(Vec<u8>, bool)> {
    let Value::Table(table) = value else { return None };
    let text = text_field(table, "err")?;
    let counted = table.raw_get::<Value>("ignore_error_stats_update").ok()? == Value::Boolean(true);
    Some((text, counted))
}

pub fn text_field(table: &Table, name: &str) -> Option<Vec<u8>> {
    match table.raw_get::<Value>(name) {
        Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// Answers a value. `chosen` is the protocol that the script chose for itself.
pub fn answer(reply: &mut Reply<'_>, value: &Value, chosen: Protocol) {
    answer_nested(reply, value, chosen, 0);
}

fn answer_nested(reply: &mut Reply<'_>, value: &Value, chosen: Protocol, depth: usize) {
    if depth > DEPTH_MAX {
        return reply.error_text("ERR reached lua stack limit");
    }
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(number) => reply.integer(*number),
        Value::Number(number) => reply.integer(*number as i64),
        Value::Boolean(value) if chosen == Protocol::Resp3 => reply.boolean(*value),
        Value::Boolean(true) => reply.integer(1),
        Value::Table(table) => answer_table(reply, table, chosen, depth),
        _ => reply.null(),
    }
}

fn answer_table(reply: &mut Reply<'_>, table: &Table, chosen: Protocol, depth: usize) {
    // Reading raw fields raises no error but for want of memory.
    let field = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
    if let Some((text, _)) = error_of(&Value::Table(table.clone())) {
        return reply.error_bytes(&text);
    }
    if let Value::String(text) = field("ok") {
        let text = String::from_utf8_lossy(&text.as_bytes()).replace(['\r', '\n'], " ");
        return reply.simple(&text);
    }
    if let Some(number) = plain_number(&field("double")) {
        return reply.double(number);
    }
    if let Value::String(text) = field("big_number") {
        let text = String::from_utf8_lossy(&text.as_bytes()).replace(['\r', '\n'], " ");
        return reply.big_number(&text);
    }
    if let Value::Table(verbatim) = field("verbatim_string")
        && let (Some(format), Some(text)) = (text_field(&verbatim, "format"), text_field(&verbatim, "string"))
    {
        let format: String = String::from_utf8_lossy(&format).chars().chain("   ".chars()).take(3).collect();
        return reply.verbatim(&format, text);
    }
    if let Value::Table(map) = field("map") {
        reply.map(members(&map).count());
        for (key, value) in members(&map) {
            answer_nested(reply, &key, chosen, depth + 1);
            answer_nested(reply, &value, chosen, depth + 1);
        }
        return;
    }
    if let Value::Table(set) = field("set") {
        reply.set(members(&set).count());
        members(&set).for_each(|(member, _)| answer_nested(reply, &member, chosen, depth + 1));
        return;
    }
    reply.array(elements(table).count());
    elements(table).for_each(|value| answer_nested(reply, &value, chosen, depth + 1));
}

/// What a table holds, twice in the same order if nothing changes it.
fn members(table: &Table) -> impl Iterator<Item = (Value, Value)> {
    table.pairs().map_while(Result::ok)
}

/// The elements of an array, up to the first hole.
fn elements(table: &Table) -> impl Iterator<Item = Value> {
    (1_usize..).map_while(|index| table.raw_get::<Value>(index).ok().filter(|value| *value != Value::Nil))
}
