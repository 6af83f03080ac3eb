//! The two ways between server and script that every run takes, over Lua's C interface: into a script or function with its
//! keys and arguments, and out of it through `redis.call` and `redis.pcall`. mlua's handles cost a run more than its commands
//! do, so they are for everything else.
//!
//! What holds here:
//! - **An error of Lua is a jump out of C. It crosses no frame that has anything to drop.** Memory that runs out ends the
//!   process (mlua's allocator sees to it), so only two things raise: `lua_error`, called last, and the finalizer of a
//!   script's own that collecting garbage runs while a value is made. `command` runs the command, owns all that a command
//!   needs, and makes no value; what makes values (`push_...`) borrows bytes and owns nothing.
//! - **A panic does not cross Lua's frames.** It is kept, the run is stopped, and the panic goes on where the run began.
//! - Raw access only: no metatable of a script's is asked.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_int;
use std::fmt::Write;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::slice;

use mlua::{Function, Lua, Table, Value, ffi};
use smallvec::SmallVec;

use super::arguments::number_text;
use super::lend::Lent;
use crate::base::number::parse_i64;
use crate::engine::script::{Called, Stop};

/// What the natives of a thread's state share.
#[derive(Default)]
pub struct Shared {
    pub host: Lent,
    /// Why the run under way is to end.
    pub stop: Cell<Option<Stop>>,
    /// A command's panic, on its way to where the run began.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    /// Where replies are put before they become values; lent from here to one call at a time.
    replies: Cell<Vec<u8>>,
}

impl Shared {
    /// Whether nothing may go on but to the end of the run.
    pub fn is_stopped(&self) -> bool {
        self.stop.get().is_some()
    }
}

thread_local! {
    static SHARED: Rc<Shared> = Rc::default();
}

/// What the natives of the calling thread's state share.
pub fn shared() -> Rc<Shared> {
    SHARED.with(Rc::clone)
}

// ---- out of a script: redis.call and redis.pcall ----------------------------------------------------------------------

/// How a command went. Its reply or error text is in the buffer.
enum Went {
    Replied,
    Failed { counted: bool },
    Stopped,
}

/// `redis.call` and `redis.pcall`.
pub fn calls(lua: &Lua) -> mlua::Result<(Function, Function)> {
    // SAFETY: both are functions for Lua: they find their arguments on the stack that they are given, and say how many
    // results they left there. Their frames, where errors jump, have nothing to drop.
    unsafe { Ok((lua.create_c_function(call)?, lua.create_c_function(protected_call)?)) }
}

/// # Safety
/// For Lua to call, with its state.
unsafe extern "C-unwind" fn call(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with its state.
    unsafe {
        if run_command(state) {
            return 1;
        }
        ffi::lua_error(state)
    }
}

/// # Safety
/// For Lua to call, with its state.
unsafe extern "C-unwind" fn protected_call(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as above. What failed is the result, unless the run is to end.
    unsafe {
        if run_command(state) || !is_stopped() {
            return 1;
        }
        ffi::lua_error(state)
    }
}

fn is_stopped() -> bool {
    SHARED.try_with(|shared| shared.is_stopped()).unwrap_or(true)
}

/// Runs the command on the stack and pushes its reply, or what is to be raised. Gives whether it is a reply.
///
/// # Safety
/// Called by a C function with Lua's state, whose stack has the function's arguments only.
unsafe fn run_command(state: *mut ffi::lua_State) -> bool {
    // Taken out of its place, so that a finalizer that calls a command meanwhile does not write into it. Should that
    // finalizer raise, the buffer is lost, and nothing else.
    let taken = SHARED.try_with(|shared| shared.replies.take());
    let mut buffer = ManuallyDrop::new(taken.unwrap_or_default());
    // SAFETY: the state is Lua's; whoever is called here raises nothing.
    let went = unsafe { command(state, &mut buffer) };
    // SAFETY: a C function has room for some values; `push_value` makes room for what is inside of one.
    unsafe {
        match went {
            Went::Replied => push_value(state, &mut &buffer[..]),
            Went::Failed { counted } => {
                push_text(state, &buffer);
                make_error(state, counted);
            }
            Went::Stopped => ffi::lua_pushnil(state),
        }
    }
    let replied = matches!(went, Went::Replied) && buffer.first() != Some(&b'-');
    let _ = SHARED.try_with(|shared| shared.replies.set(ManuallyDrop::into_inner(buffer)));
    replied
}

