//! System calls of Linux: epoll, `recvmmsg` with GRO, `sendmmsg` with GSO.
#![allow(unsafe_code)]

use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, ptr};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use crate::net::Interest;
use crate::receive::{Message, Slots};
use crate::send::Run;

/// Maximum of messages in one system call.
pub(crate) const MAX_BATCH: usize = 64;

/// A received message may be a GRO run of datagrams.
pub(crate) const HAS_GRO: bool = true;

/// Socket options of `linux/udp.h`.
const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;

/// `linux/sockios.h`.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// Epoll data of the waker. Differs from tokens, which are 32 bits wide.
const WAKER: u64 = u64::MAX;

/// Epoll data of watched file descriptors.
const WATCHED: u64 = u64::MAX - 1;

/// Readiness reported by the poller.
pub(crate) enum Ready {
    /// The socket of this token is readable.
    Socket(u32),
    /// A watched file descriptor is ready.
    Watched,
}

/// Readiness of sockets and of the waker's eventfd. Level-triggered: a socket that is not drained is reported again.
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// True if the kernel has no `epoll_pwait2` (before 5.11); timeouts are then rounded up to milliseconds.
    coarse: bool,
}

/// Wakes the poller by an eventfd.
pub(crate) struct Notifier {
    eventfd: Arc<OwnedFd>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<(Self, Notifier)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Edge-triggered: each write is an event, so that the counter need not be read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &eventfd, epoll::EventData::new_u64(WAKER), flags)?;
        Ok((Self { epoll, coarse: false }, Notifier { eventfd }))
    }

    pub(crate) fn add(&self, socket: &impl AsFd, token: u32) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.into());
        Ok(epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN)?)
    }

    /// Also reports when the stream is writable, from now on.
    pub(crate) fn set_writable(&self, socket: &impl AsFd, token: u32, writable: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.into());
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, writable);
        Ok(epoll::modify(&self.epoll, socket, data, flags)?)
    }

    /// To be called before the socket is closed.
    pub(crate) fn remove(&self, socket: &impl AsFd) {
        epoll::delete(&self.epoll, socket).expect("the socket was added");
    }

    pub(crate) fn watch(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(WATCHED);
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, interest.readable);
        flags.set(epoll::EventFlags::OUT, interest.writable);
        match epoll::modify(&self.epoll, fd, data, flags) {
            Err(Errno::NOENT) => Ok(epoll::add(&self.epoll, fd, data, flags)?),
            result => Ok(result?),
        }
    }

    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        // An error means that the descriptor is not watched.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits and calls `on_ready` for each ready descriptor.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut on_ready: impl FnMut(Ready),
    ) -> io::Result<()> {
        let mut events = [const { MaybeUninit::uninit() }; 128];
        let timeout = if self.coarse { timeout.map(round_up_to_ms) } else { timeout };
        // A timeout that exceeds a Timespec means no timeout.
        let timespec = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, &mut events, timespec.as_ref()) {
            Ok((events, _)) => {
                for event in events {
                    match event.data.u64() {
                        WAKER => {}
                        WATCHED => on_ready(Ready::Watched),
                        token => on_ready(Ready::Socket(token as u32)),
                    }
                }
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(Errno::NOSYS | Errno::PERM) if !self.coarse => {
                self.coarse = true;
                self.wait(timeout, on_ready)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Notifier {
    pub(crate) fn notify(&self) {
        // The only error is EAGAIN, after 2^64 - 2 wakes.
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .field("coarse", &self.coarse)
            .finish_non_exhaustive()
    }
}

/// Milliseconds, at most the 24 days that `epoll_wait` takes; a wait may end early.
fn round_up_to_ms(timeout: Duration) -> Duration {
    const MAX: Duration = Duration::from_millis(i32::MAX as u64);
    let ms = timeout.min(MAX).as_nanos().div_ceil(1_000_000);
    Duration::from_millis(ms as u64)
}

/// True if the kernel supports GSO.
pub(crate) fn supports_gso(socket: &UdpSocket) -> bool {
    set_option(socket, libc::SOL_UDP, UDP_SEGMENT, 0).is_ok()
}

/// Enables GRO if the kernel supports it.
pub(crate) fn enable_gro(socket: &UdpSocket) {
    if let Err(error) = set_option(socket, libc::SOL_UDP, UDP_GRO, 1) {
        tracing::debug!(%error, "no generic receive offload for UDP");
    }
}

/// Makes a stream count as writable only while the kernel holds less than half of `bytes` unsent.
pub(crate) fn limit_unsent(socket: &TcpStream, bytes: usize) {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    if let Err(error) = set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value) {
        tracing::debug!(%error, "no bound of what TCP has not sent");
    }
}

/// Unsent bytes that the kernel holds; 0 if the kernel does not report them.
pub(crate) fn unsent(socket: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes an `int`, which outlives it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// True if a send failed because the send buffer is full.
pub(crate) fn is_buffer_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}

/// True if sending failed because the message is a GSO run. All errors but [`lacks_gso`] concern this run alone, such
/// as segments larger than the path's MTU. They are not remembered, so that one peer cannot turn GSO off for the
/// others of its socket.
pub(crate) fn refuses_gso(error: &io::Error) -> bool {
    lacks_gso(error) || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE))
}

