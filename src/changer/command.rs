//! One command to the changer: unit attentions, BUSY and waits are dealt with here and nowhere else.

use std::time::{Duration, Instant};

use super::{Changer, ChangerError};
use crate::scsi::exchange::{BUSY_LIMIT, MOST_ATTENTIONS, Pause, sense_of};
use crate::scsi::{Data, Sense, SenseKey, Status, opcode};

/// A library that looks at all its elements after power-on is waited for so long.
const READY_LIMIT: Duration = Duration::from_secs(1800);

/// How long a command may take where the changer does not say.
fn fallback(code: u8) -> Duration {
    Duration::from_secs(match code {
        opcode::INITIALIZE_ELEMENT_STATUS | opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE => 1800,
        opcode::MOVE_MEDIUM | opcode::POSITION_TO_ELEMENT => 900,
        opcode::READ_ELEMENT_STATUS => 600,
        _ => 60,
    })
}

impl Changer {
    /// Sends a command until it was executed once; bytes moved, or the sense data of a failure. A unit attention, BUSY
    /// and "becoming ready" say that the command was not executed: it is sent again.
    pub(super) fn send(
        &mut self,
        cdb: &[u8],
        mut data: Data<'_>,
    ) -> Result<Result<usize, Sense>, ChangerError> {
        let code = cdb.first().copied().unwrap_or_default();
        let timeout = self.timeouts.get(code).unwrap_or_default().max(fallback(code));
        let started = Instant::now();
        let mut pause = Pause::new();
        let mut attentions = 0;
        loop {
            let reply = self
                .transport
                .execute(cdb, data.again(), timeout)
                .map_err(|source| ChangerError::Transport { changer: self.name().to_owned(), source })?;
            let sense = match reply.status {
                Status::Good => return Ok(Ok(reply.transferred)),
                Status::Busy if started.elapsed() < BUSY_LIMIT => {
                    pause.wait();
                    continue;
                }
                Status::Busy => {
                    let waited = started.elapsed();
                    return Err(ChangerError::Busy { changer: self.name().to_owned(), waited });
                }
                Status::ReservationConflict => {
                    return Err(ChangerError::ReservationConflict { changer: self.name().to_owned() });
                }
                Status::CheckCondition => match sense_of(self.transport.as_mut(), &reply) {
                    Some(sense) => sense,
                    None => return Err(self.unexplained(code, "CHECK CONDITION".to_owned())),
                },
                Status::Other(status) => {
                    return Err(self.unexplained(code, format!("status {status:02x}h")));
                }
            };
            if sense.is_unit_attention() && attentions < MOST_ATTENTIONS {
                attentions += 1;
                continue;
            }
            if sense.becoming_ready() && started.elapsed() < READY_LIMIT {
                pause.wait();
                continue;
            }
            return Ok(if sense.is_advice() { Ok(reply.transferred) } else { Err(sense) });
        }
    }

    /// Sends a query; `None` where the changer does not have the command, the page or the field.
    pub(super) fn ask(&mut self, cdb: &[u8], length: usize) -> Result<Option<Vec<u8>>, ChangerError> {
        let mut buffer = vec![0; length];
        match self.send(cdb, Data::In(&mut buffer))? {
            Ok(transferred) => {
                buffer.truncate(transferred);
                Ok(Some(buffer))
            }
            Err(sense) if sense.command_unsupported() || sense.field_unsupported() => Ok(None),
            Err(sense) => Err(self.failure(cdb.first().copied().unwrap_or_default(), sense)),
        }
    }

    fn unexplained(&self, code: u8, status: String) -> ChangerError {
        ChangerError::Unexplained { changer: self.name().to_owned(), command: opcode::name(code), status }
    }

    /// The error that sense data stands for, elements left aside.
    pub(super) fn failure(&self, code: u8, sense: Sense) -> ChangerError {
        let (changer, command) = (self.name().to_owned(), opcode::name(code));
        match sense.key {
            SenseKey::NotReady => ChangerError::NotReady { changer, sense },
            SenseKey::HardwareError => ChangerError::Jammed { changer, command, sense },
            _ if sense.command_unsupported() => ChangerError::Unsupported { changer, command },
            _ => ChangerError::Failed { changer, command, sense },
        }
    }
}
