//! One command to the drive: unit attentions, deferred errors, BUSY and waits are dealt with here and nowhere else.

use std::time::{Duration, Instant};

use super::{Drive, DriveError};
use crate::scsi::exchange::{BUSY_LIMIT, MOST_ATTENTIONS, Pause, sense_of};
use crate::scsi::{Data, Sense, SenseKey, Status, inquiry, opcode};

/// What a command has to do with the place on tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it may be repeated after a unit attention.
    Query,
    /// It leads to a known place from anywhere, and may be repeated.
    Absolute,
    /// It starts from where the tape stands; after a lost position it must not run.
    Relative,
    /// The same, and it changes the medium.
    Write,
}

/// A command that ran: what moved, and what the drive said beside GOOD.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status was GOOD: only then is the transport's count of bytes to be believed.
    pub(super) good: bool,
    pub(super) transferred: usize,
    pub(super) sense: Option<Sense>,
}

impl Drive {
    /// Sends a command until it was executed once. `Ok` also for CHECK CONDITION whose sense the caller must judge:
    /// anything that is neither advice, a unit attention, a deferred error nor a wait.
    pub(super) fn send(&mut self, cdb: &[u8], data: Data<'_>, kind: Kind) -> Result<Answer, DriveError> {
        let timeout = self.timeout(cdb.first().copied().unwrap_or_default());
        self.send_within(cdb, data, kind, timeout)
    }

    /// The same with a time-out of the caller's.
    fn send_within(
        &mut self,
        cdb: &[u8],
        mut data: Data<'_>,
        kind: Kind,
        timeout: Duration,
    ) -> Result<Answer, DriveError> {
        let code = cdb.first().copied().unwrap_or_default();
        let started = Instant::now();
        let mut pause = Pause::new();
        let mut attentions = 0;
        loop {
            if matches!(kind, Kind::Relative | Kind::Write) {
                self.standing()?;
            }
            let reply = match self.transport.execute(cdb, data.again(), timeout) {
                Ok(reply) => reply,
                Err(source) => {
                    self.lose("a command got no answer");
                    return Err(DriveError::Transport { drive: self.drive(), source });
                }
            };
            let sense = match reply.status {
                Status::Good => {
                    return Ok(Answer { good: true, transferred: reply.transferred, sense: None });
                }
                // The command was not started: sending it again repeats nothing.
                Status::Busy if started.elapsed() < BUSY_LIMIT => {
                    pause.wait();
                    continue;
                }
                Status::Busy => {
                    return Err(DriveError::Busy { drive: self.drive(), waited: started.elapsed() });
                }
                Status::ReservationConflict => {
                    let holder = if code == opcode::PERSISTENT_RESERVE_IN { None } else { self.holder() };
                    return Err(DriveError::ReservationConflict { drive: self.drive(), holder });
                }
                Status::CheckCondition => match sense_of(self.transport.as_mut(), &reply) {
                    Some(sense) => sense,
                    None => return Err(self.unexplained(code, "CHECK CONDITION".to_owned())),
                },
                Status::Other(status) => return Err(self.unexplained(code, format!("status {status:02x}h"))),
            };
            if sense.deferred {
                self.lose("an earlier write failed");
                return Err(DriveError::Deferred { drive: self.drive(), sense });
            }
            if sense.is_unit_attention() && self.is_preempted(&sense) {
                let holder = self.holder();
                return Err(DriveError::ReservationConflict { drive: self.drive(), holder });
            }
            if sense.is_unit_attention() && attentions < MOST_ATTENTIONS {
                attentions += 1;
                self.attention(&sense, kind)?;
                continue;
            }
            let may_wait = matches!(kind, Kind::Absolute | Kind::Relative);
            if sense.becoming_ready() && may_wait && started.elapsed() < timeout {
                pause.wait();
                continue;
            }
            let sense = (!sense.is_advice()).then_some(sense);
            return Ok(Answer { good: false, transferred: reply.transferred, sense });
        }
    }

    /// Sends a command that has nothing to say but success.
    pub(super) fn run(&mut self, cdb: &[u8], data: Data<'_>, kind: Kind) -> Result<usize, DriveError> {
        let code = cdb.first().copied().unwrap_or_default();
        match self.send(cdb, data, kind)? {
            Answer { sense: Some(sense), .. } => Err(self.failure(code, sense)),
            Answer { transferred, .. } => Ok(transferred),
        }
    }

    /// Sends a query; `None` where the drive does not have the command, the page or the field.
    pub(super) fn ask(&mut self, cdb: &[u8], length: usize) -> Result<Option<Vec<u8>>, DriveError> {
        let timeout = self.timeout(cdb.first().copied().unwrap_or_default());
        self.ask_within(cdb, length, timeout)
    }

