//! The parts of an event loop that know no Python.
//!
//! `oxio-py` decides *what* runs and calls into the interpreter. This crate keeps the lists it needs for that,
//! and talks to the operating system. It has no pyo3, no thread of its own and no global loop, so that every rule
//! here can be tested by `cargo test` alone.
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | turn | one round of the loop: poll, deliver I/O, expire timers, run what was ready |
//! | [`ReadyQueue`](ready::ReadyQueue) | what runs in this turn or the next, in order |
//! | [`Deadline`](clock::Deadline) | a moment on the monotonic clock, in nanoseconds |
//! | [`TimerQueue`](timers::TimerQueue) | what runs at a deadline |
//! | [`Inbox`](inbox::Inbox) | what other threads want to run on the loop |
//! | [`Reactor`](reactor::Reactor) | which file descriptors are watched, and for whom |
//! | source | whatever the caller keeps per watched fd: a transport, a reader callback |
//! | [`Token`](reactor::Token) | names one registration; a later one of the same fd has another token |
//! | [`Interest`](reactor::Interest) | what we ask the kernel to tell us about an fd |
//! | [`Readiness`](reactor::Readiness) | what the kernel told us |
//! | [`Poller`](reactor::Poller) | the part of the reactor that blocks |
//! | [`Waker`](reactor::Waker) | ends a poller's wait from another thread |
//! | [`WriteQueue`](buffers::WriteQueue) | bytes that a socket did not take yet |
//! | high water, low water | the sizes at which a writer is paused and resumed |
//!
//! # Threads
//!
//! Everything belongs to the loop's thread, except three types. [`Inbox::push`](inbox::Inbox::push) and
//! [`Waker::wake`](reactor::Waker::wake) may be called from any thread. [`Poller::wait`](reactor::Poller::wait) is
//! called by the loop's thread too, but while that thread has let go of the interpreter and holds no borrow of
//! anything here; this is why the poller is an `Arc` of its own and not a method of the reactor.
//!
//! The loop is woken from another thread in one place only: `Waker::wake`.
//!
//! # Dropping
//!
//! A `T`, `S` or `C` of these collections is a Python object underneath. Dropping it can run any Python code, and
//! that code can call back into the loop. So nothing here drops one while it changes itself: what leaves a
//! collection is handed to the caller, who drops it after the borrow has ended.
//!
//! # Unsafe
//!
//! Only the files of [`sys`] may use it, each with a reason at its top.

pub mod buffers;
pub mod clock;
pub mod inbox;
mod loom;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod reactor;
pub mod ready;
pub mod sys;
pub mod timers;
