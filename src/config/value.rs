//! How a field of `Config` reads its arguments, shows itself and is written back: the plain types. Directives with a
//! form of their own are in `special.rs`. Nothing here keeps state.

use std::path::PathBuf;

use super::choices::Choice;
use super::row::{EMPTY_IS_UNSET, Kind, Reading, Row, TextForm, Written};
use super::text;
use crate::base::number::parse_i64;

/// A type that a directive can have.
pub trait Value: PartialEq + Sized {
    /// Takes the arguments given, or says in the words of the protocol why not; then nothing has changed.
    fn assign(&mut self, row: &Row, arguments: &[&str], reading: &mut Reading) -> Result<(), String>;

    /// The value as CONFIG GET shows it.
    fn show(&self, row: &Row) -> String;

    /// The lines for CONFIG REWRITE.
    fn written(&self, default: &Self, row: &Row) -> Written {
        one_line(row, &self.show(row), self != default)
    }
}

/// A value in one line.
pub fn one_line(row: &Row, value: &str, forced: bool) -> Written {
    Written::Lines(vec![(format!("{} {value}", row.name), forced)])
}

fn single<'a>(arguments: &[&'a str]) -> Result<&'a str, String> {
    match arguments {
        [only] => Ok(only),
        _ => Err("wrong number of arguments".to_string()),
    }
}

impl Value for bool {
    fn assign(&mut self, row: &Row, arguments: &[&str], reading: &mut Reading) -> Result<(), String> {
        let word = single(arguments)?;
        let value = if word.eq_ignore_ascii_case("yes") {
            true
        } else if word.eq_ignore_ascii_case("no") {
            false
        } else {
            return Err("argument must be 'yes' or 'no'".to_string());
        };
        // Whoever asks a running server for this wants the effect, which it cannot have; a file merely has to load.
        if row.name == "activedefrag" && value && !reading.from_file {
            return Err(
                "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified \
                        Jemalloc like the one shipped by default with the Redis source distribution"
                    .to_string(),
            );
        }
        *self = value;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        if *self { "yes" } else { "no" }.to_string()
    }
}

macro_rules! integer_values {
    ($($type:ty),+) => {
        $(impl Value for $type {
            fn assign(&mut self, row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
                let value = bounded_integer(row, single(arguments)?)?;
                *self = <$type>::try_from(value).map_err(|_| "argument couldn't be parsed into an integer")?;
                Ok(())
            }

            fn show(&self, row: &Row) -> String {
                match row.kind {
                    Kind::Octal(..) => format!("{self:o}"),
                    _ => self.to_string(),
                }
            }

            fn written(&self, default: &Self, row: &Row) -> Written {
                let value = match row.kind {
                    Kind::Memory(..) => text::format_memory(u64::try_from(*self).unwrap_or(0)),
                    _ => self.show(row),
                };
                one_line(row, &value, self != default)
            }
        })+
    };
}

integer_values!(u16, u32, i32, i64, u64, usize);

fn bounded_integer(row: &Row, argument: &str) -> Result<i128, String> {
    let (value, low, high) = match row.kind {
        Kind::Memory(low, high) => {
            let bytes = text::memory(argument).ok_or("argument must be a memory value")?;
            (i128::from(bytes), low, high)
        }
        Kind::Octal(low, high) => {
            let value = text::octal(argument).ok_or("argument couldn't be parsed as an octal number")?;
            if i128::from(value) < low || i128::from(value) > high {
                return Err(format!("argument must be between {low:o} and {high:o} inclusive"));
            }
            (i128::from(value), low, high)
        }
        Kind::Integer(low, high) => {
            let value = parse_i64(argument.as_bytes()).ok_or("argument couldn't be parsed into an integer")?;
            (i128::from(value), low, high)
        }
        _ => return Err("argument couldn't be parsed into an integer".to_string()),
    };
    if value < low || value > high {
        return Err(format!("argument must be between {low} and {high} inclusive"));
    }
    Ok(value)
}

impl Value for String {
    fn assign(&mut self, row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let argument = single(arguments)?;
        if let Kind::Text(form) = row.kind {
            check_form(form, row.name, argument)?;
        }
        *self = argument.to_string();
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.clone()
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        if self.is_empty() && row.has(EMPTY_IS_UNSET) {
            return Written::Absent;
        }
        one_line(row, &text::quote(self.as_bytes()), self != default)
    }
}

/// The longest host name, with room for the terminator that other implementations keep.
const HOSTNAME_MAX: usize = 256;

fn check_form(form: TextForm, name: &str, value: &str) -> Result<(), String> {
    let is_base_name = !value.contains(['/', '\\']);
    match form {
        TextForm::BaseName if !is_base_name => Err(format!("{name} can't be a path, just a filename")),
        TextForm::RequiredBaseName(_) if value.is_empty() => Err(format!("{name} can't be empty")),
        TextForm::RequiredBaseName(what) if !is_base_name => Err(format!("{name} can't be a path, just a {what}")),
        TextForm::Hostname if value.len() >= HOSTNAME_MAX => {
            Err(format!("Hostnames must be less than {HOSTNAME_MAX} characters"))
        }
        TextForm::Hostname
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') =>
        {
            Err("Hostnames may only contain alphanumeric characters, hyphens or dots".to_string())
        }
        TextForm::NodeName if value.contains(|character| "!#$%&()*+:;<>?@[]^{|}~".contains(character)) => {
            Err("Announced human node name contained invalid character".to_string())
        }
        TextForm::TitleTemplate if !is_title_template(value) => {
            Err("template format is invalid or contains unknown variables".to_string())
        }
        TextForm::CpuList if !value.is_empty() && text::cpu_list(value).is_none() => {
            Err("argument must be a list of CPUs such as 0-3 or 0,2".to_string())
        }
        _ => Ok(()),
    }
}

/// The names that proc-title-template may use.
pub const TITLE_VARIABLES: &[&str] =
    &["title", "listen-addr", "server-mode", "config-file", "port", "tls-port", "unixsocket"];

fn is_title_template(template: &str) -> bool {
    let expanded = text::expand_template(template, |name| {
        let stand_in = if name == "title" || name == "server-mode" { "" } else { "x" };
        TITLE_VARIABLES.contains(&name).then(|| stand_in.to_string())
    });
    expanded.is_some_and(|text| !text.is_empty())
}

impl<T: Choice> Value for T {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let value = match arguments {
            [only] => T::from_word(only),
            _ => None,
        };
        *self = value.ok_or_else(|| not_a_word(T::NAMES))?;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.word().to_string()
    }
}

/// The complaint about a word that is not in the list.
pub fn not_a_word(words: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

/// The working directory: always absolute once a server has started, and written so.
impl Value for PathBuf {
    fn assign(&mut self, _row: &Row, arguments: &[&str], reading: &mut Reading) -> Result<(), String> {
        let argument = single(arguments)?;
        let joined = reading.directory.join(argument);
        let reason = |error: std::io::Error| text::system_reason(&error);
        // An empty name is no directory, but joined to one it would look like it.
        let resolved = if argument.is_empty() { std::fs::canonicalize("") } else { std::fs::canonicalize(joined) };
        let resolved = resolved.map_err(reason)?;
        if !std::fs::metadata(&resolved).map_err(reason)?.is_dir() {
            return Err("Not a directory".to_string());
        }
        reading.directory.clone_from(&resolved);
        *self = resolved;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.to_string_lossy().into_owned()
    }

    fn written(&self, _default: &Self, row: &Row) -> Written {
        one_line(row, &text::quote(self.as_os_str().as_encoded_bytes()), true)
    }
}
