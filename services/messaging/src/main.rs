//! The messaging service's program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    outeract_runtime::main::<outeract_messaging::Messaging>()
}
