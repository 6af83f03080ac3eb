//! One thread's Lua: its sandbox, the scripts that it compiled and the libraries that it loaded.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::calls::{self, Shared};
use super::library::{Loading, Loadings, register_function};
use super::{bits, json, msgpack, random, structs};
use crate::base::clock::{self, Ticks};
use crate::engine::script::library::LibraryCode;
use crate::engine::script::seam::Registered;
use crate::engine::script::{Script, Stop};

const SANDBOX: &str = include_str!("sandbox.lua");
/// Names of chunks, as errors show them.
const SCRIPT_NAME: &str = "@user_script";
const FUNCTION_NAME: &str = "@user_function";
/// Instructions between two looks at the time.
const HOOK_PERIOD: u32 = 10_000;
/// Compiled scripts kept at the most.
const COMPILED_MAX: usize = 4096;

type FunctionsByName = HashMap<String, Function>;

pub struct State {
    pub lua: Lua,
    pub shared: Rc<Shared>,
    loading: Loadings,
    /// Until when the library under way may load.
    load_until: Rc<Cell<Option<(Ticks, u64)>>>,
    scripts: Table,
    pub run_script: Function,
    pub run_function: Function,
    load_library: Function,
    compiled: RefCell<HashMap<u64, Function, foldhash::fast::FixedState>>,
    /// Functions by the id of their library.
    libraries: RefCell<HashMap<u64, FunctionsByName>>,
}

impl State {
    /// A state with its sandbox. `deprecated`: with the functions that `lua-enable-deprecated-api` allows.
    pub fn new(deprecated: bool) -> mlua::Result<State> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let (shared, loading, load_until) = (Rc::new(Shared::default()), Loadings::default(), Rc::default());
        install_hook(&lua, &shared, &load_until)?;
        let natives = natives(&lua, &shared, &loading)?;
        let constants = lua.create_table()?;
        constants.set("null", Value::NULL)?;
        constants.set("redis", calls::constants(&lua)?)?;
        let sandbox = lua.load(SANDBOX).set_name("=sandbox");
        let (scripts, run_script, run_function, load_library) = sandbox.call((natives, constants, deprecated))?;
        let (compiled, libraries) = (RefCell::default(), RefCell::default());
        Ok(State {
            lua,
            shared,
            loading,
            load_until,
            scripts,
            run_script,
            run_function,
            load_library,
            compiled,
            libraries,
        })
    }

    /// A script's function, compiled when it is first asked for.
    pub fn script(&self, script: &Script) -> mlua::Result<Function> {
        if let Some(compiled) = self.compiled.borrow().get(&script.id) {
            return Ok(compiled.clone());
        }
        let chunk = self.lua.load(script.code()).set_name(SCRIPT_NAME).set_mode(mlua::chunk::ChunkMode::Text);
        let compiled = chunk.set_environment(self.scripts.clone()).into_function()?;
        let mut kept = self.compiled.borrow_mut();
        if kept.len() >= COMPILED_MAX {
            kept.clear();
        }
        kept.insert(script.id, compiled.clone());
        Ok(compiled)
    }

    /// A library's function, whose library is loaded when it is first asked for.
    pub fn function(&self, library: &LibraryCode, name: &str) -> Result<Function, String> {
        if let Some(functions) = self.libraries.borrow().get(&library.id) {
            return functions.get(name).cloned().ok_or_else(|| "ERR Function not found".into());
        }
        self.load(library, 0)?;
        let libraries = self.libraries.borrow();
        let found = libraries.get(&library.id).and_then(|functions| functions.get(name));
        found.cloned().ok_or_else(|| "ERR Function not found".into())
    }

    /// Runs a library's code, and keeps the functions that it registers.
    pub fn load(&self, library: &LibraryCode, timeout_ms: u64) -> Result<Vec<Registered>, String> {
        let code = &library.code[library.code_at..];
        let chunk = self.lua.load(code).set_name(FUNCTION_NAME).set_mode(mlua::chunk::ChunkMode::Text);
        let compiled = chunk.into_function();
        let compiled = compiled.map_err(|error| format!("ERR Error compiling function: {}", plain(&error)))?;
        *self.loading.borrow_mut() = Some(Loading::default());
        self.load_until.set((timeout_ms > 0).then(|| (clock::ticks(), timeout_ms)));
        let outcome = self.load_library.call::<(bool, Value)>(compiled);
        self.load_until.set(None);
        let loaded = self.loading.borrow_mut().take().unwrap_or_default();
        let failure = match outcome {
            Ok((true, _)) => None,
            Ok((false, failure)) => Some(load_failure(&failure)),
            Err(error) => Some(plain(&error)),
        };
        if let Some(failure) = failure {
            return Err(format!("ERR Error registering functions: {failure}"));
        }
        let mut registered = Vec::new();
        let mut functions = FunctionsByName::new();
        for (one, function) in loaded.functions {
            functions.insert(one.name.clone(), function);
            registered.push(one);
        }
        registered.sort_by(|one, other| one.name.cmp(&other.name));
        let mut libraries = self.libraries.borrow_mut();
        if libraries.len() >= COMPILED_MAX {
            libraries.clear();
        }
        libraries.insert(library.id, functions);
        Ok(registered)
    }
}