/// True if sending failed because the network device has no checksum offload, which GSO needs.
pub(crate) fn lacks_gso(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Addresses and control messages of one call, kept to save allocations.
pub(crate) struct Scratch {
    names: Box<[Name; MAX_BATCH]>,
    controls: Box<[Control; MAX_BATCH]>,
}

/// A socket address in the kernel's format.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Space for control messages, aligned like `cmsghdr`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

impl Scratch {
    pub(crate) fn new() -> Self {
        let name = Name::encode(SocketAddr::from(([0, 0, 0, 0], 0)), true).0;
        Self { names: Box::new([name; MAX_BATCH]), controls: Box::new([Control([0; 64]); MAX_BATCH]) }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Receives by one system call and appends to `messages`. Returns true if the socket is drained.
pub(crate) fn receive(
    socket: &UdpSocket,
    scratch: &mut Scratch,
    buffer: &mut [u8],
    slots: Slots,
    messages: &mut Vec<Message>,
    calls: &mut u64,
) -> io::Result<bool> {
    assert!(slots.count <= MAX_BATCH && slots.size <= slots.stride);
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_BATCH];
    let places = buffer.chunks_exact_mut(slots.stride).zip(&mut *scratch.names).zip(&mut *scratch.controls);
    let entries = vectors.iter_mut().zip(&mut headers).take(slots.count);
    let mut count = 0;
    for (((place, name), control), (vector, header)) in places.zip(entries) {
        let vector = vector.write(libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: slots.size });
        let mut message = empty_header();
        message.msg_hdr.msg_name = ptr::from_mut(name).cast();
        message.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = size_of::<Control>() as _;
        header.write(message);
        count += 1;
    }
    let received = loop {
        *calls += 1;
        // SAFETY: the first `count` headers are initialised. Each points to a name, an I/O vector with its part of
        // `buffer` and a control buffer, all distinct, of the lengths given and alive until the end of this function.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if result >= 0 {
            break result as usize;
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(true),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    };
    for (i, (header, name)) in headers[..received].iter().zip(&*scratch.names).enumerate() {
        // SAFETY: the first `count` headers are initialised, and no more were received.
        let header = unsafe { header.assume_init_ref() };
        let len = header.msg_len as usize;
        let Some(source) = name.decode() else { continue };
        // SAFETY: the kernel filled the header and its control buffer, which is still alive.
        let segment_size = unsafe { gro_segment_size(&header.msg_hdr) }.unwrap_or(len).max(1);
        messages.push(Message { start: i * slots.stride, len, segment_size, source });
    }
    Ok(received < count)
}

/// Size of the datagrams in a message that GRO assembled.
///
/// # Safety
///
/// `header` must have been filled by a receive call, and its control buffer be alive.
unsafe fn gro_segment_size(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the caller vouches for the header; the macros stay inside its control buffer.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a pointer to a whole header.
    while let Some(present) = unsafe { control.as_ref() } {
        if present.cmsg_level == libc::SOL_UDP && present.cmsg_type == UDP_GRO {
            // SAFETY: the kernel's UDP_GRO message carries an int; its alignment is not relied on.
            let size = unsafe { libc::CMSG_DATA(present).cast::<libc::c_int>().read_unaligned() };
            return usize::try_from(size).ok().filter(|size| *size > 0);
        }
        // SAFETY: `present` is a header of this control buffer.
        control = unsafe { libc::CMSG_NXTHDR(header, present) };
    }
    None
}

/// Sends `runs`, ranges of `memory`, by one system call. Returns how many the kernel accepted, at least one.
pub(crate) fn send(
    socket: &UdpSocket,
    ipv6: bool,
    scratch: &mut Scratch,
    memory: &[u8],
    runs: &[Run],
    calls: &mut u64,
) -> io::Result<usize> {
    assert!(runs.len() <= MAX_BATCH);
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_BATCH];
    let places = scratch.names.iter_mut().zip(&mut *scratch.controls);
    let entries = vectors.iter_mut().zip(&mut headers);
    for ((run, (name, control)), (vector, header)) in runs.iter().zip(places).zip(entries) {
        let data = &memory[run.start..][..run.len];
        let name_len;
        (*name, name_len) = Name::encode(run.destination, ipv6);
        // The kernel only reads what this points to.
        let vector =
            vector.write(libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() });
        let mut message = empty_header();
        message.msg_hdr.msg_name = ptr::from_mut(name).cast();
        message.msg_hdr.msg_namelen = name_len;
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
        if run.segments() > 1 {
            let size = u16::try_from(run.segment_size).expect("a run with several segments is below 64 KiB");
            set_segment_size(&mut message.msg_hdr, control, size);
        }
        header.write(message);
    }
    *calls += 1;
    // SAFETY: one header for each run is initialised. Each points to a name, an I/O vector with a part of `memory` and
    // maybe a control buffer, of the lengths given and alive until the end of this function. The kernel writes to nothing
    // but `msg_len` of the headers.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            runs.len() as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Adds a control message for GSO to `header`.
