//! scratch
#![allow(missing_docs, clippy::all, clippy::pedantic)]
#[path = "../tests/it/tiny.rs"]
#[allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
mod tiny;
fn main() -> std::process::ExitCode {
    eprintln!("KEY={}", tiny::KEY.0);
    outeract_runtime::main::<tiny::Tiny>()
}
