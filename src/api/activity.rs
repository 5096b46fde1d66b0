//! Whether anything is asked or answered on a connection: one that only lies there gives its place to others.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Requests in work of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    busy: usize,
    /// When the last request ended, or the connection began.
    since: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Activity(Arc::new(Mutex::new(State { busy: 0, since: Instant::now() })))
    }
}

impl Activity {
    /// A request is in work until this is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy += 1;
        Busy(self.clone())
    }

    /// Ends once no request was in work for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let until = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.busy > 0 { Instant::now() + limit } else { state.since + limit }
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request in work.
#[derive(Debug)]
pub(super) struct Busy(Activity);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy = state.busy.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// A body whose request is in work until all of it was taken.
#[derive(Debug)]
pub(super) struct Kept<B> {
    pub(super) body: B,
    pub(super) _busy: Busy,
}

impl<B: Body + Unpin> Body for Kept<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_lies_idle_ends() {
        let (activity, limit) = (Activity::default(), Duration::from_millis(5));
        let (first, second) = (activity.begin(), activity.begin());
        let waited = |activity: Activity| {
            tokio::time::timeout(limit * 20, async move { activity.idle_for(limit).await })
        };
        assert!(waited(activity.clone()).await.is_err());
        drop(first);
        assert!(waited(activity.clone()).await.is_err(), "one is still in work");
        drop(second);
        activity.idle_for(limit).await;
        Activity::default().idle_for(limit).await;
    }
}
