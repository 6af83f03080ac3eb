//! Runs scripts and functions in the calling thread's state.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::Value;
use parking_lot::Mutex;

use super::arguments::plain_number;
use super::c_interface::Entry;
use super::convert;
use super::state::{State, plain};
use crate::engine::script::library::LibraryCode;
use crate::engine::script::seam::Registered;
use crate::engine::script::{Ended, Runnable, Script, ScriptEngine, ScriptHost};

/// After so many runs the garbage is collected and the state measured, beside what Lua does by itself.
const RUNS_PER_COLLECTION: u32 = 2000;

thread_local! {
    static STATE: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// A thread's state.
#[derive(Clone)]
struct Own {
    state: Rc<State>,
    deprecated: bool,
    /// What it takes, for everybody to see.
    bytes: Arc<AtomicU64>,
    runs: Rc<Cell<u32>>,
}

pub struct LuaEngine {
    /// `lua-enable-deprecated-api`.
    deprecated: bool,
    /// What each thread's state takes.
    states_bytes: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Own {
    /// Collects garbage and measures, now and then.
    fn tidy(&self) {
        self.runs.set(self.runs.get() + 1);
        if self.runs.get() % RUNS_PER_COLLECTION == 1 {
            self.bytes.store(self.state.tidy() as u64, Ordering::Relaxed);
        }
    }
}

impl LuaEngine {
    pub fn new(deprecated: bool) -> LuaEngine {
        LuaEngine { deprecated, states_bytes: Mutex::default() }
    }

    /// The calling thread's state, made if need be.
    fn own(&self) -> Result<Own, Vec<u8>> {
        STATE.with_borrow_mut(|own| match own {
            Some(own) if own.deprecated == self.deprecated => Ok(own.clone()),
            _ => {
                let state = State::new(self.deprecated).map_err(|error| format!("ERR {error}").into_bytes())?;
                let bytes = Arc::new(AtomicU64::new(0));
                self.states_bytes.lock().push(bytes.clone());
                let made = Own { state: Rc::new(state), deprecated: self.deprecated, bytes, runs: Rc::default() };
                *own = Some(made.clone());
                Ok(made)
            }
        })
    }
}

impl ScriptEngine for LuaEngine {
    fn compile(&self, script: &Arc<Script>) -> Result<(), Vec<u8>> {
        self.own()?.state.compile(script)
    }

    fn load(&self, library: &Arc<LibraryCode>, timeout_ms: u64) -> Result<Vec<Registered>, Vec<u8>> {
        self.own()?.state.load(library, timeout_ms)
    }

    fn run(&self, runnable: &Runnable, keys: &[&[u8]], args: &[&[u8]], host: &mut dyn ScriptHost) -> Ended {
        let failed = |text: Vec<u8>| Ended::Failed { text, counted: false };
        let own = match self.own() {
            Ok(own) => own,
            Err(error) => return failed(error),
        };
        let state = &own.state;
        let ready = match runnable {
            Runnable::Script(script) => state.compile(script).map_err(|said| [&b"ERR "[..], &said].concat()),
            Runnable::Function(function) => state.ensure_loaded(&function.library),
        };
        if let Err(error) = ready {
            return failed(error);
        }
        state.shared.stop.set(None);
        let outcome = state.shared.host.during(host, || call(state, runnable, keys, args));
        own.tidy();
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
            Ok((false, failure)) => raised(&failure, name_of(runnable)),
            Err(error) => failed(format!("ERR {}", plain(&error)).into_bytes()),
        }
    }

    fn memory_bytes(&self) -> (u64, u64) {
        let states = self.states_bytes.lock();
        let bytes = states.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        (bytes.clone().max().unwrap_or(0), bytes.sum())
    }
}

fn call(state: &State, runnable: &Runnable, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<(bool, Value)> {
    let entry = match runnable {
        Runnable::Script(script) => Entry::Script(script.id),
        Runnable::Function(function) => Entry::Function(function.library.id, &function.name),
    };
    state.entries.run(&state.lua, entry, keys, args)
}

/// What errors call it.
fn name_of(runnable: &Runnable) -> &str {
    match runnable {
        Runnable::Script(script) => &script.sha,
        Runnable::Function(function) => &function.name,
    }
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
