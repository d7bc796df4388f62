//! Waking a poller from other threads, with the real eventfd.

#![cfg(not(loom))]

use std::{
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use oxio_core::reactor::{Events, Interest, Poller, Reactor};

/// Far longer than any wait here should take: a lost wake-up fails, and does not hang.
const TOO_LONG: Duration = Duration::from_secs(10);

fn wait(poller: &Poller, events: &mut Events, timeout: Duration) -> Duration {
    let start = Instant::now();
    poller.wait(events, Some(timeout)).expect("wait");
    start.elapsed()
}

#[test]
fn another_thread_ends_a_blocked_wait() {
    let reactor = Reactor::<()>::new().expect("reactor");
    let (poller, waker) = (reactor.poller(), reactor.waker());
    let mut events = Events::with_capacity(8);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Real time, so that the poller is most likely blocked by now. The test holds if it is not.
            thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        assert!(wait(&poller, &mut events, TOO_LONG) < TOO_LONG);
    });
    assert!(events.is_empty(), "the wake-up itself is not an event");
}

#[test]
fn a_wake_up_before_the_wait_ends_it_at_once() {
    let reactor = Reactor::<()>::new().expect("reactor");
    let mut events = Events::with_capacity(8);
    reactor.waker().wake();
    reactor.poller().wait(&mut events, None).expect("wait");
    assert!(events.is_empty());
}

#[test]
fn many_wake_ups_are_one() {
    let reactor = Reactor::<()>::new().expect("reactor");
    let (poller, waker) = (reactor.poller(), reactor.waker());
    let mut events = Events::with_capacity(8);
    thread::scope(|scope| {
        scope.spawn(|| (0..1000).for_each(|_| waker.wake()));
        assert!(wait(&poller, &mut events, TOO_LONG) < TOO_LONG);
    });
    // All are made by now. One poll takes along those that came after the wait.
    wait(&poller, &mut events, Duration::ZERO);
    let timeout = Duration::from_millis(20);
    assert!(wait(&poller, &mut events, timeout) >= timeout);
}

#[test]
fn a_wake_up_does_not_hide_events() {
    let mut reactor = Reactor::new().expect("reactor");
    let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
    let token = reactor.register(ours.as_raw_fd(), Interest::READABLE, "source").expect("register");
    theirs.write_all(b"x").expect("write");
    reactor.waker().wake();

    let mut events = Events::with_capacity(8);
    reactor.poller().wait(&mut events, None).expect("wait");
    let tokens: Vec<_> = events.iter().map(|(token, _)| token).collect();
    assert_eq!(tokens, [token]);
}

#[test]
fn every_hand_over_between_two_loops_arrives() {
    let (left, right) =
        (Reactor::<()>::new().expect("reactor"), Reactor::<()>::new().expect("reactor"));
    let (left_waker, right_waker) = (left.waker(), right.waker());
    let (left_poller, right_poller) = (left.poller(), right.poller());
    thread::scope(|scope| {
        // Each wakes the other and then waits: one lost wake-up stops both.
        scope.spawn(|| {
            let mut events = Events::with_capacity(1);
            for _ in 0..2_000 {
                assert!(wait(&left_poller, &mut events, TOO_LONG) < TOO_LONG);
                right_waker.wake();
            }
        });
        let mut events = Events::with_capacity(1);
        for _ in 0..2_000 {
            left_waker.wake();
            assert!(wait(&right_poller, &mut events, TOO_LONG) < TOO_LONG);
        }
    });
}

#[test]
fn a_waker_outlives_its_reactor() {
    let waker = Reactor::<()>::new().expect("reactor").waker();
    waker.wake();
}
