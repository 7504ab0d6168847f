use std::fmt;
use std::sync::Arc;

/// Why a file cannot be read: it names the file, the place and the value.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {kind}", .file, Place(*.at))]
pub struct ContainerError {
    file: Arc<str>,
    at: Option<u64>,
    kind: ErrorKind,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system could not read it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is a directory, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// Its first bytes belong to none of the formats.
    #[error("neither IVF, Ogg, Matroska, MP4 nor an H264 or H265 byte stream (it begins with {0})")]
    UnknownFormat(String),
    /// It contradicts its format.
    #[error("{0}")]
    Malformed(String),
    /// Something in it ends after the end of the file.
    #[error("{what} of {claimed} bytes, but the file ends after {left}")]
    CutOff {
        /// What ends too late.
        what: &'static str,
        /// Its length in bytes, as the file states it.
        claimed: u64,
        /// Bytes until the end of the file.
        left: u64,
    },
    /// Something in it is larger than this crate reads.
    #[error("{what} of {claimed}, more than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, as the file states it.
        claimed: u64,
        /// The limit.
        limit: u64,
    },
    /// It has no track in a codec of WebRTC.
    #[error("no track that WebRTC can carry{0}")]
    NoTrack(String),
    /// A byte stream does not state how many frames a second has, and no frame rate was given.
    #[error("the stream states no frame rate; one has to be given")]
    NoFrameRate,
}

impl ContainerError {
    pub(crate) fn new(file: &Arc<str>, at: impl Into<Option<u64>>, kind: impl Into<ErrorKind>) -> Self {
        Self { file: Arc::clone(file), at: at.into(), kind: kind.into() }
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place in the file, in bytes from its start.
    pub fn at(&self) -> Option<u64> {
        self.at
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

struct Place(Option<u64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |at| write!(f, ", byte {at}"))
    }
}
