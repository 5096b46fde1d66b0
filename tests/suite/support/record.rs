//! Transcripts: what a device was asked and what it answered, as text; made by a transport that writes along, read back
//! by one that answers from them.
//!
//! ```text
//! # who answered
//! cdb 12 00 00 02 00 00
//! out 00 ...          bytes that went to the device, where any did
//! status 00           or: failed TEXT, where no status came back
//! sense 70 00 ...     where there is any
//! moved 512           bytes of the data phase that the transport says have moved
//! in 01 80 ...        those to the host; zeros at their end are left out
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reelward::scsi::{Data, Reply, Status, Transport, TransportError};

/// One command and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    pub cdb: Vec<u8>,
    pub out: Vec<u8>,
    /// SCSI status; `None` where none came back.
    pub status: Option<u8>,
    pub sense: Vec<u8>,
    /// Bytes moved.
    pub moved: usize,
    /// Bytes to the host, `moved` of them.
    pub data: Vec<u8>,
}

impl Exchange {
    /// The command's first byte.
    pub fn opcode(&self) -> u8 {
        self.cdb.first().copied().unwrap_or_default()
    }
}

/// Exchanges in order, and what is said of their origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    pub origin: Vec<String>,
    pub exchanges: Vec<Exchange>,
}

const PER_LINE: usize = 32;

fn hex(text: &mut String, key: &str, bytes: &[u8]) {
    for line in bytes.chunks(PER_LINE) {
        text.push_str(key);
        for byte in line {
            write!(text, " {byte:02x}").unwrap();
        }
        text.push('\n');
    }
}

impl Transcript {
    /// The text of it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.origin {
            writeln!(text, "# {line}").unwrap();
        }
        for exchange in &self.exchanges {
            text.push('\n');
            hex(&mut text, "cdb", &exchange.cdb);
            hex(&mut text, "out", &exchange.out);
            match exchange.status {
                Some(status) => writeln!(text, "status {status:02x}").unwrap(),
                None => text.push_str("failed\n"),
            }
            hex(&mut text, "sense", &exchange.sense);
            if exchange.moved > 0 {
                writeln!(text, "moved {}", exchange.moved).unwrap();
            }
            let used = exchange.data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            hex(&mut text, "in", &exchange.data[..used]);
        }
        text
    }

    /// Reads the text; panics where it is none.
    pub fn parse(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                transcript.origin.push(comment.trim().to_owned());
                continue;
            }
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            let bytes = || rest.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect(line));
            let last = transcript.exchanges.last_mut();
            match (key, last) {
                ("cdb", _) => {
                    let cdb = bytes().collect();
                    transcript.exchanges.push(Exchange { cdb, ..Exchange::default() });
                }
                ("out", Some(last)) => last.out.extend(bytes()),
                ("status", Some(last)) => last.status = bytes().next(),
                ("failed", Some(last)) => last.status = None,
                ("sense", Some(last)) => last.sense.extend(bytes()),
                ("moved", Some(last)) => last.moved = rest.parse().expect(line),
                ("in", Some(last)) => last.data.extend(bytes()),
                _ => panic!("not a line of a transcript: {line}"),
            }
        }
        for exchange in &mut transcript.exchanges {
            let length = if exchange.out.is_empty() { exchange.moved } else { 0 };
            assert!(exchange.data.len() <= length, "{exchange:02x?}");
            exchange.data.resize(length, 0);
        }
        transcript
    }
}

/// What has been recorded so far, shared by all that write along.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<Exchange>>>);

impl Tape {
    /// What has been recorded, taken out.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A transport that writes along.
    pub fn recorder(&self, inner: Box<dyn Transport>) -> Box<dyn Transport> {
        Box::new(Recorder { inner, tape: self.clone() })
    }
}

struct Recorder {
    inner: Box<dyn Transport>,
    tape: Tape,
}

impl Transport for Recorder {
    fn execute(
        &mut self,
        cdb: &[u8],
        mut data: Data<'_>,
        timeout: Duration,
    ) -> Result<Reply, TransportError> {
        let reply = self.inner.execute(cdb, data.again(), timeout);
        let mut exchange = Exchange { cdb: cdb.to_vec(), ..Exchange::default() };
        if let Ok(reply) = &reply {
            exchange.status = Some(code(reply.status));
            exchange.sense = reply.sense.clone();
            exchange.moved = reply.transferred;
        }
        match data {
            Data::None => exchange.moved = 0,
            Data::In(bytes) => exchange.data = bytes[..exchange.moved].to_vec(),
            Data::Out(bytes) => exchange.out = bytes.to_vec(),
        }
        self.tape.0.lock().unwrap().push(exchange);
        reply
    }

    fn max_transfer(&self) -> usize {
        self.inner.max_transfer()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

fn code(status: Status) -> u8 {
    match status {
        Status::Good => 0x00,
        Status::CheckCondition => 0x02,
        Status::Busy => 0x08,
        Status::ReservationConflict => 0x18,
        Status::Other(code) => code,
    }
}

/// Answers each command as the next exchange with the same CDB did. What was refused (5/...) is refused again, a command
/// that the device did not know (5/20/00) whatever its fields; panics at what is in no exchange.
pub struct Replay {
    left: VecDeque<Exchange>,
    refused: Vec<Exchange>,
    name: String,
}

impl Replay {
    /// Of a transcript, from its beginning.
    pub fn new(transcript: &Transcript, name: &str) -> Box<Replay> {
        let refused = |exchange: &&Exchange| exchange.sense.get(2) == Some(&5);
        Box::new(Replay {
            left: transcript.exchanges.iter().cloned().collect(),
            refused: transcript.exchanges.iter().filter(refused).cloned().collect(),
            name: name.to_owned(),
        })
    }
}

impl Transport for Replay {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let at = self.left.iter().position(|exchange| exchange.cdb == cdb);
        let exchange = at.and_then(|at| self.left.remove(at)).or_else(|| {
            let fits = |exchange: &&Exchange| {
                let unknown = exchange.sense.get(12) == Some(&0x20);
                exchange.cdb == cdb || (unknown && exchange.cdb.get(..2) == cdb.get(..2))
            };
            self.refused.iter().find(fits).cloned()
        });
        let exchange = exchange.unwrap_or_else(|| panic!("{}: {cdb:02x?} was never asked there", self.name));
        let Some(status) = exchange.status else {
            let (device, opcode) = (self.name.clone(), exchange.opcode());
            return Err(TransportError::TimedOut { device, opcode, timeout });
        };
        if let Data::In(bytes) = data {
            bytes[..exchange.data.len()].copy_from_slice(&exchange.data);
        }
        Ok(Reply { status: Status::from(status), sense: exchange.sense, transferred: exchange.moved })
    }

    fn max_transfer(&self) -> usize {
        1 << 20
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[test]
fn what_is_written_is_read_back() {
    let exchanges = vec![
        Exchange { cdb: vec![0; 6], status: Some(2), sense: vec![0x70, 0, 6], ..Exchange::default() },
        Exchange {
            cdb: vec![0x12, 0, 0, 0, 96, 0],
            status: Some(0),
            moved: 96,
            data: [vec![7; 40], vec![0; 56]].concat(),
            ..Exchange::default()
        },
        Exchange { cdb: vec![0x0a; 6], out: vec![1, 2], status: Some(0), moved: 2, ..Exchange::default() },
        Exchange { cdb: vec![1], status: None, ..Exchange::default() },
    ];
    let transcript = Transcript { origin: vec!["nobody".into()], exchanges };
    assert_eq!(Transcript::parse(&transcript.text()), transcript);
}
