//! PERSISTENT RESERVE IN and OUT for the one host there is (SPC-4 clauses 6.15 and 6.16).

use super::super::outcome::{Check, INVALID_FIELD, LIST_LENGTH, Outcome, Stop};
use super::super::wire::{Cdb, receive, send, u64_at};
use crate::scsi::Data;

/// The host's registration and reservation.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    generation: u32,
    key: Option<u64>,
    kind: Option<u8>,
}

impl Reservation {
    /// PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION, REPORT CAPABILITIES.
    pub fn report(&self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let mut reply = self.generation.to_be_bytes().to_vec();
        match cdb.u8(1) & 0x1f {
            0 => {
                let keys: Vec<u8> = self.key.iter().flat_map(|key| key.to_be_bytes()).collect();
                reply.extend((keys.len() as u32).to_be_bytes());
                reply.extend(keys);
            }
            1 => match (self.kind, self.key) {
                (Some(kind), Some(key)) => {
                    reply.extend(16u32.to_be_bytes());
                    reply.extend(key.to_be_bytes());
                    reply.extend([0, 0, 0, 0, 0, kind, 0, 0]);
                }
                _ => reply.extend([0; 4]),
            },
            // Type mask: write exclusive, exclusive access, and their registrants-only forms.
            2 => reply = vec![0, 8, 0, 0x80, 0x6a, 0x00, 0, 0],
            _ => return Err(INVALID_FIELD.into()),
        }
        Ok(send(data, &reply, usize::from(cdb.u16(7))))
    }

    /// PERSISTENT RESERVE OUT: REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, REGISTER AND IGNORE EXISTING KEY.
    pub fn change(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let length = cdb.u32(5) as usize;
        if length != 24 {
            return Err(LIST_LENGTH.into());
        }
        let list = receive(data, length)?;
        let (key, service_key) = (u64_at(list, 0), u64_at(list, 8));
        let kind = cdb.u8(2) & 0x0f;
        let action = cdb.u8(1) & 0x1f;
        if action != 6 && !(action == 0 && self.key.is_none() && key == 0) && self.key != Some(key) {
            return Err(Stop::Conflict);
        }
        match action {
            0 | 6 => {
                self.key = (service_key != 0).then_some(service_key);
                if self.key.is_none() {
                    self.kind = None;
                }
                self.generation = self.generation.wrapping_add(1);
            }
            1 if !matches!(kind, 1 | 3 | 5..=8) || cdb.u8(2) >> 4 != 0 => return Err(INVALID_FIELD.into()),
            1 if self.kind.is_some_and(|held| held != kind) => return Err(Stop::Conflict),
            1 => self.kind = Some(kind),
            // INVALID RELEASE OF PERSISTENT RESERVATION.
            2 if self.kind.is_some_and(|held| held != kind) => return Err(Check::new(5, 0x26, 0x04).into()),
            2 => self.kind = None,
            3 => {
                let generation = self.generation.wrapping_add(1);
                *self = Reservation { generation, ..Reservation::default() };
            }
            4 => self.generation = self.generation.wrapping_add(1),
            _ => return Err(INVALID_FIELD.into()),
        }
        Ok(length)
    }
}
