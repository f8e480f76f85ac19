//! The tracking service's program.

use std::process::ExitCode;

use outeract_tracking::Tracking;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    outeract_runtime::main::<Tracking>()
}
