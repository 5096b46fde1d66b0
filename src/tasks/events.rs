//! Events: kept in the catalog, and told to whoever follows.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::catalog::{Catalog, CatalogError, EventId, EventRow, NewEvent, Severity, TaskId, VolumeId};

/// Events kept unless told otherwise.
pub const KEPT: u32 = 10_000;
/// Events that may wait for one subscriber; a slower one is dropped.
pub const QUEUE: usize = 1024;
/// Progress of one task is told at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);
/// The kind of progress events.
pub const PROGRESS: &str = "task.progress";

/// One event. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number; none for progress, which is told but not kept.
    pub id: Option<EventId>,
    /// What happened.
    pub what: NewEvent,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Event {
        Event { id: Some(row.id), what: row.event }
    }
}

/// An event to publish.
#[derive(Debug, Clone)]
pub struct Publish(NewEvent);

impl Publish {
    /// An event of a kind such as `job.completed`.
    pub fn new(kind: &str, severity: Severity, message: impl Into<String>) -> Publish {
        Publish(NewEvent {
            time: super::now(),
            kind: kind.to_owned(),
            severity,
            message: message.into(),
            data: Value::Object(serde_json::Map::new()),
            task: None,
            job: None,
            volume: None,
            drive: None,
        })
    }

    /// With details for programs.
    #[must_use]
    pub fn data(mut self, data: Value) -> Publish {
        self.0.data = data;
        self
    }

    /// About a task.
    #[must_use]
    pub fn task(mut self, task: TaskId) -> Publish {
        self.0.task = Some(task);
        self
    }

    /// About a job.
    #[must_use]
    pub fn job(mut self, job: Option<i64>) -> Publish {
        self.0.job = job;
        self
    }

    /// About a volume.
    #[must_use]
    pub fn volume(mut self, volume: Option<VolumeId>) -> Publish {
        self.0.volume = volume;
        self
    }

    /// About a drive.
    #[must_use]
    pub fn drive(mut self, drive: Option<i64>) -> Publish {
        self.0.drive = drive;
        self
    }
}

/// Is told each event; false ends the subscription. Must not block, nor publish.
pub type Callback = Box<dyn Fn(&Event) -> bool + Send + Sync>;

/// The bus. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    catalog: Catalog,
    keep: u32,
    bus: Mutex<Bus>,
}

#[derive(Default)]
struct Bus {
    subscribers: Vec<(u64, Callback)>,
    next: u64,
    told: HashMap<TaskId, Instant>,
}

impl Events {
    /// A bus that keeps the newest `keep` events in `catalog`.
    pub fn new(catalog: Catalog, keep: u32) -> Events {
        Events(Arc::new(Shared { catalog, keep: keep.max(1), bus: Mutex::default() }))
    }

    fn bus(&self) -> MutexGuard<'_, Bus> {
        self.0.bus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an event and tells it to everybody. Where the catalog fails it is told all the same, without a number.
    pub fn publish(&self, event: Publish) -> Option<EventId> {
        let mut bus = self.bus();
        let id = match self.0.catalog.add_event(&event.0, self.0.keep) {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::error!(
                    error = super::chain(&error),
                    kind = event.0.kind,
                    "an event could not be kept"
                );
                None
            }
        };
        bus.tell(&Event { id, what: event.0 });
        id
    }

    /// Tells the progress of a task, unless it was told less than half a second ago. Nothing is kept.
    pub fn progress(&self, task: TaskId, event: Publish) {
        let mut bus = self.bus();
        let now = Instant::now();
        if bus.told.get(&task).is_some_and(|told| now.duration_since(*told) < PROGRESS_PAUSE) {
            return;
        }
        bus.told.insert(task, now);
        bus.tell(&Event { id: None, what: NewEvent { task: Some(task), ..event.0 } });
    }

    /// Forgets when the progress of a task was told.
    pub fn forget(&self, task: TaskId) {
        self.bus().told.remove(&task);
    }

    /// Kept events after `id`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn since(&self, id: EventId, limit: u32) -> Result<Vec<Event>, CatalogError> {
        Ok(self.0.catalog.events_after(id, limit)?.into_iter().map(Event::from).collect())
    }

    /// The newest kept events, newest first; only those before `before`, where given.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn newest(&self, limit: u32, before: Option<EventId>) -> Result<Vec<Event>, CatalogError> {
        Ok(self.0.catalog.newest_events(limit, before)?.into_iter().map(Event::from).collect())
    }

    /// Has a function called for each event from now on, until it returns false or the guard is dropped. It is called
    /// on the thread that publishes: it must not block, nor publish.
    pub fn subscribe_with(&self, callback: Callback) -> Subscribed {
        self.bus().add(&self.0, callback)
    }

    /// The same, and first the kept events after `last` (a reader that was cut off): none is missed, none told twice.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn follow_with(&self, last: EventId, callback: Callback) -> Result<Subscribed, CatalogError> {
        // While the bus is held nothing can be published in between.
        let mut bus = self.bus();
        for event in self.since(last, self.0.keep)? {
            if !callback(&event) {
                return Ok(Subscribed { shared: Weak::new(), number: 0 });
            }
        }
        Ok(bus.add(&self.0, callback))
    }

    /// A queue of all events from now on, for a thread of its own.
    pub fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        let guard = self.subscribe_with(queue.callback());
        Subscription { queue, _guard: guard }
    }

    /// The same, and first the kept events after `last`.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn subscribe_after(&self, last: EventId) -> Result<Subscription, CatalogError> {
        let queue = Arc::new(Queue::default());
        let guard = self.follow_with(last, queue.callback())?;
        Ok(Subscription { queue, _guard: guard })
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.bus().subscribers.len()
    }
}