fn set_segment_size(header: &mut libc::msghdr, control: &mut Control, size: u16) {
    const DATA: libc::c_uint = size_of::<u16>() as libc::c_uint;
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
    let (space, len) = unsafe { (libc::CMSG_SPACE(DATA) as usize, libc::CMSG_LEN(DATA)) };
    assert!(space <= size_of::<Control>());
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = space as _;
    // SAFETY: the control buffer is aligned for `cmsghdr` and has room for it and the data, so that CMSG_FIRSTHDR is not
    // null and CMSG_DATA points inside.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = UDP_SEGMENT;
        (*message).cmsg_len = len as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(size);
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: null pointers and zeros are valid in every field.
    unsafe { mem::zeroed() }
}

impl Name {
    /// Converts `address` for an IPv4 or IPv6 socket. An IPv6 socket uses mapped addresses for IPv4 destinations.
    fn encode(address: SocketAddr, ipv6: bool) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) if ipv6 => {
                Self::encode_v6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            SocketAddr::V4(v4) => Self::encode_v4(v4),
            SocketAddr::V6(v6) => Self::encode_v6(v6),
        }
    }

    fn encode_v4(address: SocketAddrV4) -> (Self, libc::socklen_t) {
        let v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        };
        (Self { v4 }, size_of_val(&v4) as libc::socklen_t)
    }

    fn encode_v6(address: SocketAddrV6) -> (Self, libc::socklen_t) {
        let v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: address.port().to_be(),
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
            sin6_scope_id: address.scope_id(),
        };
        (Self { v6 }, size_of_val(&v6) as libc::socklen_t)
    }

    /// The address, with mapped addresses converted to IPv4.
    fn decode(&self) -> Option<SocketAddr> {
        // SAFETY: both variants are plain integers and begin with the family, which whoever wrote the name has set; the
        // bytes of the variant that the family names are initialised.
        match libc::c_int::from(unsafe { self.v4.sin_family }) {
            libc::AF_INET => {
                // SAFETY: as above.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { self.v6 };
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => SocketAddr::from((ip, port)),
                    None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Net, NetConfig};

    fn round_trip(address: &str, ipv6: bool) -> String {
        let (name, len) = Name::encode(address.parse().unwrap(), ipv6);
        assert_eq!(len as usize, if ipv6 { 28 } else { 16 });
        name.decode().unwrap().to_string()
    }

    #[test]
    fn socket_addresses_round_trip_through_the_kernels_format() {
        assert_eq!(round_trip("192.0.2.1:443", false), "192.0.2.1:443");
        assert_eq!(round_trip("192.0.2.1:443", true), "192.0.2.1:443");
        assert_eq!(round_trip("[2001:db8::1%3]:65535", true), "[2001:db8::1%3]:65535");
    }

    #[test]
    fn coarse_timeouts_never_end_early_nor_overflow() {
        assert_eq!(round_up_to_ms(Duration::ZERO), Duration::ZERO);
        assert_eq!(round_up_to_ms(Duration::from_nanos(1)), Duration::from_millis(1));
        assert_eq!(round_up_to_ms(Duration::from_micros(1001)), Duration::from_millis(2));
        assert_eq!(round_up_to_ms(Duration::MAX).as_millis(), i32::MAX as u128);
    }

    #[test]
    fn only_a_missing_device_feature_is_remembered() {
        let judge = |errno| {
            let error = io::Error::from_raw_os_error(errno);
            (refuses_gso(&error), lacks_gso(&error))
        };
        assert_eq!(judge(libc::EIO), (true, true));
        assert_eq!(judge(libc::EMSGSIZE), (true, false));
        assert_eq!(judge(libc::ECONNREFUSED), (false, false));
    }

    #[test]
    fn refused_run_is_sent_datagram_by_datagram() {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // The kernel refuses a run without checksums: EINVAL.
        set_option(&udp, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let mut net = Net::new(NetConfig::default()).unwrap();
        let address = net.adopt_udp(1, udp).unwrap();
        for run in 1..=2 {
            net.send_slot()[..250].fill(run);
            net.commit(1, address, 250, 100);
            net.flush();
            assert_eq!(net.stats().gso_fallbacks, u64::from(run), "a refusal is not remembered");
            net.wait(Some(Duration::from_secs(10))).unwrap();
            let datagrams: Vec<_> = net.receive().unwrap().map(|datagram| datagram.data.to_vec()).collect();
            assert_eq!(datagrams, [vec![run; 100], vec![run; 100], vec![run; 50]]);
        }
        assert_eq!(net.stats().run_lengths, [6, 0, 0, 0, 0, 0, 0]);
        assert_eq!(net.stats().dropped_send_error, 0);
    }
}
