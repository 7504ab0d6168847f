//! The worker process as its parent sees it: the real binary, its file descriptors, real messages.
#![cfg(unix)]

mod flood;
mod json_parent;
mod parent;
mod replay;
mod room;

use rustix::process::{Pid, Signal, kill_process};
use tureen_worker::flatbuffers::schema::message::Body;
use tureen_worker::flatbuffers::schema::notification::{Event, Notification};
use tureen_worker::flatbuffers::schema::request::Method;
use tureen_worker::flatbuffers::schema::{log, response};

use parent::Parent;

#[test]
fn worker_serves_requests_until_its_channel_is_closed() {
    let mut parent = Parent::start(&["--logLevel=warn", "--rtcMinPort=20000", "--rtcMaxPort=29999"]);
    let dump = room::create_webrtc_transport(&mut parent, "room", "transport");
    assert_eq!(dump.ice_candidates.len(), 1);
    assert!((20000..30000).contains(&dump.ice_candidates[0].port));
    assert!(!dump.dtls_parameters.fingerprints.is_empty());

    let response = parent.request(Method::WorkerDump, "", None);
    let Some(response::Body::WorkerDumpResponse(dump)) = response.body else { panic!() };
    assert_eq!((dump.pid, dump.router_ids), (parent.pid(), vec!["room".to_owned()]));

    parent.close();
    let exit = parent.wait();
    assert_eq!((exit.status, exit.stderr.as_str()), (Some(0), ""));
}

