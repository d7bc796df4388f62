//! The edge to CPython's C API: the only folder of this crate that opens `unsafe`.
//!
//! Everything above it is safe Rust over these few things:
//! * [`layout`]: the memory that oxio's Future, Task and Handle share with asyncio's own;
//! * [`rawtype`]: native subclasses of asyncio's classes, made from type specs;
//! * [`call`]: sending into coroutines, entering contexts, calling without a tuple;
//! * [`slots`]: Python classes with `__slots__` that Rust reads and writes;
//! * [`cell`]: interior mutability guarded by the interpreter lock;
//! * [`imports`]: the Python objects that the hot paths need, looked up once;
//! * [`attributes`]: whether a class has changed since, and setting an attribute the plain way;
//! * [`buffer`]: writing into the buffers of others;
//! * [`attach`]: the one door for letting go of the interpreter.

pub mod attach;
pub mod attributes;
pub mod buffer;
pub mod call;

pub mod cell;
pub mod imports;
pub mod instance;
pub mod layout;
pub mod native_function;
pub mod rawtype;
pub mod slots;
pub mod stop_iteration;
