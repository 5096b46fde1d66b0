//! SHA-256 of streamed files, beside the stream: one file's hash is sequential, so it has a thread of its own.

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
}

/// Hashes until the channel closes; `recycle` takes the buffers.
pub(super) fn run(jobs: &Receiver<Job>, recycle: impl Fn(Vec<u8>)) {
    let mut hash = ContentHash::default();
    for job in jobs {
        match job {
            Job::Data(data) => {
                hash.data(&data);
                recycle(data);
            }
            Job::Zeros(length) => hash.hole(length),
            Job::Finish(reply) => {
                let _ = reply.send(hash.finish());
            }
        }
    }
}
