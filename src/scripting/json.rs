//! The library `cjson`: values as JSON. What it is told to allow holds for all scripts of the state from then on.
//! Source: RFC 8259.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{IntoLua, Lua, Table, Value};

use super::arguments::{Args, Failure, as_bytes, bad_argument, native, number_text, one, plain_number};
use super::json_reader;

/// What is done about numbers that JSON does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    WriteNull,
}

/// Tables inside tables that are read or written whatever a script allows: each takes some of the thread's stack.
pub const DEPTH_MAX: usize = 1000;

pub struct Options {
    encode_depth: Cell<usize>,
    pub decode_depth: Cell<usize>,
    precision: Cell<usize>,
    encode_invalid: Cell<Invalid>,
    pub decode_invalid: Cell<bool>,
    keep_buffer: Cell<bool>,
    /// Whether an array with too many holes becomes an object, how many holes each member may have, and from which
    /// length on that counts.
    sparse_converts: Cell<bool>,
    sparse_ratio: Cell<usize>,
    sparse_safe: Cell<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            encode_depth: Cell::new(DEPTH_MAX),
            decode_depth: Cell::new(DEPTH_MAX),
            precision: Cell::new(14),
            encode_invalid: Cell::new(Invalid::Refuse),
            decode_invalid: Cell::new(true),
            keep_buffer: Cell::new(true),
            sparse_converts: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
        }
    }
}

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let options = Rc::new(Options::default());
    let add = |name: &'static str, run: fn(&Lua, &Args<'_>, &Options) -> Result<Value, Failure>| {
        let options = options.clone();
        table.set(name, native(lua, move |lua, args| one(lua, run(lua, args, &options)?))?)
    };
    add("encode", |lua, args, options| {
        let [value] = args.0 else { return Err(bad_argument("encode", 0, "expected 1 argument")) };
        let mut out = Vec::new();
        encode(&mut out, value, 0, options)?;
        Ok(lua.create_string(out)?.into_lua(lua)?)
    })?;
    add("decode", |lua, args, options| {
        if args.len() != 1 {
            return Err(bad_argument("decode", 0, "expected 1 argument"));
        }
        json_reader::decode(lua, &args.bytes("decode", 0)?, options)
    })?;
    add("encode_max_depth", |_, args, options| set_number(args, "encode_max_depth", 0, 1, &options.encode_depth))?;
    add("decode_max_depth", |_, args, options| set_number(args, "decode_max_depth", 0, 1, &options.decode_depth))?;
    add("encode_number_precision", |_, args, options| {
        if args.get(0).is_some() && !(1..=14).contains(&args.integer("encode_number_precision", 0)?) {
            return Err(bad_argument("encode_number_precision", 0, "expected integer between 1 and 14"));
        }
        set_number(args, "encode_number_precision", 0, 1, &options.precision)
    })?;
    add("encode_keep_buffer", |_, args, options| {
        if let Some(keep) = switch(args, "encode_keep_buffer", &["off", "on"])? {
            options.keep_buffer.set(keep == 1);
        }
        Ok(Value::Boolean(options.keep_buffer.get()))
    })?;
    add("encode_invalid_numbers", |lua, args, options| {
        match switch(args, "encode_invalid_numbers", &["off", "on", "null"])? {
            Some(0) => options.encode_invalid.set(Invalid::Refuse),
            Some(1) => options.encode_invalid.set(Invalid::Write),
            Some(_) => options.encode_invalid.set(Invalid::WriteNull),
            None => {}
        }
        Ok(match options.encode_invalid.get() {
            Invalid::WriteNull => lua.create_string("null")?.into_lua(lua)?,
            other => Value::Boolean(other == Invalid::Write),
        })
    })?;
    add("decode_invalid_numbers", |_, args, options| {
        if let Some(on) = switch(args, "decode_invalid_numbers", &["off", "on"])? {
            options.decode_invalid.set(on == 1);
        }
        Ok(Value::Boolean(options.decode_invalid.get()))
    })?;
    table.set("encode_sparse_array", {
        let options = options.clone();
        native(lua, move |lua, args| {
            if let Some(converts) = switch(args, "encode_sparse_array", &["off", "on"])? {
                options.sparse_converts.set(converts == 1);
            }
            set_number(args, "encode_sparse_array", 1, 0, &options.sparse_ratio)?;
            set_number(args, "encode_sparse_array", 2, 0, &options.sparse_safe)?;
            let mut results = mlua::MultiValue::new();
            results.push_back(Value::Boolean(options.sparse_converts.get()));
            results.push_back(options.sparse_ratio.get().into_lua(lua)?);
            results.push_back(options.sparse_safe.get().into_lua(lua)?);
            Ok(results)
        })?
    })?;
    Ok(table)
}

