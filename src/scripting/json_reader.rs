//! Reads JSON into values. `null` becomes a value of its own, since a table cannot hold nil.

use mlua::{IntoLua, Lua, Value};

use super::arguments::Failure;
use super::json::{DEPTH_MAX, Options};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text,
    Number,
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// With what is wrong.
    Invalid(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text => "T_STRING",
            Token::Number => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Invalid(what) => what,
        }
    }
}

struct Reader<'r> {
    lua: &'r Lua,
    options: &'r Options,
    text: &'r [u8],
    at: usize,
    /// Where the last token began.
    token_at: usize,
    string: Vec<u8>,
    number: f64,
    depth: usize,
}

pub fn decode(lua: &Lua, text: &[u8], options: &Options) -> Result<Value, Failure> {
    if let [first, second, ..] = text
        && (*first == 0 || *second == 0)
    {
        return Err("JSON parser does not support UTF-16 or UTF-32".into());
    }
    let mut reader = Reader { lua, options, text, at: 0, token_at: 0, string: Vec::new(), number: 0.0, depth: 0 };
    let first = reader.next();
    let value = reader.value(first)?;
    match reader.next() {
        Token::End => Ok(value),
        other => Err(reader.unexpected("the end", other)),
    }
}

impl Reader<'_> {
    fn unexpected(&self, expected: &str, found: Token) -> Failure {
        format!("Expected {expected} but found {} at character {}", found.name(), self.token_at + 1).into()
    }

    fn next(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.token_at = self.at;
        let Some(&byte) = self.text.get(self.at) else { return Token::End };
        let single = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.read_string(),
            b'-' | b'+' | b'0'..=b'9' => return self.read_number(),
            _ => return self.read_word(),
        };
        self.at += 1;
        single
    }

    fn read_word(&mut self) -> Token {
        for (word, token) in
            [(&b"true"[..], Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)]
        {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        self.read_number()
    }

    /// A number, or a word that stands for one that JSON does not have.
    fn read_number(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'))
            .unwrap_or(rest.len());
        let word = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        let unsigned = word.trim_start_matches(['-', '+']);
        let plain = unsigned.starts_with(|first: char| first.is_ascii_digit());
        let padded = unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned[1..].starts_with(['.', 'e', 'E']);
        if (!plain || padded || word.starts_with('+')) && !self.options.decode_invalid.get() {
            return Token::Invalid("invalid number");
        }
        let value = match unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| {
                let number = number as f64;
                if word.starts_with('-') { -number } else { number }
            }),
            None => word.parse().ok(),
        };
        match value {
            Some(value) => {
                self.number = value;
                self.at += length;
                Token::Number
            }
            None if plain || word.starts_with('-') => Token::Invalid("invalid number"),
            None => Token::Invalid("invalid token"),
        }
    }

    fn read_string(&mut self) -> Token {
        self.string.clear();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                self.token_at = self.text.len();
                return Token::Invalid("unexpected end of string");
            };
            self.string.extend_from_slice(&rest[..length]);
            self.at += length + 1;
            if rest[length] == b'"' {
                return Token::Text;
            }
            let Some(&escape) = self.text.get(self.at) else {
                self.token_at = self.at;
                return Token::Invalid("unexpected end of string");
            };
            self.at += 1;
            match escape {
                b'"' | b'\\' | b'/' => self.string.push(escape),
                b'b' => self.string.push(8),
                b'f' => self.string.push(12),
                b'n' => self.string.push(b'\n'),
                b'r' => self.string.push(b'\r'),
                b't' => self.string.push(b'\t'),
                b'u' => {
                    if self.read_code_point().is_none() {
                        self.token_at = self.at - 2;
                        return Token::Invalid("invalid unicode escape code");
                    }
                }
                _ => {
                    self.token_at = self.at - 2;
                    return Token::Invalid("invalid escape code");
                }
            }
        }
    }

    /// Four hexadecimal digits, or twice that for what needs two; `at` stands behind the `u`.
    fn read_code_point(&mut self) -> Option<()> {
        let unit = |at: usize| {
            let digits = std::str::from_utf8(self.text.get(at..at + 4)?).ok()?;
            u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let first = unit(self.at)?;
        let (code, length) = match first {
            0xd800..0xdc00 => {
                let second = self.text.get(self.at + 4..self.at + 6).filter(|escape| *escape == b"\\u");
                let second = second.and_then(|_| unit(self.at + 6)).filter(|unit| (0xdc00..0xe000).contains(unit))?;
                (0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff), 10)
            }
            _ => (first, 4),
        };
        let character = char::from_u32(code)?;
        self.string.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Some(())
    }

    fn value(&mut self, token: Token) -> Result<Value, Failure> {
        match token {
            Token::Text => Ok(self.lua.create_string(&self.string)?.into_lua(self.lua)?),
            Token::Number => Ok(Value::Number(self.number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.nested(Reader::object),
            Token::ArrayBegin => self.nested(Reader::array),
            other => Err(self.unexpected("value", other)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Failure>) -> Result<Value, Failure> {
        self.depth += 1;
        if self.depth > self.options.decode_depth.get().min(DEPTH_MAX) {
            let text =
                format!("Found too many nested data structures ({}) at character {}", self.depth, self.token_at + 1);
            return Err(text.into());
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Failure> {
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token == Token::ObjectEnd {
            return Ok(Value::Table(table));
        }
        loop {
            if token != Token::Text {
                return Err(self.unexpected("object key string", token));
            }
            let key = self.lua.create_string(&self.string)?;
            let colon = self.next();
            if colon != Token::Colon {
                return Err(self.unexpected("colon", colon));
            }
            let first = self.next();
            table.raw_set(key, self.value(first)?)?;
            match self.next() {
                Token::ObjectEnd => return Ok(Value::Table(table)),
                Token::Comma => token = self.next(),
                other => return Err(self.unexpected("comma or object end", other)),
            }
        }
    }

    fn array(&mut self) -> Result<Value, Failure> {
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token == Token::ArrayEnd {
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            table.raw_set(index, self.value(token)?)?;
            match self.next() {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                other => return Err(self.unexpected("comma or array end", other)),
            }
        }
        Ok(Value::Table(table))
    }
}