/// Runs the command whose arguments are on the stack. Everything it needs is dropped when it returns, and it never raises.
///
/// # Safety
/// As of [`run_command`].
unsafe fn command(state: *mut ffi::lua_State, buffer: &mut Vec<u8>) -> Went {
    buffer.clear();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        SHARED.with(|shared| {
            let mut numbers = String::new();
            // SAFETY: the stack's values stay where they are until the C function returns.
            let arguments = match unsafe { arguments(state, &mut numbers) } {
                Ok(arguments) => arguments,
                Err(text) => return fail(buffer, text, false),
            };
            let called = shared.host.with(|host| match shared.stop.get() {
                Some(stop) => Called::Stopped(stop),
                None => host.call(&arguments, &mut |reply| buffer.extend_from_slice(reply)),
            });
            match called {
                None => fail(buffer, "ERR redis.call/pcall can only be called inside a script invocation", false),
                Some(Called::Refused(text)) => fail(buffer, &text, true),
                Some(Called::Stopped(stop)) => {
                    shared.stop.set(Some(stop));
                    Went::Stopped
                }
                Some(Called::Replied) => Went::Replied,
            }
        })
    }));
    ran.unwrap_or_else(|panic| {
        let _ = SHARED.try_with(|shared| {
            shared.panic.set(Some(panic));
            shared.stop.set(Some(Stop::Abandoned));
        });
        Went::Stopped
    })
}

fn fail(buffer: &mut Vec<u8>, text: &str, counted: bool) -> Went {
    buffer.clear();
    buffer.extend_from_slice(text.as_bytes());
    Went::Failed { counted }
}

/// The arguments of a command: texts where Lua has them, numbers written out behind each other in `numbers`.
///
/// # Safety
/// The state is Lua's, and what is on its stack stays there for as long as the arguments are used.
unsafe fn arguments(state: *mut ffi::lua_State, numbers: &mut String) -> Result<SmallVec<[&[u8]; 8]>, &'static str> {
    // SAFETY: indexes from 1 to the top are values. A text's bytes stay while it is on the stack, which is longer than 'b.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count == 0 {
            return Err("ERR Please specify at least one argument for this redis lib call");
        }
        let mut ends: SmallVec<[usize; 8]> = SmallVec::new();
        for index in 1..=count {
            match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {}
                ffi::LUA_TNUMBER => {
                    push_number_text(numbers, ffi::lua_tonumber(state, index));
                    ends.push(numbers.len());
                }
                _ => return Err("ERR Lua redis lib command arguments must be strings or integers"),
            }
        }
        let (mut start, mut ends) = (0, ends.into_iter());
        let argument = |index| match ffi::lua_type(state, index) {
            ffi::LUA_TNUMBER => {
                let end = ends.next().unwrap_or(start);
                let text = &numbers.as_bytes()[start..end];
                start = end;
                text
            }
            _ => text(state, index),
        };
        Ok((1..=count).map(argument).collect())
    }
}

/// The bytes of a text on the stack.
///
/// # Safety
/// The state is Lua's; at the index is a text, which stays there for as long as its bytes are used.
unsafe fn text<'s>(state: *mut ffi::lua_State, index: c_int) -> &'s [u8] {
    let mut length = 0;
    // SAFETY: the value is a text, so it is not changed by asking for it, and has `length` bytes.
    unsafe { slice::from_raw_parts(ffi::lua_tolstring(state, index, &mut length).cast(), length) }
}

/// A number at full precision.
fn push_number_text(out: &mut String, number: f64) {
    let whole = number as i64;
    if whole as f64 == number && whole != i64::MAX {
        // Writing into a text does not fail.
        let _ = write!(out, "{whole}");
    } else {
        out.push_str(&number_text(number, 17));
    }
}

// ---- values ------------------------------------------------------------------------------------------------------------

/// # Safety
/// The state is Lua's, with room for a value.
unsafe fn push_text(state: *mut ffi::lua_State, text: &[u8]) {
    // SAFETY: Lua copies so many bytes from there.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len()) };
}

/// Sets a field of the table under the value on the top, which is taken.
///
/// # Safety
/// The state is Lua's; a table and a value are on its stack.
unsafe fn set_field(state: *mut ffi::lua_State, name: &str) {
    // SAFETY: two values are on the stack, by the caller's word; the name goes between them.
    unsafe {
        push_text(state, name.as_bytes());
        ffi::lua_insert(state, -2);
        ffi::lua_rawset(state, -3);
    }
}

/// A new table with one field, the value on the top.
///
/// # Safety
/// The state is Lua's, with a value on the stack and room for more.
unsafe fn wrap(state: *mut ffi::lua_State, field: &str) {
    // SAFETY: a value is on the stack, by the caller's word; the table goes under it.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_insert(state, -2);
        set_field(state, field);
    }
}

