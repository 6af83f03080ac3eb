//! Lua 5.1 for scripts and functions: the engine behind `engine::script::ScriptEngine`.
//!
//! ```text
//! engine      runs what the handlers ask for, in the calling thread's state
//! state       a Lua state: sandbox, compiled scripts, loaded libraries
//! sandbox.lua what scripts find around them
//! c_interface into a script, and out of it by redis.call; lend: the host, while a script runs
//! calls       the rest of the table redis
//! convert     what a script returns, as a reply
//! json, msgpack, structs, bits, random    the libraries that scripts expect
//! arguments   reading what a script hands to a native
//! ```
//! A thread that runs scripts has a state of its own, made when the first comes. Scripts cannot leave anything in it for
//! others: globals and libraries are read-only.

mod arguments;
mod bits;
mod c_interface;
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
