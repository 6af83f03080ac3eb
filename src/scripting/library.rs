//! `redis.register_function`: how a library's code, while it loads, names its functions.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use super::arguments::{Args, Failure, as_bytes, native, nothing};
use crate::engine::script::flags::{self, ScriptFlags};
use crate::engine::script::seam::Registered;

/// A library that is being loaded.
#[derive(Default)]
pub struct Loading {
    pub functions: Vec<(Registered, Function)>,
}

pub type Loadings = Rc<RefCell<Option<Loading>>>;

fn failure(text: &str) -> Failure {
    Failure::Reply(format!("ERR {text}"))
}

pub fn register_function(lua: &Lua, loading: &Loadings) -> mlua::Result<Function> {
    let loading = loading.clone();
    native(lua, move |_, args| {
        let mut loading = loading.borrow_mut();
        let Some(loading) = &mut *loading else {
            return Err(failure("redis.register_function can only be called on FUNCTION LOAD command"));
        };
        let (registered, callback) = match args.len() {
            1 => named(args)?,
            2 => positional(args)?,
            _ => return Err(failure("wrong number of arguments to redis.register_function")),
        };
        if !flags::is_name(registered.name.as_bytes()) {
            return Err(Failure::Reply(flags::BAD_NAME.into()));
        }
        if loading.functions.iter().any(|(known, _)| known.name == registered.name) {
            return Err(failure("Function already exists in the library"));
        }
        loading.functions.push((registered, callback));
        nothing()
    })
}

fn text(value: &Value) -> Option<String> {
    as_bytes(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn positional(args: &Args<'_>) -> Result<(Registered, Function), Failure> {
    let name = args.get(0).and_then(text);
    let name = name.ok_or_else(|| failure("first argument to redis.register_function must be a string"))?;
    let Some(Value::Function(callback)) = args.get(1) else {
        return Err(failure("second argument to redis.register_function must be a function"));
    };
    Ok((Registered { name, description: None, flags: 0 }, callback.clone()))
}

fn named(args: &Args<'_>) -> Result<(Registered, Function), Failure> {
    let Some(Value::Table(table)) = args.get(0) else {
        return Err(failure(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named \
             arguments).",
        ));
    };
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, 0);
    let must_be = |field: &str, what: &str| {
        failure(&format!("{field} argument given to redis.register_function must be a {what}"))
    };
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Some(key) = text(&key) else {
            return Err(failure("named argument key given to redis.register_function is not a string"));
        };
        match key.to_ascii_lowercase().as_str() {
            "function_name" => name = Some(text(&value).ok_or_else(|| must_be("function_name", "string"))?),
            "description" => description = Some(as_bytes(&value).ok_or_else(|| must_be("description", "string"))?),
            "callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => return Err(must_be("callback", "function")),
            },
            "flags" => match value {
                Value::Table(list) => flags = read_flags(&list)?,
                _ => {
                    return Err(failure(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                }
            },
            _ => return Err(failure("unknown argument given to redis.register_function")),
        }
    }
    let name = name.ok_or_else(|| failure("redis.register_function must get a function name argument"))?;
    let callback = callback.ok_or_else(|| failure("redis.register_function must get a callback argument"))?;
    Ok((Registered { name, description, flags }, callback))
}

fn read_flags(list: &Table) -> Result<ScriptFlags, Failure> {
    let mut flags = 0;
    for index in 1_usize.. {
        let value = list.raw_get::<Value>(index)?;
        if value == Value::Nil {
            break;
        }
        let word = text(&value);
        let known =
            flags::NAMES.iter().find(|(_, name)| word.as_ref().is_some_and(|word| name.eq_ignore_ascii_case(word)));
        flags |= known.ok_or_else(|| failure("unknown flag given"))?.0;
    }
    Ok(flags)
}