/// Makes the text on the top an error as redis.call raises it and redis.pcall returns it.
///
/// # Safety
/// The state is Lua's, with a text on the top and room for some values.
unsafe fn make_error(state: *mut ffi::lua_State, counted: bool) {
    // SAFETY: the text is there, by the caller's word; what is pushed is taken.
    unsafe {
        wrap(state, "err");
        if counted {
            ffi::lua_pushboolean(state, 1);
            set_field(state, "ignore_error_stats_update");
        }
    }
}

/// The rest of a reply's first line, whose end is passed.
fn line<'r>(rest: &mut &'r [u8]) -> &'r [u8] {
    let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 2..).unwrap_or_default();
    line
}

/// So many bytes and the end of their line.
fn bytes<'r>(rest: &mut &'r [u8], length: usize) -> &'r [u8] {
    let bytes = &rest[..length.min(rest.len())];
    *rest = rest.get(length + 2..).unwrap_or_default();
    bytes
}

/// Pushes the value that a reply of this server stands for, RESP2 or RESP3, and passes it. Replies are well formed.
///
/// # Safety
/// The state is Lua's, with room for some values.
unsafe fn push_value(state: *mut ffi::lua_State, rest: &mut &[u8]) {
    let Some((kind, mut after)) = rest.split_first() else {
        // SAFETY: room was made.
        return unsafe { ffi::lua_pushnil(state) };
    };
    let line = line(&mut after);
    *rest = after;
    let count = || parse_i64(line).unwrap_or(-1);
    // SAFETY: what is pushed here and taken again is counted beside it; `push_elements` makes room before it pushes more.
    unsafe {
        match kind {
            b':' => ffi::lua_pushnumber(state, count() as f64),
            b'$' => match count() {
                ..0 => ffi::lua_pushboolean(state, 0),
                length => push_text(state, bytes(rest, length as usize)),
            },
            b'+' => {
                push_text(state, line);
                wrap(state, "ok");
            }
            b'-' => {
                // An error of one word only is not its own code.
                push_text(state, if line.contains(&b' ') { b"" } else { b"ERR " });
                push_text(state, line);
                ffi::lua_concat(state, 2);
                make_error(state, true);
            }
            b'*' | b'>' => match count() {
                ..0 => ffi::lua_pushboolean(state, 0),
                count => push_elements(state, rest, count),
            },
            b'#' => ffi::lua_pushboolean(state, c_int::from(line == b"t")),
            b',' => {
                let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                ffi::lua_pushnumber(state, number.unwrap_or(f64::NAN));
                wrap(state, "double");
            }
            b'(' => {
                push_text(state, line);
                wrap(state, "big_number");
            }
            b'=' => {
                let bytes = bytes(rest, count().max(0) as usize);
                ffi::lua_createtable(state, 0, 2);
                push_text(state, bytes.get(..3).unwrap_or_default());
                set_field(state, "format");
                push_text(state, bytes.get(4..).unwrap_or_default());
                set_field(state, "string");
                wrap(state, "verbatim_string");
            }
            b'%' => {
                push_members(state, rest, count(), true);
                wrap(state, "map");
            }
            b'~' => {
                push_members(state, rest, count(), false);
                wrap(state, "set");
            }
            b'|' => {
                // Attributes are not shown.
                for _ in 0..2 * count() {
                    push_value(state, rest);
                    ffi::lua_settop(state, -2);
                }
                push_value(state, rest);
            }
            _ => ffi::lua_pushnil(state),
        }
    }
}

/// So many replies as an array.
///
/// # Safety
/// The state is Lua's.
unsafe fn push_elements(state: *mut ffi::lua_State, rest: &mut &[u8], count: i64) {
    // SAFETY: there is room for what one value takes, its own elements aside.
    unsafe {
        make_room(state);
        ffi::lua_createtable(state, c_int::try_from(count).unwrap_or(0), 0);
        for index in 1..=count {
            push_value(state, rest);
            ffi::lua_rawseti(state, -2, index as _);
        }
    }
}

/// So many pairs or single replies as a table with them as its keys. What cannot be a key is left out.
///
/// # Safety
/// The state is Lua's.
unsafe fn push_members(state: *mut ffi::lua_State, rest: &mut &[u8], count: i64, with_values: bool) {
    // SAFETY: as above. Neither nil nor NaN becomes a key.
    unsafe {
        make_room(state);
        ffi::lua_createtable(state, 0, c_int::try_from(count).unwrap_or(0));
        for _ in 0..count {
            push_value(state, rest);
            if with_values {
                push_value(state, rest);
            } else {
                ffi::lua_pushboolean(state, 1);
            }
            let is_nan = ffi::lua_type(state, -2) == ffi::LUA_TNUMBER && ffi::lua_tonumber(state, -2).is_nan();
            if is_nan || ffi::lua_type(state, -2) == ffi::LUA_TNIL {
                ffi::lua_settop(state, -3);
            } else {
                ffi::lua_rawset(state, -3);
            }
        }
    }
}

