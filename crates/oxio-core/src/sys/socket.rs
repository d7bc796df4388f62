//! Calls on connected sockets.
//!
//! The number must be open and the caller's for the length of the call; see [`super`] for what happens otherwise.
//! Nothing is retried: `WouldBlock` and `Interrupted` both mean "wait for readiness, then try again".

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::RawFd,
};

use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::borrow;

/// Receives into `buffer`. Zero bytes into a non-empty buffer are the end of the stream.
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = net::recv(borrow(fd)?, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// As [`recv`], into memory that nobody has written yet. The first `n` bytes are initialised afterwards.
#[inline]
pub fn recv_uninit(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let ((received, _), _) = net::recv(borrow(fd)?, buffer, RecvFlags::empty())?;
    Ok(received.len())
}

/// Sends what the socket takes now of `bytes`. A closed peer is `EPIPE`, never a signal.
#[inline]
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(net::send(borrow(fd)?, bytes, SendFlags::NOSIGNAL)?)
}

/// Sends what the socket takes now of `slices`, in order. At most 1024 of them (`IOV_MAX`).
#[inline]
pub fn send_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = SendAncillaryBuffer::default();
    let sent = net::sendmsg(borrow(fd)?, slices, &mut control, SendFlags::NOSIGNAL)?;
    Ok(sent)
}

/// Ends our direction of the stream: the peer reads the end of file after what was sent.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    Ok(net::shutdown(borrow(fd)?, Shutdown::Write)?)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        ours.set_nonblocking(true).expect("nonblocking");
        (ours, theirs)
    }

    #[test]
    fn what_is_sent_is_received() {
        let (ours, theirs) = pair();
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
        assert_eq!(send_vectored(theirs.as_raw_fd(), &slices).expect("sendmsg"), 4);
        assert_eq!(send(theirs.as_raw_fd(), b"ef").expect("send"), 2);

        let mut buffer = [0; 3];
        assert_eq!(recv(ours.as_raw_fd(), &mut buffer).expect("recv"), 3);
        assert_eq!(&buffer, b"abc");
        let mut uninit = [MaybeUninit::uninit(); 8];
        assert_eq!(recv_uninit(ours.as_raw_fd(), &mut uninit).expect("recv"), 3);
    }

    #[test]
    fn nothing_to_read_would_block() {
        let (ours, _theirs) = pair();
        let error = recv(ours.as_raw_fd(), &mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn shutdown_write_ends_the_stream_and_leaves_the_other_direction() {
        let (ours, mut theirs) = pair();
        shutdown_write(ours.as_raw_fd()).expect("shutdown");
        assert_eq!(theirs.read(&mut [0; 8]).expect("read"), 0);
        assert_eq!(send(theirs.as_raw_fd(), b"x").expect("send"), 1);
        assert_eq!(recv(ours.as_raw_fd(), &mut [0; 8]).expect("recv"), 1);
    }

    #[test]
    fn a_closed_peer_is_an_error_and_not_a_signal() {
        let (ours, theirs) = pair();
        drop(theirs);
        // Rust's test runner ignores SIGPIPE, so this proves the errno; the flag is what keeps C's default away.
        for result in
            [send(ours.as_raw_fd(), b"x"), send_vectored(ours.as_raw_fd(), &[IoSlice::new(b"x")])]
        {
            assert_eq!(result.expect_err("closed").kind(), ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn numbers_that_are_not_open_are_refused() {
        for fd in [-1, RawFd::MIN, RawFd::MAX] {
            let error = send(fd, b"x").expect_err("not open");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        }
    }
}
