//! Role of mediasoup's library: starts the process and communicates on file descriptors 3 and 4.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use planus::{Builder, ReadAsRoot};
use tureen_worker::channel::Framing;
use tureen_worker::flatbuffers::schema::message::{Body, Message, MessageRef};
use tureen_worker::flatbuffers::schema::notification::{Event, Notification};
use tureen_worker::flatbuffers::schema::request::{self, Method, Request};
use tureen_worker::flatbuffers::schema::response::Response;

/// Version of the library.
const VERSION: &str = "3.27.1";
/// Time limit for any step of a worker, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shell moves the channel to the worker's file descriptors and executes the worker.
const BECOME_WORKER: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#;
/// The shell stays as a process between this one and the worker.
const HAVE_WORKER: &str = r#"exec 3<&0 4>&1 </dev/null >&2; "$0" "$@" & wait"#;

/// A worker process and both ends of its channel.
#[derive(Debug)]
pub(crate) struct Parent {
    child: Child,
    to_worker: Option<UnixStream>,
    from_worker: UnixStream,
    requests: u32,
}

/// End of a process.
#[derive(Debug)]
pub(crate) struct Exit {
    /// Exit status; `None` after a signal.
    pub(crate) status: Option<i32>,
    /// Output on standard error.
    pub(crate) stderr: String,
}

impl Parent {
    /// Starts a worker for the supported FlatBuffers library and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut parent = Self::spawn(BECOME_WORKER, Some(VERSION), arguments);
        let running = parent.notification();
        assert_eq!(running.event, Event::WorkerRunning);
        assert_eq!(running.handler_id, parent.pid().to_string());
        parent
    }

    /// Starts a worker whose parent is another process, which [`kill`](Self::kill) ends.
    pub(crate) fn start_with_go_between() -> Self {
        let mut parent = Self::spawn(HAVE_WORKER, Some(VERSION), &[]);
        assert_eq!(parent.notification().event, Event::WorkerRunning);
        parent
    }

    /// Exit of a process that was started by a library of `version`, or without a version.
    pub(crate) fn refused(version: Option<&str>, arguments: &[&str]) -> Exit {
        Self::spawn(BECOME_WORKER, version, arguments).wait()
    }

    fn spawn(script: &str, version: Option<&str>, arguments: &[&str]) -> Self {
        let (to_worker, stdin) = UnixStream::pair().unwrap();
        let (from_worker, stdout) = UnixStream::pair().unwrap();
        from_worker.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_tureen-worker")]).args(arguments);
        match version {
            Some(version) => command.env("MEDIASOUP_VERSION", version),
            None => command.env_remove("MEDIASOUP_VERSION"),
        };
        let child = command
            .stdin(OwnedFd::from(stdin))
            .stdout(OwnedFd::from(stdout))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, to_worker: Some(to_worker), from_worker, requests: 0 }
    }

    /// The process that was started.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process; `None` on a system without `/proc`.
    pub(crate) fn resident_kib(&self) -> Option<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Sends a request and returns its response, which must be positive. Discards earlier events.
    pub(crate) fn request(&mut self, method: Method, handler: &str, body: Option<request::Body>) -> Response {
        let response = self.try_request(method, handler, body);
        assert!(response.accepted, "{method:?}: {:?}", response.reason);
        response
    }

    /// Sends a request and returns its response.
    pub(crate) fn try_request(
        &mut self,
        method: Method,
        handler: &str,
        body: Option<request::Body>,
    ) -> Response {
        self.requests += 1;
        let id = self.requests;
        self.ask(id, method, handler, body);
        loop {
            match self.receive() {
                Body::Response(response) if response.id == id => return *response,
                Body::Response(other) => panic!("an answer to nothing: {other:?}"),
                Body::Notification(_) | Body::Log(_) => {}
                Body::Request(request) => panic!("{request:?}"),
            }
        }
    }

    /// Sends a request. The ids of [`request`](Self::request) count from 1.
    pub(crate) fn ask(&mut self, id: u32, method: Method, handler: &str, body: Option<request::Body>) {
        let handler_id = handler.to_owned();
        self.send(Body::Request(Box::new(Request { id, method, handler_id, body })));
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, body: Body) {
        self.send_frame(Builder::new().finish(Message { data: body }, None));
    }

    /// Sends an arbitrary frame.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = Vec::new();
        Framing::LengthPrefix.write(frame, &mut bytes);
        self.send_bytes(&bytes);
    }

    /// Sends arbitrary bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.to_worker.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> Body {
        let mut len = [0; 4];
        self.from_worker.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_ne_bytes(len) as usize];
        self.from_worker.read_exact(&mut frame).unwrap();
        Message::try_from(MessageRef::read_as_root(&frame).unwrap()).unwrap().data
    }

    fn notification(&mut self) -> Notification {
        match self.receive() {
            Body::Notification(notification) => *notification,
            other => panic!("no notification: {other:?}"),
        }
    }

    /// Closes the channel to the worker.
    pub(crate) fn close(&mut self) {
        self.to_worker = None;
    }

    /// Ends the started process by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits until all started processes have exited and closed the channel and standard error.
    pub(crate) fn wait(mut self) -> Exit {
        self.from_worker.read_to_end(&mut Vec::new()).unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Exit { status: self.child.wait().unwrap().code(), stderr }
    }
}

impl Drop for Parent {
    /// Ends the process after a failed test.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
