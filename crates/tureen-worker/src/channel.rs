//! The two ends of the channel to the parent: frames in, bytes out. Neither blocks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Framing of messages on the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Length of four bytes in host order, then the frame.
    LengthPrefix,
    /// Netstring: the length in decimal digits, a colon, the frame, a comma.
    Netstring,
}

impl Framing {
    /// Appends `frame` with its framing to `out`.
    pub fn write(self, frame: &[u8], out: &mut Vec<u8>) {
        match self {
            // Cannot overflow, because the largest frame is a message of an SCTP association.
            Self::LengthPrefix => out.extend_from_slice(&(frame.len() as u32).to_ne_bytes()),
            Self::Netstring => out.extend_from_slice(format!("{}:", frame.len()).as_bytes()),
        }
        out.extend_from_slice(frame);
        if self == Self::Netstring {
            out.push(b',');
        }
    }

    /// Range of the first frame in `bytes`, and the start of the next one. `None` if more bytes are needed.
    fn find(self, bytes: &[u8], max_frame: usize) -> Result<Option<(std::ops::Range<usize>, usize)>, Broken> {
        let (start, len, trailer) = match self {
            Self::LengthPrefix => {
                let Some(prefix) = bytes.first_chunk() else { return Ok(None) };
                (4, u32::from_ne_bytes(*prefix) as usize, 0)
            }
            Self::Netstring => {
                // Ten digits hold every length within the limit.
                let Some(colon) = bytes.iter().take(11).position(|&byte| byte == b':') else {
                    return if bytes.len() > 10 { Err(Broken::NoLength) } else { Ok(None) };
                };
                let digits = std::str::from_utf8(&bytes[..colon]).map_err(|_| Broken::NoLength)?;
                (colon + 1, digits.parse().map_err(|_| Broken::NoLength)?, 1)
            }
        };
        if len > max_frame {
            return Err(Broken::TooLong(len));
        }
        let end = start + len;
        if bytes.len() < end + trailer {
            return Ok(None);
        }
        if trailer > 0 && bytes[end] != b',' {
            return Err(Broken::NoComma);
        }
        Ok(Some((start..end, end + trailer)))
    }
}

/// Error of the parent's framing. The next frame cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Netstring without a length.
    NoLength,
    /// Netstring without its comma.
    NoComma,
    /// Frame of this many bytes, which is too long.
    TooLong(usize),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoLength => f.write_str("a frame without a length"),
            Self::NoComma => f.write_str("a frame without its comma"),
            Self::TooLong(len) => write!(f, "a frame of {len} bytes"),
        }
    }
}

/// Maximum of bytes in one read.
const READ_SIZE: usize = 64 << 10;
/// Capacity beyond which an empty buffer is freed.
const KEPT_CAPACITY: usize = 256 << 10;

/// End of the channel that the parent writes to.
#[derive(Debug)]
pub struct Inbox {
    file: File,
    framing: Framing,
    max_frame: usize,
    buffer: Vec<u8>,
    /// Start of the next frame.
    start: usize,
}

