//! Which file descriptors are watched, for what and for whom.
//!
//! A thin book over the kernel's own: one slot per fd number, one registration per slot, readers and writers of an
//! fd in one combined [`Interest`]. Level-triggered, because asyncio's `add_reader` is: a callback that reads only a
//! part is called again, and a listener that failed to accept once is not deaf afterwards.
//!
//! Thread: the loop's. [`Poller`] and [`Waker`] are handed out because they work without a borrow of the reactor.
//! It must not know what a source is.
//!
//! # Numbers are reused
//!
//! An fd number is a name that the kernel gives to another file as soon as the first is closed, and users close fds
//! without telling us. Three rules follow.
//!
//! * An event belongs to a registration, not to a number. Its [`Token`] carries a generation, and a stale one finds
//!   no source.
//! * The kernel's book is keyed by file *and* number. If it does not know what we think it knows (`ENOENT`), the
//!   number has a new file, and we add that; if it knows more (`EEXIST`), we change what it has.
//! * [`Reactor::refresh`] asks the kernel again even though our book says that nothing changed. Call it when a new
//!   user comes with a number that is registered already.
//!
//! Not guaranteed: a file that was closed under one number and lives on under a duplicate stays in the kernel's book
//! and cannot be named any more. Its events are dropped here, but they end waits until the duplicate is closed.
//!
//! # Without interest
//!
//! The kernel reports hang-ups and errors even for an empty interest, and level-triggered that is a busy loop. So
//! [`Interest::NONE`] takes the fd out of the kernel's book and leaves it in ours.
//!
//! # Fork
//!
//! Parent and child share one epoll instance: what a child removes is gone for the parent. Dropping a reactor only
//! closes this process's descriptors and is always safe. To deregister in a child, call
//! [`Reactor::forget_kernel`] first. A child must not wait on an inherited poller.

mod interest;
mod poller;
mod token;
pub(crate) mod wake;

use std::{io, os::fd::RawFd, sync::Arc};

pub use interest::{Interest, Readiness};
pub use poller::{Events, Poller};
pub use token::Token;
pub use wake::Waker;

use crate::sys::{self, Selector};

/// The watched file descriptors, each with a source `S`.
#[derive(Debug)]
pub struct Reactor<S> {
    poller: Arc<Poller>,
    /// Indexed by fd number, grown to the greatest one seen.
    slots: Vec<Slot<S>>,
    len: usize,
    kernel_is_ours: bool,
}

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    registration: Option<Registration<S>>,
}

/// The kernel knows the fd exactly if `interest` is not empty.
#[derive(Debug)]
struct Registration<S> {
    interest: Interest,
    source: S,
}

impl<S> Reactor<S> {
    pub fn new() -> io::Result<Self> {
        let selector = Selector::new()?;
        let waker = Arc::new(Waker::new()?);
        let token = Token::WAKER.to_u64();
        selector.add(waker.eventfd.fd(), token, Interest::READABLE)?;
        Ok(Self {
            poller: Arc::new(Poller { selector, waker }),
            slots: Vec::new(),
            len: 0,
            kernel_is_ours: true,
        })
    }

    /// Watches `fd` for `source`. The fd stays the caller's, and neither its flags nor its life change.
    ///
    /// # Errors
    /// Gives `source` back with `AlreadyExists` if `fd` is registered, `EPERM` (`PermissionDenied`) if it cannot be
    /// watched (a regular file), `EBADF` if it is not open.
    pub fn register(
        &mut self,
        fd: RawFd,
        interest: Interest,
        source: S,
    ) -> Result<Token, (io::Error, S)> {
        let token = match self.admit(fd, interest) {
            Ok(token) => token,
            Err(error) => return Err((error, source)),
        };
        // Only now, when the kernel has accepted the number: it bounds how far the table can grow.
        if self.slots.len() <= token.index() {
            self.slots.resize_with(token.index() + 1, Slot::vacant);
        }
        self.slots[token.index()].registration = Some(Registration { interest, source });
        self.len += 1;
        Ok(token)
    }

    /// Changes what is watched. No system call if `interest` is what it was.
    ///
    /// # Errors
    /// `NotFound` for a stale token; otherwise the kernel's, and the interest is as before.
    pub fn set_interest(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        let before = self.interest(token).ok_or_else(stale_token)?;
        if before == interest {
            return Ok(());
        }
        if interest.is_empty() {
            self.disarm(token.fd());
        } else if before.is_empty() {
            self.add(token, interest)?;
        } else {
            self.modify(token, interest)?;
        }
        if let Some(registration) = self.registration_mut(token) {
            registration.interest = interest;
        }
        Ok(())
    }

    /// Tells the kernel again what is watched, in case the number names another file by now.
    ///
    /// # Errors
    /// `NotFound` for a stale token; otherwise the kernel's.
    pub fn refresh(&mut self, token: Token) -> io::Result<()> {
        let interest = self.interest(token).ok_or_else(stale_token)?;
        if interest.is_empty() {
            return Ok(());
        }
        self.modify(token, interest)
    }

