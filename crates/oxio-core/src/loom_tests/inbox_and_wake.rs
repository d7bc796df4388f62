//! No item is lost and no wake-up either: the real inbox, the real states of the waker, a modelled eventfd.

use std::collections::VecDeque;

use loom::{
    model::Builder,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::{inbox::Inbox, reactor::wake::WakeState};

#[test]
fn loom_one_writer_wakes_the_reader_for_each_item() {
    Builder::new().check(|| every_item_arrives(1, 2));
}

#[test]
fn loom_two_writers_wake_the_reader() {
    with_few_preemptions().check(|| every_item_arrives(2, 1));
}

#[test]
fn loom_two_writers_with_two_items_each() {
    with_few_preemptions().check(|| every_item_arrives(2, 2));
}

#[test]
fn loom_a_wake_up_without_an_item_ends_the_wait() {
    Builder::new().check(|| {
        let shared = Arc::new(Loop::new());
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.wake())
        };
        // It may come before the wait or during it: in both cases this returns.
        shared.wait(true);
        writer.join().expect("writer");
    });
}

/// Every order of three threads takes minutes (two writers with one item each pass in two), and bugs of this kind
/// need few preemptions.
fn with_few_preemptions() -> Builder {
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model
}

/// What the loop's thread does each turn, and what `call_soon_threadsafe` does in others.
fn every_item_arrives(writers: u32, items_each: u32) {
    let shared = Arc::new(Loop::new());
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for item in 0..items_each {
                    if shared.inbox.push((writer, item)) {
                        shared.wake();
                    }
                }
            })
        })
        .collect();

    let mut seen = VecDeque::new();
    while seen.len() < (writers * items_each) as usize {
        shared.wait(!shared.inbox.has_items());
        if shared.inbox.has_items() {
            shared.inbox.drain_into(&mut seen);
        }
    }
    for thread in threads {
        thread.join().expect("writer");
    }
    for writer in 0..writers {
        let items = seen.iter().filter(|item| item.0 == writer);
        assert!(items.map(|item| item.1).eq(0..items_each));
    }
}

struct Loop {
    inbox: Inbox<(u32, u32)>,
    state: WakeState,
    eventfd: ModelledEventFd,
}

impl Loop {
    fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            state: WakeState::new(),
            eventfd: ModelledEventFd {
                is_readable: Mutex::new(false),
                became_readable: Condvar::new(),
            },
        }
    }

    /// As `Waker::wake`.
    fn wake(&self) {
        if self.state.notify() {
            self.eventfd.signal();
        }
    }

    /// As `Poller::wait` without a time-out, or with a zero one.
    fn wait(&self, blocks: bool) {
        self.state.around_wait(blocks, |may_block| self.eventfd.wait_and_drain(may_block));
    }
}

struct ModelledEventFd {
    is_readable: Mutex<bool>,
    became_readable: Condvar,
}

impl ModelledEventFd {
    fn signal(&self) {
        *self.is_readable.lock().expect("lock") = true;
        self.became_readable.notify_one();
    }

    fn wait_and_drain(&self, may_block: bool) {
        let mut is_readable = self.is_readable.lock().expect("lock");
        while may_block && !*is_readable {
            is_readable = self.became_readable.wait(is_readable).expect("lock");
        }
        *is_readable = false;
    }
}
