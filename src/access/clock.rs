//! The time, which tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Tells the time: the system's, or one that is set by hand.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Stands still until it is told to go on; nanoseconds since the epoch.
    pub fn manual(at: i64) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(at))))
    }

    /// Moves a clock that was made by hand.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.0 {
            at.fetch_add(nanoseconds(by), Ordering::SeqCst);
        }
    }

    /// Nanoseconds since the epoch.
    pub fn now(&self) -> i64 {
        match &self.0 {
            Some(at) => at.load(Ordering::SeqCst),
            None => i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        }
    }
}

/// A span of time as the catalog counts it.
pub(super) fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// From `now` until `then`, rounded up to a second; at least one.
pub(super) fn seconds_until(now: i64, then: i64) -> Duration {
    let left = then.saturating_sub(now).max(1) as u64;
    Duration::from_secs(left.div_ceil(1_000_000_000))
}
