//! The write queue against one long string of bytes.

#![cfg(not(loom))]

use std::collections::VecDeque;

use oxio_core::buffers::WriteQueue;
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Step {
    Push {
        len: usize,
        sent: usize,
    },
    /// The socket takes this share of what one vectored send offers.
    Send {
        of_256: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..50_usize, 0..60_usize).prop_map(|(len, sent)| Step::Push {
            len,
            // Often nothing is sent yet, sometimes all.
            sent: sent.saturating_sub(20).min(len),
        }),
        1 => (0..=256_usize).prop_map(|of_256| Step::Send { of_256 }),
    ]
}

proptest! {
    #[test]
    fn every_byte_is_offered_once_and_in_order(steps in vec(step(), 0..300)) {
        let mut queue = WriteQueue::<Vec<u8>>::new();
        let mut unsent = VecDeque::<u8>::new();
        let mut pushed = Vec::new();
        let mut done = Vec::new();
        let mut next_byte = 0_u8;

        for step in steps {
            match step {
                Step::Push { len, sent } => {
                    let chunk: Vec<u8> = (0..len).map(|_| {
                        next_byte = next_byte.wrapping_add(1);
                        next_byte
                    }).collect();
                    unsent.extend(&chunk[sent..]);
                    pushed.push(chunk.clone());
                    queue.push_partial(chunk, sent);
                }
                Step::Send { of_256 } => {
                    let offered: Vec<u8> = queue.slices().iter().flat_map(|s| s.to_vec()).collect();
                    prop_assert!(offered.iter().eq(unsent.iter().take(offered.len())));
                    prop_assert!(!offered.is_empty() || unsent.is_empty());
                    let count = offered.len() * of_256 / 256;
                    queue.advance(count, &mut done);
                    unsent.drain(..count);
                }
            }
            prop_assert_eq!(queue.len_bytes(), unsent.len());
            // Nothing is dropped inside: the chunks are either in the queue or handed back, in order.
            prop_assert!(done.iter().chain(queue.chunks()).eq(&pushed));
        }
        done.extend(queue.take());
        prop_assert_eq!(done, pushed);
        prop_assert!(queue.is_empty() && queue.len_bytes() == 0);
    }
}
