//! The tool's main file.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() {
    std::process::exit(cairn::tool::command_line::main(std::env::args_os()));
}
