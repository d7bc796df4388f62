//! One registration per fd number, whatever the user does with the number.

#![cfg(not(loom))]

use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use oxio_core::reactor::{Events, Interest, Reactor, Readiness, Token};
use rustix::io::{dup, dup2, fcntl_dupfd_cloexec};

/// A connected pair whose first end has something to read.
fn readable_pair() -> (OwnedFd, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
    theirs.write_all(b"x").expect("write");
    (ours.into(), theirs)
}

fn poll<S>(reactor: &Reactor<S>) -> Vec<(Token, Readiness)> {
    let mut events = Events::with_capacity(16);
    let poller = reactor.poller();
    poller.wait(&mut events, Some(Duration::ZERO)).expect("wait");
    events.iter().collect()
}

/// The sources that have events. Stale events do not count.
fn ready_sources(reactor: &Reactor<&'static str>) -> Vec<&'static str> {
    let events = poll(reactor).into_iter();
    events.filter_map(|(token, _)| reactor.source(token).copied()).collect()
}

fn register(reactor: &mut Reactor<&'static str>, fd: &impl AsRawFd, name: &'static str) -> Token {
    reactor.register(fd.as_raw_fd(), Interest::READABLE, name).expect("register")
}

fn reactor() -> Reactor<&'static str> {
    Reactor::new().expect("reactor")
}

#[test]
fn an_event_of_the_old_file_finds_nobody_after_the_number_is_reused() {
    let mut reactor = reactor();
    let (mut fd, _peer) = readable_pair();
    let old = register(&mut reactor, &fd, "old");
    let seen_before_the_close = poll(&reactor);

    assert_eq!(reactor.deregister(old), Some("old"));
    let (new_file, _new_peer) = readable_pair();
    dup2(&new_file, &mut fd).expect("dup2");
    let new = register(&mut reactor, &fd, "new");

    assert_eq!(seen_before_the_close.len(), 1);
    assert_eq!(reactor.source(seen_before_the_close[0].0), None);
    assert_ne!(old, new);
    assert_eq!(reactor.deregister(old), None, "a stale token ends nobody's registration");
    assert_eq!(ready_sources(&reactor), ["new"]);
}

#[test]
fn a_changed_interest_reaches_a_file_that_took_over_the_number() {
    let mut reactor = reactor();
    let (mut fd, _peer) = readable_pair();
    let token = register(&mut reactor, &fd, "source");

    let (new_file, _new_peer) = readable_pair();
    dup2(&new_file, &mut fd).expect("dup2");
    assert!(poll(&reactor).is_empty(), "the kernel forgot the closed file by itself");
    let both = Interest::READABLE.union(Interest::WRITABLE);
    reactor.set_interest(token, both).expect("set_interest");
    assert_eq!(ready_sources(&reactor), ["source"]);
}

#[test]
fn refresh_finds_a_file_that_took_over_the_number() {
    let mut reactor = reactor();
    let (mut fd, _peer) = readable_pair();
    let token = register(&mut reactor, &fd, "source");

    let (new_file, _new_peer) = readable_pair();
    dup2(&new_file, &mut fd).expect("dup2");
    reactor.set_interest(token, Interest::READABLE).expect("unchanged");
    assert!(poll(&reactor).is_empty());
    reactor.refresh(token).expect("refresh");
    assert_eq!(ready_sources(&reactor), ["source"]);
}

#[test]
fn a_file_that_lives_on_in_a_duplicate_delivers_nothing() {
    let mut reactor = reactor();
    let (mut fd, _peer) = readable_pair();
    let duplicate = dup(&fd).expect("dup");
    let old = register(&mut reactor, &fd, "old");

    // The number goes to another file while the old one stays open: the kernel keeps the old registration.
    let (new_file, _new_peer) = readable_pair();
    dup2(&new_file, &mut fd).expect("dup2");
    assert_eq!(reactor.deregister(old), Some("old"));
    register(&mut reactor, &fd, "new");
    assert_eq!(poll(&reactor).len(), 2, "both files are in the kernel's book");
    assert_eq!(ready_sources(&reactor), ["new"]);

    drop(duplicate);
    assert_eq!(poll(&reactor).len(), 1);
}

