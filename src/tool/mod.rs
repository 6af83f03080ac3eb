//! The operator's tool: looks after data directories beside the server or without one.
//!
//! Every subcommand is a file with its arguments and one `run`. They share exit statuses: 0 is well, 1 is well with
//! something left out, 2 is not done, 3 is a misuse of the tool.

pub mod check;
pub mod command_line;
pub mod export;
pub mod import;
pub mod log;
pub mod progress;
pub mod restore;

/// How a subcommand ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Sound,
    /// Something small is missing: a tail that was torn, slots that were to be left out.
    Partial,
    /// Something is damaged.
    Damaged,
}

impl Status {
    pub fn exit_code(self) -> i32 {
        match self {
            Status::Sound => 0,
            Status::Partial => 1,
            Status::Damaged => 2,
        }
    }
}
