//! Answers kept until the catalog changes: a dashboard that polls costs no query.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Answers kept.
const KEPT: usize = 128;
/// Bytes of an answer that is worth keeping.
const LARGEST: usize = 256 << 10;

/// Answers by path and query.
#[derive(Default)]
pub(super) struct Memo(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The catalog's count of changes at which `answers` hold.
    changes: u64,
    answers: HashMap<String, Bytes>,
}

impl Memo {
    /// The answer, if the catalog has not changed since.
    pub(super) fn get(&self, key: &str, changes: u64) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.changes == changes).then(|| kept.answers.get(key).cloned()).flatten()
    }

    /// Keeps an answer that was made when the catalog's count was `changes` before its first query.
    pub(super) fn put(&self, key: String, changes: u64, answer: &Bytes) {
        if answer.len() > LARGEST {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.changes > changes {
            return;
        }
        if kept.changes < changes || kept.answers.len() >= KEPT {
            kept.answers.clear();
        }
        kept.changes = changes;
        kept.answers.insert(key, answer.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_until_something_changes() {
        let memo = Memo::default();
        memo.put("/a".into(), 7, &Bytes::from_static(b"x"));
        assert_eq!(memo.get("/a", 7).as_deref(), Some(&b"x"[..]));
        assert_eq!(memo.get("/a", 8), None);
        // Made before a change that another answer has seen already.
        memo.put("/b".into(), 8, &Bytes::from_static(b"y"));
        memo.put("/a".into(), 7, &Bytes::from_static(b"old"));
        assert_eq!(memo.get("/a", 8), None);
    }
}
