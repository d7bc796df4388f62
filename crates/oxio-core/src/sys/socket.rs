//! Calls on connected sockets.
//!
//! The number must be open and the caller's for the length of the call; see [`super`] for what happens otherwise.
//! Nothing is retried: `WouldBlock` and `Interrupted` both mean "wait for readiness, then try again".

use std::{
    io::{self, IoSlice},
    os::fd::RawFd,
};

use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::borrow;

/// Receives into `buffer`. Zero bytes into a non-empty buffer are the end of the stream.
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = net::recv(borrow(fd)?, buffer, RecvFlags::empty())?;
    Ok(count)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        io::ErrorKind,
        net::Shutdown,
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
        assert_eq!(recv(ours.as_raw_fd(), &mut buffer).expect("recv"), 3);
        assert_eq!(&buffer, b"def");
    }

    #[test]
    fn nothing_to_read_would_block() {
        let (ours, _theirs) = pair();
        let error = recv(ours.as_raw_fd(), &mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn the_end_of_the_stream_is_zero_bytes() {
        let (ours, theirs) = pair();
        theirs.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(recv(ours.as_raw_fd(), &mut [0; 8]).expect("recv"), 0);
        assert_eq!(send(ours.as_raw_fd(), b"x").expect("send"), 1);
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
