//! The operator's tool.

use clap::Parser;

/// Looks after Cairn servers and their data. Subcommands come with the capabilities they belong to.
#[derive(Parser)]
#[command(name = "cairn", version, arg_required_else_help = true)]
struct Arguments {}

fn main() {
    Arguments::parse();
}
