//! Loads an echo server in a closed loop and counts the replies.
//!
//! Closed loop: each connection has one message in flight and sends the next when the whole reply is back. Native,
//! because a client in Python would use more of the machine than the server it measures.
//!
//! The driver talks to it by lines, so that connecting stays outside the measured time:
//!
//! ```text
//! open tcp 127.0.0.1:4000 10 1024    ─► ok
//! open unix /tmp/echo.sock 10 1024   ─► ok
//! run 60                             ─► ok requests=… nanoseconds=… p50=… p99=…   (milliseconds in, nanoseconds out)
//! close                              ─► ok
//! ```
//!
//! A refused line, a wrong reply or a stalled server is one line `error …`; the connections are then closed.

mod connection;
mod error;
mod latency;
mod load;

use std::io::{self, BufRead, Write};
use std::time::Duration;

use crate::connection::Target;
use crate::error::LoadError;
use crate::load::Load;

fn main() -> io::Result<()> {
    let mut load = None;
    for line in io::stdin().lock().lines() {
        let answer = match obey(&line?, &mut load) {
            Ok(facts) => format!("ok {facts}"),
            Err(error) => {
                load = None;
                format!("error {error}")
            }
        };
        writeln!(io::stdout(), "{}", answer.trim_end())?;
    }
    Ok(())
}

fn obey(line: &str, load: &mut Option<Load>) -> Result<String, LoadError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["open", family, address, connections, size] => {
            let target = Target::parse(family, address)?;
            *load = Some(Load::open(&target, number(connections)?, number(size)?)?);
            Ok(String::new())
        }
        ["run", milliseconds] => {
            let load = load
                .as_mut()
                .ok_or_else(|| LoadError::Command("run before open".into()))?;
            let milliseconds = number(milliseconds)?;
            Ok(load
                .run(Duration::from_millis(milliseconds as u64))?
                .to_string())
        }
        ["close"] => {
            *load = None;
            Ok(String::new())
        }
        _ => Err(LoadError::Command(format!("unknown command: {line}"))),
    }
}

fn number(word: &str) -> Result<usize, LoadError> {
    word.parse()
        .map_err(|_| LoadError::Command(format!("not a number: {word}")))
}