    /// The same with a time-out of the caller's.
    pub(super) fn ask_within(
        &mut self,
        cdb: &[u8],
        length: usize,
        timeout: Duration,
    ) -> Result<Option<Vec<u8>>, DriveError> {
        let mut buffer = vec![0; length];
        let code = cdb.first().copied().unwrap_or_default();
        match self.send_within(cdb, Data::In(&mut buffer), Kind::Query, timeout)? {
            Answer { sense: Some(sense), .. } if sense.command_unsupported() || sense.field_unsupported() => {
                Ok(None)
            }
            Answer { sense: Some(sense), .. } => Err(self.failure(code, sense)),
            Answer { transferred, .. } => {
                buffer.truncate(transferred);
                Ok(Some(buffer))
            }
        }
    }

    /// A unit attention: the command was not executed (SAM-5 clause 5.14). `Ok` where it may be sent again.
    fn attention(&mut self, sense: &Sense, kind: Kind) -> Result<(), DriveError> {
        let place_gone = sense.medium_may_have_changed() || sense.reset();
        if place_gone {
            if sense.reset() {
                self.protected = false;
            }
            // A place that nobody has used yet cannot be lost.
            if self.place.established || matches!(kind, Kind::Relative | Kind::Write) {
                self.lose(&sense.to_string());
            }
            self.place.counted = None;
            self.place.file = None;
        }
        if kind != Kind::Write || place_gone {
            return Ok(()); // a lost place stops a relative command before it is sent again
        }
        // Without our key the drive would write in the clear, or with a key that nobody has.
        if self.keyed && sense.code.is_encryption_changed() {
            self.lose("another host changed the drive's encryption key");
            return Ok(());
        }
        // Another kind of attention: the write goes on only where mode and place are seen to be what they were.
        if sense.code == crate::scsi::Code::MODE_PARAMETERS_CHANGED {
            self.lose("another host changed the drive's settings");
            return Ok(());
        }
        if let (Some(expected), Some(found)) = (self.place.counted, self.reported()?.block)
            && expected != found
        {
            self.lose(&format!("at block {found} instead of {expected} after {sense}"));
        }
        Ok(())
    }

    /// The error that sense data stands for.
    pub(super) fn failure(&self, code: u8, sense: Sense) -> DriveError {
        let (drive, command) = (self.drive(), opcode::name(code));
        if sense.no_medium() {
            return DriveError::NoMedium { drive };
        }
        if sense.worm() {
            return DriveError::Worm { drive, sense };
        }
        if sense.write_protected() {
            return DriveError::WriteProtected { drive, sense };
        }
        if sense.end_of_data_missing() {
            return DriveError::EndOfDataMissing { drive, sense };
        }
        if sense.encryption() {
            return DriveError::Encryption { drive, sense };
        }
        if sense.code == crate::scsi::Code::BLOCK_GUARD_FAILED {
            return DriveError::BlockProtection { drive, block: self.place.counted };
        }
        match sense.key {
            SenseKey::NotReady => DriveError::NotReady { drive, sense },
            SenseKey::VolumeOverflow => DriveError::VolumeFull { drive },
            SenseKey::BlankCheck => DriveError::Blank { drive, command, sense },
            SenseKey::MediumError => DriveError::MediumError { drive, block: self.place.counted, sense },
            SenseKey::HardwareError => DriveError::HardwareError { drive, command, sense },
            _ if sense.end_of_data() => DriveError::Blank { drive, command, sense },
            _ if sense.command_unsupported() => DriveError::Unsupported { drive, command },
            _ => DriveError::Failed { drive, command, sense },
        }
    }

    /// A status that says nothing: whether the command was executed is not known.
    fn unexplained(&mut self, code: u8, status: String) -> DriveError {
        self.lose("a command failed without a reason");
        DriveError::Unexplained { drive: self.drive(), command: opcode::name(code), status }
    }

    /// From now on the place on tape is not known; what stands first is what is told.
    pub(super) fn lose(&mut self, why: &str) {
        self.place.lost.get_or_insert_with(|| why.to_owned());
        self.place.counted = None;
        self.place.file = None;
    }

    /// An error where the place was lost.
    pub(super) fn standing(&self) -> Result<(), DriveError> {
        match &self.place.lost {
            Some(why) => Err(DriveError::PositionLost { drive: self.drive(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// The drive's name, owned, for errors.
    pub(super) fn drive(&self) -> String {
        self.transport.name().to_owned()
    }

    /// VPD page 80h: the serial number, empty where the drive has none.
    pub(super) fn ask_serial(&mut self) -> Result<String, DriveError> {
        let cdb = inquiry::vital(inquiry::VPD_SERIAL, inquiry::ALLOCATION);
        let reply = self.ask(&cdb, inquiry::ALLOCATION.into())?;
        Ok(reply.and_then(|bytes| inquiry::serial(&bytes)).unwrap_or_default())
    }
}
