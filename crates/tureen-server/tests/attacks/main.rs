//! Attacks on the sockets of a room server while a call takes place, which must not be affected.
//!
//! This is a separate test binary, because it counts the allocations of the process; one test runs at a time. A loss in
//! the call always fails a test. Its latency fails a test only if `TUREEN_ALONE` states that the machine is otherwise
//! idle.

mod broadcasters;
mod call;
#[path = "../rooms/client.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod client;
mod connections;
mod memory;
mod signaling;

use std::time::{Duration, Instant};

use tureen_server::Server;

use crate::{
    call::Call,
    client::config,
    memory::{Alone, live},
};

/// Number of bytes by which the server's memory may grow in an attack.
const TOLERANCE: isize = 2 << 20;

/// A server with a call, alone in this process.
struct Scene {
    server: Server,
    call: Call,
    live: isize,
    _alone: Alone,
}

impl Scene {
    async fn new(configure: impl FnOnce(&mut tureen_server::ServerConfig)) -> Self {
        let alone = Alone::wait().await;
        let mut config = config();
        configure(&mut config);
        let server = Server::start(config).await.unwrap();
        let mut call = Call::start(&server).await;
        call.measure_quiet().await;
        Self { server, call, live: live(), _alone: alone }
    }

    /// Number of bytes by which the memory has grown since before the attack.
    fn growth(&self) -> isize {
        live() - self.live
    }

    /// Asserts that the call was not affected, that memory has not grown, and that the server stops in time.
    #[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
    async fn end(self) {
        let growth = self.growth();
        println!("{growth} bytes more than before");
        assert!(growth < TOLERANCE, "{growth} bytes more than before");
        self.call.assert_undisturbed();
        let start = Instant::now();
        self.server.shutdown().await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(6), "timeouts.shutdown_s is 5, and it took {took:?}");
    }
}
