//! The connection service's program: `serve`, `migrate`, `config check`, `bootstrap`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    outeract_runtime::main::<outeract_connection::Connection>()
}
