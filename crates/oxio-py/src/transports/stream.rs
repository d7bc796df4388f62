//! Reading and writing a connected stream socket.
//!
//! `StreamIo` uses the descriptor of the socket object that the Python transport owns. A program can close or detach
//! that object behind the transport's back, and the number then names another connection. So the object is asked for
//! its number before each system call, as asyncio does by calling its methods: a closed one is `EBADF`.
//!
//! Order of a write: try at once when nothing is queued; keep the rest, `bytes` by reference and mutable buffers
//! as a copy; then one `sendmsg` a turn while the socket takes bytes.
//!
//! Thread: the loop's. Every call into Python may close or write to this very transport: nothing is borrowed
//! across it, and the state is read again after it.
//!
//! Source of the behaviour: CPython `selector_events._SelectorSocketTransport`.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;

use oxio_core::buffers::WriteQueue;
use oxio_core::sys::socket;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::errors::os_error;
use crate::interop::buffer::{new_bytes, with_writable};
use crate::interop::call::copy_context;
use crate::interop::cell::{GilCell, GilFlag};
use crate::interop::imports::interned;
use crate::protocol::{self, Receiver, Way};
use crate::scheduler::{IoSource, Loop, Side, Watcher};

/// Bytes of one read at most; asyncio's `max_size`.
const READ_SIZE: usize = 256 * 1024;

/// What the kernel says of a number that is not open; the same on all Unix systems.
const EBADF: i32 = 9;

/// Per-packet state of one stream transport; see the module's head.
#[pyclass(frozen, module = "oxio._oxio", name = "StreamIo")]
pub struct StreamIo {
    event_loop: Py<Loop>,
    /// The socket object, until the connection is lost.
    sock: GilCell<Option<Py<PyAny>>>,
    /// Its number when the transport was made: the one that the reactor knows. `-1` once the connection is lost.
    fd: GilFlag<RawFd>,
    transport: GilCell<Option<Py<PyAny>>>,
    receiver: GilCell<Option<Receiver>>,
    queue: GilCell<WriteQueue<PyBackedBytes>>,
    /// How often bytes were refused since the connection was lost; asyncio logs from the fifth on.
    conn_lost: GilFlag<u32>,
    eof: GilFlag<bool>,
    /// The future of a `sendfile` that waits until nothing is queued.
    empty_waiter: GilCell<Option<Py<PyAny>>>,
}

/// What became of an attempt to send.
enum Attempt {
    /// So many bytes went out; 0 when the socket takes none now.
    Sent(usize),
    Failed(io::Error),
}

impl Attempt {
    fn of(result: io::Result<usize>) -> Self {
        match result {
            Ok(count) => Self::Sent(count),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Self::Sent(0)
            }
            Err(error) => Self::Failed(error),
        }
    }
}

impl StreamIo {
    /// Tells the loop to tell us, in the context that is current now.
    fn watcher(slf: &Bound<'_, Self>) -> PyResult<Watcher> {
        let context = copy_context(slf.py())?.unbind();
        let object = slf.clone().into_any().unbind();
        Ok(Watcher::Io(IoSource { object, context, on_ready }))
    }

    /// The socket's number, if it is still the one that is watched.
    fn open_fd(&self, py: Python<'_>) -> PyResult<io::Result<RawFd>> {
        let sock = self.sock.borrow(py).as_ref().map(|sock| sock.clone_ref(py));
        let fd = match sock {
            Some(sock) => sock.call_method0(py, interned!(py, "fileno"))?.extract::<RawFd>(py)?,
            None => -1,
        };
        if fd < 0 || fd != self.fd.get(py) {
            return Ok(Err(io::Error::from_raw_os_error(EBADF)));
        }
        Ok(Ok(fd))
    }

