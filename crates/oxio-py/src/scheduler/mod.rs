//! The low half of the loop: what handles, tasks and transports may ask of it.
//!
//! `Loop` is the native base class of `oxio.EventLoop`. Its state is here; the methods that a user calls are in
//! `event_loop/`, above everything else, and nobody down here knows them. So a transport can schedule and watch
//! without knowing who runs it, and the loop can run it without knowing what it is.
//!
//! Threads: every field is touched only while attached to the interpreter. The loop's thread is the one inside
//! `run_forever`. Other threads may only call [`Loop::push_threadsafe`].
//!
//! Invariant: no borrow of a cell is open while Python code runs or a `Py` is dropped. Take, then call.

mod runnable;
mod running;
mod watch;

use std::cell::RefMut;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::Arc;

use oxio_core::clock::Deadline;
use oxio_core::inbox::Inbox;
use oxio_core::reactor::{Events, Poller, Reactor, Waker};
use oxio_core::ready::ReadyQueue;
use oxio_core::timers::TimerQueue;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

pub use runnable::{DoneCall, IoSource, NativeTimer, Runnable, Timer};
pub use running::{Running, bind_loop, running_loop, running_native_loop};
pub use watch::{Side, Watched, Watcher};

use crate::errors::os_error;
use crate::interop::call::thread_token;
use crate::interop::cell::{GilCell, GilFlag};
use crate::interop::imports::Imports;

/// How many readiness events one poll can bring; more stay in the kernel for the next turn.
const EVENTS_PER_POLL: usize = 512;

/// The native base of `oxio.EventLoop`; asyncio's Python code above it does what happens once per connection.
#[pyclass(subclass, frozen, module = "oxio._oxio", name = "Loop")]
pub struct Loop {
    ready: GilCell<ReadyQueue<Runnable>>,
    inbox: Inbox<Runnable>,
    pub(crate) timers: GilCell<TimerQueue<Timer>>,
    reactor: GilCell<Option<Reactor<Watched>>>,
    pub(crate) poller: Arc<Poller>,
    pub(crate) events: GilCell<Option<Events>>,
    waker: Arc<Waker>,
    /// Tasks that are not done: the loop keeps them alive (asyncio's own sets are weak).
    pub(crate) pending: GilCell<Registry>,
    /// The task that Python sees as the current one. It stays set between steps of the same task, and is taken
    /// back before anything else runs.
    pub(crate) current: GilCell<Option<Py<PyAny>>>,
    pub(crate) task_factory: GilCell<Option<Py<PyAny>>>,
    pub(crate) pacing: GilFlag<Pacing>,
    closed: GilFlag<bool>,
    stopping: GilFlag<bool>,
    debug: GilFlag<bool>,
    /// `threading.get_ident()` of the running thread, and our own name for it.
    running: GilFlag<Option<(u64, usize)>>,
    /// A step is on the stack: nothing else may be stepped inside it, but for an eager start.
    pub(crate) stepping: GilFlag<bool>,
    native: GilFlag<Native>,
}

/// Which methods a Python subclass has left as they are. What it overrides is called, as asyncio's own code would.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each method; they are independent")]
pub struct Native {
    /// `call_soon`: tasks and futures go straight into the ready queue.
    pub call_soon: bool,
    /// `time` and `call_at`: timers are made and expire without asking Python.
    pub timers: bool,
    /// `create_task`: what makes tasks of coroutines makes ours.
    pub create_task: bool,
    /// `_run_once`: many turns to a call.
    pub run_once: bool,
}

/// When the loop polled last; kept by `event_loop/run.rs`.
#[derive(Clone, Copy)]
pub struct Pacing {
    pub busy_turns: u32,
    pub turns_since_poll: u32,
    pub last_poll: Deadline,
}

impl Loop {
    /// # Errors
    /// `OSError` when the process is out of file descriptors.
    pub fn create(py: Python<'_>, native: Native) -> PyResult<Self> {
        let reactor = Reactor::new().map_err(|error| os_error(py, &error))?;
        Ok(Self {
            ready: GilCell::new(ReadyQueue::new()),
            inbox: Inbox::new(),
            timers: GilCell::new(TimerQueue::new()),
            poller: reactor.poller(),
            waker: reactor.waker(),
            reactor: GilCell::new(Some(reactor)),
            events: GilCell::new(Some(Events::with_capacity(EVENTS_PER_POLL))),
            pending: GilCell::new(Registry::default()),
            current: GilCell::new(None),
            task_factory: GilCell::new(None),
            pacing: GilFlag::new(Pacing {
                busy_turns: 0,
                turns_since_poll: 0,
                last_poll: Deadline::from_nanos(0),
            }),
            closed: GilFlag::new(false),
            stopping: GilFlag::new(false),
            debug: GilFlag::new(false),
            running: GilFlag::new(None),
            stepping: GilFlag::new(false),
            native: GilFlag::new(native),
        })
    }

