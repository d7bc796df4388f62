//! The switch between the real synchronisation types and loom's.
//!
//! Built with `--cfg loom`, [`crate::inbox`] and [`crate::reactor::wake`] run on types whose every interleaving
//! loom can try. Whatever two threads touch takes its types from here.

#[cfg(loom)]
pub(crate) use ::loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, Ordering},
};
