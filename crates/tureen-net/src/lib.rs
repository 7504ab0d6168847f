//! Sockets, batching and the clock of a Tureen worker.