    /// The loop behind `event_loop`, when it is ours and its `call_soon` is not overridden.
    pub fn native_of<'a, 'py>(event_loop: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Self>> {
        event_loop.cast::<Self>().ok().filter(|found| found.get().native(event_loop.py()).call_soon)
    }

    pub fn native(&self, py: Python<'_>) -> Native {
        self.native.get(py)
    }

    pub fn set_native(&self, py: Python<'_>, native: Native) {
        self.native.set(py, native);
    }

    /// # Errors
    /// `RuntimeError` after `close()`.
    pub fn check_closed(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.get(py) {
            return Err(PyRuntimeError::new_err("Event loop is closed"));
        }
        Ok(())
    }

    pub fn is_closed(&self, py: Python<'_>) -> bool {
        self.closed.get(py)
    }

    /// Marks the loop open or closed; a closed loop lets go of all that it was going to run.
    pub fn set_closed(&self, py: Python<'_>, closed: bool) {
        self.closed.set(py, closed);
        if closed {
            self.drop_work(py);
        }
    }

    pub fn is_stopping(&self, py: Python<'_>) -> bool {
        self.stopping.get(py)
    }

    pub fn set_stopping(&self, py: Python<'_>, stopping: bool) {
        self.stopping.set(py, stopping);
    }

    pub fn is_debug(&self, py: Python<'_>) -> bool {
        self.debug.get(py)
    }

    pub fn set_debug(&self, py: Python<'_>, debug: bool) {
        self.debug.set(py, debug);
    }

    /// `threading.get_ident()` of the thread inside `run_forever`.
    pub fn running_thread(&self, py: Python<'_>) -> Option<u64> {
        self.running.get(py).map(|(ident, _token)| ident)
    }

    /// Called on the thread that is about to run the loop, or has just left it.
    pub fn set_running_thread(&self, py: Python<'_>, ident: Option<u64>) {
        self.running.set(py, ident.map(|ident| (ident, thread_token())));
    }

    /// True on the thread inside `run_forever`.
    pub fn is_running_here(&self, py: Python<'_>) -> bool {
        self.running.get(py).is_some_and(|(_ident, token)| token == thread_token())
    }

    /// The ready queue, with what other threads have sent at its end.
    fn ready_with_inbox(&self, py: Python<'_>) -> RefMut<'_, ReadyQueue<Runnable>> {
        let mut ready = self.ready.borrow(py);
        if self.inbox.has_items() {
            self.inbox.drain_into(ready.as_deque_mut());
        }
        ready
    }

    /// Queues an entry for the next turn. What other threads sent before comes first.
    pub fn push(&self, py: Python<'_>, runnable: Runnable) {
        self.ready_with_inbox(py).push(runnable);
    }

    /// Queues an entry from any thread and wakes the loop if it sleeps. While nobody runs the loop the entry goes
    /// straight into the ready queue, where the collector sees it.
    ///
    /// With [`Waker::wake`] the only way into a loop from another thread.
    pub fn push_threadsafe(&self, py: Python<'_>, runnable: Runnable) {
        if self.is_running_here(py) || self.running.get(py).is_none() {
            self.push(py, runnable);
        } else if self.inbox.push(runnable) {
            self.waker.wake();
        }
    }

    /// Wakes the loop if it sleeps, from any thread.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// How many entries are ready now, those from other threads included.
    pub fn ready_len(&self, py: Python<'_>) -> usize {
        self.ready_with_inbox(py).len()
    }

    pub fn pop_ready(&self, py: Python<'_>) -> Option<Runnable> {
        let runnable = self.ready.borrow(py).pop()?;
        runnable.release(py);
        Some(runnable)
    }

    /// Lets the collector see the handles that are left in the queue of a loop that stops.
    pub fn show_ready(&self, py: Python<'_>) {
        self.ready_with_inbox(py).iter().for_each(|runnable| runnable.release(py));
    }

    /// Calls `kind.on_time` when `when`, in seconds of the loop's clock, has come: in the next turn when it has, as
    /// asyncio's timeouts do.
    pub fn start_timer(
        &self,
        py: Python<'_>,
        when: f64,
        object: Py<PyAny>,
        kind: &'static NativeTimer,
    ) {
        if when <= Deadline::now().as_secs_f64() {
            self.push(py, Runnable::Native { object, call: kind.on_time });
        } else {
            let timer = Timer::Native { object, kind };
            self.timers.borrow(py).insert(Deadline::from_secs_f64(when), timer);
        }
    }

    /// Whether an object of ours may wait for its time without a handle: nobody overrides the clock or the timers, and
    /// nobody watches (debug mode).
    pub fn has_native_timers(&self, py: Python<'_>) -> bool {
        let native = self.native(py);
        native.call_soon && native.timers && !self.is_debug(py)
    }

    /// Watches `side` of `fd`; returns the watcher that this one replaces.
    ///
    /// # Errors
    /// `OSError` as `epoll_ctl` has it: `PermissionError` for a regular file; `RuntimeError` after close.
    pub fn watch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        side: Side,
        watcher: Watcher,
    ) -> PyResult<Option<Watcher>> {
        let watched = match self.reactor.borrow(py).as_mut() {
            Some(reactor) => watch::watch(reactor, fd, side, watcher),
            None => return Err(PyRuntimeError::new_err("Event loop is closed")),
        };
        watched.map_err(|(error, _refused)| os_error(py, &error))
    }

    /// Stops watching `side` of `fd`; returns its watcher, if there was one.
    pub fn unwatch(&self, py: Python<'_>, fd: RawFd, side: Side) -> Option<Watcher> {
        let unwatched = match self.reactor.borrow(py).as_mut() {
            Some(reactor) => watch::unwatch(reactor, fd, side),
            None => return None,
        };
        drop(unwatched.orphans);
        unwatched.watcher
    }

    /// Whether `(reading, writing)` of `fd` is watched.
    pub fn watched_sides(&self, py: Python<'_>, fd: RawFd) -> (bool, bool) {
        use oxio_core::reactor::Interest;
        let reactor = self.reactor.borrow(py);
        let interest = reactor
            .as_ref()
            .and_then(|reactor| reactor.interest(reactor.lookup(fd)?))
            .unwrap_or(Interest::NONE);
        (interest.contains(Interest::READABLE), interest.contains(Interest::WRITABLE))
    }

    /// Queues what the events of one poll ask for.
    pub fn deliver(&self, py: Python<'_>, events: &Events) {
        for (token, readiness) in events.iter() {
            let runnables = match self.reactor.borrow(py).as_ref() {
                Some(reactor) => watch::runnables(py, reactor, token, readiness),
                None => return,
            };
            for runnable in runnables.into_iter().flatten() {
                self.push(py, runnable);
            }
        }
    }

    /// Closes the reactor's file descriptors and drops its watchers.
    pub fn close_reactor(&self, py: Python<'_>) {
        let reactor = self.reactor.borrow(py).take();
        if let Some(mut reactor) = reactor {
            drop(reactor.take_sources());
        }
    }

    /// For a child after `fork`: forgets the reactor that the parent goes on using, without a system call on it.
    pub fn abandon_reactor(&self, py: Python<'_>) {
        if let Some(reactor) = self.reactor.borrow(py).as_mut() {
            reactor.forget_kernel();
        }
    }

    fn drop_work(&self, py: Python<'_>) {
        let mut from_threads = VecDeque::new();
        self.inbox.drain_into(&mut from_threads);
        let ready = self.ready.borrow(py).take();
        let timers = self.timers.borrow(py).take();
        let pending = self.pending.borrow(py).take();
        for task in pending.iter() {
            // The loop knows them no longer; asyncio's own set may, while somebody holds them.
            if let Ok(imports) = Imports::of(py) {
                imports.tasks.hand_over(task.bind(py));
            }
        }
        ready.iter().chain(&from_threads).for_each(|runnable| runnable.release(py));
        // Dropped here, with no borrow open: finalisers may call back into the loop.
        drop((from_threads, ready, timers, pending));
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A cell that is borrowed right now is skipped: see `GilCell::try_peek`.
        let skipped = || Ok(());
        self.ready
            .try_peek(|ready| ready.iter().try_for_each(|runnable| runnable.traverse(visit)))
            .unwrap_or_else(skipped)?;
        self.timers
            .try_peek(|timers| timers.iter().try_for_each(|timer| visit.call(timer.object())))
            .unwrap_or_else(skipped)?;
        self.reactor
            .try_peek(|reactor| match reactor {
                Some(reactor) => reactor.sources().try_for_each(|watched| watched.traverse(visit)),
                None => Ok(()),
            })
            .unwrap_or_else(skipped)?;
        self.pending
            .try_peek(|pending| pending.iter().try_for_each(|task| visit.call(task)))
            .unwrap_or_else(skipped)?;
        self.current.try_peek(|current| visit.call(current)).unwrap_or_else(skipped)?;
        self.task_factory.try_peek(|factory| visit.call(factory)).unwrap_or_else(skipped)
    }

    /// Breaks all cycles through the loop; the loop is unreachable, so nothing of this is missed.
    pub fn clear(&self, py: Python<'_>) {
        self.drop_work(py);
        self.close_reactor(py);
        let current = self.current.borrow(py).take();
        let factory = self.task_factory.borrow(py).take();
        drop((current, factory));
    }
}

/// The tasks of one loop that are not done, each at a place that the task remembers.
#[derive(Default)]
pub struct Registry {
    places: Vec<Option<Py<PyAny>>>,
    free: Vec<usize>,
}

impl Registry {
    pub fn insert(&mut self, task: Py<PyAny>) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(task);
            return place;
        }
        self.places.push(Some(task));
        self.places.len() - 1
    }

    /// `task`, if it is at `place`, for the caller to drop without a borrow.
    pub fn remove(&mut self, place: usize, task: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        let slot = self.places.get_mut(place)?;
        // A loop that was closed has forgotten its tasks, which still remember their places.
        let kept = slot.take_if(|kept| kept.is(task))?;
        self.free.push(place);
        Some(kept)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.places.iter().flatten()
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
