//! The timer queue against a plain list that is searched from end to end.

#![cfg(not(loom))]

use std::{cell::Cell, rc::Rc};

use oxio_core::{
    clock::Deadline,
    timers::{Cancelled, TimerQueue},
};
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Step {
    /// Many at once, so that the queue gets beyond the size from which it compacts.
    Insert {
        count: u8,
        deadline: u64,
    },
    Cancel {
        count: u8,
        first: usize,
    },
    NextDeadline,
    Expire {
        now: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    // Few deadlines, so that many are equal.
    prop_oneof![
        3 => (1..60_u8, 0..20_u64).prop_map(|(count, deadline)| Step::Insert { count, deadline }),
        3 => (1..60_u8, any::<usize>()).prop_map(|(count, first)| Step::Cancel { count, first }),
        1 => Just(Step::NextDeadline),
        1 => (0..20_u64).prop_map(|now| Step::Expire { now }),
    ]
}

#[derive(Debug, Clone)]
struct Timer {
    id: usize,
    deadline: Deadline,
    is_cancelled: Rc<Cell<bool>>,
}

impl Cancelled for Timer {
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.get()
    }
}

/// The queue, the list of live timers beside it in order of insertion, and what the queue handed back.
#[derive(Default)]
struct Both {
    queue: TimerQueue<Timer>,
    live: Vec<Timer>,
    inserted: usize,
    left: Vec<usize>,
    compactions: usize,
}

impl Both {
    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Insert { count, deadline } => {
                (0..count).for_each(|_| self.insert(Deadline::from_nanos(deadline)));
            }
            Step::Cancel { count, first } => {
                for _ in 0..count {
                    self.cancel(first)?;
                }
            }
            Step::NextDeadline => {
                let mut discarded = Vec::new();
                let next = self.queue.next_deadline(&mut discarded);
                prop_assert_eq!(next, self.live.iter().map(|timer| timer.deadline).min());
                self.note_dead(discarded)?;
            }
            Step::Expire { now } => self.expire(Deadline::from_nanos(now))?,
        }
        Ok(())
    }

    fn insert(&mut self, deadline: Deadline) {
        let timer = Timer { id: self.inserted, deadline, is_cancelled: Rc::default() };
        self.inserted += 1;
        self.live.push(timer.clone());
        self.queue.insert(deadline, timer);
    }

    fn cancel(&mut self, which: usize) -> Result<(), TestCaseError> {
        if self.live.is_empty() {
            return Ok(());
        }
        let timer = self.live.remove(which % self.live.len());
        timer.is_cancelled.set(true);
        let before = self.queue.len();
        let removed = self.queue.note_cancelled();
        if !removed.is_empty() {
            self.compactions += 1;
            prop_assert!(before > 100 && removed.len() * 2 > before);
            prop_assert_eq!(self.queue.len(), self.live.len());
        }
        self.note_dead(removed)
    }

    fn expire(&mut self, now: Deadline) -> Result<(), TestCaseError> {
        let mut ran = Vec::new();
        while let Some(timer) = self.queue.pop_due(now) {
            prop_assert!(timer.deadline <= now);
            if !timer.is_cancelled() {
                ran.push(timer.id);
            }
            self.left.push(timer.id);
        }
        let mut due: Vec<_> = self.live.extract_if(.., |t| t.deadline <= now).collect();
        // Stable: insertion order among equals.
        due.sort_by_key(|timer| timer.deadline);
        prop_assert_eq!(ran, due.iter().map(|timer| timer.id).collect::<Vec<_>>());
        Ok(())
    }

    fn note_dead(&mut self, timers: Vec<Timer>) -> Result<(), TestCaseError> {
        for timer in timers {
            prop_assert!(timer.is_cancelled(), "timer {} was alive", timer.id);
            self.left.push(timer.id);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.queue.iter().filter(|t| !t.is_cancelled()).count() == self.live.len());
        self.left.extend(self.queue.take().iter().map(|timer| timer.id));
        prop_assert!(self.queue.is_empty());
        self.left.sort_unstable();
        prop_assert_eq!(self.left, (0..self.inserted).collect::<Vec<_>>());
        Ok(())
    }
}

proptest! {
    #[test]
    fn timers_run_in_order_and_leave_exactly_once(steps in vec(step(), 0..60)) {
        let mut both = Both::default();
        for step in &steps {
            both.run(step)?;
        }
        both.finish()?;
    }
}

#[test]
fn the_model_reaches_compactions() {
    let mut both = Both::default();
    let steps = [
        Step::Insert { count: 59, deadline: 1 },
        Step::Insert { count: 59, deadline: 2 },
        Step::Cancel { count: 59, first: 7 },
        Step::Cancel { count: 1, first: 0 },
        Step::Expire { now: 2 },
    ];
    for step in &steps {
        both.run(step).expect("queue and list agree");
    }
    assert_eq!(both.compactions, 1);
    both.finish().expect("every timer left once");
}
