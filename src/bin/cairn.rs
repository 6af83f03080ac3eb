//! The tool's main file.

use cairn::base::memory::CountedAllocator;

#[global_allocator]
static ALLOCATOR: CountedAllocator = CountedAllocator;

fn main() {
    std::process::exit(cairn::tool::command_line::main(std::env::args_os()));
}
