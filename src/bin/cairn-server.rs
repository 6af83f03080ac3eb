//! The server's main file.

use cairn::base::memory::CountedAllocator;

#[global_allocator]
static ALLOCATOR: CountedAllocator = CountedAllocator;

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(cairn::server::boot::main(&arguments));
}