#[test]
fn signals_and_the_close_request_end_it_with_everything_closed() {
    let signal = |signal| {
        move |parent: &mut Parent| {
            kill_process(Pid::from_raw(parent.pid().cast_signed()).unwrap(), signal).unwrap();
        }
    };
    let close = |parent: &mut Parent| {
        let (handler_id, event) = (String::new(), Event::WorkerClose);
        parent.send(Body::Notification(Box::new(Notification { handler_id, event, body: None })));
    };
    let ends: [&dyn Fn(&mut Parent); 3] = [&signal(Signal::TERM), &signal(Signal::INT), &close];
    for end in ends {
        let mut parent = Parent::start(&[]);
        room::create_webrtc_transport(&mut parent, "room", "transport");
        end(&mut parent);
        let exit = parent.wait();
        assert_eq!((exit.status, exit.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn other_signals_are_ignored() {
    let mut parent = Parent::start(&[]);
    for signal in [Signal::HUP, Signal::ALARM, Signal::USR1, Signal::USR2] {
        kill_process(Pid::from_raw(parent.pid().cast_signed()).unwrap(), signal).unwrap();
    }
    parent.request(Method::WorkerDump, "", None);
}

/// The channel stays open, so that the worker can learn only by the signal that its parent has died.
#[cfg(target_os = "linux")]
#[test]
fn worker_does_not_outlive_its_parent() {
    let mut parent = Parent::start_with_go_between();
    room::create_webrtc_transport(&mut parent, "room", "transport");
    parent.kill();
    assert_eq!(parent.wait().stderr, "");
}

#[test]
fn settings_that_cannot_be_met_are_named() {
    for (arguments, part) in [
        (&["--colour=red"][..], "--colour=red"),
        (&["--rtcMinPort=2000", "--rtcMaxPort=1999"], "rtcMaxPort 1999"),
        (&["--logLevel=chicken"], "chicken"),
        (&["--dtlsCertificateFile=/no/cert.pem", "--dtlsPrivateKeyFile=/no/key.pem"], "/no/cert.pem"),
    ] {
        let exit = Parent::refused(Some("3.27.1"), arguments);
        assert_eq!(exit.status, Some(42), "{arguments:?}");
        assert!(exit.stderr.contains(part), "{arguments:?}: {}", exit.stderr);
    }
}

#[test]
fn only_a_library_of_a_known_version_is_served() {
    let exit = Parent::refused(None, &[]);
    assert_eq!(exit.status, Some(41));
    assert!(exit.stderr.contains("--help"), "{}", exit.stderr);
    for version in ["3.26.0", "3.27.2", "4.0.0", "", "chicken"] {
        let exit = Parent::refused(Some(version), &[]);
        assert_eq!(exit.status, Some(42), "{version}");
        assert!(exit.stderr.contains(&format!("mediasoup {version} is not supported")), "{}", exit.stderr);
    }
}

#[test]
fn version_and_help_need_no_library() {
    let output = |argument| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tureen-worker"))
            .arg(argument)
            .env_remove("MEDIASOUP_VERSION")
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let version = output("--version");
    assert!(version.starts_with(concat!("tureen-worker ", env!("CARGO_PKG_VERSION"))), "{version}");
    let help = output("--help");
    for word in ["MEDIASOUP_WORKER_BIN", "--logLevel", "3.27.1", "42"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[cfg(feature = "openssl")]
#[test]
fn rsa_certificate_serves_as_it_does_with_mediasoup() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tureen-rtc/src/dtls/testdata");
    let mut parent = Parent::start(&[
        &format!("--dtlsCertificateFile={}", folder.join("rsa.crt").display()),
        &format!("--dtlsPrivateKeyFile={}", folder.join("rsa.key").display()),
    ]);
    room::create_webrtc_transport(&mut parent, "room", "transport");
}

#[test]
fn malformed_messages_get_an_error_or_a_line_of_the_log() {
    let mut parent = Parent::start(&[]);
    let line = |parent: &mut Parent| match parent.receive() {
        Body::Log(line) => line.data,
        other => panic!("{other:?}"),
    };
    for frame in [&[][..], &[0; 4], &[0xff; 64], br#"{"id":1,"method":"worker.dump"}"#] {
        parent.send_frame(frame);
        let line = line(&mut parent);
        assert!(line.starts_with('E') && line.contains("malformed message"), "{line}");
    }
    parent.send(Body::Log(Box::new(log::Log { data: "Dwrong way".to_owned() })));
    assert!(line(&mut parent).contains("only a worker may send"));
    let senseless = Notification { handler_id: "x".to_owned(), event: Event::ProducerSend, body: None };
    parent.send(Body::Notification(Box::new(senseless)));
    assert!(line(&mut parent).contains("ProducerSend"));

    for (method, handler, error) in [
        (Method::TransportProduce, "transport", "TypeError"),
        (Method::RouterDump, "no such router", "NotFoundError"),
    ] {
        let response = parent.try_request(method, handler, None);
        assert!(!response.accepted);
        assert_eq!(response.error.as_deref(), Some(error), "{:?}", response.reason);
    }
    parent.request(Method::WorkerDump, "", None);
}

#[test]
fn malformed_frames_end_it() {
    let mut parent = Parent::start(&[]);
    parent.send_bytes(&0x4000_0000_u32.to_ne_bytes());
    let exit = parent.wait();
    assert_eq!(exit.status, Some(1));
    assert!(exit.stderr.contains("a frame of 1073741824 bytes"), "{}", exit.stderr);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let mut parent = Parent::start(&[]);
    for id in 1..=500 {
        parent.ask(id, Method::WorkerDump, "", None);
    }
    for id in 1..=500 {
        let Body::Response(response) = parent.receive() else { panic!() };
        assert_eq!((response.id, response.accepted), (id, true));
    }
}

/// The backlog is full after half of the packets.
#[cfg(target_os = "linux")]
#[test]
fn parent_that_does_not_read_costs_bounded_memory_and_no_media() {
    const BACKLOG: usize = 8 << 20;
    const BACKLOG_KIB: usize = BACKLOG >> 10;
    const PACKETS: u16 = 2 * (BACKLOG / room::PACKET_SIZE) as u16;
    let mut parent = Parent::start(&["--logLevel=warn"]);
    let mut room = room::Room::new(&mut parent);
    room.send_and_expect(0..PACKETS);
    let full = parent.resident_kib().unwrap();
    room.send_and_expect(PACKETS..2 * PACKETS);
    let growth = parent.resident_kib().unwrap().saturating_sub(full);
    assert!(growth < BACKLOG_KIB / 4, "{growth} KiB more");
    assert!(full < 8 * BACKLOG_KIB, "{full} KiB");

    // The parent reads again: it gets the stored messages and a warning about dropped ones.
    let (mut packets, mut answered, mut warned) = (0, false, false);
    parent.ask(77, Method::WorkerDump, "", None);
    while !(answered && warned) {
        match parent.receive() {
            Body::Notification(notification) => {
                packets += usize::from(notification.event == Event::ConsumerRtp);
            }
            Body::Log(line) => warned |= line.data.contains("too slow"),
            Body::Response(response) => answered |= response.id == 77 && response.accepted,
            Body::Request(request) => panic!("{request:?}"),
        }
    }
    assert!(packets > BACKLOG / room::PACKET_SIZE / 2 && packets < 2 * usize::from(PACKETS), "{packets}");
}
