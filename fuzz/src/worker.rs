//! Fuzzing of a whole worker by a peer that has passed ICE and DTLS, sends media and receives it back.

mod peer;
mod room;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tureen_engine::api::{
    ConsumerId, ConsumerLayers, LinkDump, ProducerId, Request, RequestId, Response, RouterId,
};
use tureen_engine::io::{Datagram, SocketCommand, Transmit};
use tureen_engine::worker::{Output, Worker, WorkerConfig};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::units::{Bitrate, Ssrc};

use crate::dtls::CONFIG;
use crate::script::{Step, steps};
use peer::Peer;

/// Operations of a [`Step`], modulo [`OPERATIONS`].
pub(crate) mod operation {
    /// Datagram, unchanged.
    pub(crate) const RAW: u8 = 0;
    /// RTP packet, encrypted by the peer.
    pub(crate) const RTP: u8 = 1;
    /// Compound RTCP packet, encrypted by the peer.
    pub(crate) const RTCP: u8 = 2;
    /// DTLS application data of the peer.
    pub(crate) const APPLICATION_DATA: u8 = 3;
    /// Datagram from an unknown address.
    pub(crate) const STRANGER: u8 = 4;
    /// ICE check with valid credentials, from the address that the first byte selects.
    pub(crate) const CHECK: u8 = 5;
    /// Time passes; the data is two bytes of milliseconds.
    pub(crate) const WAIT: u8 = 6;
    /// Request to the worker: the first byte selects the request, the second one the object.
    pub(crate) const REQUEST: u8 = 7;
}

const OPERATIONS: u8 = 8;
const SERVER: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 40000));
/// Limit of exchanged rounds that one step may cause. More of them mean an endless loop.
const ROUNDS: usize = 64;

/// Runs a script of datagrams, requests and waits on a worker with one connected transport.
pub fn fuzz_worker_datagrams(data: &[u8]) {
    let mut bench = Bench::connected();
    for step in steps(data) {
        bench.take(step);
        bench.settle();
    }
    bench.request(Request::CloseRouter(room::router()));
    assert!(bench.worker.poll_timeout().is_none(), "a timer outlives its router");
}

/// SSRCs of the audio and the video Consumer.
pub(crate) fn consumer_ssrcs() -> [Ssrc; 2] {
    let ssrcs: Vec<_> = room::media()
        .into_iter()
        .filter_map(|request| match request {
            Request::Consume(options) => options.rtp_parameters.encodings[0].ssrc.map(Ssrc),
            _ => None,
        })
        .collect();
    ssrcs.try_into().expect("a consumer of each kind")
}

struct Bench {
    worker: Worker,
    peer: Peer,
    now: Instant,
    requests: u64,
    buffer: Vec<u8>,
    to_worker: Vec<(SocketAddr, Vec<u8>)>,
}

impl Bench {
    /// Creates a worker with a router and one transport, on which audio and video are produced and consumed.
    fn connected() -> Self {
        let now = crate::origin();
        let config = WorkerConfig {
            certificate: CONFIG.certificate().clone(),
            dtls: Default::default(),
            limits: Default::default(),
            seed: [1; 32],
        };
        let worker =
            Worker::new(config, now, Duration::from_secs(1_800_000_000)).expect("the default is valid");
        let mut bench = Self {
            worker,
            peer: Peer::new(now),
            now,
            requests: 0,
            buffer: vec![0; 65536],
            to_worker: Vec::new(),
        };
        bench.request(Request::CreateRouter(room::router()));
        let created = bench.request(Request::CreateWebRtcTransport(room::transport(SERVER)));
        let Some(Response::TransportDump(dump)) = created else {
            panic!("no transport was created: {created:?}")
        };
        let LinkDump::WebRtc(created) = dump.link else {
            panic!("a transport of another kind was created: {dump:?}")
        };
        bench.peer.learn(&created);
        bench.request(Request::ConnectWebRtcTransport(room::transport_id(), Peer::dtls_parameters()));
        bench.to_worker.push((Peer::ADDRESS, bench.peer.check()));
        bench.settle();
        assert!(bench.peer.is_connected(), "the handshake did not complete");
        for request in room::media() {
            assert!(bench.request(request).is_some(), "a valid request was refused");
        }
        bench
    }

    fn take(&mut self, step: Step<'_>) {
        let data = step.data;
        match step.operation % OPERATIONS {
            operation::RTP => {
                if let Some(sealed) = self.peer.seal_rtp(data) {
                    self.to_worker.push((self.peer.address, sealed));
                }
            }
            operation::RTCP => {
                if let Some(sealed) = self.peer.seal_rtcp(data) {
                    self.to_worker.push((self.peer.address, sealed));
                }
            }
            operation::APPLICATION_DATA => self.peer.send_application_data(data),
            operation::STRANGER => {
                self.to_worker.push((SocketAddr::from(([192, 0, 2, 1], 9)), data.to_vec()));
            }
            operation::CHECK => {
                let from = data.first().map_or(Peer::ADDRESS.port(), |&byte| 50000 + u16::from(byte));
                self.peer.address.set_port(from);
                self.to_worker.push((self.peer.address, self.peer.check()));
            }
            operation::WAIT => self.wait(data),
            operation::REQUEST => {
                if let [which, on, ..] = *data {
                    self.request(choose_request(which, on));
                }
            }
            _ => self.to_worker.push((self.peer.address, data.to_vec())),
        }
    }

