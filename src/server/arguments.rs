//! The command line of cairn-server: redis-server's own, so that init scripts and wrappers need no change.

use std::ffi::OsString;

use crate::base::version::CAIRN_VERSION;
use crate::config::Arguments;
use crate::config::parse_arguments;

/// What the command line asks for.
pub enum Request {
    Help,
    Version,
    /// Read the configuration, say whether it is sound, and end.
    CheckConfig(Arguments),
    Serve(Arguments),
}

pub const HELP: &str = "\
Usage: cairn-server [CONFIG-FILE] [--DIRECTIVE VALUE ...] [-]
       cairn-server --check-config [CONFIG-FILE] [--DIRECTIVE VALUE ...]
       cairn-server --version | --help

Serves the Redis protocol. The configuration file has the syntax of redis.conf; directives on the command line come
after it and win; '-' reads more configuration from standard input.

Examples:
       cairn-server
       cairn-server /etc/cairn/cairn.conf --port 7777
       echo 'maxclients 100' | cairn-server -
       cairn-server --check-config config/cache.conf
";

/// Sorts the arguments that follow the program's name.
pub fn read(arguments: &[OsString]) -> Request {
    let only = match arguments {
        [only] => only.to_str(),
        _ => None,
    };
    match only {
        Some("-v" | "--version") => return Request::Version,
        Some("-h" | "--help") => return Request::Help,
        _ => {}
    }
    let is_check = |argument: &OsString| argument == "--check-config";
    if arguments.iter().any(is_check) {
        let rest: Vec<OsString> = arguments.iter().filter(|argument| !is_check(argument)).cloned().collect();
        return Request::CheckConfig(parse_arguments(&rest));
    }
    Request::Serve(parse_arguments(arguments))
}

/// The text of `--version`.
pub fn version() -> String {
    format!("Cairn server v={} bits={}", CAIRN_VERSION, usize::BITS)
}
