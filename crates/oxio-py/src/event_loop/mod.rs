//! The user's API of the loop, above everything else.
//!
//! [`methods`] is the single list of what Python can call; the work is in the other files by topic. What happens
//! once per connection or once per loop is inherited from the running interpreter's asyncio (`python/oxio/events.py`).

mod methods;
mod run;
mod scheduling;
mod watchers;
