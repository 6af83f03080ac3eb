//! Lua 5.1 for scripts and functions: the engine behind `engine::script::ScriptEngine`.
//!
//! ```text
//! engine      runs what the handlers ask for, in the calling thread's state
//! state       a Lua state: sandbox, compiled scripts, loaded libraries
//! sandbox.lua what scripts find around them
//! calls       redis.call and the rest of the API; lend: the host, while a script runs
//! convert     replies to Lua values, and back
//! json, msgpack, structs, bits, random    the libraries that scripts expect
//! arguments   reading what a script hands to a native
//! ```
//! A thread that runs scripts has a state of its own, made when the first comes. Scripts cannot leave anything in it for
//! others: globals and libraries are read-only.

mod arguments;
mod bits;
mod calls;
mod convert;
mod engine;
mod json;
mod json_reader;
mod lend;
mod library;
mod msgpack;
mod random;
mod state;
mod structs;
#[cfg(test)]
mod tests;

pub use engine::LuaEngine;
