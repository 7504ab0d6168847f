//! Role of a mediasoup library that uses JSON: the channel on file descriptors 3 and 4, the payload channel on 5 and 6.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tureen_worker::channel::{Framing, Inbox};

/// The shell moves both channels to the worker's file descriptors and executes the worker.
const BECOME_WORKER: &str = r#"exec "$0" 3<&0 4>&0 5<&1 6>&1 </dev/null >&2"#;
const MAX_FRAME: usize = 4 << 20;

/// A worker process and its channel.
#[derive(Debug)]
pub(crate) struct JsonParent {
    child: Child,
    to_worker: UnixStream,
    from_worker: Inbox,
    /// Kept open, because its end would end the worker.
    _payload: UnixStream,
}

impl JsonParent {
    /// Starts a worker as the library of `version` does.
    pub(crate) fn start(version: &str) -> Self {
        let (to_worker, channel) = UnixStream::pair().unwrap();
        let (payload, payload_channel) = UnixStream::pair().unwrap();
        let child = Command::new("sh")
            .args(["-c", BECOME_WORKER, env!("CARGO_BIN_EXE_tureen-worker")])
            .env("MEDIASOUP_VERSION", version)
            .stdin(OwnedFd::from(channel))
            .stdout(OwnedFd::from(payload_channel))
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let from_worker = to_worker.try_clone().unwrap();
        let from_worker = Inbox::new(from_worker.into(), Framing::Netstring, MAX_FRAME).unwrap();
        Self { child, to_worker, from_worker, _payload: payload }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the exit of the worker.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends a message. It must fit into the socket's buffer, as all messages of the library do.
    pub(crate) fn send(&mut self, message: &Value) {
        let mut bytes = Vec::new();
        Framing::Netstring.write(message.to_string().as_bytes(), &mut bytes);
        self.to_worker.write_all(&bytes).unwrap();
    }

    /// Returns the next message, if there is one. Log lines are skipped.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        loop {
            if !self.from_worker.has_frame() {
                assert!(self.from_worker.fill().unwrap(), "the worker has closed the channel");
            }
            match self.from_worker.next_frame().unwrap()? {
                message @ [b'{', ..] => return Some(serde_json::from_slice(message).unwrap()),
                line => eprintln!("{}", String::from_utf8_lossy(line)),
            }
        }
    }
}

impl AsFd for JsonParent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from_worker.as_fd()
    }
}

impl Drop for JsonParent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