#[test]
fn a_duplicate_is_watched_on_its_own() {
    let mut reactor = reactor();
    let (fd, _peer) = readable_pair();
    let duplicate = dup(&fd).expect("dup");
    let first = register(&mut reactor, &fd, "first");
    register(&mut reactor, &duplicate, "second");
    reactor.deregister(first);
    assert_eq!(ready_sources(&reactor), ["second"]);
}

#[test]
fn a_registration_that_the_kernel_kept_is_taken_over() {
    let mut reactor = reactor();
    let (file, _peer) = readable_pair();
    // High, so that no other test's thread gets the number while it is closed.
    let fd = fcntl_dupfd_cloexec(&file, 400).expect("dup");
    let number = fd.as_raw_fd();
    let token = register(&mut reactor, &fd, "old");
    drop(fd);
    reactor.deregister(token);

    // The same file under the same number again: the kernel still has it, with the old token.
    let fd = fcntl_dupfd_cloexec(&file, number).expect("dup");
    assert_eq!(fd.as_raw_fd(), number);
    register(&mut reactor, &fd, "new");
    assert_eq!(ready_sources(&reactor), ["new"]);
}

#[test]
fn a_second_registration_of_an_fd_is_refused_and_the_source_comes_back() {
    let mut reactor = reactor();
    let (fd, _peer) = readable_pair();
    let token = register(&mut reactor, &fd, "first");
    let (error, source) = reactor
        .register(fd.as_raw_fd(), Interest::WRITABLE, "second")
        .expect_err("registered twice");
    assert_eq!((error.kind(), source), (ErrorKind::AlreadyExists, "second"));
    assert_eq!(reactor.source(token), Some(&"first"));
    assert_eq!(reactor.interest(token), Some(Interest::READABLE));
}

#[test]
fn a_regular_file_is_refused_with_permission_denied() {
    let mut reactor = reactor();
    let file = std::fs::File::open("/proc/self/exe").expect("open");
    let fd = file.as_raw_fd();
    let (error, _) = reactor.register(fd, Interest::READABLE, "file").expect_err("not pollable");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.raw_os_error().is_some(), "Python needs the errno");
    assert_eq!((reactor.len(), reactor.lookup(fd)), (0, None));

    let token = reactor.register(fd, Interest::NONE, "file").expect("unwatched");
    let error = reactor.set_interest(token, Interest::READABLE).expect_err("not pollable");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(reactor.interest(token), Some(Interest::NONE));
}

#[test]
fn numbers_that_are_not_open_are_refused_and_do_not_grow_the_table() {
    let mut reactor = reactor();
    for fd in [-1, RawFd::MIN, RawFd::MAX] {
        for interest in [Interest::READABLE, Interest::NONE] {
            let (error, _) = reactor.register(fd, interest, "none").expect_err("not open");
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
            assert_eq!(reactor.lookup(fd), None);
        }
    }
    assert!(reactor.is_empty());
}

#[test]
fn a_hangup_wakes_a_reader_and_an_error_wakes_a_writer() {
    let mut reactor = reactor();
    let (reader, writer) = std::io::pipe().expect("pipe");
    register(&mut reactor, &reader, "reader");
    drop(writer);
    let events = poll(&reactor);
    let [(_, readiness)] = events[..] else { panic!("{events:?}") };
    assert!(readiness.is_hangup() && readiness.is_readable() && readiness.is_writable());
    drop(reactor);

    let mut reactor = self::reactor();
    let (reader, writer) = std::io::pipe().expect("pipe");
    reactor.register(writer.as_raw_fd(), Interest::WRITABLE, "writer").expect("register");
    drop(reader);
    let events = poll(&reactor);
    let [(_, readiness)] = events[..] else { panic!("{events:?}") };
    assert!(readiness.is_error() && readiness.is_readable() && readiness.is_writable());
}

