//! A drive held against other hosts (SPC-4 clause 5.13): registered, reserved with exclusive access, and let go of however
//! the task ends.

use super::command::Kind;
use super::{Drive, DriveError};
use crate::scsi::reservation::{self, Change, LIST_LENGTH, Read};
use crate::scsi::{Data, Sense};

const ALLOCATION: u16 = 256;
const TYPE: reservation::Kind = reservation::Kind::ExclusiveAccess;

impl Drive {
    /// Reserves the drive under a key that stands for this host. A reservation under the same key, left by a task of this
    /// host that died, is taken over; any other only with `take_over`. False where the drive has no reservations.
    ///
    /// # Errors
    /// `ReservationConflict` with the holder's key.
    pub fn reserve(&mut self, key: u64, take_over: bool) -> Result<bool, DriveError> {
        match self.change(Change::RegisterAndIgnore, 0, key) {
            Err(DriveError::Unsupported { .. }) => return Ok(false),
            Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => return Ok(false),
            other => other?,
        }
        self.reserved = Some(key);
        let conflict = match self.change(Change::Reserve, key, 0) {
            Ok(()) => return Ok(true),
            Err(DriveError::ReservationConflict { drive, holder }) => (drive, holder),
            Err(error) => {
                self.drop_reservation();
                return Err(error);
            }
        };
        let taken = match conflict.1 {
            Some(holder) if holder == key || take_over => self.change(Change::Preempt, key, holder),
            _ => Err(DriveError::ReservationConflict { drive: conflict.0, holder: conflict.1 }),
        };
        if let Err(error) = taken {
            self.drop_reservation();
            return Err(error);
        }
        // Preempted is reserved; asking again shows it.
        self.change(Change::Reserve, key, 0).map(|()| true)
    }

    /// Lets go of the drive; nothing happens where it is not reserved.
    ///
    /// # Errors
    /// Any error of the commands: the drive may still be reserved.
    pub fn end_reservation(&mut self) -> Result<(), DriveError> {
        let Some(key) = self.reserved else { return Ok(()) };
        let released = self.change(Change::Release, key, 0);
        // Without a registration there is no reservation either.
        let unregistered = self.change(Change::Register, key, 0);
        match (released, unregistered) {
            // Somebody else has taken it: it is not ours any more.
            (_, Ok(()) | Err(DriveError::ReservationConflict { .. })) => {
                self.reserved = None;
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The key of the host that holds the drive, where the drive tells.
    pub(super) fn holder(&mut self) -> Option<u64> {
        let reply = self.ask(&reservation::read(Read::Reservation, ALLOCATION), ALLOCATION.into());
        reply.ok().flatten().and_then(|bytes| reservation::reservation(&bytes)).map(|(key, _)| key)
    }

    /// Whether another host took the reservation away (2A/03 to 2A/05), which ends the task.
    pub(super) fn is_preempted(&mut self, sense: &Sense) -> bool {
        let taken = self.reserved.is_some() && sense.code.is_reservation_lost();
        if taken {
            self.reserved = None;
            self.lose("another host took the drive");
        }
        taken
    }

    fn change(&mut self, what: Change, key: u64, action_key: u64) -> Result<(), DriveError> {
        let list: [u8; LIST_LENGTH] = reservation::list(key, action_key);
        self.run(&reservation::change(what, TYPE), Data::Out(&list), Kind::Query).map(drop)
    }

    /// For a drive that goes out of use: nobody is left to hear of a failure.
    pub(super) fn drop_reservation(&mut self) {
        for _ in 0..3 {
            match self.end_reservation() {
                Ok(()) | Err(DriveError::Transport { .. }) => return,
                Err(_) => {}
            }
        }
    }
}
