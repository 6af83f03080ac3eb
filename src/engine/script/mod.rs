//! Scripts and libraries of functions, as all workers share them, and the seam to what runs them.
//!
//! ```text
//! commands/  --ScriptEngine--> scripting/ (Lua; a state per thread)
//!    ^                            |
//!    +--------ScriptHost----------+   a script's commands
//! ```
//! Bodies and what is known about them stand here, behind short locks; what a thread made of a body (its compiled form)
//! stands with the thread, under the body's id.

pub mod cache;
pub mod flags;
pub mod kept;
pub mod library;
pub mod registry;
pub mod running;
pub mod seam;

pub use cache::ScriptCache;
pub use library::{Function, Libraries, Library};
pub use registry::{Reach, Script, Scripts};
pub use running::{Overrun, Running};
pub use seam::{Called, Ended, Runnable, ScriptEngine, ScriptHost, Stop};
