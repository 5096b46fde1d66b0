//! SHA-256 of streamed files, beside the stream: one file's hash is sequential, so it has a thread of its own.

use crossbeam_channel::{Receiver, Sender};
use sha2::{Digest, Sha256};

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
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut hash = Sha256::new();
    for job in jobs {
        match job {
            Job::Data(data) => {
                hash.update(&data);
                recycle(data);
            }
            Job::Zeros(mut left) => {
                while left > 0 {
                    let now = left.min(ZEROS.len() as u64);
                    hash.update(&ZEROS[..now as usize]);
                    left -= now;
                }
            }
            Job::Finish(reply) => {
                let _ = reply.send(hash.finalize_reset().into());
            }
        }
    }
}