impl Inbox {
    /// Reads frames of at most `max_frame` bytes from `fd`, which becomes non-blocking.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn new(fd: OwnedFd, framing: Framing, max_frame: usize) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { file: fd.into(), framing, max_frame, buffer: Vec::new(), start: 0 })
    }

    /// Reads up to 64 KiB. False at the end of file, when the parent has closed its side.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEPT_CAPACITY {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let end = self.buffer.len();
        self.buffer.resize(end + READ_SIZE, 0);
        let result = self.file.read(&mut self.buffer[end..]);
        self.buffer.truncate(end + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(read) => Ok(read > 0),
            Err(error) if is_temporary(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next complete frame.
    ///
    /// # Errors
    /// The framing is invalid.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Broken> {
        let found = self.framing.find(&self.buffer[self.start..], self.max_frame)?;
        Ok(found.map(|(frame, next)| {
            let frame = self.start + frame.start..self.start + frame.end;
            self.start += next;
            &self.buffer[frame]
        }))
    }

    /// True if [`next_frame`](Self::next_frame) returns a frame or an error.
    pub fn has_frame(&self) -> bool {
        !matches!(self.framing.find(&self.buffer[self.start..], self.max_frame), Ok(None))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// End of the channel that the parent reads from, with the bytes that wait to be written.
#[derive(Debug)]
pub struct Outbox {
    file: File,
    buffer: Vec<u8>,
    /// Written bytes of the buffer.
    written: usize,
}

impl Outbox {
    /// Writes to `fd`, which becomes non-blocking.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { file: fd.into(), buffer: Vec::new(), written: 0 })
    }

    /// Buffer to append the next bytes to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes that wait to be written.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// True if no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes as many bytes as the channel accepts now.
    ///
    /// # Errors
    /// The error of the operating system, because the parent is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.is_empty() {
            match self.file.write(&self.buffer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_temporary(&error) => break,
                Err(error) => return Err(error),
            }
        }
        if self.is_empty() {
            self.buffer.clear();
            self.written = 0;
            if self.buffer.capacity() > KEPT_CAPACITY {
                self.buffer = Vec::new();
            }
        } else if self.written > self.buffer.len() / 2 {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn inbox(framing: Framing, max_frame: usize) -> (UnixStream, Inbox) {
        let (far, near) = UnixStream::pair().unwrap();
        (far, Inbox::new(near.into(), framing, max_frame).unwrap())
    }

    #[test]
    fn frames_are_read_for_any_segmentation() {
        for framing in [Framing::LengthPrefix, Framing::Netstring] {
            let frames: [&[u8]; 4] = [b"one", b"", b"3:a,", &[7; 300]];
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| framing.write(frame, &mut bytes));
            for size in [1, 2, 5, bytes.len()] {
                let (mut far, mut inbox) = inbox(framing, 1000);
                let mut seen = Vec::new();
                for part in bytes.chunks(size) {
                    far.write_all(part).unwrap();
                    assert!(inbox.fill().unwrap());
                    while let Some(frame) = inbox.next_frame().unwrap() {
                        seen.push(frame.to_vec());
                    }
                    assert!(!inbox.has_frame());
                }
                assert_eq!(seen, frames, "{framing:?} in parts of {size}");
            }
        }
    }

    #[test]
    fn end_of_stream_is_distinguished_from_silence() {
        let (far, mut inbox) = inbox(Framing::LengthPrefix, 10);
        assert!(inbox.fill().unwrap());
        drop(far);
        assert!(!inbox.fill().unwrap());
    }

    #[test]
    fn malformed_frames_are_refused() {
        for (framing, bytes, broken) in [
            (Framing::LengthPrefix, &11u32.to_ne_bytes()[..], Broken::TooLong(11)),
            (Framing::Netstring, b"11:", Broken::TooLong(11)),
            (Framing::Netstring, b"-1:", Broken::NoLength),
            (Framing::Netstring, b"{\"id\":1,\"method\"", Broken::NoLength),
            (Framing::Netstring, b"1:ab", Broken::NoComma),
            (Framing::Netstring, b"\xff:", Broken::NoLength),
        ] {
            let (mut far, mut inbox) = inbox(framing, 10);
            far.write_all(bytes).unwrap();
            inbox.fill().unwrap();
            assert!(inbox.has_frame());
            assert_eq!(inbox.next_frame().unwrap_err(), broken);
        }
    }

    #[test]
    fn slow_parent_gets_all_frames_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::new(near.into()).unwrap();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        outbox.buffer().extend_from_slice(&bytes);
        outbox.flush().unwrap();
        assert!(!outbox.is_empty());
        let mut seen = vec![0; bytes.len()];
        let mut read = 0;
        while read < bytes.len() {
            read += far.read(&mut seen[read..]).unwrap();
            outbox.flush().unwrap();
        }
        assert!(outbox.is_empty());
        assert!(outbox.buffer().capacity() <= KEPT_CAPACITY);
        assert_eq!(seen, bytes);
    }

    #[test]
    fn dead_parent_is_an_error() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let mut outbox = Outbox::new(near.into()).unwrap();
        outbox.buffer().push(1);
        assert!(outbox.flush().is_err());
    }
}
