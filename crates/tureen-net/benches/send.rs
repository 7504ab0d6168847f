//! CPU time of the ways to send a datagram.

fn main() {}
