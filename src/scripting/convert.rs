//! Replies as Lua values, and Lua values as replies.
//!
//! Into Lua go the bytes of a reply as they were written, RESP2 or RESP3 as the script chose. Out of Lua a table's fields
//! `err`, `ok`, `double`, `big_number`, `verbatim_string`, `map` and `set` say what it stands for.

use mlua::{IntoLua, Lua, Table, Value};

use super::arguments::{error_table, plain_number};
use crate::base::number::parse_i64;
use crate::resp::{Protocol, Reply};

/// Tables inside tables that are answered; each takes some of the thread's stack.
const DEPTH_MAX: usize = 1000;

/// A reply's value, and whether it is an error.
pub fn to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<(Value, bool)> {
    let is_error = reply.first() == Some(&b'-');
    Ok((Replies { lua, rest: reply }.value()?, is_error))
}

/// Replies of this server: well formed.
struct Replies<'r> {
    lua: &'r Lua,
    rest: &'r [u8],
}

impl<'r> Replies<'r> {
    /// The kind of the next reply, and the rest of its first line.
    #[inline]
    fn line(&mut self) -> (u8, &'r [u8]) {
        let Some((kind, rest)) = self.rest.split_first() else { return (b'_', &[]) };
        let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
        self.rest = rest.get(end + 2..).unwrap_or_default();
        (*kind, &rest[..end])
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> &'r [u8] {
        let bytes = &self.rest[..length.min(self.rest.len())];
        self.rest = self.rest.get(length + 2..).unwrap_or_default();
        bytes
    }

    fn string(&self, bytes: &[u8]) -> mlua::Result<Value> {
        self.lua.create_string(bytes)?.into_lua(self.lua)
    }

    fn wrapped(&self, field: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        table.raw_set(field, value)?;
        Ok(Value::Table(table))
    }

    /// So many replies as an array. Each goes into it at once: a state has room for some thousands of handles.
    fn sequence(&mut self, length: i64) -> mlua::Result<Table> {
        let (lua, mut failure) = (self.lua, None);
        let values = (0..length).map_while(|_| self.value().map_err(|error| failure = Some(error)).ok());
        let table = lua.create_sequence_from(values)?;
        failure.map_or(Ok(table), Err)
    }

    fn value(&mut self) -> mlua::Result<Value> {
        let (kind, line) = self.line();
        let count = || parse_i64(line).unwrap_or(-1);
        Ok(match kind {
            b':' => Value::Number(count() as f64),
            b'$' => match count() {
                ..0 => Value::Boolean(false),
                length => {
                    let bytes = self.bytes(length as usize);
                    self.string(bytes)?
                }
            },
            b'+' => self.wrapped("ok", self.string(line)?)?,
            b'-' => {
                // An error of one word only is not its own code.
                let text = if line.contains(&b' ') { line.to_vec() } else { [b"ERR ", line].concat() };
                Value::Table(error_table(self.lua, &text, true)?)
            }
            b'*' | b'>' => match count() {
                ..0 => Value::Boolean(false),
                length => Value::Table(self.sequence(length)?),
            },
            b'_' => Value::Nil,
            b'#' => Value::Boolean(line == b"t"),
            b',' => {
                let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                self.wrapped("double", Value::Number(number.unwrap_or(f64::NAN)))?
            }
            b'(' => self.wrapped("big_number", self.string(line)?)?,
            b'=' => {
                let bytes = self.bytes(count().max(0) as usize);
                let table = self.lua.create_table()?;
                table.raw_set("format", self.string(bytes.get(..3).unwrap_or_default())?)?;
                table.raw_set("string", self.string(bytes.get(4..).unwrap_or_default())?)?;
                self.wrapped("verbatim_string", Value::Table(table))?
            }
            b'%' => {
                let table = self.lua.create_table()?;
                for _ in 0..count() {
                    let key = self.value()?;
                    let value = self.value()?;
                    set(&table, key, value)?;
                }
                self.wrapped("map", Value::Table(table))?
            }
            b'~' => {
                let table = self.lua.create_table()?;
                for _ in 0..count() {
                    let member = self.value()?;
                    set(&table, member, Value::Boolean(true))?;
                }
                self.wrapped("set", Value::Table(table))?
            }
            b'|' => {
                // Attributes are not shown.
                for _ in 0..2 * count() {
                    self.value()?;
                }
                self.value()?
            }
            _ => Value::Nil,
        })
    }
}

/// A member of a map or set; what cannot be a key is left out.
fn set(table: &Table, key: Value, value: Value) -> mlua::Result<()> {
    if matches!(key, Value::Nil) || matches!(key, Value::Number(number) if number.is_nan()) {
        return Ok(());
    }
    table.raw_set(key, value)
}

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
