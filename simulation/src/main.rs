//! `simulate`: see `simulate --help`, and the library.

#[cfg(debug_assertions)]
mod command;

#[cfg(debug_assertions)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(debug_assertions))]
fn main() {}
