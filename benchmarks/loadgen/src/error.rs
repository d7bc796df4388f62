use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why a run gives no number. By who is to blame: the driver, the machine, or the server under test.
#[derive(Debug)]
pub enum LoadError {
    Command(String),
    Io(io::Error),
    /// The server closed a connection that had a message in flight.
    Closed,
    /// The reply differs from the message: at this byte, or by bytes nobody sent.
    Corrupt {
        offset: usize,
    },
    /// Replies still missing long after the last message was sent.
    Stalled {
        missing: usize,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(text) => f.write_str(text),
            Self::Io(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the server closed a connection instead of replying"),
            Self::Corrupt { offset } => {
                write!(f, "the reply differs from the message at byte {offset}")
            }
            Self::Stalled { missing } => {
                write!(f, "the server stalled with {missing} replies missing")
            }
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for LoadError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}
