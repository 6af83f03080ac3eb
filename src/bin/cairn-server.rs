//! The server's main file.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(cairn::server::boot::main(&arguments));
}
