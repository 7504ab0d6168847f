//! Attackers at the sockets of a room server, beside a call that must not notice them.
//!
//! A binary of its own, for it counts what the process allocates: one test runs at a time. Losses of the call fail a test
//! everywhere; its latency only where `TUREEN_ALONE` says that the machine does nothing else.

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

/// What a server may hold more after an attack than before, in bytes.
const TOLERANCE: isize = 2 << 20;

/// A server with a call in it, and nothing else in this process.
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

    /// What the process holds more than before the attack (bytes).
    fn growth(&self) -> isize {
        live() - self.live
    }

    /// The call has noticed nothing, nothing adds up in memory, and the server stops in time.
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