#[test]
fn without_interest_a_hangup_does_not_keep_the_loop_busy() {
    let mut reactor = reactor();
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let token = register(&mut reactor, &ours, "source");
    drop(theirs);
    assert_eq!(ready_sources(&reactor), ["source"]);

    reactor.set_interest(token, Interest::NONE).expect("pause");
    assert!(poll(&reactor).is_empty());
    assert_eq!(reactor.fd(token), Some(ours.as_raw_fd()));
    reactor.set_interest(token, Interest::READABLE).expect("resume");
    assert_eq!(ready_sources(&reactor), ["source"]);
}

#[test]
fn what_is_not_read_is_reported_again() {
    let mut reactor = reactor();
    let (mut ours, mut theirs) = UnixStream::pair().expect("socketpair");
    theirs.write_all(b"xy").expect("write");
    register(&mut reactor, &ours, "source");
    for _ in 0..2 {
        assert_eq!(ready_sources(&reactor), ["source"]);
        ours.read_exact(&mut [0]).expect("read");
    }
    assert!(poll(&reactor).is_empty());
}

#[test]
fn a_reader_and_a_writer_are_told_apart() {
    let mut reactor = reactor();
    let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
    let token = register(&mut reactor, &ours, "source");
    assert!(poll(&reactor).is_empty());
    reactor.set_interest(token, Interest::WRITABLE).expect("set_interest");
    let [(_, readiness)] = poll(&reactor)[..] else { panic!("one event") };
    assert!(readiness.is_writable() && !readiness.is_readable());
    theirs.write_all(b"x").expect("write");
    let both = Interest::READABLE.union(Interest::WRITABLE);
    reactor.set_interest(token, both).expect("set_interest");
    let [(_, readiness)] = poll(&reactor)[..] else { panic!("one event") };
    assert!(readiness.is_writable() && readiness.is_readable());
}

#[test]
fn more_events_than_fit_arrive_in_the_next_waits() {
    let mut reactor = Reactor::new().expect("reactor");
    let pairs: Vec<_> = (0..5).map(|_| readable_pair()).collect();
    for (index, (fd, _)) in pairs.iter().enumerate() {
        let result = reactor.register(fd.as_raw_fd(), Interest::READABLE, index);
        result.expect("register");
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut events = Events::with_capacity(2);
    for _ in 0..3 {
        reactor.poller().wait(&mut events, None).expect("wait");
        assert_eq!(events.len(), 2);
        seen.extend(events.iter().map(|(token, _)| *reactor.source(token).expect("live")));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn take_sources_ends_all_registrations() {
    let mut reactor = reactor();
    let (first, second) = UnixStream::pair().expect("socketpair");
    let token = register(&mut reactor, &first, "first");
    register(&mut reactor, &second, "second");
    *reactor.source_mut(token).expect("live") = "changed";
    assert_eq!(reactor.sources().count(), 2);

    let mut sources = reactor.take_sources();
    sources.sort_unstable();
    assert_eq!(sources, ["changed", "second"]);
    assert!(reactor.is_empty() && reactor.source(token).is_none());
    drop(second);
    assert!(poll(&reactor).is_empty(), "the kernel does not watch them any more");
    register(&mut reactor, &first, "again");
    assert_eq!(ready_sources(&reactor), ["again"]);
}

#[test]
fn a_reactor_that_forgot_the_kernel_changes_only_its_own_book() {
    let mut reactor = reactor();
    let (fd, _peer) = readable_pair();
    let (quiet, _quiet_peer) = readable_pair();
    let token = register(&mut reactor, &fd, "source");
    reactor.forget_kernel();

    reactor.set_interest(token, Interest::NONE).expect("only noted");
    assert_eq!(reactor.deregister(token), Some("source"));
    assert!(reactor.is_empty());
    let still_watched: Vec<_> = poll(&reactor).iter().map(|event| event.0).collect();
    assert_eq!(still_watched, [token], "as a parent's would be");
    let (error, _) =
        reactor.register(quiet.as_raw_fd(), Interest::READABLE, "late").expect_err("inherited");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
