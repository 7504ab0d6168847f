//! TCP streams of the loopback interface carry datagrams as frames and have bounded queues.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tureen_net::{Connection, Net, NetConfig, Port, StreamEvent, TcpOptions};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LISTENER: u32 = 1;
const STREAM: u32 = 2;

/// Time limit of a wait for something that must happen.
const FAILURE: Duration = Duration::from_secs(10);

fn options() -> TcpOptions {
    TcpOptions { ip: LOCALHOST, port: Port::Any, ipv6_only: false, send_buffer: None, recv_buffer: None }
}

/// Waits for the next event; datagrams that arrive in the meantime are kept.
fn next_event(net: &mut Net, datagrams: &mut Vec<Vec<u8>>) -> StreamEvent {
    for _ in 0..1000 {
        if let Some(event) = net.next_stream_event() {
            return event;
        }
        net.wait(Some(FAILURE)).unwrap();
        receive(net, datagrams);
    }
    panic!("nothing happened");
}

fn receive(net: &mut Net, datagrams: &mut Vec<Vec<u8>>) {
    while let Some(batch) = net.receive() {
        datagrams.extend(batch.map(|datagram| datagram.data.to_vec()));
    }
}

/// A network with one stream, named [`STREAM`], and its remote side.
fn connected(config: NetConfig, options: &TcpOptions) -> (Net, TcpStream) {
    let mut net = Net::new(config).unwrap();
    let address = net.listen_tcp(LISTENER, options).unwrap();
    let far = TcpStream::connect(address).unwrap();
    far.set_read_timeout(Some(FAILURE)).unwrap();
    let StreamEvent::Incoming { listener, remote, connection } = next_event(&mut net, &mut Vec::new()) else {
        panic!("not a connection")
    };
    assert_eq!((listener, remote), (LISTENER, far.local_addr().unwrap()));
    net.adopt_stream(STREAM, connection).unwrap();
    (net, far)
}

fn frame(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

fn receive_until(net: &mut Net, count: usize) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        net.wait(Some(FAILURE)).unwrap();
        let before = datagrams.len();
        receive(net, &mut datagrams);
        assert!(datagrams.len() > before || net.next_stream_event().is_none(), "the stream has ended");
    }
    datagrams
}

fn commit(net: &mut Net, remote: SocketAddr, datagram: &[u8], control: bool) {
    net.send_slot()[..datagram.len()].copy_from_slice(datagram);
    if control {
        net.commit_control(STREAM, remote, datagram.len());
    } else {
        net.commit(STREAM, remote, datagram.len(), datagram.len());
    }
}

fn read_frame(far: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 2];
    far.read_exact(&mut prefix).unwrap();
    let mut datagram = vec![0; u16::from_be_bytes(prefix).into()];
    far.read_exact(&mut datagram).unwrap();
    datagram
}

#[test]
fn frames_are_datagrams_for_any_segmentation() {
    let (mut net, mut far) = connected(NetConfig::default(), &options());
    let sent: Vec<Vec<u8>> = [1, 900, 4096, 3].map(|len| vec![len as u8; len]).into();
    let bytes: Vec<u8> = sent.iter().flat_map(|datagram| frame(datagram)).collect();
    far.set_nodelay(true).unwrap();
    let mut received = Vec::new();
    for piece in [&bytes[..1], &bytes[1..4], &bytes[4..700], &bytes[700..5001], &bytes[5001..]] {
        far.write_all(piece).unwrap();
        net.wait(Some(FAILURE)).unwrap();
        receive(&mut net, &mut received);
    }
    received.extend(receive_until(&mut net, sent.len() - received.len()));
    assert_eq!(received, sent);
    assert_eq!(net.stats().datagrams_in, 4);
}

#[test]
fn runs_go_out_frame_by_frame() {
    let (mut net, mut far) = connected(NetConfig::default(), &options());
    let remote = far.local_addr().unwrap();
    let data: Vec<u8> = (0..250).collect();
    net.send_slot()[..250].copy_from_slice(&data);
    net.commit(STREAM, remote, 250, 100);
    commit(&mut net, remote, b"control", true);
    net.flush();
    let frames: Vec<_> = (0..4).map(|_| read_frame(&mut far)).collect();
    assert_eq!(frames, [&data[..100], &data[100..200], &data[200..], b"control"]);
}

