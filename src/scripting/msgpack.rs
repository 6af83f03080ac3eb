//! The library `cmsgpack`: values as MessagePack and back.
//! Source: the MessagePack specification.

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::arguments::{Args, Failure, bad_argument, native, one, plain_number};

/// Tables inside tables beyond this are written as nil.
const DEPTH_MAX: usize = 16;
/// Tables inside tables that are read: what a stack is sure to take.
const READ_DEPTH_MAX: usize = 1000;
/// Results of one call that Lua's stack is sure to take.
const RESULTS_MAX: usize = 7000;

const MISSING: &str = "Missing bytes in input.";
const BAD: &str = "Bad data format in input.";

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", native(lua, |lua, args| one(lua, lua.create_string(pack(args)?)?))?)?;
    table.set("unpack", native(lua, |lua, args| unpack(lua, args, "unpack", 0, 0, false))?)?;
    let unpack_one = |lua: &Lua, args: &Args<'_>| {
        let offset = optional(args, "unpack_one", 1)?;
        unpack(lua, args, "unpack_one", 1, offset, true)
    };
    table.set("unpack_one", native(lua, unpack_one)?)?;
    let unpack_limit = |lua: &Lua, args: &Args<'_>| {
        let (limit, offset) = (args.integer("unpack_limit", 1)?, optional(args, "unpack_limit", 2)?);
        unpack(lua, args, "unpack_limit", limit, offset, limit != 0 || offset != 0)
    };
    table.set("unpack_limit", native(lua, unpack_limit)?)?;
    Ok(table)
}

fn optional(args: &Args<'_>, function: &str, index: usize) -> Result<i64, Failure> {
    if matches!(args.get(index), None | Some(Value::Nil)) { Ok(0) } else { args.integer(function, index) }
}

