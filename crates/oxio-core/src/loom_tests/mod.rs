//! Models of what two threads do at the same time. Loom runs each in every order that the memory model allows, and
//! reports a thread that sleeps for ever.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p oxio-core --release --lib loom`

mod inbox_and_wake;
