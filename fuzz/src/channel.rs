//! Fuzzing of the worker process without a process: arbitrary bytes from the parent, the codec, and the engine.

pub(crate) mod messages;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tureen_engine::api::{RequestError, RequestId};
use tureen_engine::io::SocketCommand;
use tureen_engine::worker::{Output, Worker, WorkerConfig};
use tureen_net::ResourceUsage;
use tureen_rtc::tuple::SocketId;
use tureen_worker::dialect::{Call, ChannelKind, Dialect, Incoming, Out, Refusal, Reply};
use tureen_worker::flatbuffers::FlatBuffers;
use tureen_worker::json::{Generation, Json};
use tureen_worker::logging::Log;

use crate::dtls::CONFIG;
use crate::script::{Step, steps};

/// Operations of a [`Step`]. Any other operation counts as [`FRAME`](operation::FRAME).
pub(crate) mod operation {
    /// Frame of the channel.
    pub(crate) const FRAME: u8 = 0;
    /// Time passes; the data is two bytes of milliseconds.
    pub(crate) const WAIT: u8 = 1;
    /// Frame of the payload channel.
    pub(crate) const PAYLOAD: u8 = 2;
}

/// Limit of timeouts during one wait. More of them mean a timer that is armed again without end.
const WAKEUPS: usize = 100_000;

/// Handles frames of a parent that uses FlatBuffers. Every request must be answered exactly once.
pub fn fuzz_channel(data: &[u8]) {
    run(FlatBuffers::new(1), data);
}

/// Handles frames of a parent that uses JSON; the first byte selects the version of the protocol.
pub fn fuzz_channel_json(data: &[u8]) {
    const GENERATIONS: [Generation; 4] =
        [Generation::V3_5, Generation::V3_6, Generation::V3_9, Generation::V3_10_6];
    if let [generation, data @ ..] = data {
        run(Json::new(GENERATIONS[usize::from(*generation) % GENERATIONS.len()], 1), data);
    }
}

fn run(dialect: impl Dialect, data: &[u8]) {
    let mut process = Process::new(dialect);
    for Step { operation, data } in steps(data) {
        match operation {
            operation::WAIT => process.wait(data),
            operation::PAYLOAD => _ = process.handle(ChannelKind::Payload, data),
            _ if process.handle(ChannelKind::Main, data) => return,
            _ => {}
        }
        process.drain();
        assert!(process.open.is_empty(), "requests {:?} were not answered", process.open);
        process.read.iter_mut().for_each(Vec::clear);
    }
}

struct Process<D> {
    dialect: D,
    worker: Worker,
    log: Log,
    now: Instant,
    /// Requests without an answer so far.
    open: HashSet<u64>,
    send_slot: Vec<u8>,
    /// Bytes for the parent in the channel and in the payload channel.
    read: [Vec<u8>; 2],
}

impl<D: Dialect> Process<D> {
    fn new(dialect: D) -> Self {
        let config = WorkerConfig {
            certificate: CONFIG.certificate().clone(),
            dtls: Default::default(),
            limits: Default::default(),
            seed: [1; 32],
        };
        let now = crate::origin();
        let worker =
            Worker::new(config, now, Duration::from_secs(1_800_000_000)).expect("the default is valid");
        let send_slot = vec![0; 65536];
        let (log, open, read) = (Log::default(), HashSet::new(), Default::default());
        Self { dialect, worker, log, now, open, send_slot, read }
    }

    /// Handles a frame. Returns true if it asks the process to exit.
    fn handle(&mut self, kind: ChannelKind, frame: &[u8]) -> bool {
        match self.dialect.decode(kind, frame) {
            Ok(None) => {}
            Ok(Some(Incoming::Request { id, call })) => {
                self.open.insert(id);
                self.call(id, call);
            }
            Ok(Some(Incoming::Injection(injection))) => self.worker.handle_injection(self.now, injection),
            Ok(Some(Incoming::Close)) => return true,
            Err(Refusal::Request { id, error }) => {
                self.open.insert(id);
                self.answer(id, Err(error));
            }
            Err(Refusal::Message(text)) => {
                self.dialect.write_log(format!("E{text}"), &mut out(&mut self.read))
            }
        }
        false
    }

