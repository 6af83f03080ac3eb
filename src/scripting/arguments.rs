//! How natives read what a script hands them, and how they fail.
//!
//! A native returns its failure, or nil, ahead of its results; the sandbox raises it. Texts are those of Lua's own
//! library, which scripts and their authors know.

use mlua::{Function, IntoLua, Lua, MultiValue, Table, Value};

/// Why a native failed.
pub enum Failure {
    /// A text that gets the position of the script's line.
    Text(String),
    /// A table with the text as its field `err`, as redis.call raises it.
    Reply(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Text(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Failure {
        Failure::Text(text.to_owned())
    }
}

/// Memory ran out, or the like.
impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Failure {
        Failure::Text(error.to_string())
    }
}

pub type Values = Result<MultiValue, Failure>;

/// Makes a native for the sandbox.
pub fn native(lua: &Lua, run: impl Fn(&Lua, &Args<'_>) -> Values + 'static) -> mlua::Result<Function> {
    lua.create_function(move |lua, values: MultiValue| {
        let values: Vec<Value> = values.into_iter().collect();
        match run(lua, &Args(&values)) {
            Ok(mut results) => {
                results.push_front(Value::Nil);
                Ok(results)
            }
            Err(Failure::Text(text)) => Ok(MultiValue::from_iter([lua.create_string(text)?.into_lua(lua)?])),
            Err(Failure::Reply(text)) => Ok(MultiValue::from_iter([Value::Table(error_table(lua, text.as_bytes())?)])),
        }
    })
}

/// An error as redis.call raises it and redis.pcall returns it, that was not counted.
pub fn error_table(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

pub fn one(lua: &Lua, value: impl IntoLua) -> Values {
    Ok(MultiValue::from_iter([value.into_lua(lua)?]))
}

pub fn nothing() -> Values {
    Ok(MultiValue::new())
}

/// The arguments of a native, counted from 0; messages count from 1.
pub struct Args<'a>(pub &'a [Value]);

fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::LightUserData(_)) => "userdata",
        Some(value) => value.type_name(),
    }
}

impl Args<'_> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)
    }

    pub fn mismatch(&self, function: &str, index: usize, expected: &str) -> Failure {
        let got = kind(self.get(index));
        bad_argument(function, index, &format!("{expected} expected, got {got}"))
    }

    /// A number, or a text that reads as one.
    pub fn number(&self, function: &str, index: usize) -> Result<f64, Failure> {
        self.get(index).and_then(as_number).ok_or_else(|| self.mismatch(function, index, "number"))
    }

    pub fn integer(&self, function: &str, index: usize) -> Result<i64, Failure> {
        self.number(function, index).map(|number| number as i64)
    }

    /// A text, or a number as one.
    pub fn bytes(&self, function: &str, index: usize) -> Result<Vec<u8>, Failure> {
        self.get(index).and_then(as_bytes).ok_or_else(|| self.mismatch(function, index, "string"))
    }
}

pub fn bad_argument(function: &str, index: usize, reason: &str) -> Failure {
    Failure::Text(format!("bad argument #{} to '{function}' ({reason})", index + 1))
}

/// A number, or a text that reads as one.
pub fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => read_number(&text.as_bytes()),
        _ => plain_number(value),
    }
}

/// A number, and nothing else. Whole ones come as integers.
pub fn plain_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// Reads a number as Lua does: decimal or hexadecimal, with space around it.
fn read_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|number| sign * number as f64);
    }
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.').then(|| text.parse().ok()).flatten()
}

pub fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => Some(number_text(as_number(value)?, 14).into_bytes()),
        _ => None,
    }
}

/// A number with so many significant digits at the most, as C's `%.*g` writes it.
pub fn number_text(number: f64, precision: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan".into() } else { "nan".into() };
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf".into() } else { "inf".into() };
    }
    if number == number.trunc()
        && number.abs() < 1e15
        && (precision >= 15 || number.abs() < 10f64.powi(precision as i32))
    {
        return if number == 0.0 && number.is_sign_negative() { "-0".into() } else { format!("{}", number as i64) };
    }
    let precision = precision.max(1);
    let scientific = format!("{:.*e}", precision - 1, number);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    without_zeros(&format!("{:.*}", (precision as i32 - 1 - exponent).max(0) as usize, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_writes_them() {
        for (number, precision, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (-17.0, 17, "-17"),
            (0.1, 14, "0.1"),
            (0.1, 17, "0.10000000000000001"),
            (1e15, 14, "1e+15"),
            (1e14, 14, "1e+14"),
            (123456.0, 3, "1.23e+05"),
            (9_007_199_254_740_991.0, 17, "9007199254740991"),
            (1.5e-7, 14, "1.5e-07"),
            (0.0001, 14, "0.0001"),
            (f64::INFINITY, 14, "inf"),
            (2.625, 3, "2.62"),
            (99.99, 2, "1e+02"),
        ] {
            assert_eq!(number_text(number, precision), text);
        }
    }

    #[test]
    fn numbers_as_lua_reads_them() {
        for (text, number) in [
            ("10", Some(10.0)),
            (" -0x10 ", Some(-16.0)),
            ("1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("", None),
            ("nan", None),
            ("inf", None),
            ("1x", None),
        ] {
            assert_eq!(read_number(text.as_bytes()), number, "{text}");
        }
    }
}
