//! One client connection: it sends a message, checks the reply byte by byte, and sends the next.
//!
//! States: idle (`received == message.len()`) ─begin─► in flight ─whole reply checked─► idle.
//! Edge-triggered: `pump` must not return while the kernel has more to give or room to take, or the edge is lost.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::error::LoadError;

/// The first bytes of a message carry its number, so that a reply to an older message is seen as wrong.
const STAMP: usize = size_of::<u64>();

#[derive(Debug)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    pub fn parse(family: &str, address: &str) -> Result<Self, LoadError> {
        match family {
            "tcp" => address
                .parse()
                .map(Self::Tcp)
                .map_err(|_| LoadError::Command(format!("not an address: {address}"))),
            "unix" => Ok(Self::Unix(address.into())),
            _ => Err(LoadError::Command(format!("unknown family: {family}"))),
        }
    }

    fn connect(&self) -> Result<OwnedFd, LoadError> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
        })
    }
}

#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    message: Vec<u8>,
    number: u64,
    sent: usize,
    received: usize,
    began: Instant,
}

impl Connection {
    /// `index` makes the bytes of each connection its own: data sent to the wrong one is seen.
    pub fn open(target: &Target, index: usize, size: usize) -> Result<Self, LoadError> {
        if size < STAMP {
            return Err(LoadError::Command(format!(
                "a message needs at least {STAMP} bytes"
            )));
        }
        Ok(Self {
            socket: target.connect()?,
            message: noise(index as u64, size),
            number: 0,
            sent: size,
            received: size,
            began: Instant::now(),
        })
    }

    /// Starts the next message. Only while idle.
    pub fn begin(&mut self, now: Instant) {
        self.number += 1;
        self.message[..STAMP].copy_from_slice(&self.number.to_ne_bytes());
        self.sent = 0;
        self.received = 0;
        self.began = now;
    }

    /// Moves bytes until the kernel has no more. Each whole reply goes to `replied`; it returns whether to go on.
    pub fn pump(
        &mut self,
        scratch: &mut [u8],
        mut replied: impl FnMut(Duration, Instant) -> bool,
    ) -> Result<(), LoadError> {
        loop {
            self.send_rest()?;
            let count = match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((0, _)) => return Err(LoadError::Closed),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            self.check(&scratch[..count])?;
            if self.received == self.message.len() {
                let now = Instant::now();
                if replied(now - self.began, now) {
                    self.begin(now);
                }
            }
            // A short read empties the socket, so the next byte is a new edge: one recv per reply, not two.
            if count < scratch.len() {
                return self.send_rest();
            }
        }
    }

    fn send_rest(&mut self) -> Result<(), LoadError> {
        while self.sent < self.message.len() {
            match send(
                &self.socket,
                &self.message[self.sent..],
                SendFlags::NOSIGNAL,
            ) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn check(&mut self, reply: &[u8]) -> Result<(), LoadError> {
        let expected = &self.message[self.received..self.sent];
        if !expected.starts_with(reply) {
            let same = expected
                .iter()
                .zip(reply)
                .take_while(|(a, b)| a == b)
                .count();
            return Err(LoadError::Corrupt {
                offset: self.received + same,
            });
        }
        self.received += reply.len();
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Bytes without a period that a misplaced chunk could hide in. Xorshift64.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::with_capacity(size + STAMP);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_ne_bytes());
    }
    bytes.truncate(size);
    bytes
}
