//! All connections to one server, on one thread, behind one epoll.

use std::mem;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::os::fd::OwnedFd;

use crate::connection::{Connection, Target};
use crate::error::LoadError;
use crate::latency::Report;

/// How long replies may be missing after the run's end before the server counts as stalled. A loaded machine answers
/// 100 messages of 100 KiB well within a second.
const GRACE: Duration = Duration::from_secs(5);

/// Larger than every message of the suite, so that a reply that has arrived is one read.
const SCRATCH: usize = 256 * 1024;

pub struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    latencies: Vec<Duration>,
}

impl Load {
    pub fn open(target: &Target, connections: usize, size: usize) -> Result<Self, LoadError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections: Vec<_> = (0..connections)
            .map(|index| Connection::open(target, index, size))
            .collect::<Result<_, _>>()?;
        for (index, connection) in connections.iter().enumerate() {
            let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(
                &epoll,
                connection,
                epoll::EventData::new_u64(index as u64),
                interest,
            )?;
        }
        Ok(Self {
            epoll,
            connections,
            scratch: vec![0; SCRATCH],
            latencies: Vec::new(),
        })
    }

    /// Keeps every connection busy for `duration`, then waits for the last replies. They are counted too, because the
    /// server has spent its time on them.
    pub fn run(&mut self, duration: Duration) -> Result<Report, LoadError> {
        let began = Instant::now();
        let end = began + duration;
        let mut missing = self.connections.len();
        for index in 0..self.connections.len() {
            self.connections[index].begin(Instant::now());
            missing -= self.pump(index, end)?;
        }
        let mut events = Vec::with_capacity(self.connections.len().max(1));
        while missing > 0 {
            self.wait(&mut events, end + GRACE, missing)?;
            for event in events.drain(..) {
                missing -= self.pump(connection_index(event), end)?;
            }
        }
        let mut latencies = mem::take(&mut self.latencies);
        Ok(Report::new(&mut latencies, began.elapsed()))
    }

    /// Returns how many connections came to rest: 1 when this one got its last reply, else 0.
    fn pump(&mut self, index: usize, end: Instant) -> Result<usize, LoadError> {
        let latencies = &mut self.latencies;
        let mut rested = 0;
        self.connections[index].pump(&mut self.scratch, |latency, now| {
            latencies.push(latency);
            rested += usize::from(now >= end);
            now < end
        })?;
        Ok(rested)
    }

    fn wait(
        &self,
        events: &mut Vec<epoll::Event>,
        limit: Instant,
        missing: usize,
    ) -> Result<(), LoadError> {
        let left = limit.saturating_duration_since(Instant::now());
        let timeout =
            Timespec::try_from(left).map_err(|error| LoadError::Command(error.to_string()))?;
        let count = epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout))?;
        if count == 0 {
            return Err(LoadError::Stalled { missing });
        }
        Ok(())
    }
}

fn connection_index(event: epoll::Event) -> usize {
    usize::try_from(event.data.u64()).expect("the token is an index we registered")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server on its own thread that answers each chunk by `reply`, until the client goes.
    fn server(reply: fn(&mut [u8])) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut chunk = vec![0; 64 * 1024];
                    while let Ok(count @ 1..) = stream.read(&mut chunk) {
                        reply(&mut chunk[..count]);
                        stream.write_all(&chunk[..count]).unwrap();
                    }
                });
            }
        });
        Target::Tcp(address)
    }

    #[test]
    fn every_message_sent_is_counted_once() {
        for size in [8, 1024, 600_000] {
            let mut load = Load::open(&server(|_| ()), 3, size).unwrap();
            for _ in 0..3 {
                let report = load.run(Duration::from_millis(5)).unwrap();
                assert!(report.requests >= 3);
                assert!(report.p50 <= report.p99 && report.p99 <= report.elapsed);
            }
        }
    }

    #[test]
    fn a_wrong_byte_in_a_reply_is_an_error() {
        let mut load = Load::open(&server(|chunk| chunk[chunk.len() - 1] ^= 1), 1, 64).unwrap();
        assert!(matches!(
            load.run(Duration::from_millis(5)),
            Err(LoadError::Corrupt { offset: 63 })
        ));
    }

    #[test]
    fn a_server_that_hangs_up_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut load = Load::open(&Target::Tcp(listener.local_addr().unwrap()), 1, 64).unwrap();
        drop(listener.accept().unwrap());
        assert!(load.run(Duration::from_millis(5)).is_err());
    }
}
