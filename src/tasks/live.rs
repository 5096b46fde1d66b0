//! A task that is not over: its row, its counters, and what is asked of it while it runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::work::Work;
use crate::catalog::{SetId, TaskRow, VolumeId};
use crate::format::age::Identity;
use crate::pipeline::{Progress, Snapshot};

/// Why a running task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// For good.
    Cancel,
    /// Until it is told to go on.
    Pause,
    /// Until the next start of the daemon.
    Stop,
}

/// A person's answer to a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done: look again.
    Done,
    /// It cannot be done: go on without, where that makes sense, else fail.
    GiveUp,
}

/// What a running task is told.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The engine looks at this at its safe points.
    pub cancel: AtomicBool,
    told: Mutex<Told>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    intent: Option<Intent>,
    answer: Option<Answer>,
}

impl Control {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the task to end at its next safe point. A cancellation outweighs what was asked before.
    pub(super) fn end(&self, intent: Intent) {
        let mut told = self.told();
        if told.intent.is_none() || intent == Intent::Cancel {
            told.intent = Some(intent);
        }
        self.cancel.store(true, Ordering::Relaxed);
        self.news.notify_all();
    }

    pub(super) fn intent(&self) -> Option<Intent> {
        self.told().intent
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.told().answer = Some(answer);
        self.news.notify_all();
    }

    /// An answer given before this question is none to it.
    pub(super) fn forget_answer(&self) {
        self.told().answer = None;
    }

    /// Waits for an answer, or for the wish that the task end.
    pub(super) fn wait(&self, limit: Duration) -> (Option<Answer>, Option<Intent>) {
        let is_idle = |told: &mut Told| told.intent.is_none() && told.answer.is_none();
        let told = self.told();
        let (mut told, _) =
            self.news.wait_timeout_while(told, limit, is_idle).unwrap_or_else(PoisonError::into_inner);
        (told.answer.take(), told.intent)
    }
}

/// What a task's counters say, with what follows from them.
#[derive(Debug, Clone, Serialize)]
pub struct ProgressView {
    /// The counters.
    #[serde(flatten)]
    pub counters: Snapshot,
    /// Bytes of content a second, over the last seconds.
    pub rate: f64,
    /// Share done, in percent, where the whole is known.
    pub percent: Option<f64>,
    /// Seconds left, where the whole is known and something moves.
    pub eta_seconds: Option<u64>,
}

/// Time over which a rate is taken.
const WINDOW: Duration = Duration::from_secs(15);

/// Counters seen before.
#[derive(Debug, Default)]
pub(super) struct Meter(VecDeque<(Instant, u64)>);

impl Meter {
    pub(super) fn look(&mut self, counters: Snapshot) -> ProgressView {
        self.at(Instant::now(), counters)
    }

    fn at(&mut self, now: Instant, counters: Snapshot) -> ProgressView {
        self.0.push_back((now, counters.bytes));
        while self.0.len() > 2 && self.0.front().is_some_and(|(then, _)| now.duration_since(*then) > WINDOW) {
            self.0.pop_front();
        }
        let rate = match self.0.front() {
            Some((then, bytes)) if now > *then => {
                counters.bytes.saturating_sub(*bytes) as f64 / now.duration_since(*then).as_secs_f64()
            }
            _ => 0.0,
        };
        let is_known = counters.total_bytes > 0;
        let left = counters.total_bytes.saturating_sub(counters.bytes) as f64;
        ProgressView {
            rate,
            percent: is_known
                .then(|| (counters.bytes as f64 / counters.total_bytes as f64 * 100.0).min(100.0)),
            eta_seconds: (is_known && rate >= 1.0).then(|| (left / rate).ceil() as u64),
            counters,
        }
    }
}

/// A task that is not over.
pub(super) struct Live {
    pub row: TaskRow,
    pub work: Work,
    /// Keys that came with it; they are in no row.
    pub keys: Arc<Vec<Identity>>,
    pub control: Arc<Control>,
    pub progress: Arc<Progress>,
    pub meter: Meter,
    pub view: Option<ProgressView>,
    /// Volumes that it needs, known before it begins; no other task may have them.
    pub volumes: Vec<(VolumeId, String)>,
    /// Not to be begun before.
    pub not_before: Option<Instant>,
    /// When its progress was last written into its row.
    pub saved: Instant,
    /// What was there to be used when a person was asked: more of it answers the question.
    pub asked_with: Option<Vec<String>>,
}

impl Live {
    pub(super) fn new(row: TaskRow, work: Work) -> Live {
        Live {
            row,
            work,
            keys: Arc::default(),
            control: Arc::default(),
            progress: Arc::default(),
            meter: Meter::default(),
            view: None,
            volumes: Vec::new(),
            not_before: None,
            saved: Instant::now(),
            asked_with: None,
        }
    }

    /// Forgets what an earlier run was told and counted.
    pub(super) fn begin(&mut self) {
        self.control = Arc::default();
        self.progress = Arc::default();
        self.meter = Meter::default();
        self.view = None;
    }

    /// Takes the counters into the row.
    pub(super) fn look(&mut self) {
        let view = self.meter.look(self.progress.snapshot());
        if !view.counters.volume.is_empty() {
            self.row.volume = Some(view.counters.volume.clone());
        }
        if view.counters.set != 0 {
            self.row.set = Some(SetId(view.counters.set));
        }
        self.row.progress = serde_json::to_value(&view).ok();
        self.view = Some(view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left() {
        let progress = Progress::default();
        progress.total(10, 1000);
        let mut meter = Meter::default();
        let start = Instant::now();
        let first = meter.at(start, progress.snapshot());
        assert_eq!((first.rate, first.percent, first.eta_seconds), (0.0, Some(0.0), None));
        progress.done(1, 100);
        let second = meter.at(start + Duration::from_secs(10), progress.snapshot());
        assert_eq!((second.rate, second.percent, second.eta_seconds), (10.0, Some(10.0), Some(90)));
        // What is long ago counts no more.
        let third = meter.at(start + Duration::from_secs(60), progress.snapshot());
        assert_eq!((third.rate, third.eta_seconds), (0.0, None));
        let unknown = Meter::default().at(start, Progress::default().snapshot());
        assert_eq!((unknown.percent, unknown.eta_seconds), (None, None));
    }

    #[test]
    fn a_cancellation_outweighs_a_pause() {
        let control = Control::default();
        assert_eq!(control.wait(Duration::ZERO), (None, None));
        control.answer(Answer::Done);
        assert_eq!(control.wait(Duration::from_secs(60)), (Some(Answer::Done), None));
        control.end(Intent::Pause);
        control.end(Intent::Cancel);
        control.end(Intent::Stop);
        assert_eq!(control.wait(Duration::from_secs(60)), (None, Some(Intent::Cancel)));
        assert!(control.cancel.load(Ordering::Relaxed));
    }
}