/// What an error says without where it came from in Rust.
pub fn plain(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::RuntimeError(message) => message.lines().next().unwrap_or_default().to_owned(),
        mlua::Error::CallbackError { cause, .. } => plain(cause),
        other => other.to_string(),
    }
}

/// The text of what a library's code raised.
fn load_failure(failure: &Value) -> String {
    match failure {
        Value::Table(table) => super::convert::text_field(table, "err")
            .map_or_else(String::new, |text| String::from_utf8_lossy(&text).into()),
        Value::Error(error) => plain(error),
        Value::String(text) => text.to_string_lossy(),
        _ => "ERR execution failure".into(),
    }
}

/// Looks at the time every so many instructions.
fn install_hook(lua: &Lua, shared: &Rc<Shared>, load_until: &Rc<Cell<Option<(Ticks, u64)>>>) -> mlua::Result<()> {
    let (shared, load_until) = (shared.clone(), load_until.clone());
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(HOOK_PERIOD), move |_, _| {
        if let Some((started, timeout_ms)) = load_until.get() {
            let took_ms = clock::ticks().nanos_since(started) / 1_000_000;
            return match took_ms > timeout_ms {
                true => Err(mlua::Error::RuntimeError("ERR FUNCTION LOAD timeout".into())),
                false => Ok(VmState::Continue),
            };
        }
        if shared.stop.get().is_none() {
            shared.stop.set(shared.host.with(|host| host.interrupt()).flatten());
        }
        match shared.stop.get() {
            Some(Stop::Killed) => Err(mlua::Error::RuntimeError("ERR Script killed by user".into())),
            Some(Stop::Abandoned) => Err(mlua::Error::RuntimeError("ERR stopped".into())),
            None => Ok(VmState::Continue),
        }
    })
}

/// What the sandbox is made of.
fn natives(lua: &Lua, shared: &Rc<Shared>, loading: &Loadings) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("bit", bits::library(lua)?)?;
    table.set("cjson", json::library(lua)?)?;
    table.set("cmsgpack", msgpack::library(lua)?)?;
    table.set("struct", structs::library(lua)?)?;
    let (random, seed) = random::functions(lua)?;
    table.set("random", random)?;
    table.set("randomseed", seed)?;
    table.set("redis", calls::natives(lua, shared)?)?;
    table.set("call", calls::call(lua, shared)?)?;
    let (error, status) = calls::replies(lua)?;
    table.set("error_reply", error)?;
    table.set("status_reply", status)?;
    table.set("register_function", register_function(lua, loading)?)?;
    let own = shared.clone();
    table.set("stopped", lua.create_function(move |_, ()| Ok(own.stop.get().is_some()))?)?;
    table.set("where", lua.create_function(|lua, ()| place(lua))?)?;
    Ok(table)
}

/// Source and line of the innermost frame that is a script's.
fn place(lua: &Lua) -> mlua::Result<MultiValue> {
    const LEVELS_MAX: usize = 200;
    for level in 1..LEVELS_MAX {
        let frame = lua.inspect_stack(level, |frame| {
            let source = frame.source().source.map(|source| source.into_owned());
            (source, frame.current_line())
        });
        match frame {
            None => break,
            Some((Some(source), Some(line))) if source.starts_with("@user_") => {
                return Ok(MultiValue::from_iter([
                    Value::String(lua.create_string(source)?),
                    Value::Number(line as f64),
                ]));
            }
            Some(_) => {}
        }
    }
    Ok(MultiValue::new())
}
