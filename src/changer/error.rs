//! What can go wrong with a changer.

use std::time::Duration;

use super::ElementAddress;
use crate::scsi::{Sense, TransportError};

/// Every variant names the changer as the user does.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // `changer` is the changer's name, `command` the SCSI command, `sense` what the changer said
pub enum ChangerError {
    /// The device behind the name is something else.
    #[error("{changer}: not a medium changer ({found})")]
    NotAChanger { changer: String, found: String },
    /// No cartridge where one was to be taken (5/3B/0E).
    #[error("{changer}: no cartridge in element {from}")]
    SourceEmpty { changer: String, from: ElementAddress },
    /// A cartridge is already where one was to be put (5/3B/0D).
    #[error("{changer}: element {to} is full")]
    DestinationFull { changer: String, to: ElementAddress },
    /// The library has no such element (5/21/01).
    #[error("{changer}: no element {from} or {to}")]
    NoSuchElement { changer: String, from: ElementAddress, to: ElementAddress },
    /// The drive or slot holds the cartridge fast (5/53/02): unload the drive first.
    #[error("{changer}: the cartridge in element {from} is locked")]
    MediumPrevented { changer: String, from: ElementAddress },
    /// The mechanism failed; somebody must look at it.
    #[error("{changer}: the mechanism failed in {command} ({sense})")]
    Jammed { changer: String, command: &'static str, sense: Sense },
    /// Offline, a door open, a magazine out, or still looking at its elements.
    #[error("{changer}: not ready ({sense})")]
    NotReady { changer: String, sense: Sense },
    /// Another initiator holds the changer.
    #[error("{changer}: reserved by another host")]
    ReservationConflict { changer: String },
    /// The changer does not have the command.
    #[error("{changer}: does not have the command {command}")]
    Unsupported { changer: String, command: &'static str },
    /// Any other refusal.
    #[error("{changer}: {command} failed ({sense})")]
    Failed { changer: String, command: &'static str, sense: Sense },
    /// A status without an explanation.
    #[error("{changer}: {command} ended with {status} and no sense data")]
    Unexplained { changer: String, command: &'static str, status: String },
    /// The changer was busy all the time.
    #[error("{changer}: busy for {waited:?}")]
    Busy { changer: String, waited: Duration },
    /// A reply that does not say what it must.
    #[error("{changer}: reply to {command} cannot be understood")]
    Reply { changer: String, command: &'static str },
    /// No status came back; a movement may still be under way.
    #[error("{changer}: no reply from the changer")]
    Transport { changer: String, source: TransportError },
}

impl ChangerError {
    /// Whether the drive that a cartridge was to be taken from holds it (5/53/02 by the element, 5/53/03 by a drive that
    /// was not told to unload).
    pub fn is_held_by_drive(&self) -> bool {
        matches!(self, ChangerError::MediumPrevented { .. })
    }
}
