//! What a drive and a changer have in common around one command.

use std::time::Duration;

use super::bytes::put;
use super::{Data, Reply, Sense, Status, Transport, tape};

/// More unit attentions in a row than any device queues.
pub const MOST_ATTENTIONS: usize = 16;
/// A device that says BUSY for longer is stuck.
pub const BUSY_LIMIT: Duration = Duration::from_secs(60);
/// REQUEST SENSE never waits for the medium.
const REQUEST_SENSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits that grow from 10 ms to 1 s.
#[derive(Debug)]
pub struct Pause {
    next: Duration,
}

impl Pause {
    /// The first wait is the shortest.
    #[allow(clippy::new_without_default)] // a pause is an event, not a value
    pub fn new() -> Pause {
        Pause { next: Duration::from_millis(10) }
    }

    /// Sleeps.
    pub fn wait(&mut self) {
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(Duration::from_secs(1));
    }
}

/// The sense data of a CHECK CONDITION; asked for with REQUEST SENSE where the transport brought none.
pub fn sense_of(transport: &mut dyn Transport, reply: &Reply) -> Option<Sense> {
    Sense::parse(&reply.sense).or_else(|| {
        let mut buffer = [0; 96];
        let mut cdb = tape::request_sense(0);
        put(&mut cdb[4..5], buffer.len() as u64);
        let asked = transport.execute(&cdb, Data::In(&mut buffer), REQUEST_SENSE_TIMEOUT).ok()?;
        Sense::parse(&buffer).filter(|_| asked.status == Status::Good)
    })
}