impl Bus {
    fn tell(&mut self, event: &Event) {
        self.subscribers.retain(|(_, callback)| callback(event));
    }

    fn add(&mut self, shared: &Arc<Shared>, callback: Callback) -> Subscribed {
        self.next += 1;
        self.subscribers.push((self.next, callback));
        Subscribed { shared: Arc::downgrade(shared), number: self.next }
    }
}

/// Ends a subscription when dropped.
pub struct Subscribed {
    shared: Weak<Shared>,
    number: u64,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut bus = shared.bus.lock().unwrap_or_else(PoisonError::into_inner);
        bus.subscribers.retain(|(number, _)| *number != self.number);
    }
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// An event.
    Event(Arc<Event>),
    /// The subscriber was too slow and is no longer one: what came after the last event is to be asked for by its number.
    Dropped,
    /// Nothing, in the time given.
    Nothing,
}

/// A subscriber's queue.
pub struct Subscription {
    queue: Arc<Queue>,
    _guard: Subscribed,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Arc<Event>>>,
    arrived: Condvar,
    /// Events that found the queue full.
    missed: AtomicU64,
}

impl Queue {
    fn callback(self: &Arc<Queue>) -> Callback {
        let queue = self.clone();
        Box::new(move |event| {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let has_room = waiting.len() < QUEUE;
            if has_room {
                waiting.push_back(Arc::new(event.clone()));
            } else {
                queue.missed.fetch_add(1, Ordering::Relaxed);
            }
            queue.arrived.notify_one();
            has_room
        })
    }
}

impl Subscription {
    /// The next event, if there is one.
    pub fn try_next(&self) -> Received {
        self.next_within(Duration::ZERO)
    }

    /// The next event, waited for.
    pub fn next_within(&self, limit: Duration) -> Received {
        let waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle =
            |waiting: &mut VecDeque<_>| waiting.is_empty() && self.queue.missed.load(Ordering::Relaxed) == 0;
        let (mut waiting, _) = self
            .queue
            .arrived
            .wait_timeout_while(waiting, limit, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        match waiting.pop_front() {
            Some(event) => Received::Event(event),
            None if self.queue.missed.load(Ordering::Relaxed) > 0 => Received::Dropped,
            None => Received::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus(keep: u32) -> (tempfile::TempDir, Events) {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("c")).unwrap();
        (directory, Events::new(catalog, keep))
    }

    fn info(kind: &str) -> Publish {
        Publish::new(kind, Severity::Info, kind)
    }

    fn kind(received: Received) -> String {
        match received {
            Received::Event(event) => event.what.kind.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_told_and_kept() {
        let (_directory, events) = bus(100);
        let before = events.publish(info("before")).unwrap();
        let subscription = events.subscribe();
        events.publish(info("a").task(TaskId(3)).data(serde_json::json!({"x": 1})));
        events.clone().publish(info("b"));
        assert_eq!(kind(subscription.try_next()), "a");
        assert_eq!(kind(subscription.next_within(Duration::from_secs(5))), "b");
        assert_eq!(subscription.try_next(), Received::Nothing);
        let kept = events.since(before, 10).unwrap();
        assert_eq!(kept.iter().map(|event| event.what.kind.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(kept[0].what.task, Some(TaskId(3)));
        assert_eq!(events.newest(1, None).unwrap()[0].what.kind, "b");
        drop(subscription);
        assert_eq!(events.subscribers(), 0);
    }

    #[test]
    fn a_reader_that_was_cut_off_misses_nothing() {
        let (_directory, events) = bus(1000);
        let first = events.publish(info("0")).unwrap();
        let publisher = {
            let events = events.clone();
            std::thread::spawn(move || {
                for number in 1..=50 {
                    events.publish(info(&number.to_string()));
                }
            })
        };
        let subscription = events.subscribe_after(first).unwrap();
        publisher.join().unwrap();
        for number in 1..=50 {
            assert_eq!(kind(subscription.try_next()), number.to_string());
        }
        assert_eq!(subscription.try_next(), Received::Nothing);
    }

    #[test]
    fn progress_is_not_kept_and_not_told_too_often() {
        let (_directory, events) = bus(100);
        let subscription = events.subscribe();
        for _ in 0..100 {
            events.progress(TaskId(1), info(PROGRESS));
        }
        events.progress(TaskId(2), info(PROGRESS));
        let mut told = Vec::new();
        while let Received::Event(event) = subscription.try_next() {
            assert_eq!(event.id, None);
            told.push(event.what.task.unwrap().0);
        }
        assert_eq!(told, [1, 2]);
        assert!(events.newest(10, None).unwrap().is_empty());
    }

    #[test]
    fn a_slow_subscriber_is_dropped_and_told_so() {
        let (_directory, events) = bus(10);
        let slow = events.subscribe();
        let callback = events.subscribe_with(Box::new(|_| false));
        for number in 0..QUEUE + 2 {
            events.0.bus.lock().unwrap().told.clear();
            events.progress(TaskId(number as i64), info(PROGRESS));
        }
        assert_eq!(events.subscribers(), 0);
        for _ in 0..QUEUE {
            assert_eq!(kind(slow.try_next()), PROGRESS);
        }
        assert_eq!(slow.try_next(), Received::Dropped);
        assert_eq!(slow.next_within(Duration::from_secs(60)), Received::Dropped);
        drop(callback);
    }
}
