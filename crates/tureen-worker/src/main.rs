//! `tureen-worker`: the worker process. See the library of this crate.

fn main() -> std::process::ExitCode {
    tureen_worker::main()
}