    /// Ends a registration and hands its source back; `None` for a stale token.
    pub fn deregister(&mut self, token: Token) -> Option<S> {
        let slot = self.slots.get_mut(token.index())?;
        if slot.generation != token.generation() {
            return None;
        }
        let registration = slot.registration.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.len -= 1;
        if !registration.interest.is_empty() {
            self.disarm(token.fd());
        }
        Some(registration.source)
    }

    /// The registration of `fd`, if there is one.
    pub fn lookup(&self, fd: RawFd) -> Option<Token> {
        let slot = self.slots.get(usize::try_from(fd).ok()?)?;
        slot.registration.as_ref()?;
        Token::new(fd, slot.generation)
    }

    #[inline]
    pub fn source(&self, token: Token) -> Option<&S> {
        Some(&self.registration(token)?.source)
    }

    #[inline]
    pub fn source_mut(&mut self, token: Token) -> Option<&mut S> {
        Some(&mut self.registration_mut(token)?.source)
    }

    pub fn interest(&self, token: Token) -> Option<Interest> {
        Some(self.registration(token)?.interest)
    }

    pub fn fd(&self, token: Token) -> Option<RawFd> {
        self.registration(token).map(|_| token.fd())
    }

    /// How many fds are registered, with or without interest.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn sources(&self) -> impl Iterator<Item = &S> {
        let registrations = self.slots.iter().filter_map(|s| s.registration.as_ref());
        registrations.map(|registration| &registration.source)
    }

    /// Ends all registrations. The caller drops the sources once its borrow has ended.
    pub fn take_sources(&mut self) -> Vec<S> {
        let fds = 0..RawFd::try_from(self.slots.len()).expect("slots are fd numbers");
        let tokens: Vec<Token> = fds.filter_map(|fd| self.lookup(fd)).collect();
        let sources = tokens.into_iter().filter_map(|token| self.deregister(token));
        sources.collect()
    }

    pub fn poller(&self) -> Arc<Poller> {
        Arc::clone(&self.poller)
    }

    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.poller.waker)
    }

    /// From now on changes only our book and never the kernel's: for a child process, whose parent shares the latter.
    ///
    /// `register` then fails with `Unsupported`, and wake-ups write nothing.
    pub fn forget_kernel(&mut self) {
        self.kernel_is_ours = false;
        // Left in NOTIFIED, the waker believes that the write has been made.
        self.poller.waker.state.notify();
    }

    fn admit(&self, fd: RawFd, interest: Interest) -> io::Result<Token> {
        if !self.kernel_is_ours {
            let message = "the reactor was inherited by fork and cannot watch anything here";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        if self.lookup(fd).is_some() {
            let message = format!("file descriptor {fd} is already registered");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        let slot = usize::try_from(fd).ok().and_then(|i| self.slots.get(i));
        let generation = slot.map_or(0, |slot| slot.generation);
        let token = Token::new(fd, generation).ok_or_else(sys::not_open)?;
        if interest.is_empty() {
            sys::check_open(fd)?;
        } else {
            self.add(token, interest)?;
        }
        Ok(token)
    }

    fn add(&self, token: Token, interest: Interest) -> io::Result<()> {
        if !self.kernel_is_ours {
            return Ok(());
        }
        let selector = &self.poller.selector;
        match selector.add(token.fd(), token.to_u64(), interest) {
            Err(error) if sys::is_already_added(&error) => {
                selector.modify(token.fd(), token.to_u64(), interest)
            }
            result => result,
        }
    }

    fn modify(&self, token: Token, interest: Interest) -> io::Result<()> {
        if !self.kernel_is_ours {
            return Ok(());
        }
        let selector = &self.poller.selector;
        match selector.modify(token.fd(), token.to_u64(), interest) {
            Err(error) if sys::is_not_added(&error) => {
                selector.add(token.fd(), token.to_u64(), interest)
            }
            result => result,
        }
    }

    fn disarm(&self, fd: RawFd) {
        if self.kernel_is_ours {
            // ENOENT and EBADF: the file was closed before, and the kernel has forgotten it by itself.
            let _ = self.poller.selector.delete(fd);
        }
    }

    fn registration(&self, token: Token) -> Option<&Registration<S>> {
        let slot = self.slots.get(token.index())?;
        let registration = slot.registration.as_ref()?;
        (slot.generation == token.generation()).then_some(registration)
    }

    fn registration_mut(&mut self, token: Token) -> Option<&mut Registration<S>> {
        let slot = self.slots.get_mut(token.index())?;
        let registration = slot.registration.as_mut()?;
        (slot.generation == token.generation()).then_some(registration)
    }
}

impl<S> Slot<S> {
    fn vacant() -> Self {
        Self { generation: 0, registration: None }
    }
}

fn stale_token() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the registration of this token has ended")
}
