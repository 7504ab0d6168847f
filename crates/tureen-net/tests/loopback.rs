//! Sockets of the loopback interface: datagrams arrive in order and whole, and no socket starves another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use tureen_net::{Net, NetConfig, NetStats, Port, UdpOptions};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Time limit of a wait for something that must happen.
const FAILURE: Duration = Duration::from_secs(10);

fn net(config: NetConfig) -> Net {
    Net::new(config).unwrap()
}

fn bind(net: &mut Net, token: u32, ip: IpAddr) -> SocketAddr {
    net.bind_udp(token, &UdpOptions::new(ip, Port::Any)).unwrap()
}

fn queue(net: &mut Net, token: u32, destination: SocketAddr, data: &[u8], segment_size: usize) {
    net.send_slot()[..data.len()].copy_from_slice(data);
    net.commit(token, destination, data.len(), segment_size);
}

/// Receives until `count` datagrams have arrived, as (token, source, payload).
fn receive(net: &mut Net, count: usize) -> Vec<(u32, SocketAddr, Vec<u8>)> {
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        net.wait(Some(FAILURE)).unwrap();
        let before = datagrams.len();
        while let Some(batch) = net.receive() {
            datagrams.extend(batch.map(|datagram| (datagram.token, datagram.source, datagram.data.to_vec())));
        }
        assert!(datagrams.len() > before, "{} of {count} datagrams came", datagrams.len());
    }
    datagrams
}

/// `len` bytes that differ from datagram to datagram.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 + i) as u8).collect()
}

fn exchange(sender: NetConfig, receiver: NetConfig, len: usize, segment_size: usize) -> (NetStats, NetStats) {
    let (mut sender, mut receiver) = (net(sender), net(receiver));
    let source = bind(&mut sender, 1, LOCALHOST);
    let destination = bind(&mut receiver, 2, LOCALHOST);
    let data = payload(len);
    queue(&mut sender, 1, destination, &data, segment_size);
    sender.flush();
    let datagrams = receive(&mut receiver, len.div_ceil(segment_size));
    assert_eq!(datagrams.len(), len.div_ceil(segment_size));
    for (datagram, expected) in datagrams.iter().zip(data.chunks(segment_size)) {
        assert_eq!(*datagram, (2, source, expected.to_vec()));
    }
    (*sender.stats(), *receiver.stats())
}

