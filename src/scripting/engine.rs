//! Runs scripts and functions in the calling thread's state.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::{Function, Lua, Table, Value};

use super::arguments::plain_number;
use super::convert;
use super::state::{State, plain};
use crate::engine::script::library::LibraryCode;
use crate::engine::script::seam::Registered;
use crate::engine::script::{Ended, Runnable, Script, ScriptEngine, ScriptHost};

/// After so many runs the garbage collector makes a step.
const RUNS_PER_STEP: u32 = 50;

thread_local! {
    static STATE: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// A thread's state.
#[derive(Clone)]
struct Own {
    state: Rc<State>,
    deprecated: bool,
}

pub struct LuaEngine {
    /// `lua-enable-deprecated-api`.
    deprecated: bool,
    /// What all threads' states take, as each said last; a thread's difference is added.
    memory_bytes: AtomicU64,
}

thread_local! {
    /// What this thread's state took when it was last looked at, and runs since then.
    static MEASURED: RefCell<(u64, u32)> = const { RefCell::new((0, 0)) };
}

impl LuaEngine {
    pub fn new(deprecated: bool) -> LuaEngine {
        LuaEngine { deprecated, memory_bytes: AtomicU64::new(0) }
    }

    /// The calling thread's state, made if need be.
    fn state(&self) -> Result<Rc<State>, String> {
        STATE.with_borrow_mut(|own| match own {
            Some(own) if own.deprecated == self.deprecated => Ok(own.state.clone()),
            _ => {
                let state = State::new(self.deprecated).map_err(|error| format!("ERR {error}"))?;
                let state = Rc::new(state);
                *own = Some(Own { state: state.clone(), deprecated: self.deprecated });
                Ok(state)
            }
        })
    }

    /// Collects garbage now and then, and notes what the state takes.
    fn tidy(&self, lua: &Lua) {
        MEASURED.with_borrow_mut(|(measured, runs)| {
            *runs += 1;
            if *runs % RUNS_PER_STEP == 1 {
                // A step that fails is made again.
                let _ = lua.gc_step();
                let bytes = lua.used_memory() as u64;
                self.memory_bytes.fetch_add(bytes.wrapping_sub(*measured), Ordering::Relaxed);
                *measured = bytes;
            }
        });
    }
}

impl ScriptEngine for LuaEngine {
    fn compile(&self, script: &Script) -> Result<(), String> {
        self.state()?.script(script).map(drop).map_err(|error| plain(&error))
    }

    fn load(&self, library: &LibraryCode, timeout_ms: u64) -> Result<Vec<Registered>, String> {
        self.state()?.load(library, timeout_ms)
    }

    fn run(&self, runnable: &Runnable, keys: &[&[u8]], args: &[&[u8]], host: &mut dyn ScriptHost) -> Ended {
        let failed = |text: String| Ended::Failed { text: text.into_bytes(), counted: false };
        let state = match self.state() {
            Ok(state) => state,
            Err(error) => return failed(error),
        };
        let called = match runnable {
            Runnable::Script(script) => {
                let compiled = state.script(script).map_err(|error| format!("ERR {}", plain(&error)));
                compiled.map(|compiled| (&state.run_script, compiled, &script.sha))
            }
            Runnable::Function(function) => {
                let callback = state.function(&function.library, &function.name);
                callback.map(|callback| (&state.run_function, callback, &function.name))
            }
        };
        let (run, called, name) = match called {
            Ok(called) => called,
            Err(error) => return failed(error),
        };
        state.shared.stop.set(None);
        let outcome = state.shared.host.during(host, || call(&state.lua, run, called, keys, args));
        self.tidy(&state.lua);
        if let Some(stop) = state.shared.stop.take() {
            return Ended::Stopped(stop);
        }
        match outcome {
            Ok((true, value)) => match convert::error_of(&value) {
                Some((text, counted)) => Ended::Failed { text, counted },
                None => {
                    let chosen = host.protocol();
                    host.answer(&mut |reply| convert::answer(reply, &value, chosen));
                    Ended::Answered
                }
            },
            Ok((false, failure)) => raised(&failure, name),
            Err(error) => failed(format!("ERR {}", plain(&error))),
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }
}

fn call(lua: &Lua, run: &Function, called: Function, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<(bool, Value)> {
    run.call((called, array(lua, keys)?, array(lua, args)?))
}

fn array(lua: &Lua, values: &[&[u8]]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(values.len(), 0)?;
    for value in values {
        table.raw_push(lua.create_string(value)?)?;
    }
    Ok(table)
}

/// The reply to what a script raised.
fn raised(failure: &Value, name: &str) -> Ended {
    let Value::Table(table) = failure else {
        return Ended::Failed {
            text: format!("ERR Error running script {name}, execution failure").into(),
            counted: false,
        };
    };
    let (mut text, counted) = convert::error_of(failure).unwrap_or((b"ERR execution failure".to_vec(), false));
    let source = convert::text_field(table, "source");
    let line = table.raw_get::<Value>("line").ok().and_then(|line| plain_number(&line));
    if let (Some(source), Some(line)) = (source, line) {
        let place = format!(" script: {name}, on {}:{line}.", String::from_utf8_lossy(&source));
        text.extend_from_slice(place.as_bytes());
    }
    Ended::Failed { text, counted }
}