/// Room for what one value takes beside the values in it. Replies are not nested so deep that Lua would refuse it.
///
/// # Safety
/// The state is Lua's.
unsafe fn make_room(state: *mut ffi::lua_State) {
    const VALUES: c_int = 8;
    // SAFETY: asking is always allowed.
    unsafe { ffi::lua_checkstack(state, VALUES) };
}

// ---- into a script -----------------------------------------------------------------------------------------------------

/// What to run, by the id that the server gave it.
#[derive(Clone, Copy)]
pub enum Entry<'r> {
    /// Its keys and arguments are the globals `KEYS` and `ARGV`.
    Script(u64),
    /// A function of a library; its keys and arguments are its own.
    Function(u64, &'r str),
}

/// The tables that runs look into, as references of Lua's registry.
pub struct Entries {
    scripts: c_int,
    libraries: c_int,
    globals: c_int,
    explain: c_int,
}

impl Entries {
    /// Of what the sandbox gives: scripts and libraries by id, the globals of scripts, and what makes a table of what was
    /// raised.
    pub fn new(lua: &Lua, entries: &Table) -> mlua::Result<Entries> {
        let refer = |index: usize| {
            // SAFETY: the value is on the top, and `luaL_ref` takes it.
            unsafe {
                lua.exec_raw::<c_int>(entries.raw_get::<Value>(index)?, |state| {
                    let reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                    ffi::lua_pushinteger(state, reference as _);
                })
            }
        };
        Ok(Entries { scripts: refer(1)?, libraries: refer(2)?, globals: refer(3)?, explain: refer(4)? })
    }

    /// Runs a script or function: whether it ended well, and its result or what `explain` made of what was raised. A
    /// panic of a command goes on from here.
    pub fn run(&self, lua: &Lua, entry: Entry<'_>, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<(bool, Value)> {
        // SAFETY: the closure is called with room for some values and owns nothing; what it raises, mlua catches.
        let outcome = unsafe { lua.exec_raw((), |state| self.enter(state, entry, keys, args)) };
        if let Some(panic) = SHARED.with(|shared| shared.panic.take()) {
            resume_unwind(panic);
        }
        outcome
    }

    /// Leaves a boolean and a value on the stack.
    ///
    /// # Safety
    /// The state is the one that `new` got, with an empty stack.
    unsafe fn enter(&self, state: *mut ffi::lua_State, entry: Entry<'_>, keys: &[&[u8]], args: &[&[u8]]) {
        // SAFETY: the references are of tables and of a function, made by `new`. A script or library that the state does not
        // have is nil, whose call fails like any other.
        unsafe {
            make_room(state);
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.explain as _);
            let handler = ffi::lua_gettop(state);
            let status = match entry {
                Entry::Script(id) => {
                    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.globals as _);
                    push_array(state, keys);
                    set_field(state, "KEYS");
                    push_array(state, args);
                    set_field(state, "ARGV");
                    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.scripts as _);
                    push_at(state, id);
                    ffi::lua_pcall(state, 0, 1, handler)
                }
                Entry::Function(id, name) => {
                    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.libraries as _);
                    push_at(state, id);
                    if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                        push_text(state, name.as_bytes());
                        ffi::lua_rawget(state, -2);
                    }
                    push_array(state, keys);
                    push_array(state, args);
                    ffi::lua_pcall(state, 2, 1, handler)
                }
            };
            ffi::lua_pushboolean(state, c_int::from(status == ffi::LUA_OK));
            ffi::lua_replace(state, 1);
            ffi::lua_replace(state, 2);
            ffi::lua_settop(state, 2);
        }
    }
}

/// Pushes what the table on the top has under an id.
///
/// # Safety
/// The state is Lua's; a table is on the top of its stack.
unsafe fn push_at(state: *mut ffi::lua_State, id: u64) {
    // SAFETY: a table is on the top, by the caller's word.
    unsafe {
        ffi::lua_pushnumber(state, id as f64);
        ffi::lua_rawget(state, -2);
    }
}

/// # Safety
/// The state is Lua's, with room for some values.
unsafe fn push_array(state: *mut ffi::lua_State, texts: &[&[u8]]) {
    // SAFETY: pushes a table, and one value at a time into it.
    unsafe {
        ffi::lua_createtable(state, c_int::try_from(texts.len()).unwrap_or(0), 0);
        for (text, index) in texts.iter().zip(1..) {
            push_text(state, text);
            ffi::lua_rawseti(state, -2, index);
        }
    }
}