#[test]
fn run_arrives_as_datagrams_with_a_shorter_last_one() {
    let (sent, received) = exchange(NetConfig::default(), NetConfig::default(), 7 * 1200 + 30, 1200);
    assert_eq!((sent.datagrams_out, sent.bytes_out), (8, 8430));
    assert_eq!((received.datagrams_in, received.bytes_in), (8, 8430));
    if cfg!(all(target_os = "linux", not(feature = "portable"))) {
        assert_eq!(sent.run_lengths, [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!((sent.send_calls, sent.gso_fallbacks), (1, 0));
    }
}

#[test]
fn run_is_split_by_the_kernel_for_a_receiver_without_gro() {
    let receiver = NetConfig { gro: false, ..NetConfig::default() };
    let (_, received) = exchange(NetConfig::default(), receiver, 7 * 1200 + 30, 1200);
    assert_eq!(received.datagrams_in, 8);
}

#[test]
fn without_gso_the_same_datagrams_arrive() {
    let sender = NetConfig { gso: false, ..NetConfig::default() };
    let (sent, _) = exchange(sender, NetConfig::default(), 7 * 1200 + 30, 1200);
    assert_eq!(sent.run_lengths, [8, 0, 0, 0, 0, 0, 0]);
    assert_eq!((sent.datagrams_out, sent.bytes_out), (8, 8430));
}

#[test]
fn long_run_without_gso_takes_several_calls() {
    let config = NetConfig { gso: false, ..NetConfig::default() };
    let (sent, _) = exchange(config, NetConfig::default(), 150 * 400 - 1, 400);
    assert_eq!(sent.run_lengths[0], 150);
}

#[test]
fn run_beyond_the_kernels_segment_limit_arrives() {
    let (sent, _) = exchange(NetConfig::default(), NetConfig::default(), 150 * 400 - 1, 400);
    assert_eq!(sent.datagrams_out, 150);
}

#[test]
fn datagrams_arrive_in_the_order_of_their_commits() {
    let mut net = net(NetConfig { receive_batch: 4, ..NetConfig::default() });
    let source = bind(&mut net, 1, LOCALHOST);
    let destination = bind(&mut net, 2, LOCALHOST);
    for i in 0..100u8 {
        // Growing sizes, so that no two datagrams join into a run.
        queue(&mut net, 1, destination, &vec![i; 10 + usize::from(i)], 0);
    }
    net.flush();
    for (i, datagram) in receive(&mut net, 100).into_iter().enumerate() {
        assert_eq!(datagram, (2, source, vec![i as u8; 10 + i]));
    }
}

#[test]
fn waiting_sends_what_is_queued() {
    let mut net = net(NetConfig::default());
    let address = bind(&mut net, 1, LOCALHOST);
    queue(&mut net, 1, address, b"to myself", 0);
    assert_eq!(receive(&mut net, 1), [(1, address, b"to myself".to_vec())]);
}

#[test]
fn busy_socket_does_not_starve_another() {
    let mut net = net(NetConfig { receive_batch: 2, gro: false, ..NetConfig::default() });
    bind(&mut net, 1, LOCALHOST);
    let busy = bind(&mut net, 2, LOCALHOST);
    let quiet = bind(&mut net, 3, LOCALHOST);
    for i in 0..20 {
        queue(&mut net, 1, busy, &[i], 0);
    }
    queue(&mut net, 1, quiet, b"once", 0);
    net.flush();
    net.wait(Some(FAILURE)).unwrap();
    let turns: Vec<u32> = (0..3).map(|_| net.receive().unwrap().token()).collect();
    assert!(turns.contains(&3), "{turns:?}");
    assert_eq!(receive(&mut net, 16).len(), 16, "and what remains is still delivered");
}

#[test]
fn undrained_socket_keeps_a_wait_from_blocking() {
    let mut net = net(NetConfig { receive_batch: 1, gro: false, ..NetConfig::default() });
    let address = bind(&mut net, 1, LOCALHOST);
    queue(&mut net, 1, address, b"one", 0);
    queue(&mut net, 1, address, b"three", 0);
    net.wait(Some(FAILURE)).unwrap();
    assert_eq!(net.receive().unwrap().next().unwrap().data, b"one");
    net.wait(None).unwrap();
    assert_eq!(net.receive().unwrap().next().unwrap().data, b"three");
}

#[test]
fn too_large_datagrams_are_dropped_and_counted() {
    for gro in [true, false] {
        let mut net = net(NetConfig { datagram_size: 100, gro, ..NetConfig::default() });
        let address = bind(&mut net, 1, LOCALHOST);
        queue(&mut net, 1, address, &[1; 101], 0);
        queue(&mut net, 1, address, &[2; 9000], 0);
        queue(&mut net, 1, address, &[3; 100], 0);
        // The 9000 and the 100 bytes arrive as one run where there is GRO.
        assert_eq!(receive(&mut net, 1), [(1, address, vec![3; 100])]);
        assert_eq!((net.stats().dropped_truncated, net.stats().datagrams_in), (2, 1));
    }
}

#[test]
fn closed_socket_reports_nothing_and_frees_its_token() {
    let mut net = net(NetConfig::default());
    let first = bind(&mut net, 1, LOCALHOST);
    let second = bind(&mut net, 2, LOCALHOST);
    queue(&mut net, 2, first, b"unread", 0);
    net.wait(Some(FAILURE)).unwrap();
    net.close(1);
    assert!(net.receive().is_none());
    net.wait(Some(Duration::ZERO)).unwrap();
    assert!(net.receive().is_none());
    queue(&mut net, 1, second, b"from nowhere", 0);
    net.flush();
    assert_eq!(net.stats().dropped_no_socket, 1);

    let again = bind(&mut net, 1, LOCALHOST);
    queue(&mut net, 2, again, b"anew", 0);
    assert_eq!(receive(&mut net, 1)[0].2, b"anew");
}

#[test]
fn closing_sends_what_was_queued_before() {
    let mut net = net(NetConfig::default());
    let source = bind(&mut net, 1, LOCALHOST);
    let destination = bind(&mut net, 2, LOCALHOST);
    queue(&mut net, 1, destination, b"goodbye", 0);
    net.close(1);
    assert_eq!(receive(&mut net, 1), [(2, source, b"goodbye".to_vec())]);
}

#[test]
fn token_is_used_once() {
    let mut net = net(NetConfig::default());
    bind(&mut net, 7, LOCALHOST);
    let error = net.bind_udp(7, &UdpOptions::new(LOCALHOST, Port::Any)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn exhausted_range_is_named() {
    let mut net = net(NetConfig::default());
    let port = bind(&mut net, 1, LOCALHOST).port();
    let error = net.bind_udp(2, &UdpOptions::new(LOCALHOST, Port::Range(port..=port))).unwrap_err();
    let expected = format!("cannot bind a UDP socket to 127.0.0.1, no free port in {port}-{port}: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn adopted_socket_works_as_a_bound_one() {
    let mut net = net(NetConfig::default());
    let udp = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let address = net.adopt_udp(1, udp).unwrap();
    queue(&mut net, 1, address, b"inherited", 0);
    assert_eq!(receive(&mut net, 1), [(1, address, b"inherited".to_vec())]);
}

#[test]
fn waker_ends_a_wait_from_another_thread() {
    let mut net = net(NetConfig::default());
    let waker = net.waker();
    for _ in 0..100 {
        let waker = waker.clone();
        let thread = thread::spawn(move || waker.wake());
        // A wait may return early, but no wake may be lost.
        while !net.wait(Some(FAILURE)).unwrap() {
            assert!(net.stats().wait_calls < 1000, "the wake was lost");
        }
        thread.join().unwrap();
    }
    assert_eq!(net.stats().wakes, 100);
}

#[test]
fn wakes_before_a_wait_coalesce() {
    let mut net = net(NetConfig::default());
    let waker = net.waker();
    waker.wake();
    waker.wake();
    assert!(net.wait(None).unwrap());
    assert!(!net.wait(Some(Duration::ZERO)).unwrap());
}

#[test]
fn wait_ends_after_its_time() {
    let mut net = net(NetConfig::default());
    let start = net.now();
    assert!(!net.wait(Some(Duration::from_micros(300))).unwrap());
    assert!(net.now() - start >= Duration::from_micros(300));
}

#[test]
fn refused_destination_is_counted_and_others_are_served() {
    let mut net = net(NetConfig::default());
    let address = bind(&mut net, 1, LOCALHOST);
    queue(&mut net, 1, SocketAddr::from((LOCALHOST, 0)), b"port 0", 0);
    queue(&mut net, 1, address, b"after", 0);
    assert_eq!(receive(&mut net, 1)[0].2, b"after");
    assert_eq!((net.stats().dropped_send_error, net.stats().datagrams_out), (1, 1));
}

#[test]
fn ipv6_and_mapped_ipv4_share_a_socket() {
    if let Err(error) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        println!("skipped: this machine has no ::1 ({error})");
        return;
    }
    let mut net = net(NetConfig::default());
    let dual = bind(&mut net, 1, Ipv6Addr::UNSPECIFIED.into());
    let v4 = bind(&mut net, 2, LOCALHOST);
    let v6 = bind(&mut net, 3, Ipv6Addr::LOCALHOST.into());
    let data = payload(2500);
    let chunks = || data.chunks(1000).map(<[u8]>::to_vec);
    for (token, near, far) in [(2, v4, LOCALHOST), (3, v6, IpAddr::from(Ipv6Addr::LOCALHOST))] {
        let there = SocketAddr::new(far, dual.port());
        queue(&mut net, token, there, &data, 1000);
        assert_eq!(receive(&mut net, 3), chunks().map(|chunk| (1, near, chunk)).collect::<Vec<_>>());
        queue(&mut net, 1, near, &data, 1000);
        assert_eq!(receive(&mut net, 3), chunks().map(|chunk| (token, there, chunk)).collect::<Vec<_>>());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn refusal_by_the_remote_side_is_counted_once() {
    let gone = UdpSocket::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let udp = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    udp.connect(gone).unwrap(); // Only connected sockets hear of ICMP errors.
    let mut net = net(NetConfig::default());
    net.adopt_udp(1, udp).unwrap();
    queue(&mut net, 1, gone, b"anybody?", 0);
    net.wait(Some(FAILURE)).unwrap();
    assert!(net.receive().is_none());
    assert_eq!(net.stats().receive_errors, 1);
    net.wait(Some(Duration::ZERO)).unwrap();
    assert!(net.receive().is_none());
    assert_eq!(net.stats().receive_errors, 1, "the error is over");
}
