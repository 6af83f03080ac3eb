//! The options of SET and GETEX, and the expiry times that they, SETEX and PSETEX take.

use super::context::Cx;
use crate::base::number::parse_i64;
use crate::resp::ReplyError;

/// How an expiry is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryUnit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl ExpiryUnit {
    fn of(option: &[u8]) -> Option<ExpiryUnit> {
        let units = [
            ("EX", ExpiryUnit::Seconds),
            ("PX", ExpiryUnit::Milliseconds),
            ("EXAT", ExpiryUnit::UnixSeconds),
            ("PXAT", ExpiryUnit::UnixMilliseconds),
        ];
        units.iter().find(|(name, _)| option.eq_ignore_ascii_case(name.as_bytes())).map(|(_, unit)| *unit)
    }

    pub fn is_absolute(self) -> bool {
        matches!(self, ExpiryUnit::UnixSeconds | ExpiryUnit::UnixMilliseconds)
    }

    /// The Unix time in milliseconds that `text` means.
    pub fn read(self, cx: &Cx<'_>, text: &[u8]) -> Result<u64, ReplyError> {
        let number = parse_i64(text).ok_or(ReplyError::NotAnInteger)?;
        let given_ms = match self {
            ExpiryUnit::Seconds | ExpiryUnit::UnixSeconds => number.checked_mul(1000),
            ExpiryUnit::Milliseconds | ExpiryUnit::UnixMilliseconds => Some(number),
        };
        let start_ms = if self.is_absolute() { 0 } else { cx.space.wall_ms as i64 };
        given_ms
            .filter(|given_ms| *given_ms > 0)
            .and_then(|given_ms| given_ms.checked_add(start_ms))
            .map(|expiry_ms| expiry_ms as u64)
            .ok_or_else(|| ReplyError::invalid_expire(&cx.command.full_name))
    }
}

/// When a key is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Always,
    Absent,
    Present,
}

/// What the options say of the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpiryOption<'a> {
    #[default]
    None,
    /// SET only.
    Keep,
    /// GETEX only.
    Persist,
    Given(ExpiryUnit, &'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SetOptions<'a> {
    pub condition: Condition,
    pub expiry: ExpiryOption<'a>,
    pub get: bool,
}

impl<'a> SetOptions<'a> {
    /// Reads what follows the value of SET.
    pub fn read(options: &[&'a [u8]]) -> Result<SetOptions<'a>, ReplyError> {
        let mut read = SetOptions::default();
        let mut options = options.iter().copied();
        while let Some(option) = options.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("NX") && read.condition != Condition::Present {
                read.condition = Condition::Absent;
            } else if is("XX") && read.condition != Condition::Absent {
                read.condition = Condition::Present;
            } else if is("GET") {
                read.get = true;
            } else if is("KEEPTTL") && matches!(read.expiry, ExpiryOption::None | ExpiryOption::Keep) {
                read.expiry = ExpiryOption::Keep;
            } else {
                read.expiry.give(option, &mut options)?;
            }
        }
        Ok(read)
    }
}

impl<'a> ExpiryOption<'a> {
    /// Reads what follows the key of GETEX.
    pub fn read_of_getex(options: &[&'a [u8]]) -> Result<ExpiryOption<'a>, ReplyError> {
        let mut expiry = ExpiryOption::None;
        let mut options = options.iter().copied();
        while let Some(option) = options.next() {
            let free = matches!(expiry, ExpiryOption::None | ExpiryOption::Persist);
            if option.eq_ignore_ascii_case(b"PERSIST") && free {
                expiry = ExpiryOption::Persist;
            } else {
                expiry.give(option, &mut options)?;
            }
        }
        Ok(expiry)
    }

    /// Takes `option` as a time with a value after it. One kind may be given again, a second kind may not.
    fn give(&mut self, option: &[u8], rest: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), ReplyError> {
        let unit = ExpiryUnit::of(option).ok_or(ReplyError::Syntax)?;
        match *self {
            ExpiryOption::None => {}
            ExpiryOption::Given(known, _) if known == unit => {}
            _ => return Err(ReplyError::Syntax),
        }
        *self = ExpiryOption::Given(unit, rest.next().ok_or(ReplyError::Syntax)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<SetOptions<'_>, ReplyError> {
        let options: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        SetOptions::read(&options)
    }

    #[test]
    fn options_that_go_together() {
        let given = |unit, text: &'static str| ExpiryOption::Given(unit, text.as_bytes());
        assert_eq!(read(""), Ok(SetOptions::default()));
        let options = read("nx GET Px 5 px 7").unwrap();
        assert_eq!((options.condition, options.get), (Condition::Absent, true));
        assert_eq!(options.expiry, given(ExpiryUnit::Milliseconds, "7"));
        assert_eq!(read("keepttl KEEPTTL xx XX get get").unwrap().expiry, ExpiryOption::Keep);
        assert_eq!(read("EX EX").unwrap().expiry, given(ExpiryUnit::Seconds, "EX"));
    }

    #[test]
    fn options_that_do_not() {
        for line in
            ["NX XX", "XX NX", "EX", "EX 1 PX 1", "EX 1 EXAT 1", "KEEPTTL EX 1", "PXAT 1 KEEPTTL", "PERSIST", "x"]
        {
            assert_eq!(read(line), Err(ReplyError::Syntax), "{line}");
        }
        let getex = |line: &str| {
            let options: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            ExpiryOption::read_of_getex(&options).is_ok()
        };
        assert!(getex("") && getex("PERSIST persist") && getex("EX 1 ex 2") && getex("pxat 1"));
        for line in ["PERSIST EX 1", "EX 1 PERSIST", "KEEPTTL", "NX", "GET", "EX", "EX 1 PX 1"] {
            assert!(!getex(line), "{line}");
        }
    }
}
