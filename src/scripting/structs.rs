//! The library `struct`: packs values into bytes and back, as a format says.
//!
//! ```text
//! > < big or little-endian   ! n  align to n at the most   x  a zero byte
//! b B h H l L T              integers of 1, 2, 8, 8 bytes; upper case without a sign
//! i n  I n                   of n bytes (4)                f d  floating point
//! c n                        n bytes (1; 0: the whole text, or as many as the number before says)
//! s                          a text that ends with a zero byte
//! ```

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::arguments::{Args, Failure, as_number, bad_argument, native, one};

const INTEGER_BYTES_MAX: usize = 32;
const ALIGNMENT_DEFAULT: usize = 8;

/// A format, read option by option.
struct Format<'f> {
    rest: &'f [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'f> Format<'f> {
    fn new(text: &'f [u8]) -> Format<'f> {
        // It ends where a C string would.
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Format { rest: &text[..end], big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number_or(&mut self, default: usize) -> Result<usize, Failure> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(default);
        }
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i32>().ok());
        number.map(|number| number as usize).ok_or_else(|| "integral size overflow".into())
    }

    /// How many bytes an option's value takes, as far as the option says.
    fn size(&mut self, option: u8) -> Result<usize, Failure> {
        Ok(match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number_or(1)?,
            b'i' | b'I' => {
                let size = self.number_or(4)?;
                if size > INTEGER_BYTES_MAX {
                    return Err(format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}").into());
                }
                size
            }
            _ => 0,
        })
    }

    /// Bytes that bring a value of so many bytes at `position` to its place.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.alignment);
        (size - (position & (size - 1))) & (size - 1)
    }

    /// An option that is no value.
    fn control(&mut self, option: u8, function: &str) -> Result<(), Failure> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number_or(ALIGNMENT_DEFAULT)?;
                if !alignment.is_power_of_two() {
                    return Err(format!("alignment {alignment} is not a power of 2").into());
                }
                self.alignment = alignment;
            }
            _ => {
                let reason = format!("invalid format option '{}'", char::from(option));
                return Err(bad_argument(function, 0, &reason));
            }
        }
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, little_endian: &[u8]) {
        if self.big_endian {
            out.extend(little_endian.iter().rev());
        } else {
            out.extend_from_slice(little_endian);
        }
    }

    /// The bytes of a number in little-endian order, filled up with zeros.
    fn take<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut taken = [0; N];
        for (index, byte) in bytes.iter().enumerate() {
            let at = if self.big_endian { bytes.len() - 1 - index } else { index };
            if let Some(place) = taken.get_mut(at) {
                *place = *byte;
            }
        }
        taken
    }
}

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", native(lua, |lua, args| one(lua, lua.create_string(pack(args)?)?))?)?;
    table.set("unpack", native(lua, unpack)?)?;
    table.set("size", native(lua, |lua, args| one(lua, size(args)? as f64))?)?;
    Ok(table)
}

fn pack(args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let text = args.bytes("pack", 0)?;
    let mut format = Format::new(&text);
    let (mut out, mut argument) = (Vec::new(), 1);
    while let Some(option) = format.next() {
        let size = format.size(option)?;
        let padding = format.padding(out.len(), option, size);
        out.resize(out.len() + padding, 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = args.number("pack", argument)?;
                argument += 1;
                let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                let mut bytes = [0; INTEGER_BYTES_MAX];
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                format.put(&mut out, &bytes[..size]);
            }
            b'x' => out.push(0),
            b'f' => {
                format.put(&mut out, &(args.number("pack", argument)? as f32).to_le_bytes());
                argument += 1;
            }
            b'd' => {
                format.put(&mut out, &args.number("pack", argument)?.to_le_bytes());
                argument += 1;
            }
            b'c' | b's' => {
                let bytes = args.bytes("pack", argument)?;
                argument += 1;
                let count = if size == 0 { bytes.len() } else { size };
                let taken = bytes.get(..count).ok_or_else(|| bad_argument("pack", argument, "string too short"))?;
                out.extend_from_slice(taken);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => format.control(option, "pack")?,
        }
    }
    Ok(out)
}

fn unpack(lua: &Lua, args: &Args<'_>) -> Result<MultiValue, Failure> {
    /// Results that Lua's stack is sure to take.
    const RESULTS_MAX: usize = 7000;
    let text = args.bytes("unpack", 0)?;
    let data = args.bytes("unpack", 1)?;
    let first = if args.len() > 2 && !matches!(args.get(2), Some(Value::Nil)) { args.integer("unpack", 2)? } else { 1 };
    if first < 1 {
        return Err(bad_argument("unpack", 2, "offset must be 1 or greater"));
    }
    let mut position = first as usize - 1;
    let mut format = Format::new(&text);
    let mut results: Vec<Value> = Vec::new();
    let piece = |position: usize, size: usize| {
        let end = position.checked_add(size);
        end.and_then(|end| data.get(position..end)).ok_or_else(|| bad_argument("unpack", 1, "data string too short"))
    };
    while let Some(option) = format.next() {
        let mut size = format.size(option)?;
        position += format.padding(position, option, size);
        let bytes = piece(position, size)?;
        if results.len() >= RESULTS_MAX {
            return Err("too many results".into());
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                results.push(Value::Number(integer(&format, bytes, option.is_ascii_lowercase())));
            }
            b'x' => {}
            b'f' => results.push(Value::Number(f64::from(f32::from_le_bytes(format.take(bytes))))),
            b'd' => results.push(Value::Number(f64::from_le_bytes(format.take(bytes)))),
            b'c' => {
                let bytes = if size == 0 {
                    let count = results.pop().and_then(|count| as_number(&count));
                    size = count.ok_or("format 'c0' needs a previous size")? as usize;
                    piece(position, size)?
                } else {
                    bytes
                };
                results.push(lua.create_string(bytes)?.into_lua(lua)?);
            }
            b's' => {
                let rest = &data[position..];
                let length = rest.iter().position(|byte| *byte == 0).ok_or("unfinished string in data")?;
                results.push(lua.create_string(&rest[..length])?.into_lua(lua)?);
                size = length + 1;
            }
            _ => format.control(option, "unpack")?,
        }
        position += size;
    }
    results.push(Value::Number((position + 1) as f64));
    Ok(MultiValue::from_iter(results))
}

fn integer(format: &Format<'_>, bytes: &[u8], signed: bool) -> f64 {
    let value = u64::from_le_bytes(format.take(bytes));
    if !signed {
        return value as f64;
    }
    let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    ((value << unused) as i64 >> unused) as f64
}

fn size(args: &Args<'_>) -> Result<usize, Failure> {
    let text = args.bytes("size", 0)?;
    let mut format = Format::new(&text);
    let mut position = 0usize;
    while let Some(option) = format.next() {
        let size = format.size(option)?;
        position += format.padding(position, option, size);
        match (option, size) {
            (b's', _) => return Err(bad_argument("size", 0, "option 's' has no fixed size")),
            (b'c', 0) => return Err(bad_argument("size", 0, "option 'c0' has no fixed size")),
            _ if !option.is_ascii_alphanumeric() => format.control(option, "size")?,
            _ => {}
        }
        position += size;
    }
    Ok(position)
}
