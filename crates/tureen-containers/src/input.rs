//! The bytes of a file, buffered, with their place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::error::{ContainerError, ErrorKind};

const BUFFER_LEN: usize = 64 * 1024;
/// Largest element that a demuxer may read in one piece, in bytes: it sees no later end of the file than this.
const HORIZON: u64 = 32 << 20;

/// Reads of a demuxer for one frame, at most.
const MAX_READS: u64 = 50_000_000;

/// A file that is read from one place after the other.
#[derive(Debug)]
pub(crate) struct Input {
    name: Arc<str>,
    backing: Backing,
    len: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
    guard: Option<Arc<Guard>>,
}

/// Watches over a demuxer that owns its input: it goes round in circles in files that are made for that, and takes an error
/// of the operating system for the end of the file.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Calls of `read` that are left.
    reads: AtomicU64,
    most: u64,
    trouble: OnceLock<String>,
}

impl Guard {
    /// Lets the demuxer read through the file some times more.
    pub(crate) fn renew(&self) {
        self.reads.store(self.most, Ordering::Relaxed);
    }

    /// Why the demuxer was stopped.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.get().cloned()
    }

    fn check(&self) -> io::Result<()> {
        let left = self.reads.load(Ordering::Relaxed);
        if left == 0 {
            let _ = self.trouble.set("its elements lead round in circles".to_owned());
            return Err(io::Error::other("no end"));
        }
        self.reads.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Debug)]
