//! PERSISTENT RESERVE IN and OUT for any number of hosts (SPC-4 clauses 5.13, 6.15 and 6.16).

use std::collections::{BTreeMap, VecDeque};

use super::super::outcome::{Check, INVALID_FIELD, LIST_LENGTH, Outcome, Stop};
use super::super::wire::{Cdb, receive, send, u64_at};
use crate::scsi::{Data, opcode};

const WRITE_EXCLUSIVE: u8 = 1;
const WRITE_EXCLUSIVE_REGISTRANTS: u8 = 5;
const EXCLUSIVE_REGISTRANTS: u8 = 6;
/// Unit attentions: reservations preempted, registrations preempted.
const RESERVATIONS_PREEMPTED: (u8, u8) = (0x2a, 0x03);
const REGISTRATIONS_PREEMPTED: (u8, u8) = (0x2a, 0x05);

/// Who is registered, and who holds the drive.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    generation: u32,
    /// Keys by host.
    keys: BTreeMap<u32, u64>,
    /// The host that holds it, and the type.
    holder: Option<(u32, u8)>,
    /// Unit attentions of single hosts.
    attentions: BTreeMap<u32, VecDeque<(u8, u8)>>,
}

impl Reservation {
    /// A unit attention that waits for this host.
    pub fn attention(&mut self, host: u32) -> Option<(u8, u8)> {
        self.attentions.get_mut(&host)?.pop_front()
    }

    /// Whether a command of this host conflicts (SPC-4 table 43, SSC-4 table 14).
    pub fn conflicts(&self, host: u32, code: u8) -> bool {
        let Some((holder, kind)) = self.holder else { return false };
        if holder == host {
            return false;
        }
        let registered = self.keys.contains_key(&host);
        match code {
            opcode::INQUIRY
            | opcode::REPORT_LUNS
            | opcode::REQUEST_SENSE
            | opcode::TEST_UNIT_READY
            | opcode::LOG_SENSE
            | opcode::MAINTENANCE_IN
            | opcode::PERSISTENT_RESERVE_IN
            | opcode::PERSISTENT_RESERVE_OUT => false,
            _ if matches!(kind, WRITE_EXCLUSIVE_REGISTRANTS | EXCLUSIVE_REGISTRANTS) && registered => false,
            opcode::READ_6 | opcode::READ_POSITION | opcode::READ_BLOCK_LIMITS => {
                !matches!(kind, WRITE_EXCLUSIVE | WRITE_EXCLUSIVE_REGISTRANTS)
            }
            _ => true,
        }
    }

    /// PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION, REPORT CAPABILITIES.
    pub fn report(&self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let mut reply = self.generation.to_be_bytes().to_vec();
        match cdb.u8(1) & 0x1f {
            0 => {
                let keys: Vec<u8> = self.keys.values().flat_map(|key| key.to_be_bytes()).collect();
                reply.extend((keys.len() as u32).to_be_bytes());
                reply.extend(keys);
            }
            1 => match self.holder.and_then(|(host, kind)| Some((*self.keys.get(&host)?, kind))) {
                Some((key, kind)) => {
                    reply.extend(16u32.to_be_bytes());
                    reply.extend(key.to_be_bytes());
                    reply.extend([0, 0, 0, 0, 0, kind, 0, 0]);
                }
                None => reply.extend([0; 4]),
            },
            // Type mask: write exclusive, exclusive access, and their registrants-only forms.
            2 => reply = vec![0, 8, 0, 0x80, 0x6a, 0x00, 0, 0],
            _ => return Err(INVALID_FIELD.into()),
        }
        Ok(send(data, &reply, usize::from(cdb.u16(7))))
    }

    /// PERSISTENT RESERVE OUT: REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT (AND ABORT), REGISTER AND IGNORE EXISTING KEY.
    pub fn change(&mut self, host: u32, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let length = cdb.u32(5) as usize;
        if length != 24 {
            return Err(LIST_LENGTH.into());
        }
        let list = receive(data, length)?;
        let (key, service_key) = (u64_at(list, 0), u64_at(list, 8));
        let kind = cdb.u8(2) & 0x0f;
        let action = cdb.u8(1) & 0x1f;
        let own = self.keys.get(&host).copied();
        if action != 6 && !(action == 0 && own.is_none() && key == 0) && own != Some(key) {
            return Err(Stop::Conflict);
        }
        let ours = |(holder, held): (u32, u8)| holder == host && held == kind;
        match action {
            0 | 6 => {
                if service_key == 0 {
                    self.keys.remove(&host);
                    self.holder = self.holder.filter(|(holder, _)| *holder != host);
                } else {
                    self.keys.insert(host, service_key);
                }
                self.generation = self.generation.wrapping_add(1);
            }
            1 | 4 | 5 if !matches!(kind, 1 | 3 | 5..=8) || cdb.u8(2) >> 4 != 0 => {
                return Err(INVALID_FIELD.into());
            }
            1 if self.holder.is_some_and(|holder| !ours(holder)) => return Err(Stop::Conflict),
            1 => self.holder = Some((host, kind)),
            2 => match self.holder {
                // INVALID RELEASE OF PERSISTENT RESERVATION.
                Some((holder, held)) if holder == host && held != kind => {
                    return Err(Check::new(5, 0x26, 0x04).into());
                }
                holder => self.holder = holder.filter(|holder| !ours(*holder)),
            },
            3 => {
                self.preempt(host, None, RESERVATIONS_PREEMPTED);
                self.keys.clear();
                self.holder = None;
            }
            4 | 5 => {
                if !self.keys.iter().any(|(_, other)| *other == service_key) {
                    return Err(Stop::Conflict);
                }
                let holds =
                    self.holder.is_some_and(|(holder, _)| self.keys.get(&holder) == Some(&service_key));
                self.preempt(host, Some(service_key), REGISTRATIONS_PREEMPTED);
                if holds {
                    self.holder = Some((host, kind));
                }
            }
            _ => return Err(INVALID_FIELD.into()),
        }
        Ok(length)
    }

    /// Removes other hosts' registrations (with this key, or all) and has them told.
    fn preempt(&mut self, host: u32, key: Option<u64>, attention: (u8, u8)) {
        let gone = |other: u32, held: u64| other != host && key.is_none_or(|key| key == held);
        let told: Vec<u32> =
            self.keys.iter().filter(|(other, held)| gone(**other, **held)).map(|(other, _)| *other).collect();
        for other in told {
            self.keys.remove(&other);
            self.attentions.entry(other).or_default().push_back(attention);
        }
        self.generation = self.generation.wrapping_add(1);
    }
}