    fn transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport.borrow(py).as_ref().map(|transport| transport.bind(py).clone())
    }

    /// The transport's `_fatal_error(exc, message)`: reports what is not an `OSError`, then drops the connection.
    fn fatal_error(&self, py: Python<'_>, error: PyErr, message: &str) -> PyResult<()> {
        if error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py)
        {
            return Err(error);
        }
        if let Some(transport) = self.transport(py) {
            let error = error.into_value(py);
            transport.call_method1(interned!(py, "_fatal_error"), (error, message))?;
        }
        Ok(())
    }

    /// True when a write must go through asyncio's own method: it refuses, warns, or has nothing to do.
    fn is_unusual(&self, py: Python<'_>) -> bool {
        self.eof.get(py) || self.conn_lost.get(py) > 0 || self.empty_waiter.borrow(py).is_some()
    }

    /// Starts to wait until the socket takes bytes again, and pauses the protocol when too many are queued.
    fn wait_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let watcher = Self::watcher(slf)?;
        let replaced = this.event_loop.get().watch(py, this.fd.get(py), Side::Write, watcher)?;
        drop(replaced);
        this.maybe_pause(py)
    }

    fn maybe_pause(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(transport) = self.transport(py) {
            transport.call_method0(interned!(py, "_maybe_pause_protocol"))?;
        }
        Ok(())
    }

    /// Sends what is queued, once.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.conn_lost.get(py) > 0 || this.queue.borrow(py).is_empty() {
            return Ok(());
        }
        let mut done = Vec::new();
        let fd = this.open_fd(py)?;
        let attempt = {
            let mut queue = this.queue.borrow(py);
            let attempt = Attempt::of(fd.and_then(|fd| socket::send_vectored(fd, &queue.slices())));
            if let Attempt::Sent(count) = attempt {
                queue.advance(count, &mut done);
            }
            attempt
        };
        drop(done);
        let Some(transport) = this.transport(py) else {
            return Ok(());
        };
        match attempt {
            Attempt::Sent(_) => {
                transport.call_method0(interned!(py, "_flushed"))?;
                Ok(())
            }
            Attempt::Failed(error) => {
                this.event_loop.get().unwatch(py, this.fd.get(py), Side::Write);
                this.clear_queue(py);
                let error = os_error(py, &error);
                let waiter =
                    this.empty_waiter.borrow(py).as_ref().map(|waiter| waiter.clone_ref(py));
                let value = error.value(py).clone().into_any();
                this.fatal_error(py, error, "Fatal write error on socket transport")?;
                if let Some(waiter) = waiter {
                    waiter.bind(py).call_method1(interned!(py, "set_exception"), (value,))?;
                }
                Ok(())
            }
        }
    }

    /// One read, handed to the protocol.
    fn read(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // An earlier entry of this turn may have paused or closed the transport.
        if this.conn_lost.get(py) > 0 || !this.event_loop.get().watched_sides(py, this.fd.get(py)).0
        {
            return Ok(());
        }
        let (protocol, way) = match this.receiver.borrow(py).as_ref() {
            Some(receiver) => (receiver.protocol.bind(py).clone(), receiver.way),
            None => return Ok(()),
        };
        let direct = match way {
            Way::Buffer => return this.read_into_buffer(&protocol),
            Way::Direct(direct) => Some(direct),
            Way::Bytes => None,
        };
        let received = match this.open_fd(py)? {
            Ok(fd) => receive(fd, |bytes| {
                if let Some(direct) = direct
                    && (direct.feed)(&protocol, bytes)?
                {
                    return Ok(());
                }
                protocol::data_received(&protocol, &new_bytes(py, bytes)?)
            }),
            Err(error) => Err(error),
        };
        match received {
            Ok(Received::Nothing | Received::Taken(Ok(()))) => Ok(()),
            Ok(Received::End) => this.read_eof(py),
            Ok(Received::Taken(Err(error))) => {
                this.fatal_error(py, error, "Fatal error: protocol.data_received() call failed.")
            }
            Err(error) => {
                let error = os_error(py, &error);
                this.fatal_error(py, error, "Fatal read error on socket transport")
            }
        }
    }

    fn read_into_buffer(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let failed = "Fatal error: protocol.get_buffer() call failed.";
        let buffer = match protocol::next_buffer(protocol).and_then(not_empty) {
            Ok(buffer) => buffer,
            Err(error) => return self.fatal_error(py, error, failed),
        };
        // Asked after `get_buffer()`, which may have closed the socket.
        let fd = self.open_fd(py)?;
        let received =
            match with_writable(&buffer, |memory| fd.and_then(|fd| socket::recv(fd, memory))) {
                Ok(received) => Attempt::of_read(received),
                Err(error) => {
                    return self.fatal_error(py, error, "Fatal read error on socket transport");
                }
            };
        match received {
            Ok(None) => Ok(()),
            Ok(Some(0)) => self.read_eof(py),
            Ok(Some(count)) => protocol::buffer_updated(protocol, count).or_else(|error| {
                self.fatal_error(py, error, "Fatal error: protocol.buffer_updated() call failed.")
            }),
            Err(error) => {
                let error = os_error(py, &error);
                self.fatal_error(py, error, "Fatal read error on socket transport")
            }
        }
    }

    /// The peer has ended its half: asyncio's method asks the protocol whether ours stays open.
    fn read_eof(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(transport) = self.transport(py) {
            transport.call_method0(interned!(py, "_read_ready__on_eof"))?;
        }
        Ok(())
    }

    fn clear_queue(&self, py: Python<'_>) {
        let chunks = self.queue.borrow(py).take();
        drop(chunks);
    }
}

