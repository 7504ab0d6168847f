//! The `tureen` command.
fn main() {}
