//! A transport double for tests: expected CDBs with their replies, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Data, Reply, Status, Transport, TransportError};

/// What the double answers to one command.
#[derive(Debug, Clone)]
pub enum Answer {
    /// GOOD, all data of the host taken.
    Good,
    /// GOOD with these bytes for the host.
    Bytes(Vec<u8>),
    /// CHECK CONDITION with fixed sense: first byte, flags and key, INFORMATION, ASC, ASCQ; and bytes for the host.
    Check(u8, u8, i32, u8, u8, Vec<u8>),
    /// A status without sense.
    Status(Status),
    /// No answer.
    Dead,
}

/// CHECK CONDITION without INFORMATION or data.
pub fn check(flags: u8, asc: u8, ascq: u8) -> Answer {
    Answer::Check(0x70, flags, 0, asc, ascq, Vec::new())
}

/// Commands that are answered the same way whenever nothing is scripted for them, and the script itself.
#[derive(Debug, Default)]
pub struct Script {
    steps: Mutex<VecDeque<(Vec<u8>, Answer)>>,
    sent: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Script {
    /// Expects a CDB that begins with `prefix`.
    pub fn expect(&self, prefix: &[u8], answer: Answer) -> &Script {
        self.steps.lock().unwrap().push_back((prefix.to_vec(), answer));
        self
    }

    /// Every CDB so far with the data that went out.
    pub fn sent(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.sent.lock().unwrap().clone()
    }

    /// Panics where something expected never came.
    pub fn done(&self) {
        let left = self.steps.lock().unwrap();
        assert!(left.is_empty(), "not sent: {left:02x?}");
    }
}

/// The transport over a script.
pub struct Scripted {
    script: Arc<Script>,
    max_transfer: usize,
}

impl Scripted {
    /// A transport and the script it plays.
    pub fn new(max_transfer: usize) -> (Box<Scripted>, Arc<Script>) {
        let script = Arc::new(Script::default());
        (Box::new(Scripted { script: Arc::clone(&script), max_transfer }), script)
    }
}

impl Transport for Scripted {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let out = if let Data::Out(bytes) = &data { bytes.to_vec() } else { Vec::new() };
        self.script.sent.lock().unwrap().push((cdb.to_vec(), out));
        let step = self.script.steps.lock().unwrap().pop_front();
        let (prefix, answer) = step.unwrap_or_else(|| panic!("unexpected {cdb:02x?}"));
        assert!(cdb.starts_with(&prefix), "expected {prefix:02x?}, got {cdb:02x?}");
        let fill = |data: Data<'_>, bytes: &[u8]| match data {
            Data::In(buffer) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                length
            }
            other => other.len(),
        };
        Ok(match answer {
            Answer::Good => Reply::good(data.len()),
            Answer::Bytes(bytes) => Reply::good(fill(data, &bytes)),
            Answer::Check(first, flags, information, asc, ascq, bytes) => {
                let [a, b, c, d] = information.to_be_bytes();
                let sense = vec![first, 0, flags, a, b, c, d, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0];
                Reply { status: Status::CheckCondition, sense, transferred: fill(data, &bytes) }
            }
            Answer::Status(status) => Reply { status, sense: Vec::new(), transferred: 0 },
            Answer::Dead => {
                return Err(TransportError::TimedOut { device: "double".into(), opcode: cdb[0], timeout });
            }
        })
    }

    fn max_transfer(&self) -> usize {
        self.max_transfer
    }

    fn name(&self) -> &str {
        "double"
    }
}