    fn call(&mut self, id: u64, call: Call) {
        match call {
            Call::Engine(request) => self.worker.handle_request(self.now, RequestId(id), request),
            Call::ResourceUsage => self.answer(id, Ok(Reply::ResourceUsage(ResourceUsage::now()))),
            Call::UpdateSettings(settings) => {
                let done =
                    self.log.set(&settings).map(|()| Reply::Engine(tureen_engine::api::Response::Done));
                self.answer(id, done.map_err(RequestError::Invalid));
            }
        }
    }

    fn answer(&mut self, id: u64, result: Result<Reply, RequestError>) {
        assert!(self.open.remove(&id), "request {id} is answered twice");
        self.dialect.write_response(id, result, &mut out(&mut self.read));
    }

    /// Advances time by up to 65 s, from timeout to timeout.
    fn wait(&mut self, data: &[u8]) {
        let ms = data.first_chunk().map_or(1, |bytes| u16::from_be_bytes(*bytes));
        let until = self.now + Duration::from_millis(ms.into());
        for _ in 0..WAKEUPS {
            match self.worker.poll_timeout() {
                Some(next) if next <= until => {
                    self.now = self.now.max(next);
                    self.worker.handle_timeout(self.now);
                    self.drain();
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("timers without end");
    }

    fn drain(&mut self) {
        while self.worker.poll_transmit(self.now, &mut self.send_slot).is_some() {}
        while let Some(output) = self.worker.poll_output() {
            match output {
                Output::Socket(
                    SocketCommand::BindUdp(socket, _)
                    | SocketCommand::ListenTcp(socket, _)
                    | SocketCommand::OpenPipe(socket),
                ) => {
                    self.worker.handle_socket_bound(self.now, socket, Ok(address(socket)));
                    while self.worker.poll_transmit(self.now, &mut self.send_slot).is_some() {}
                }
                Output::Socket(SocketCommand::Close(_)) => {}
                Output::Response(id, result) => self.answer(id.0, result.map(Reply::Engine)),
                Output::Notification(notification) => {
                    self.dialect.write_notification(notification, &mut out(&mut self.read));
                }
            }
        }
    }
}

fn out([main, payload]: &mut [Vec<u8>; 2]) -> Out<'_> {
    Out { main, payload: Some(payload) }
}

/// Address of a socket, different for each.
fn address(socket: SocketId) -> SocketAddr {
    let [.., high, low] = socket.0.to_be_bytes();
    SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::from_be_bytes([high, low]) % 50_000))
}

#[cfg(test)]
mod tests {
    use planus::ReadAsRoot;
    use tureen_worker::flatbuffers::schema::message::{Body, Message, MessageRef};

    use super::*;
    use crate::seeds;

    /// Checks that the requests of the seed succeed, because refused ones would test only their refusal.
    #[test]
    fn requests_of_the_seed_succeed() {
        let mut process = Process::new(FlatBuffers::new(1));
        for Step { operation, data } in steps(&seeds::channel()[0]) {
            match operation {
                operation::WAIT => process.wait(data),
                _ => assert!(!process.handle(ChannelKind::Main, data)),
            }
            process.drain();
        }
        let (mut rest, mut granted) = (&process.read[0][..], 0);
        while let Some((len, frames)) = rest.split_first_chunk() {
            let (frame, next) = frames.split_at(u32::from_ne_bytes(*len) as usize);
            rest = next;
            let message = Message::try_from(MessageRef::read_as_root(frame).unwrap()).unwrap();
            match message.data {
                Body::Response(response) => {
                    assert!(response.accepted, "{response:?}");
                    granted += 1;
                }
                Body::Log(line) => panic!("{}", line.data),
                Body::Notification(_) | Body::Request(_) => {}
            }
        }
        assert!(granted > 70, "{granted}");
    }
}