impl Attempt {
    /// A read that would block is no bytes and no end of file.
    fn of_read(result: io::Result<usize>) -> io::Result<Option<usize>> {
        match result {
            Ok(count) => Ok(Some(count)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a read has brought.
enum Received<T> {
    Nothing,
    /// The peer has ended its half.
    End,
    /// Bytes, and what became of them.
    Taken(T),
}

/// Reads once from `fd` and lends what has come to `take`, which may call Python.
fn receive<T>(fd: RawFd, take: impl FnOnce(&[u8]) -> T) -> io::Result<Received<T>> {
    thread_local! {
        /// One buffer for all connections of the thread's loops. Whoever uses it takes it away, so that a loop that is
        /// run inside `take` makes its own.
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    if scratch.is_empty() {
        scratch = vec![0; READ_SIZE];
    }
    let received = Attempt::of_read(socket::recv(fd, &mut scratch)).map(|count| match count {
        None => Received::Nothing,
        Some(0) => Received::End,
        Some(count) => Received::Taken(take(&scratch[..count])),
    });
    SCRATCH.replace(scratch);
    received
}

fn not_empty(buffer: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if buffer.len()? == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
    }
    Ok(buffer)
}

/// What the loop calls when the socket is ready.
fn on_ready(source: &Bound<'_, PyAny>, side: Side) -> PyResult<()> {
    let stream = source.cast::<StreamIo>()?;
    match side {
        Side::Read => StreamIo::read(stream),
        Side::Write => StreamIo::flush(stream),
    }
}

/// `data` as bytes that cannot change: `bytes` by reference, other buffers as a copy. `None` for what is no buffer.
fn unchanging(data: &Bound<'_, PyAny>) -> PyResult<Option<PyBackedBytes>> {
    let py = data.py();
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Some(bytes.clone().into()));
    }
    if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
        let copy = py.get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?;
        return Ok(Some(copy.into()));
    }
    Ok(None)
}

#[pymethods]
impl StreamIo {
    /// A stream on the connected, non-blocking `sock`, which stays `transport`'s.
    #[new]
    fn new(
        event_loop: &Bound<'_, Loop>,
        sock: &Bound<'_, PyAny>,
        transport: Py<PyAny>,
    ) -> PyResult<Self> {
        let fd = sock.call_method0(interned!(sock.py(), "fileno"))?.extract()?;
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            sock: GilCell::new(Some(sock.clone().unbind())),
            fd: GilFlag::new(fd),
            transport: GilCell::new(Some(transport)),
            receiver: GilCell::new(None),
            queue: GilCell::new(WriteQueue::new()),
            conn_lost: GilFlag::new(0),
            eof: GilFlag::new(false),
            empty_waiter: GilCell::new(None),
        })
    }

    /// Hand bytes to `protocol` from now on.
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>, buffered: bool) {
        let receiver = Receiver::new(protocol, buffered);
        let replaced = self.receiver.borrow(protocol.py()).replace(receiver);
        drop(replaced);
    }

    /// Watch the socket for bytes to read.
    fn start_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let watcher = Self::watcher(slf)?;
        let replaced = this.event_loop.get().watch(py, this.fd.get(py), Side::Read, watcher)?;
        drop(replaced);
        Ok(())
    }

    /// `Transport.write`.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_unusual(py) {
            return this.unusual(py, "write", data);
        }
        let Some(bytes) = unchanging(data)? else {
            return this.unusual(py, "write", data);
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if !this.queue.borrow(py).is_empty() {
            this.queue.borrow(py).push(bytes);
            return this.maybe_pause(py);
        }
        let fd = this.open_fd(py)?;
        match Attempt::of(fd.and_then(|fd| socket::send(fd, &bytes))) {
            Attempt::Sent(count) if count == bytes.len() => Ok(()),
            Attempt::Sent(count) => {
                this.queue.borrow(py).push_partial(bytes, count);
                Self::wait_writable(slf)
            }
            Attempt::Failed(error) => {
                let error = os_error(py, &error);
                this.fatal_error(py, error, "Fatal write error on socket transport")
            }
        }
    }

    /// `Transport.writelines`: all chunks in one system call when the socket takes them.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_unusual(py) {
            return this.unusual(py, "writelines", list_of_data);
        }
        let mut chunks = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            match unchanging(&data)? {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => chunks.push(bytes),
                // Refused by asyncio's own write, in its words.
                None => return this.unusual(py, "write", &data),
            }
        }
        // Iterating ran Python code: look at the state again.
        if this.is_unusual(py) || chunks.is_empty() {
            return Ok(());
        }
        let was_empty = this.queue.borrow(py).is_empty();
        for chunk in chunks {
            this.queue.borrow(py).push(chunk);
        }
        if was_empty {
            Self::flush(slf)?;
            if !this.queue.borrow(py).is_empty() {
                return Self::wait_writable(slf);
            }
            return Ok(());
        }
        this.maybe_pause(py)
    }

    /// Drop what is queued; nothing of it is sent.
    fn clear(&self, py: Python<'_>) {
        self.clear_queue(py);
    }

    /// Bytes that are queued.
    #[getter]
    fn queued(&self, py: Python<'_>) -> usize {
        self.queue.borrow(py).len_bytes()
    }

    /// Let go of the socket and of everything else; the transport has lost its connection.
    fn detach(&self, py: Python<'_>) {
        self.fd.set(py, -1);
        self.clear_queue(py);
        let transport = self.transport.borrow(py).take();
        let receiver = self.receiver.borrow(py).take();
        let sock = self.sock.borrow(py).take();
        drop((transport, receiver, sock));
    }

    /// How often bytes were refused since the connection was lost; asyncio warns from the fifth on.
    #[getter]
    fn get_conn_lost(&self, py: Python<'_>) -> u32 {
        self.conn_lost.get(py)
    }

    #[setter]
    fn set_conn_lost(&self, py: Python<'_>, count: u32) {
        self.conn_lost.set(py, count);
    }

    /// Whether `write_eof()` was called.
    #[getter]
    fn get_eof(&self, py: Python<'_>) -> bool {
        self.eof.get(py)
    }

    #[setter]
    fn set_eof(&self, py: Python<'_>, eof: bool) {
        self.eof.set(py, eof);
    }

    /// The future of a `sendfile` that waits until nothing is queued, or `None`.
    #[getter]
    fn get_empty_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.empty_waiter.borrow(py).as_ref().map(|waiter| waiter.clone_ref(py))
    }

    #[setter]
    fn set_empty_waiter(&self, py: Python<'_>, waiter: Option<Py<PyAny>>) {
        let replaced = std::mem::replace(&mut *self.empty_waiter.borrow(py), waiter);
        drop(replaced);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        for cell in [&self.sock, &self.transport, &self.empty_waiter] {
            cell.try_peek(|object| visit.call(object)).unwrap_or(Ok(()))?;
        }
        self.receiver
            .try_peek(|receiver| match receiver {
                Some(receiver) => visit.call(&receiver.protocol),
                None => Ok(()),
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let this = slf.get();
        this.detach(slf.py());
        this.set_empty_waiter(slf.py(), None);
    }
}

impl StreamIo {
    /// Hands an odd call to asyncio's own method, which refuses it, warns, or does nothing.
    fn unusual(&self, py: Python<'_>, method: &str, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(transport) = self.transport(py) {
            transport.call_method1(interned!(py, "_unusual"), (method, data))?;
        }
        Ok(())
    }
}
