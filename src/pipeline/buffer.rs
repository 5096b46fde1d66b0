//! Records that wait for the drive. A drive that ran dry waits until the high watermark, so that a slow source costs
//! one stop and not a thousand.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Records after which a drive that need not stream is woken.
const FEW: usize = 8;

/// One thing for the drive's thread to do, in order.
#[derive(Debug)]
pub(super) enum Item<M> {
    /// Write this record.
    Record(Vec<u8>),
    /// A mark between records.
    Mark(M),
}

struct State<M> {
    queue: VecDeque<Item<M>>,
    records: usize,
    marks: usize,
    spare: Vec<Vec<u8>>,
    /// The drive ran dry and waits for the high watermark.
    refilling: bool,
    closed: bool,
}

/// A bounded queue of records with watermarks and a store of used buffers.
pub(super) struct Buffer<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
    capacity: usize,
    high: usize,
}

/// The other side is gone.
#[derive(Debug)]
pub(super) struct Closed;

impl<M> Buffer<M> {
    /// Holds `capacity` records. A drive that ran dry starts again at half of it when `streaming`; one that loses nothing
    /// by waiting starts again after a few, so that threads are not woken for every single record.
    pub(super) fn new(capacity: usize, streaming: bool) -> Buffer<M> {
        let capacity = capacity.max(2);
        let state = State {
            queue: VecDeque::new(),
            records: 0,
            marks: 0,
            spare: Vec::new(),
            refilling: true,
            closed: false,
        };
        let high = if streaming { capacity / 2 } else { (capacity / 4).clamp(1, FEW) };
        Buffer { state: Mutex::new(state), changed: Condvar::new(), capacity, high }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // A panicking peer leaves the queue whole: every operation below is a single push or pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State<M>>) -> MutexGuard<'a, State<M>> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room.
    pub(super) fn push(&self, record: Vec<u8>) -> Result<(), Closed> {
        let mut state = self.lock();
        while state.records >= self.capacity && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return Err(Closed);
        }
        state.queue.push_back(Item::Record(record));
        state.records += 1;
        if state.refilling && state.records >= self.high {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Marks never wait: they carry the order, not the data.
    pub(super) fn mark(&self, mark: M) -> Result<(), Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.queue.push_back(Item::Mark(mark));
        state.marks += 1;
        self.changed.notify_all();
        Ok(())
    }

    /// The next item; `None` when the buffer is closed. A pending mark lifts the watermark: what stands before it is
    /// wanted on tape.
    pub(super) fn pop(&self) -> Option<Item<M>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.records >= self.high || state.marks > 0 {
                state.refilling = false;
            }
            if !state.refilling
                && let Some(item) = state.queue.pop_front()
            {
                match &item {
                    Item::Record(_) => state.records -= 1,
                    Item::Mark(_) => state.marks -= 1,
                }
                if state.records + 1 == self.capacity {
                    self.changed.notify_all(); // a producer may have waited for room
                }
                return Some(item);
            }
            state.refilling = true;
            state = self.wait(state);
        }
    }

    /// A used buffer, the most recent one first: it is still in the processor's cache.
    pub(super) fn spare(&self, capacity: usize) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut state = self.lock();
        if state.spare.len() < 16 {
            state.spare.push(buffer);
        }
    }

    /// Records that wait, and the most that may.
    pub(super) fn level(&self) -> (usize, usize) {
        (self.lock().records, self.capacity)
    }

    /// Wakes both sides for good. What waits is dropped: a mark may hold the channel on which somebody waits for an
    /// answer.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_an_answer_to_a_mark_is_not_forgotten() {
        let buffer = Buffer::new(2, false);
        let (reply, answer) = crossbeam_channel::bounded::<()>(1);
        buffer.mark(reply).unwrap();
        buffer.close();
        assert!(answer.recv().is_err());
    }

    #[test]
    fn a_dry_drive_waits_for_the_high_watermark() {
        let buffer: Buffer<()> = Buffer::new(8, true);
        std::thread::scope(|scope| {
            let popped = scope.spawn(|| buffer.pop());
            for number in 0..3 {
                buffer.push(vec![number]).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(30));
            assert_eq!(buffer.level().0, 3, "nothing is taken below the watermark");
            buffer.push(vec![3]).unwrap();
            assert!(matches!(popped.join().unwrap(), Some(Item::Record(r)) if r == [0]));
        });
    }

    #[test]
    fn a_mark_lifts_the_watermark() {
        let buffer = Buffer::new(8, true);
        buffer.push(vec![1]).unwrap();
        buffer.mark("end").unwrap();
        assert!(matches!(buffer.pop(), Some(Item::Record(_))));
        assert!(matches!(buffer.pop(), Some(Item::Mark("end"))));
    }

    #[test]
    fn closing_drops_what_waits() {
        let buffer = Buffer::new(2, false);
        let (answer, waiting) = std::sync::mpsc::channel::<()>();
        buffer.mark(answer).unwrap();
        buffer.close();
        assert!(waiting.recv().is_err(), "nobody will answer any more");
        assert!(buffer.pop().is_none());
    }

    #[test]
    fn closing_wakes_a_full_producer() {
        let buffer: Buffer<()> = Buffer::new(2, false);
        buffer.push(vec![]).unwrap();
        buffer.push(vec![]).unwrap();
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| buffer.push(vec![]));
            std::thread::sleep(std::time::Duration::from_millis(20));
            buffer.close();
            assert!(blocked.join().unwrap().is_err());
        });
    }
}