#[test]
fn end_of_the_remote_side_is_reported_after_its_last_frame() {
    let (mut net, mut far) = connected(NetConfig::default(), &options());
    far.write_all(&frame(b"goodbye")).unwrap();
    drop(far);
    let mut datagrams = Vec::new();
    assert!(matches!(next_event(&mut net, &mut datagrams), StreamEvent::Closed { token: STREAM }));
    assert_eq!(datagrams, [b"goodbye"]);
    assert_eq!(net.stats().streams_ended, 1);
    // The token can be used again.
    net.listen_tcp(STREAM, &options()).unwrap();
}

#[test]
fn oversized_frame_ends_the_stream() {
    let config = NetConfig { stream_frame_size: 100, ..NetConfig::default() };
    let (mut net, mut far) = connected(config, &options());
    far.write_all(&[frame(&[1; 100]), frame(&[2; 101])].concat()).unwrap();
    let mut datagrams = Vec::new();
    assert!(matches!(next_event(&mut net, &mut datagrams), StreamEvent::Closed { token: STREAM }));
    assert_eq!(datagrams, [[1; 100]]);
    match far.read(&mut [0]) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn refused_connection_is_closed() {
    let mut net = Net::new(NetConfig::default()).unwrap();
    let address = net.listen_tcp(LISTENER, &options()).unwrap();
    let mut far = TcpStream::connect(address).unwrap();
    far.set_read_timeout(Some(FAILURE)).unwrap();
    drop(next_event(&mut net, &mut Vec::new()));
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn closed_listener_accepts_no_connection() {
    let mut net = Net::new(NetConfig::default()).unwrap();
    let address = net.listen_tcp(LISTENER, &options()).unwrap();
    net.close(LISTENER);
    assert!(TcpStream::connect(address).is_err());
}

/// A stream whose remote side does not read, with small buffers.
fn stuck() -> (Net, TcpStream) {
    let stream_queue_time = Duration::from_secs(60);
    let config = NetConfig { stream_queue: 50_000, stream_queue_time, ..NetConfig::default() };
    connected(config, &TcpOptions { send_buffer: Some(4096), ..options() })
}

#[test]
fn media_to_a_stalled_reader_is_dropped_and_control_is_sent() {
    let (mut net, mut far) = stuck();
    let remote = far.local_addr().unwrap();
    let mut sent = 0;
    while net.stats().dropped_send_buffer_full == 0 {
        commit(&mut net, remote, &[7; 1000], false);
        net.flush();
        sent += 1;
        assert!(sent < 20_000, "there is no bound");
    }
    commit(&mut net, remote, b"control", true);
    // The remote side starts to read: all accepted datagrams arrive, in order.
    let expected = [frame(&[7; 1000]).repeat(sent - 1), frame(b"control")].concat();
    let mut received = Vec::<u8>::new();
    while received.len() < expected.len() {
        net.wait(Some(Duration::ZERO)).unwrap();
        receive(&mut net, &mut Vec::new());
        let mut piece = vec![0; (expected.len() - received.len()).min(1000)];
        let len = far.read(&mut piece).unwrap();
        received.extend(&piece[..len]);
    }
    assert!(received == expected);
    assert!(net.next_stream_event().is_none());
}

#[test]
fn control_datagrams_of_a_stalled_stream_are_bounded_too() {
    let (mut net, far) = stuck();
    let remote = far.local_addr().unwrap();
    let queue_until_full = |net: &mut Net, control: bool| {
        let dropped = net.stats().dropped_send_buffer_full;
        (0..20_000).find(|_| {
            commit(net, remote, &[7; 1000], control);
            net.flush();
            net.stats().dropped_send_buffer_full > dropped
        })
    };
    assert!(queue_until_full(&mut net, false).is_some());
    let control = queue_until_full(&mut net, true).expect("there is a bound");
    assert!((49..=50).contains(&control), "as much again: {control}");
    assert!(net.next_stream_event().is_none(), "the stream goes on");
}

/// Reads from `far` at 500 kbit/s, with a small buffer in the kernel, and reports each whole datagram with its arrival
/// time.
#[expect(clippy::disallowed_methods, reason = "it is the rate of the line that takes time")]
fn slow_line(mut far: TcpStream, arrivals: mpsc::Sender<(Instant, Vec<u8>)>) {
    const PIECE: usize = 625;
    let mut received = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        thread::sleep(Duration::from_millis(10));
        let Ok(len @ 1..) = far.read(&mut piece) else { return };
        received.extend_from_slice(&piece[..len]);
        while let Some(&[high, low]) = received.first_chunk()
            && let end = 2 + usize::from(u16::from_be_bytes([high, low]))
            && received.len() >= end
        {
            let datagram = received.drain(..end).skip(2).collect();
            if arrivals.send((now(), datagram)).is_err() {
                return;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how late something is on a real socket is told by the real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn media_for_a_slow_line_is_late_by_a_bounded_time_and_control_is_not_dropped() {
    let mut net = Net::new(NetConfig::default()).unwrap();
    let address = net.listen_tcp(LISTENER, &options()).unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let far = TcpStream::from(socket);
    let remote = far.local_addr().unwrap();
    let StreamEvent::Incoming { connection, .. } = next_event(&mut net, &mut Vec::new()) else {
        panic!("not a connection")
    };
    net.adopt_stream(STREAM, connection).unwrap();
    let (sender, arrivals) = mpsc::channel();
    let line = thread::spawn(move || slow_line(far, sender));

    // 1200 kbit/s of media for three seconds, with an essential datagram from time to time.
    let start = now();
    let stamp = |at: Instant| (at.duration_since(start).as_micros() as u64).to_be_bytes();
    let (mut events, mut control) = (Vec::new(), 0u32);
    let mut next = start;
    while now() < start + Duration::from_secs(3) {
        if now() >= next {
            next += Duration::from_millis(10);
            let mut datagram = [0; 1500];
            datagram[..8].copy_from_slice(&stamp(now()));
            commit(&mut net, remote, &datagram, false);
            if control < 100 {
                commit(&mut net, remote, &control.to_be_bytes(), true);
                control += 1;
            }
        }
        net.wait(Some(Duration::from_millis(2))).unwrap();
        receive(&mut net, &mut Vec::new());
        events.extend(std::iter::from_fn(|| net.next_stream_event()));
    }
    assert!(matches!(events[..], [StreamEvent::Backlog { token: STREAM, late: true }]), "{events:?}");
    assert!(net.stats().dropped_late > 50, "{:?}", net.stats());
    // The empty backlog is reported too.
    let ended = next_event(&mut net, &mut Vec::new());
    assert!(matches!(ended, StreamEvent::Backlog { token: STREAM, late: false }), "{ended:?}");
    net.close(STREAM);
    line.join().unwrap();

    let (mut media, mut latest, mut essential) = (0, Duration::ZERO, Vec::new());
    for (at, datagram) in arrivals {
        match datagram[..].try_into() {
            Ok(number) => essential.push(u32::from_be_bytes(number)),
            Err(_) => {
                let sent = u64::from_be_bytes(datagram[..8].try_into().unwrap());
                latest = latest.max(at.duration_since(start + Duration::from_micros(sent)));
                media += 1;
            }
        }
    }
    assert_eq!(essential, (0..100).collect::<Vec<_>>());
    assert!(latest < Duration::from_secs(1), "{latest:?}");
    assert!(media > 90, "{media} of 300: most of what the line carries");
}

#[test]
fn outgoing_connection_carries_what_was_sent_before_it_was_there() {
    let mut net = Net::new(NetConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
    let remote = listener.local_addr().unwrap();
    net.adopt_stream(STREAM, Connection::open(remote, Some(LOCALHOST)).unwrap()).unwrap();
    net.send_slot()[..5].copy_from_slice(b"hello");
    net.commit_control(STREAM, remote, 5);
    net.flush();
    let (mut far, _) = listener.accept().unwrap();
    far.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 64];
    for _ in 0..1000 {
        net.wait(Some(Duration::from_millis(10))).unwrap();
        while net.receive().is_some() {}
        match far.read(&mut buffer) {
            Ok(read) => received.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if received == frame(b"hello") {
            break;
        }
    }
    assert_eq!(received, frame(b"hello"));
    far.set_nonblocking(false).unwrap();
    far.write_all(&frame(b"world")).unwrap();
    assert_eq!(receive_until(&mut net, 1), [b"world"]);
}

#[test]
fn connection_that_is_refused_is_reported_as_closed() {
    let mut net = Net::new(NetConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
    let remote = listener.local_addr().unwrap();
    drop(listener);
    match Connection::open(remote, None) {
        Ok(connection) => net.adopt_stream(STREAM, connection).unwrap(),
        // Some systems say so at once.
        Err(error) => return assert!(error.to_string().contains(&remote.to_string()), "{error}"),
    }
    let event = next_event(&mut net, &mut Vec::new());
    assert!(matches!(event, StreamEvent::Closed { token: STREAM }), "{event:?}");
}
