//! PERSISTENT RESERVE IN and OUT (SPC-4 clauses 6.15, 6.16, 5.13).

use super::bytes::{at_most, put, u8_at, u32_at, u64_at};
use super::opcode;

/// Bytes of the parameter list of PERSISTENT RESERVE OUT.
pub const LIST_LENGTH: usize = 24;

/// PERSISTENT RESERVE IN service actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Read {
    /// The registered keys.
    Keys = 0,
    /// The reservation.
    Reservation = 1,
    /// What the device can do.
    Capabilities = 2,
}

/// PERSISTENT RESERVE OUT service actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Change {
    /// Register a key, or with key 0 unregister; the old key must be right.
    Register = 0,
    /// Reserve.
    Reserve = 1,
    /// Release.
    Release = 2,
    /// Remove the reservation and all keys.
    Clear = 3,
    /// Take the reservation from another key.
    Preempt = 4,
    /// The same, and abort the other's commands.
    PreemptAndAbort = 5,
    /// Register a key, whatever key was there.
    RegisterAndIgnore = 6,
}

/// Reservation type (SPC-4 table 66).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Only the holder writes.
    WriteExclusive = 1,
    /// Only the holder reads and writes.
    ExclusiveAccess = 3,
    /// Only registered initiators write.
    WriteExclusiveRegistrants = 5,
    /// Only registered initiators read and write.
    ExclusiveAccessRegistrants = 6,
}

/// PERSISTENT RESERVE IN.
pub fn read(what: Read, allocation: u16) -> [u8; 10] {
    let mut cdb = [opcode::PERSISTENT_RESERVE_IN, what as u8, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[7..9], allocation.into());
    cdb
}

/// PERSISTENT RESERVE OUT with a parameter list of [`LIST_LENGTH`] bytes.
pub fn change(what: Change, kind: Kind) -> [u8; 10] {
    let mut cdb = [opcode::PERSISTENT_RESERVE_OUT, what as u8, kind as u8, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[5..9], LIST_LENGTH as u64);
    cdb
}

/// Parameter list: `key` is the one registered, `action_key` the new one or the one to preempt.
pub fn list(key: u64, action_key: u64) -> [u8; LIST_LENGTH] {
    let mut list = [0; LIST_LENGTH];
    put(&mut list[0..8], key);
    put(&mut list[8..16], action_key);
    list
}

/// The registered keys.
pub fn keys(bytes: &[u8]) -> Option<Vec<u64>> {
    let length = usize::try_from(u32_at(bytes, 4)?).ok()?;
    Some(at_most(bytes, 8, length).chunks_exact(8).filter_map(|key| u64_at(key, 0)).collect())
}

/// The holder's key and the reservation's type code; `None` where nothing is reserved.
pub fn reservation(bytes: &[u8]) -> Option<(u64, u8)> {
    if u32_at(bytes, 4)? < 16 {
        return None;
    }
    Some((u64_at(bytes, 8)?, u8_at(bytes, 21)? & 0x0f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_and_replies() {
        assert_eq!(read(Read::Reservation, 256), [0x5e, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(
            change(Change::RegisterAndIgnore, Kind::ExclusiveAccess),
            [0x5f, 6, 3, 0, 0, 0, 0, 0, 24, 0]
        );
        assert_eq!(list(1, 2)[7..16], [1, 0, 0, 0, 0, 0, 0, 0, 2]);
        let mut bytes = vec![0, 0, 0, 5, 0, 0, 0, 16];
        bytes.extend(7u64.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0, 3, 0, 0]);
        assert_eq!(reservation(&bytes), Some((7, 3)));
        assert_eq!(keys(&bytes).unwrap().len(), 2);
        assert_eq!(reservation(&[0; 8]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (keys(&bytes), reservation(&bytes));
        }
    }
}