enum Backing {
    File(File),
    Memory(Bytes),
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, ContainerError> {
        let name: Arc<str> = path.display().to_string().into();
        let failed = |error: io::Error| ContainerError::new(&name, None, error);
        // Before it is opened, because opening a pipe waits for its writer.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(ContainerError::new(&name, None, ErrorKind::NotAFile));
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self::new(name, Backing::File(file), len))
    }

    pub(crate) fn memory(name: &str, bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::new(name.into(), Backing::Memory(bytes), len)
    }

    fn new(name: Arc<str>, backing: Backing, len: u64) -> Self {
        Self { name, backing, len, position: 0, buffer: Vec::new(), buffer_start: 0, guard: None }
    }

    /// The same file from its start. Only one of them may be used from then on, because they share the place of the
    /// operating system.
    pub(crate) fn again(&self) -> Result<Self, ContainerError> {
        let backing = match &self.backing {
            Backing::File(file) => Backing::File(file.try_clone().map_err(|error| self.error(error))?),
            Backing::Memory(bytes) => Backing::Memory(bytes.clone()),
        };
        Ok(Self::new(Arc::clone(&self.name), backing, self.len))
    }

    /// Has the demuxer that will own this input watched.
    pub(crate) fn guarded(&mut self) -> Arc<Guard> {
        // The shortest element has two bytes and takes two reads; a file is walked through a few times to open it.
        let most = self.len.saturating_mul(8).saturating_add(10_000).min(MAX_READS);
        let guard = Guard { reads: most.into(), most, trouble: OnceLock::new() };
        Arc::clone(self.guard.insert(Arc::new(guard)))
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes until the end.
    pub(crate) fn left(&self) -> u64 {
        self.len.saturating_sub(self.position)
    }

    pub(crate) fn go_to(&mut self, position: u64) {
        self.position = position;
    }

    /// An error at the present place.
    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) -> ContainerError {
        self.error_at(self.position, kind)
    }

    pub(crate) fn error_at(&self, at: u64, kind: impl Into<ErrorKind>) -> ContainerError {
        ContainerError::new(&self.name, at, kind)
    }

    /// Up to `count` bytes from the present place, which stays.
    pub(crate) fn peek(&mut self, count: usize) -> Result<Vec<u8>, ContainerError> {
        let at = self.position;
        let count = self.left().min(count as u64) as usize;
        let bytes = self.piece(count as u64, "the start", u64::MAX)?;
        self.position = at;
        Ok(bytes)
    }

    /// Reads an array.
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ContainerError> {
        self.check(N as u64, what, u64::MAX)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads `len` bytes, of which there must be as many and at most `limit`; nothing is allocated before that is known.
    pub(crate) fn piece(
        &mut self,
        len: u64,
        what: &'static str,
        limit: u64,
    ) -> Result<Vec<u8>, ContainerError> {
        self.check(len, what, limit)?;
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn check(&self, claimed: u64, what: &'static str, limit: u64) -> Result<(), ContainerError> {
        if claimed > limit {
            return Err(self.error(ErrorKind::TooLarge { what, claimed, limit }));
        }
        let left = self.left();
        if claimed > left {
            return Err(self.error(ErrorKind::CutOff { what, claimed, left }));
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ContainerError> {
        self.read_exact(bytes).map_err(|error| self.error(error))
    }

    /// Makes the buffer begin at the present place.
    fn refill(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.buffer_start = self.position;
        match &mut self.backing {
            Backing::File(file) => {
                file.seek(SeekFrom::Start(self.position))?;
                file.take(BUFFER_LEN as u64).read_to_end(&mut self.buffer)?;
            }
            Backing::Memory(bytes) => {
                let from = usize::try_from(self.position).unwrap_or(usize::MAX).min(bytes.len());
                let to = (from + BUFFER_LEN).min(bytes.len());
                self.buffer.extend_from_slice(&bytes[from..to]);
            }
        }
        Ok(())
    }

    /// What the buffer holds of the present place on.
    fn buffered(&self) -> &[u8] {
        let from = self.position.checked_sub(self.buffer_start).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.buffer.get(from..)).unwrap_or_default()
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(guard) = &self.guard {
            guard.check()?;
        }
        if self.buffered().is_empty() {
            let refilled = self.refill();
            if let (Err(error), Some(guard)) = (&refilled, &self.guard) {
                let _ = guard.trouble.set(error.to_string());
            }
            refilled?;
        }
        let buffered = self.buffered();
        let count = buffered.len().min(out.len());
        out[..count].copy_from_slice(&buffered[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Input {
    /// The end is [`HORIZON`] bytes from the present place at most: demuxers compare the lengths that a file states with it
    /// before they allocate.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len.min(self.position.saturating_add(HORIZON)).checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: Vec<u8>) -> Input {
        Input::memory("a file", bytes.into())
    }

    #[test]
    fn what_is_longer_than_the_file_is_refused_before_it_is_allocated() {
        let mut input = input(vec![7; 100]);
        input.go_to(90);
        let error = input.piece(u64::MAX - 1, "a frame", u64::MAX).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a file, byte 90: a frame of 18446744073709551614 bytes, but the file ends after 10"
        );
        let error = input.piece(9, "a frame", 8).unwrap_err();
        assert_eq!(error.to_string(), "a file, byte 90: a frame of 9, more than the limit of 8");
        assert_eq!(input.piece(10, "a frame", 10).unwrap(), [7; 10]);
    }

    #[test]
    fn bytes_come_from_where_the_place_is() {
        let bytes: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
        let mut input = input(bytes.clone());
        for at in [0, 65_530, 10, 299_990, 131_072] {
            input.go_to(at as u64);
            assert_eq!(input.piece(10, "it", 10).unwrap(), bytes[at..at + 10], "{at}");
        }
        input.go_to(100_000);
        assert_eq!(input.piece(200_000, "it", 1 << 20).unwrap(), bytes[100_000..]);
        assert_eq!(input.read(&mut [0; 4]).unwrap(), 0, "the end");
        input.go_to(u64::MAX);
        assert_eq!(input.read(&mut [0; 4]).unwrap(), 0, "far beyond it");
    }

    #[test]
    fn a_directory_is_no_file() {
        let error = Input::open(&std::env::temp_dir()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotAFile), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Input::open(Path::new("/nonexistent/film.ivf")).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/film.ivf: "), "{error}");
    }
}
