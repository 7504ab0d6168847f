//! CPU time of a datagram of 1230 bytes over the loopback interface, for several ways of sending and receiving.
//!
//! Loopback delivers within the sender's system call, so that the cost of sending includes the receiving half of the
//! kernel. Compare the results with one another rather than with a network card. Runs for about three seconds and
//! prints a table.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tureen_net::{Net, NetConfig, Port, UdpOptions};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIZE: usize = 1230;
const DESTINATIONS: usize = 64;
/// CPU time for which each case is measured.
const SPAN: Duration = Duration::from_millis(120);

fn main() {
    // Sinks that are never read: their small buffers fill up at once and the kernel drops the rest.
    let mut sinks = Net::new(NetConfig::default()).expect("a network");
    let mut options = UdpOptions::new(LOCALHOST, Port::Any);
    options.recv_buffer = Some(4096);
    let sinks: Vec<SocketAddr> =
        (0..DESTINATIONS as u32).map(|token| sinks.bind_udp(token, &options).expect("a sink")).collect();

    println!("send, CPU ns a datagram");
    let socket = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
    let data = [0; SIZE];
    report("sendto", DESTINATIONS, || {
        for sink in &sinks {
            let _ = socket.send_to(&data, sink);
        }
    });
    for batch in [1, 8, 32, 64] {
        let mut net = sender(NetConfig { send_batch: batch, gso: false, ..NetConfig::default() });
        report(&format!("sendmmsg of {batch}"), DESTINATIONS, || send_runs(&mut net, &sinks, 1));
    }
    for run in [2, 4, 8, 16] {
        for batch in [1, 8, 64] {
            let mut net = sender(NetConfig { send_batch: batch, ..NetConfig::default() });
            let name = format!("GSO of {run}, sendmmsg of {batch}");
            report(&name, DESTINATIONS * run, || send_runs(&mut net, &sinks, run));
        }
    }
    for memory in [64, 128, 256, 512, 1024] {
        let mut net = sender(NetConfig { send_memory: memory << 10, ..NetConfig::default() });
        let name = format!("GSO of 8, {memory} KiB queue, written");
        report(&name, DESTINATIONS * 8, || {
            for sink in &sinks {
                net.send_slot()[..8 * SIZE].fill(7);
                net.commit(0, *sink, 8 * SIZE, SIZE);
            }
            net.flush();
        });
    }

    println!("receive, CPU ns a datagram");
    for (gro, batch) in
        [(false, 1), (false, 8), (false, 32), (false, 64), (true, 1), (true, 8), (true, 32), (true, 64)]
    {
        for run in [1, 8] {
            let config = NetConfig { gro, receive_batch: batch, ..NetConfig::default() };
            report_receive(&format!("recvmmsg of {batch}, GRO {gro}, runs of {run}"), config, run);
        }
    }
}

fn sender(config: NetConfig) -> Net {
    let mut net = Net::new(config).expect("a network");
    net.bind_udp(0, &UdpOptions::new(LOCALHOST, Port::Any)).expect("a socket");
    net
}

/// Sends a run of `run` datagrams to each sink.
fn send_runs(net: &mut Net, sinks: &[SocketAddr], run: usize) {
    for sink in sinks {
        net.send_slot();
        net.commit(0, *sink, run * SIZE, SIZE);
    }
    net.flush();
}

/// Repeats `round`, which handles `datagrams`, for the span and prints the median round.
fn report(name: &str, datagrams: usize, mut round: impl FnMut()) {
    let mut rounds = Vec::new();
    let start = cpu_time();
    while cpu_time() - start < SPAN {
        let before = cpu_time();
        round();
        rounds.push(cpu_time() - before);
    }
    print(name, datagrams, rounds);
}

/// Sends 256 datagrams in runs of `run`, then receives them, alternately, and measures the receiving.
fn report_receive(name: &str, config: NetConfig, run: usize) {
    const ROUND: usize = 256;
    let mut net = sender(NetConfig::default());
    let mut receiver = Net::new(config).expect("a network");
    let address = receiver.bind_udp(1, &UdpOptions::new(LOCALHOST, Port::Any)).expect("a socket");
    let mut rounds = Vec::new();
    let start = cpu_time();
    while cpu_time() - start < SPAN {
        for i in 0..ROUND / run {
            // Alternating sizes keep the runs separate.
            let size = SIZE + i % 2;
            net.send_slot();
            net.commit(0, address, run * size, size);
            net.flush();
        }
        let before = cpu_time();
        let mut received = 0;
        while received < ROUND {
            receiver.wait(None).expect("readiness");
            while let Some(batch) = receiver.receive() {
                received += batch.map(|datagram| usize::from(!datagram.data.is_empty())).sum::<usize>();
            }
        }
        rounds.push(cpu_time() - before);
    }
    print(name, ROUND, rounds);
}

fn print(name: &str, datagrams: usize, mut rounds: Vec<Duration>) {
    rounds.sort_unstable();
    let median = rounds[rounds.len() / 2].as_nanos() / datagrams as u128;
    println!("  {name:<44}{median:>6}");
}

/// CPU time of this thread.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Wall time, because a thread's CPU time is not available.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn cpu_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
