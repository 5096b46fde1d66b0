//! Loading, and moving over the tape.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::command::{Answer, Kind};
use super::{BlockAddress, Drive, DriveError, FileNumber, Locate, Position, Warning};
use crate::scsi::exchange::Pause;
use crate::scsi::position::{self, Reported};
use crate::scsi::tape::{self, SpaceOver};
use crate::scsi::{Data, Sense, SenseKey, bytes, opcode, rao};

impl Drive {
    /// Whether a cartridge is loaded and ready, asked without waiting.
    ///
    /// # Errors
    /// Any but "no cartridge", "not loaded" and "becoming ready", which are `Ok(false)`.
    pub fn is_loaded(&mut self) -> Result<bool, DriveError> {
        match self.ready_or_why()? {
            None => Ok(true),
            Some(sense) if sense.no_medium() || sense.load_required() || sense.becoming_ready() => Ok(false),
            Some(sense) => match self.failure(opcode::TEST_UNIT_READY, sense) {
                DriveError::NotReady { .. } => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Waits until the cartridge is ready, at most `limit`. The first load of an LTO-9 cartridge takes up to two hours.
    ///
    /// # Errors
    /// `NoMedium` at once, `NotReady` when the limit has passed or waiting does not help.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<(), DriveError> {
        let started = Instant::now();
        let mut pause = Pause::new();
        loop {
            match self.ready_or_why()? {
                None => return Ok(()),
                Some(sense) if sense.becoming_ready() && started.elapsed() < limit => pause.wait(),
                Some(sense) => return Err(self.failure(opcode::TEST_UNIT_READY, sense)),
            }
        }
    }

    pub(super) fn ready_or_why(&mut self) -> Result<Option<Sense>, DriveError> {
        Ok(self.send(&tape::test_unit_ready(), Data::None, Kind::Query)?.sense)
    }

    /// Loads the cartridge that lies in the drive, waits until it is ready and stands at its beginning.
    ///
    /// # Errors
    /// `NoMedium`; `NotReady`; what the load failed of.
    pub fn load(&mut self) -> Result<(), DriveError> {
        self.run(&tape::load_unload(true, false), Data::None, Kind::Absolute)?;
        self.wait_ready(self.timeout(opcode::LOAD_UNLOAD))?;
        self.alerts = 0;
        self.rewind()
    }

    /// Flushes, rewinds and unloads the cartridge.
    ///
    /// # Errors
    /// `Deferred` where the flush failed; `Failed` where removal is prevented by another host.
    pub fn unload(&mut self) -> Result<(), DriveError> {
        self.run(&tape::load_unload(false, false), Data::None, Kind::Absolute)?;
        self.place = super::Place::default();
        self.warned = Warning::None;
        self.protected = false;
        self.reports_position = None;
        self.alerts = 0;
        Ok(())
    }

    /// Goes to the beginning of the partition. Ends the state of a lost position.
    ///
    /// # Errors
    /// Any error of the command.
    pub fn rewind(&mut self) -> Result<(), DriveError> {
        self.run(&tape::rewind(false), Data::None, Kind::Absolute)?;
        self.place.lost = None;
        self.stand(Some(0), Some(0));
        Ok(())
    }

    /// Locks the cartridge into the drive, or frees it. A drive without the command is left as it is.
    ///
    /// # Errors
    /// Any other error of the command.
    pub fn prevent_removal(&mut self, prevent: bool) -> Result<(), DriveError> {
        match self.run(&tape::prevent_removal(prevent), Data::None, Kind::Query) {
            Err(DriveError::Unsupported { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where the tape stands: what the drive says, or for a drive that does not say, our own count.
    ///
    /// # Errors
    /// `PositionLost`; `PositionUnknown` where nobody knows before a rewind; any error of the command.
    pub fn position(&mut self) -> Result<Position, DriveError> {
        self.standing()?;
        let told = self.reported()?;
        self.standing()?; // the question itself may have met a unit attention
        let Some(block) = told.block.or(self.place.counted) else {
            return Err(DriveError::PositionUnknown { drive: self.drive() });
        };
        self.place.established = true;
        self.place.counted = Some(block);
        if told.block.is_some() && told.file.is_some() {
            self.place.file = told.file;
        }
        Ok(Position {
            partition: told.partition,
            block: BlockAddress(block),
            file: self.place.file.map(FileNumber),
            at_beginning: block == 0,
            at_end: told.end || self.warned == Warning::EarlyWarning,
            beyond_early_warning: told.beyond_early_warning || self.warned >= Warning::Programmable,
        })
    }

    /// READ POSITION in the long form, else the short one, else nothing.
    pub(super) fn reported(&mut self) -> Result<Reported, DriveError> {
        let mut told = self.ask(&position::read_long(), position::LONG_LENGTH)?;
        let mut parsed = told.as_deref().and_then(position::parse_long);
        if parsed.is_none() {
            told = self.ask(&position::read_short(), position::SHORT_LENGTH)?;
            parsed = told.as_deref().and_then(position::parse_short);
        }
        let parsed = parsed.unwrap_or_default();
        self.reports_position = Some(parsed.block.is_some());
        Ok(parsed)
    }

    /// Whether we must count records because the drive does not.
    fn counts_itself(&mut self) -> Result<bool, DriveError> {
        if self.reports_position.is_none() {
            self.reported()?;
        }
        Ok(self.reports_position == Some(false))
    }

    /// Goes to a block of the current partition. On a drive without LOCATE: rewind and space over records.
    ///
    /// # Errors
    /// `Blank` where the block lies behind the end of data; `PositionLost`; any error of the commands.
    pub fn locate(&mut self, block: BlockAddress) -> Result<(), DriveError> {
        self.standing()?;
        let BlockAddress(target) = block;
        if self.locate == Locate::Sixteen && !self.locate_by(&tape::locate_16(target, None), target)? {
            self.locate = Locate::Ten;
        }
        if self.locate == Locate::Ten {
            match u32::try_from(target) {
                Ok(short) if self.locate_by(&tape::locate_10(short), target)? => {}
                Ok(_) => self.locate = Locate::Missing,
                Err(_) => return self.locate_by_spacing(target),
            }
        }
        if self.locate == Locate::Missing { self.locate_by_spacing(target) } else { Ok(()) }
    }

    /// `false` where the drive does not have the command.
    fn locate_by(&mut self, cdb: &[u8], target: u64) -> Result<bool, DriveError> {
        let code = cdb.first().copied().unwrap_or_default();
        match self.send(cdb, Data::None, Kind::Relative)?.sense {
            Some(sense) if sense.command_unsupported() => Ok(false),
            Some(sense) if is_failure(&sense) => {
                self.stand(None, None);
                Err(self.failure(code, sense))
            }
            _ => {
                let file = if target == 0 { Some(0) } else { None };
                self.stand(Some(target), file);
                Ok(true)
            }
        }
    }

    /// Over records from where the count stands, or from the beginning. A filemark is a logical object too: SPACE
    /// stops behind it (or, on some drives, counts it and goes on).
    fn locate_by_spacing(&mut self, target: u64) -> Result<(), DriveError> {
        if self.place.counted.is_none_or(|at| at > target) {
            self.rewind()?;
        }
        while let Some(at) = self.place.counted.filter(|&at| at < target) {
            let step = i32::try_from(target - at).unwrap_or(SPACE_LIMIT).min(SPACE_LIMIT);
            match self.space_records(step) {
                Ok(()) => {}
                // Stopped behind a filemark, which was counted: go on unless nothing moved.
                Err(DriveError::StoppedShort { .. }) if self.place.counted.is_some_and(|now| now > at) => {}
                // Some drives say the end of data when they arrive there, and not how far they went: it is counted.
                Err(DriveError::Blank { sense, .. })
                    if sense.key == SenseKey::NoSense && self.place.counted.is_none() =>
                {
                    self.rewind()?;
                    self.space_to_end_of_data()?;
                    if self.place.counted != Some(target) {
                        return Err(self.failure(opcode::SPACE_6, sense));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if self.place.counted == Some(target) {
            Ok(())
        } else {
            Err(DriveError::PositionUnknown { drive: self.drive() })
        }
    }

    /// Moves over `count` records, backwards where negative.
    ///
    /// # Errors
    /// `StoppedShort` behind (or, backwards, before) a filemark, or at the beginning; `Blank` at the end of data.
    pub fn space_records(&mut self, count: i32) -> Result<(), DriveError> {
        for part in parts(count) {
            let answer = self.send(&tape::space_6(SpaceOver::Records, part), Data::None, Kind::Relative)?;
            let Some(sense) = answer.sense.filter(is_failure_or_stop) else {
                let counted = self.place.counted.and_then(|at| at.checked_add_signed(part.into()));
                // A drive that does not tell its position may have run over filemarks.
                let file = self.place.file.filter(|_| self.reports_position == Some(true));
                self.stand(counted, file);
                continue;
            };
            let (moved, left) = moved(part, &sense);
            if sense.is_filemark() {
                let over = if part < 0 { -1 } else { 1 };
                let counted = self.moved_to(moved).and_then(|at| at.checked_add_signed(over));
                let file = self.place.file.and_then(|file| file.checked_add_signed(over));
                self.stand(counted, file);
                return Err(self.stopped("SPACE", left, sense));
            }
            return Err(self.stopped_otherwise(sense.information.map(|_| moved), left, sense));
        }
        Ok(())
    }

    /// Moves over `count` filemarks, backwards where negative; forwards the tape stands behind the last one, backwards
    /// before it. On a drive that does not tell its position the way forwards is read record by record, so that the
    /// count stays known.
    ///
    /// # Errors
    /// `Blank` where the data ends before; `StoppedShort` at the beginning.
    pub fn space_filemarks(&mut self, count: i32) -> Result<(), DriveError> {
        self.standing()?;
        if count > 0 && self.place.counted.is_some() && self.counts_itself()? {
            for _ in 0..count {
                if let Some(sense) = self.read_past_filemark()? {
                    return Err(self.failure(opcode::SPACE_6, sense));
                }
            }
            return Ok(());
        }
        for part in parts(count) {
            let answer = self.send(&tape::space_6(SpaceOver::Filemarks, part), Data::None, Kind::Relative)?;
            let file = self.place.file;
            if let Some(sense) = answer.sense.filter(is_failure_or_stop) {
                let (moved, left) = moved(part, &sense);
                let error = self.stopped_otherwise(None, left, sense);
                if self.place.counted != Some(0) {
                    self.stand(None, file.and_then(|file| file.checked_add_signed(moved)));
                }
                return Err(error);
            }
            self.stand(None, file.and_then(|file| file.checked_add_signed(part.into())));
        }
        Ok(())
    }

    /// Moves to the end of data.
    ///
    /// # Errors
    /// `EndOfDataMissing` where the mark is gone; any error of the command.
    pub fn space_to_end_of_data(&mut self) -> Result<(), DriveError> {
        self.standing()?;
        if self.place.counted.is_some() && self.counts_itself()? {
            while self.read_past_filemark()?.is_none() {}
            return Ok(());
        }
        let answer = self.send(&tape::space_6(SpaceOver::EndOfData, 0), Data::None, Kind::Relative)?;
        self.stand(None, None);
        match answer.sense {
            Some(sense) if is_failure(&sense) && !sense.end_of_data() => {
                Err(self.failure(opcode::SPACE_6, sense))
            }
            _ => Ok(()),
        }
    }

    /// The order in which the drive would read these ranges of blocks (partition 0), as numbers of `ranges`; `None` where it
    /// has no recommended access order or does not take so many.
    ///
    /// # Errors
    /// Any error but a missing feature; the tape has not moved.
    pub fn access_order(&mut self, ranges: &[Range<u64>]) -> Result<Option<Vec<usize>>, DriveError> {
        let limits = self.ask(&rao::receive_limits(8), 8)?.and_then(|reply| rao::parse_limits(&reply));
        let fits = |limits: &rao::Limits| {
            ranges.len() <= usize::from(limits.segments)
                && usize::from(limits.descriptor_length) >= rao::SEGMENT_LENGTH
        };
        if !limits.as_ref().is_some_and(fits) {
            return Ok(None);
        }
        let segment = |(number, range): (usize, &Range<u64>)| {
            let mut name = [0; 10];
            name[..8].copy_from_slice(&(number as u64).to_be_bytes());
            rao::Segment { name, partition: 0, first: range.start, last: range.end.saturating_sub(1) }
        };
        let list = rao::list(&ranges.iter().enumerate().map(segment).collect::<Vec<_>>());
        let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
        match self.run(&rao::generate(length), Data::Out(&list), Kind::Query) {
            Err(DriveError::Unsupported { .. }) => return Ok(None),
            Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => return Ok(None),
            other => other?,
        };
        let reply = self.ask(&rao::receive(length), list.len())?;
        let Some(sorted) = reply.and_then(|reply| rao::parse(&reply)) else { return Ok(None) };
        let mut order = Vec::with_capacity(ranges.len());
        let mut left = vec![true; ranges.len()];
        for segment in sorted {
            let number = bytes::u64_at(&segment.name, 0).and_then(|number| usize::try_from(number).ok());
            // A name twice, or one that nobody gave: no order to rely on.
            match number.and_then(|number| Some((number, left.get_mut(number)?))) {
                Some((number, left)) if *left => {
                    *left = false;
                    order.push(number);
                }
                _ => return Ok(None),
            }
        }
        Ok((order.len() == ranges.len()).then_some(order))
    }

    /// Reads and drops records up to and over the next filemark; the sense data where the data ended instead.
    fn read_past_filemark(&mut self) -> Result<Option<Sense>, DriveError> {
        let mut byte = [0];
        loop {
            let cdb = tape::read_variable(1);
            let answer = self.send(&cdb, Data::In(&mut byte), Kind::Relative)?;
            match answer.sense {
                Some(sense) if sense.is_filemark() => {
                    self.advance(1, 1);
                    return Ok(None);
                }
                Some(sense) if sense.end_of_data() => return Ok(Some(sense)),
                Some(sense) if is_failure(&sense) && !sense.incorrect_length => {
                    self.stand(None, None);
                    return Err(self.failure(opcode::READ_6, sense));
                }
                _ => self.advance(1, 0),
            }
        }
    }

    /// The tape stands at a new place, as far as known; the end of the medium may be far again.
    fn stand(&mut self, counted: Option<u64>, file: Option<u64>) {
        self.place.established = true;
        self.place.counted = counted;
        self.place.file = file;
        self.warned = Warning::None;
    }

    /// The tape went on by so many logical objects, of which so many are filemarks.
    pub(super) fn advance(&mut self, objects: u64, filemarks: u64) {
        self.place.established = true;
        self.place.counted = self.place.counted.and_then(|at| at.checked_add(objects));
        self.place.file = self.place.file.and_then(|file| file.checked_add(filemarks));
    }

    fn moved_to(&self, moved: i64) -> Option<u64> {
        self.place.counted.and_then(|at| at.checked_add_signed(moved))
    }

    fn stopped(&self, command: &'static str, left: u64, sense: Sense) -> DriveError {
        DriveError::StoppedShort { drive: self.drive(), command, left, sense }
    }

    /// Stopped by something other than a filemark: the beginning, the end of data, or an error. `moved` is how far the tape
    /// went, where that is known.
    fn stopped_otherwise(&mut self, moved: Option<i64>, left: u64, sense: Sense) -> DriveError {
        if sense.beginning_of_medium() {
            self.stand(Some(0), Some(0));
            return self.stopped("SPACE", left, sense);
        }
        let (counted, file) = if sense.end_of_data() {
            (moved.and_then(|moved| self.moved_to(moved)), self.place.file)
        } else {
            (None, None)
        };
        let error = self.failure(opcode::SPACE_6, sense);
        self.stand(counted, file);
        error
    }
}

/// SPACE(6) counts 24 signed bits.
const SPACE_LIMIT: i32 = 0x7f_ffff;

/// A count in parts that SPACE(6) holds.
fn parts(count: i32) -> impl Iterator<Item = i32> {
    let mut left = count;
    std::iter::from_fn(move || {
        let part = left.clamp(-SPACE_LIMIT, SPACE_LIMIT);
        left -= part;
        (part != 0).then_some(part)
    })
}

/// What SPACE moved over, signed, and what was left: INFORMATION is the residual, some drives sign it.
fn moved(count: i32, sense: &Sense) -> (i64, u64) {
    let asked = u64::from(count.unsigned_abs());
    let left = sense.information.map_or(asked, i64::unsigned_abs).min(asked);
    let moved = i64::try_from(asked - left).unwrap_or(0);
    (if count < 0 { -moved } else { moved }, left)
}

/// Whether a movement failed; early warnings are none.
fn is_failure(sense: &Sense) -> bool {
    !(sense.early_warning() || sense.programmable_early_warning())
}

/// The same, for movements that a filemark or the beginning can stop.
fn is_failure_or_stop(sense: &Sense) -> bool {
    sense.is_filemark() || sense.beginning_of_medium() || is_failure(sense)
}

impl Answer {
    /// How near the end of the medium the drive says it is.
    pub(super) fn warning(&self) -> Warning {
        match &self.sense {
            Some(sense) if sense.programmable_early_warning() => Warning::Programmable,
            Some(sense) if sense.early_warning() => Warning::EarlyWarning,
            _ => Warning::None,
        }
    }
}
