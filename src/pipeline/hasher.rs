//! SHA-256 of streamed files, beside the stream: one file's hash is sequential, so it has a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};

use crate::format::v1::content_hash::ContentHash;

/// What the hashing thread is given, in order.
pub(super) enum Job {
    /// Content, and a buffer to give back afterwards.
    Data(Vec<u8>),
    /// A hole.
    Zeros(u64),
    /// The file ends; its hash goes here.
    Finish(Sender<[u8; 32]>),
    /// The file is given up.
    Abandon,
}

/// Zeros hashed between two looks at whether the task was cancelled: a hole may be far longer than any data.
const STEP: u64 = 64 << 20;

/// Hashes until the channel closes; `recycle` takes the buffers. A file whose hole is cut short by `cancel` gets no hash.
pub(super) fn run(jobs: &Receiver<Job>, cancel: &AtomicBool, recycle: impl Fn(Vec<u8>)) {
    let mut hash = ContentHash::default();
    let mut given_up = false;
    for job in jobs {
        match job {
            Job::Data(data) => {
                hash.data(&data);
                recycle(data);
            }
            Job::Zeros(mut left) => {
                while left > 0 && !given_up {
                    let now = left.min(STEP);
                    hash.hole(now);
                    left -= now;
                    given_up = left > 0 && cancel.load(Ordering::Relaxed);
                }
            }
            Job::Finish(reply) => {
                let sha256 = hash.finish();
                if !std::mem::take(&mut given_up) {
                    let _ = reply.send(sha256);
                }
            }
            Job::Abandon => {
                hash.finish();
                given_up = false;
            }
        }
    }
}