/// Sets an option to an argument, if it is there, and gives it.
fn set_number(
    args: &Args<'_>,
    function: &str,
    index: usize,
    least: i64,
    option: &Cell<usize>,
) -> Result<Value, Failure> {
    if !matches!(args.get(index), None | Some(Value::Nil)) {
        let number = args.integer(function, index)?;
        if number < least || number > i64::from(i32::MAX) {
            let reason = format!("expected integer between {least} and {}", i32::MAX);
            return Err(bad_argument(function, index, &reason));
        }
        option.set(number as usize);
    }
    Ok(Value::Number(option.get() as f64))
}

/// Which of these words, or which truth, an argument is.
fn switch(args: &Args<'_>, function: &str, words: &[&str]) -> Result<Option<usize>, Failure> {
    match args.get(0) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(on)) => Ok(Some(usize::from(*on))),
        Some(value) => {
            let text = as_bytes(value).ok_or_else(|| args.mismatch(function, 0, "string"))?;
            let found = words.iter().position(|word| word.as_bytes() == text);
            let text = String::from_utf8_lossy(&text);
            found.map(Some).ok_or_else(|| bad_argument(function, 0, &format!("invalid option '{text}'")))
        }
    }
}

fn cannot(value: &Value, reason: &str) -> Failure {
    format!("Cannot serialise {}: {reason}", if value.is_light_userdata() { "userdata" } else { value.type_name() })
        .into()
}

fn encode(out: &mut Vec<u8>, value: &Value, depth: usize, options: &Options) -> Result<(), Failure> {
    match value {
        Value::String(text) => encode_string(out, &text.as_bytes()),
        Value::Integer(number) => encode_number(out, *number as f64, value, options)?,
        Value::Number(number) => encode_number(out, *number, value, options)?,
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Nil => out.extend_from_slice(b"null"),
        null if null.is_null() => out.extend_from_slice(b"null"),
        Value::Table(table) => {
            let depth = depth + 1;
            if depth > options.encode_depth.get().min(DEPTH_MAX) {
                return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
            }
            match array_length(table, value, options)? {
                Some(length) => encode_array(out, table, length, depth, options)?,
                None => encode_object(out, table, depth, options)?,
            }
        }
        _ => return Err(cannot(value, "type not supported")),
    }
    Ok(())
}

/// How long a table is as an array; none if it is no array, or empty.
fn array_length(table: &Table, value: &Value, options: &Options) -> Result<Option<usize>, Failure> {
    let (mut longest, mut items) = (0.0_f64, 0);
    for pair in table.pairs::<Value, Value>() {
        let Some(index) = plain_number(&pair?.0) else { return Ok(None) };
        if index < 1.0 || index != index.floor() {
            return Ok(None);
        }
        longest = longest.max(index);
        items += 1;
    }
    let (ratio, length) = (options.sparse_ratio.get(), longest as usize);
    let sparse = ratio > 0 && length > items * ratio && length > options.sparse_safe.get();
    match sparse {
        true if options.sparse_converts.get() => Ok(None),
        true => Err(cannot(value, "excessively sparse array")),
        false => Ok((length > 0).then_some(length)),
    }
}

fn encode_array(
    out: &mut Vec<u8>,
    table: &Table,
    length: usize,
    depth: usize,
    options: &Options,
) -> Result<(), Failure> {
    out.push(b'[');
    for index in 1..=length {
        if index > 1 {
            out.push(b',');
        }
        encode(out, &table.raw_get::<Value>(index)?, depth, options)?;
    }
    out.push(b']');
    Ok(())
}

fn encode_object(out: &mut Vec<u8>, table: &Table, depth: usize, options: &Options) -> Result<(), Failure> {
    out.push(b'{');
    let mut first = true;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        match &key {
            Value::String(text) => encode_string(out, &text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                out.push(b'"');
                encode_number(out, plain_number(&key).unwrap_or_default(), &key, options)?;
                out.push(b'"');
            }
            _ => return Err(cannot(&Value::Table(table.clone()), "table key must be a number or string")),
        }
        out.push(b':');
        encode(out, &value, depth, options)?;
    }
    out.push(b'}');
    Ok(())
}

fn encode_number(out: &mut Vec<u8>, number: f64, value: &Value, options: &Options) -> Result<(), Failure> {
    if !number.is_finite() {
        match options.encode_invalid.get() {
            Invalid::Refuse => return Err(cannot(value, "must not be NaN or Inf")),
            Invalid::WriteNull => {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            Invalid::Write if number.is_nan() => {
                out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::Write => {}
        }
    }
    out.extend_from_slice(number_text(number, options.precision.get()).as_bytes());
    Ok(())
}

fn encode_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' | b'/' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=31 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
