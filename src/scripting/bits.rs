//! The library `bit`: operations on numbers as 32 bits. Results are signed.

use mlua::{Lua, Table};

use super::arguments::{Args, Failure, native, one};

type Unary = fn(i32) -> i32;
type Binary = fn(i32, i32) -> i32;
type Shift = fn(i32, u32) -> i32;

/// A number as 32 bits: modulo 2^32, fractions rounded to even.
fn bits(number: f64) -> i32 {
    if number.is_finite() { number.round_ties_even().rem_euclid(4_294_967_296.0) as u32 as i32 } else { 0 }
}

fn argument(args: &Args<'_>, function: &str, index: usize) -> Result<i32, Failure> {
    args.number(function, index).map(bits)
}

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let unary: [(&str, Unary); 3] = [("tobit", |value| value), ("bnot", |value| !value), ("bswap", i32::swap_bytes)];
    for (name, operation) in unary {
        table.set(name, native(lua, move |lua, args| one(lua, operation(argument(args, name, 0)?)))?)?;
    }
    let folding: [(&str, Binary); 3] =
        [("band", |one, other| one & other), ("bor", |one, other| one | other), ("bxor", |one, other| one ^ other)];
    for (name, operation) in folding {
        let fold = move |lua: &Lua, args: &Args<'_>| {
            let mut value = argument(args, name, 0)?;
            for index in 1..args.len() {
                value = operation(value, argument(args, name, index)?);
            }
            one(lua, value)
        };
        table.set(name, native(lua, fold)?)?;
    }
    let shifts: [(&str, Shift); 5] = [
        ("lshift", |value, by| value << by),
        ("rshift", |value, by| (value as u32 >> by) as i32),
        ("arshift", |value, by| value >> by),
        ("rol", i32::rotate_left),
        ("ror", i32::rotate_right),
    ];
    for (name, operation) in shifts {
        let shift = move |lua: &Lua, args: &Args<'_>| {
            let by = argument(args, name, 1)? as u32 & 31;
            one(lua, operation(argument(args, name, 0)?, by))
        };
        table.set(name, native(lua, shift)?)?;
    }
    table.set("tohex", native(lua, |lua, args| one(lua, hexadecimal(args)?))?)?;
    Ok(table)
}

/// So many digits as the second argument says, upper case if it is negative.
fn hexadecimal(args: &Args<'_>) -> Result<String, Failure> {
    let value = argument(args, "tohex", 0)? as u32;
    let digits = if args.len() > 1 { argument(args, "tohex", 1)? } else { 8 };
    let count = digits.unsigned_abs().min(8) as usize;
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text[8 - count..].to_owned())
}
