//! One thread's Lua: its sandbox, the scripts that it compiled and the libraries that it loaded.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::c_interface::{self, Entries, Shared};
use super::calls;
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
/// What compiled code begins with.
const COMPILED_CODE: u8 = 0x1b;
/// How large a state grows before its garbage is collected, as a share of what is in use. That is little, so it costs
/// less memory than time.
const COLLECTION_PAUSE_PERCENT: i32 = 1000;
/// Instructions between two looks at the time.
const HOOK_PERIOD: u32 = 10_000;
/// So many scripts and libraries are kept without a look at whether the server still has them.
const SWEEP_MIN: usize = 16;

/// What the sandbox keeps, as the server has it.
enum Kept {
    Script(Weak<Script>),
    Library(Weak<LibraryCode>),
}

impl Kept {
    fn is_gone(&self) -> bool {
        match self {
            Kept::Script(script) => script.strong_count() == 0,
            Kept::Library(library) => library.strong_count() == 0,
        }
    }
}

/// Handles on Lua values are few: a state has room for some thousands of them. What is kept for long is kept in tables of
/// the sandbox, by id.
pub struct State {
    pub lua: Lua,
    pub shared: Rc<Shared>,
    loading: Loadings,
    /// Until when the library under way may load.
    load_until: Rc<Cell<Option<(Ticks, u64)>>>,
    scripts: Table,
    pub entries: Entries,
    keep_script: Function,
    keep_function: Function,
    forget: Function,
    load_library: Function,
    /// Lua's own, for what it says of code that it refuses.
    loadstring: Function,
    /// The scripts and libraries that the sandbox keeps, by id.
    kept: RefCell<HashMap<u64, Kept, foldhash::fast::FixedState>>,
    /// At how many of them those are sought that the server has forgotten.
    sweep_at: Cell<usize>,
}

impl State {
    /// A state with its sandbox. `deprecated`: with the functions that `lua-enable-deprecated-api` allows.
    pub fn new(deprecated: bool) -> mlua::Result<State> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let pause = GcIncParams::default().pause(COLLECTION_PAUSE_PERCENT);
        lua.gc_set_mode(GcMode::Incremental(pause));
        let (shared, loading, load_until) = (c_interface::shared(), Loadings::default(), Rc::default());
        install_hook(&lua, &shared, &load_until)?;
        let natives = natives(&lua, &shared, &loading)?;
        let loadstring = lua.globals().get("loadstring")?;
        let constants = lua.create_table()?;
        constants.set("null", Value::NULL)?;
        constants.set("redis", calls::constants(&lua)?)?;
        let sandbox = lua.load(SANDBOX).set_name("=sandbox");
        let (scripts, entries, keep_script, keep_function, forget, load_library) =
            sandbox.call::<(_, Table, _, _, _, _)>((natives, constants, deprecated))?;
        let entries = Entries::new(&lua, &entries)?;
        Ok(State {
            lua,
            shared,
            loading,
            load_until,
            scripts,
            entries,
            keep_script,
            keep_function,
            forget,
            load_library,
            loadstring,
            kept: RefCell::default(),
            sweep_at: Cell::new(SWEEP_MIN),
        })
    }

    /// Compiles a script, if it is not kept already.
    pub fn compile(&self, script: &Arc<Script>) -> Result<(), Vec<u8>> {
        if self.kept.borrow().contains_key(&script.id) {
            return Ok(());
        }
        let chunk = self.lua.load(script.code()).set_name(SCRIPT_NAME).set_mode(mlua::chunk::ChunkMode::Text);
        let compiled = chunk.set_environment(self.scripts.clone()).into_function();
        let compiled = compiled.map_err(|error| self.refusal(script.code(), SCRIPT_NAME, &error))?;
        let kept = self.sweep().and_then(|()| self.keep_script.call::<()>((script.id as f64, compiled)));
        kept.map_err(|error| plain(&error).into_bytes())?;
        self.kept.borrow_mut().insert(script.id, Kept::Script(Arc::downgrade(script)));
        Ok(())
    }

    /// What Lua says of code that it does not compile, with the bytes that it quotes: the error has them as text.
    fn refusal(&self, code: &[u8], name: &str, error: &mlua::Error) -> Vec<u8> {
        let as_bytes = || -> mlua::Result<Option<mlua::LuaString>> {
            let (_, said) =
                self.loadstring.call::<(Value, Option<mlua::LuaString>)>((self.lua.create_string(code)?, name))?;
            Ok(said)
        };
        // Compiled code is refused for what it is, and may not reach Lua.
        let is_text = code.first().is_some_and(|first| *first != COMPILED_CODE);
        let said = if is_text { as_bytes().ok().flatten() } else { None };
        said.map_or_else(|| plain(error).into_bytes(), |said| said.as_bytes().to_vec())
    }

    /// Loads a library, if it is not kept already.
    pub fn ensure_loaded(&self, library: &Arc<LibraryCode>) -> Result<(), Vec<u8>> {
        if self.kept.borrow().contains_key(&library.id) { Ok(()) } else { self.load(library, 0).map(drop) }
    }

    /// Forgets what the server has forgotten and collects the garbage; gives the bytes that are left.
    pub fn tidy(&self) -> usize {
        self.sweep_at.set(0);
        // What is not forgotten or collected now is later.
        let _ = self.sweep();
        let _ = self.lua.gc_collect();
        self.lua.used_memory()
    }

    /// Forgets what the server has forgotten, once there may be much of it.
    fn sweep(&self) -> mlua::Result<()> {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.sweep_at.get() {
            return Ok(());
        }
        let gone: Vec<u64> = kept.iter().filter(|(_, one)| one.is_gone()).map(|(id, _)| *id).collect();
        for id in gone {
            kept.remove(&id);
            self.forget.call::<()>(id as f64)?;
        }
        self.sweep_at.set(2 * kept.len() + SWEEP_MIN);
        Ok(())
    }

    /// Runs a library's code, and keeps the functions that it registers.
    pub fn load(&self, library: &Arc<LibraryCode>, timeout_ms: u64) -> Result<Vec<Registered>, Vec<u8>> {
        let code = &library.code[library.code_at..];
        let chunk = self.lua.load(code).set_name(FUNCTION_NAME).set_mode(mlua::chunk::ChunkMode::Text);
        let compiled = chunk.into_function();
        let compiled = compiled.map_err(|error| {
            [&b"ERR Error compiling function: "[..], &self.refusal(code, FUNCTION_NAME, &error)].concat()
        })?;
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
            return Err(format!("ERR Error registering functions: {failure}").into_bytes());
        }
        let failed = |error: mlua::Error| format!("ERR {}", plain(&error)).into_bytes();
        self.sweep().map_err(failed)?;
        let mut registered = Vec::new();
        for (one, function) in loaded.functions {
            self.keep_function.call::<()>((library.id as f64, &*one.name, function)).map_err(failed)?;
            registered.push(one);
        }
        self.kept.borrow_mut().insert(library.id, Kept::Library(Arc::downgrade(library)));
        registered.sort_by(|one, other| one.name.cmp(&other.name));
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
        Value::String(text) => format!("ERR {}", text.to_string_lossy()),
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
    let (call, protected_call) = c_interface::calls(lua)?;
    table.set("call", call)?;
    table.set("pcall", protected_call)?;
    let (error, status) = calls::replies(lua)?;
    table.set("error_reply", error)?;
    table.set("status_reply", status)?;
    table.set("register_function", register_function(lua, loading)?)?;
    let own = shared.clone();
    table.set("stopped", lua.create_function(move |_, ()| Ok(own.is_stopped()))?)?;
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