fn pack(args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    if args.len() == 0 {
        return Err("bad argument #0 to 'pack' (MessagePack pack needs input.)".into());
    }
    let mut out = Vec::new();
    for value in args.0 {
        write(&mut out, value, 0)?;
    }
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), Failure> {
    match value {
        Value::String(text) => {
            let text = text.as_bytes();
            write_header(out, text.len(), &[(0x1f, 0xa0)], &[0xd9, 0xda, 0xdb]);
            out.extend_from_slice(&text);
        }
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => write_integer(out, *number),
        Value::Number(number) => write_number(out, *number),
        Value::Table(_) if depth >= DEPTH_MAX => out.push(0xc0),
        Value::Table(table) => write_table(out, table, depth)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

/// The header of something of so many bytes or members: short, or with a length of 1, 2 or 4 bytes.
fn write_header(out: &mut Vec<u8>, length: usize, short: &[(usize, u8)], long: &[u8; 3]) {
    if let Some((_, prefix)) = short.iter().find(|(most, _)| length <= *most) {
        out.push(prefix | length as u8);
    } else if length <= 0xff && long[0] != 0 {
        out.extend_from_slice(&[long[0], length as u8]);
    } else if length <= 0xffff {
        out.push(long[1]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        out.push(long[2]);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    let whole = number as i64;
    if whole as f64 == number && number < i64::MAX as f64 {
        return write_integer(out, whole);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_integer(out: &mut Vec<u8>, number: i64) {
    let mut put = |prefix: u8, bytes: &[u8]| {
        out.push(prefix);
        out.extend_from_slice(bytes);
    };
    match number {
        -32..=0x7f => put(number as u8, &[]),
        0x80..=0xff => put(0xcc, &[number as u8]),
        0x100..=0xffff => put(0xcd, &(number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put(0xce, &(number as u32).to_be_bytes()),
        0x1_0000_0000.. => put(0xcf, &number.to_be_bytes()),
        -0x80..=-33 => put(0xd0, &[number as u8]),
        -0x8000..=-0x81 => put(0xd1, &(number as i16).to_be_bytes()),
        -0x8000_0000..=-0x8001 => put(0xd2, &(number as i32).to_be_bytes()),
        _ => put(0xd3, &number.to_be_bytes()),
    }
}

fn write_table(out: &mut Vec<u8>, table: &Table, depth: usize) -> Result<(), Failure> {
    // An array's keys are the numbers from 1 on without a gap.
    let (mut last, mut count, mut is_array) = (0, 0, true);
    for pair in table.pairs::<Value, Value>() {
        let index = plain_number(&pair?.0).unwrap_or_default();
        is_array &= index >= 1.0 && index == index.trunc();
        last = last.max(index as usize);
        count += 1;
    }
    if is_array && last == count {
        write_header(out, last, &[(0xf, 0x90)], &[0, 0xdc, 0xdd]);
        for index in 1..=last {
            write(out, &table.raw_get::<Value>(index)?, depth + 1)?;
        }
        return Ok(());
    }
    write_header(out, count, &[(0xf, 0x80)], &[0, 0xde, 0xdf]);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        write(out, &key, depth + 1)?;
        write(out, &value, depth + 1)?;
    }
    Ok(())
}

/// Reads `limit` values from `offset` on, or all of them where the limit is 0. With `tells_offset` the first result is
/// where the next value begins, or -1 at the end.
fn unpack(
    lua: &Lua,
    args: &Args<'_>,
    function: &str,
    limit: i64,
    offset: i64,
    tells_offset: bool,
) -> Result<MultiValue, Failure> {
    let data = args.bytes(function, 0)?;
    if limit < 0 || offset < 0 {
        return Err(format!("Invalid request to unpack with offset of {offset} and limit of {}.", data.len()).into());
    }
    let start = usize::try_from(offset).ok().filter(|start| *start <= data.len());
    let Some(start) = start else {
        return Err(format!("Start offset {offset} greater than input length {}.", data.len()).into());
    };
    let mut reader = Reader { lua, data: &data, at: start };
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let mut results = Vec::new();
    while reader.at < data.len() && results.len() < limit {
        if results.len() >= RESULTS_MAX {
            return Err(bad_argument(function, 0, "too many values"));
        }
        results.push(reader.value(0)?);
    }
    if tells_offset {
        let next = if reader.at == data.len() { -1.0 } else { reader.at as f64 };
        results.insert(0, Value::Number(next));
    }
    Ok(MultiValue::from_iter(results))
}

struct Reader<'r> {
    lua: &'r Lua,
    data: &'r [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Failure> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.data.len()).ok_or(MISSING)?;
        let taken = &self.data[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A big-endian number of up to 8 bytes.
    fn unsigned(&mut self, count: usize) -> Result<u64, Failure> {
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, count: usize) -> Result<f64, Failure> {
        let unused = 64 - 8 * count as u32;
        Ok(((self.unsigned(count)? << unused) as i64 >> unused) as f64)
    }

    fn text(&mut self, count: u64) -> Result<Value, Failure> {
        let lua = self.lua;
        Ok(lua.create_string(self.take(count as usize)?)?.into_lua(lua)?)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        let kind = self.take(1)?[0];
        Ok(match kind {
            0x00..=0x7f => Value::Number(f64::from(kind)),
            0x80..=0x8f => self.map(u64::from(kind & 0xf), depth)?,
            0x90..=0x9f => self.array(u64::from(kind & 0xf), depth)?,
            0xa0..=0xbf => self.text(u64::from(kind & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Boolean(kind == 0xc3),
            0xc4..=0xc6 => {
                let count = self.unsigned(1 << (kind - 0xc4))?;
                self.text(count)?
            }
            0xca => Value::Number(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            0xcb => Value::Number(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Value::Number(self.unsigned(1 << (kind - 0xcc))? as f64),
            0xd0..=0xd3 => Value::Number(self.signed(1 << (kind - 0xd0))?),
            0xd9..=0xdb => {
                let count = self.unsigned(1 << (kind - 0xd9))?;
                self.text(count)?
            }
            0xdc | 0xdd => {
                let count = self.unsigned(2 << (kind - 0xdc))?;
                self.array(count, depth)?
            }
            0xde | 0xdf => {
                let count = self.unsigned(2 << (kind - 0xde))?;
                self.map(count, depth)?
            }
            0xe0..=0xff => Value::Number(f64::from(kind as i8)),
            _ => return Err(BAD.into()),
        })
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<Value, Failure> {
        check_depth(depth)?;
        let table = self.lua.create_table()?;
        for index in 1..=count {
            table.raw_set(index as f64, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value, Failure> {
        check_depth(depth)?;
        let table = self.lua.create_table()?;
        for _ in 0..count {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            if matches!(key, Value::Nil) || matches!(key, Value::Number(number) if number.is_nan()) {
                return Err(BAD.into());
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }
}

fn check_depth(depth: usize) -> Result<(), Failure> {
    if depth >= READ_DEPTH_MAX { Err(BAD.into()) } else { Ok(()) }
}