    /// Advances time by up to 65 s, from timeout to timeout.
    fn wait(&mut self, data: &[u8]) {
        let ms = data.first_chunk().map_or(1, |bytes| u16::from_be_bytes(*bytes));
        let until = self.now + Duration::from_millis(ms.into());
        let mut idle_wakeups = 0;
        while let Some(next) = self.worker.poll_timeout().filter(|&next| next <= until) {
            idle_wakeups = if next <= self.now { idle_wakeups + 1 } else { 0 };
            assert!(idle_wakeups < ROUNDS, "timers without end at one time");
            self.now = self.now.max(next);
            self.worker.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
        self.peer.handle_timeout(until);
    }

    /// Exchanges datagrams until neither side has more.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.drain();
            while let Some(datagram) = self.peer.poll() {
                self.to_worker.push((self.peer.address, datagram));
            }
            if self.to_worker.is_empty() {
                return;
            }
            let mut batch = std::mem::take(&mut self.to_worker);
            let datagrams = batch.iter_mut().map(|(remote, data)| Datagram {
                tuple: Tuple { socket: SocketId(0), remote: *remote },
                data,
            });
            self.worker.handle_datagrams(self.now, datagrams);
        }
        panic!("worker and peer exchange datagrams without end");
    }

    /// Sends a request and returns its response, or `None` if it was refused.
    fn request(&mut self, request: Request) -> Option<Response> {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.worker.handle_request(self.now, id, request);
        self.drain().into_iter().find(|(answered, _)| *answered == id).expect("a request is answered").1.ok()
    }

    fn drain(&mut self) -> Vec<(RequestId, Result<Response, tureen_engine::api::RequestError>)> {
        while let Some(transmit) = self.worker.poll_transmit(self.now, &mut self.buffer) {
            let Transmit { len, segment_size, .. } = transmit;
            assert!(len <= self.buffer.len() && segment_size > 0 && segment_size <= len);
            for datagram in self.buffer[..len].chunks(segment_size) {
                self.peer.handle_datagram(self.now, datagram);
            }
        }
        let mut answers = Vec::new();
        while let Some(output) = self.worker.poll_output() {
            match output {
                Output::Socket(SocketCommand::BindUdp(socket, _) | SocketCommand::ListenTcp(socket, _)) => {
                    assert_eq!(socket, SocketId(0), "the first socket of a worker");
                    self.worker.handle_socket_bound(self.now, socket, Ok(SERVER));
                }
                Output::Response(id, result) => answers.push((id, result)),
                Output::Socket(SocketCommand::OpenPipe(_) | SocketCommand::Close(_))
                | Output::Notification(_) => {}
            }
        }
        answers
    }
}

fn choose_request(which: u8, on: u8) -> Request {
    let transport = room::transport_id();
    let producer = ProducerId::from(room::KINDS[usize::from(on) % room::KINDS.len()]);
    let consumer = ConsumerId::from(room::KINDS[usize::from(on) % room::KINDS.len()]);
    match which % 22 {
        0 => Request::DumpWorker,
        1 => Request::DumpRouter(RouterId::from("no such router")),
        2 => Request::DumpTransport(transport),
        3 => Request::TransportStats(transport),
        4 => Request::RestartIce(transport),
        5 => Request::SetMaxIncomingBitrate(transport, Bitrate::bps(u64::from(on) << 14)),
        6 => Request::CloseProducer(producer),
        7 => Request::DumpProducer(producer),
        8 => Request::ProducerStats(producer),
        9 => Request::PauseProducer(producer),
        10 => Request::ResumeProducer(producer),
        11 => Request::CloseConsumer(consumer),
        12 => Request::DumpConsumer(consumer),
        13 => Request::ConsumerStats(consumer),
        14 => Request::PauseConsumer(consumer),
        15 => Request::ResumeConsumer(consumer),
        16 => Request::SetPreferredLayers(
            consumer,
            ConsumerLayers { spatial_layer: on, temporal_layer: Some(on) },
        ),
        17 => Request::SetPriority(consumer, on),
        18 => Request::RequestKeyFrame(consumer),
        19 => Request::EnableConsumerTrace(consumer, room::everything()),
        20 => Request::EnableProducerTrace(producer, room::everything()),
        _ => Request::CloseTransport(transport),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// Checks that the seed's packets pass authentication, because a script without such packets would test little.
    #[test]
    fn media_of_the_seed_is_forwarded() {
        let mut bench = Bench::connected();
        for step in
            steps(&seeds::worker_datagrams()[0]).take_while(|step| step.operation != operation::REQUEST)
        {
            bench.take(step);
            bench.settle();
        }
        for kind in room::KINDS {
            let Some(Response::RtpStreamStats(stats)) =
                bench.request(Request::ConsumerStats(ConsumerId::from(kind)))
            else {
                panic!("no statistics of {kind}")
            };
            assert!(stats[0].packet_count > 0, "{kind}: {stats:?}, dropped: {:?}", bench.worker.drops());
        }
    }
}
