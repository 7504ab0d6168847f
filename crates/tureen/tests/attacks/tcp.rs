//! Attacks on the TCP port that a call uses.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tureen::prelude::*;

use crate::call::Call;
use crate::memory::Alone;

/// More connections than may wait for their first connectivity check.
const TOO_MANY: usize = 100;

/// Less than the time in which a connection must send a connectivity check.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asserts that the worker closes the connection, earlier than by time-out.
fn assert_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(AT_ONCE)).unwrap();
    match stream.read(&mut [0]) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn silent_connections_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Tcp);
    let server = call.server();
    let mut silent = Vec::new();
    let attack = || {
        if silent.len() < 20 {
            silent.push(TcpStream::connect(server).unwrap());
        }
    };
    alone.assert_undisturbed(attack, || call.exchange());
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once_and_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Tcp);
    let server = call.server();
    let attack = || {
        let mut streams: Vec<_> = (0..TOO_MANY).map(|_| TcpStream::connect(server).unwrap()).collect();
        assert_closed(streams.last_mut().unwrap());
    };
    alone.assert_undisturbed(attack, || call.exchange());
}

#[test]
fn senders_of_one_byte_at_a_time_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Tcp);
    let server = call.server();
    let mut slow: Vec<_> = (0..40).map(|_| TcpStream::connect(server).unwrap()).collect();
    for stream in &slow {
        stream.set_nodelay(true).unwrap();
    }
    let mut sent = 0;
    let attack = || {
        // A frame of 1500 bytes that looks like media.
        let byte = match sent {
            0 => 0x05,
            1 => 0xdc,
            _ => 0x80,
        };
        sent += 1;
        for stream in &mut slow {
            // Fails if the worker has closed the connection.
            let _ = stream.write_all(&[byte]);
        }
    };
    alone.assert_undisturbed(attack, || call.exchange());
}

#[test]
fn oversized_or_invalid_frames_end_their_connection_and_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Tcp);
    let server = call.server();
    let attack = || {
        let mut oversized = TcpStream::connect(server).unwrap();
        oversized.write_all(&[0xff, 0xff]).unwrap();
        assert_closed(&mut oversized);
        // Frames of length zero, and one that is larger than any buffer.
        let mut senseless = TcpStream::connect(server).unwrap();
        let _ = senseless.write_all(&[0; 1000]);
        let _ = senseless.write_all(&[[0, 8, 0x80, 100, 0, 1, 0, 0, 0, 1]; 100].concat());
    };
    alone.assert_undisturbed(attack, || call.exchange());
}
