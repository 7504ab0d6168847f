//! File descriptors inherited from the parent process.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::FdFlags;

/// Makes the check and the claim one atomic step.
static CLAIM: Mutex<()> = Mutex::new(());

/// Takes ownership of an inherited file descriptor, once.
///
/// A descriptor counts as inherited if it is not a standard stream and is open without close-on-exec: Rust opens each
/// of its own descriptors close-on-exec, so that nobody in this process owns a descriptor without the flag. Claiming
/// sets the flag. Call this early in `main`, before foreign code may open descriptors.
///
/// # Errors
///
/// `InvalidInput` if `fd` is 0, 1, 2 or negative; `NotFound` if it is not open; `AlreadyExists` if it is in use by
/// this process, for instance because it was claimed before.
#[allow(unsafe_code)]
pub fn claim_fd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("file descriptor {fd} can't be claimed"),
        ));
    }
    let _one_at_a_time = CLAIM.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: `fd` is not -1. The borrow is used for F_GETFD and F_SETFD alone, which do no harm to a closed descriptor
    // (EBADF) nor to a foreign one: only a descriptor without close-on-exec is changed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = rustix::io::fcntl_getfd(borrowed).map_err(|error| {
        io::Error::new(io::ErrorKind::NotFound, format!("file descriptor {fd} is not open: {error}"))
    })?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("file descriptor {fd} was not inherited or is claimed already"),
        ));
    }
    rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open and, for the reasons above, owned by nobody else in this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn inherited_descriptor_is_claimed_once() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inherited = rustix::io::dup(&socket).unwrap().into_raw_fd();
        let claimed = UdpSocket::from(claim_fd(inherited).unwrap());
        assert_eq!(claimed.local_addr().unwrap(), socket.local_addr().unwrap());
        assert_eq!(claim_fd(inherited).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn own_descriptor_is_not_claimed() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(claim_fd(socket.as_raw_fd()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn standard_and_closed_descriptors_are_not_claimed() {
        assert_eq!(claim_fd(1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(claim_fd(-1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(claim_fd(RawFd::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
