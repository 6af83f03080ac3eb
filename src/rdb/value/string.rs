//! Strings: a packed string, and nothing else.

use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::RdbError;
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;

pub fn read<'a, R: Read>(source: &mut Source<R>, bytes: &'a mut Vec<u8>) -> Result<Value<'a>, RdbError> {
    source.string(bytes)?;
    Ok(Value::String(bytes))
}

pub fn write<W: Write>(packer: &mut Packer<W>, bytes: &[u8]) -> io::Result<()> {
    packer.string(bytes)
}
