//! Recommended access order: GENERATE and RECEIVE (SSC-5; LTO-9 and later).

use super::super::faults::DriveFaults;
use super::super::outcome::{INVALID_FIELD, INVALID_PARAMETER, LIST_LENGTH, Outcome, Stop};
use super::super::wire::{Cdb, receive, send, u8_at, u16_at, u32_at, u64_at};
use super::Drive;
use crate::scsi::Data;
use crate::scsi::generation::Generation;

/// Bytes of a user data segment descriptor: length (30), 3 reserved, name of 10 bytes, partition, first and last block.
const SEGMENT: usize = 32;
/// Segments that one list may hold.
const SEGMENTS: u16 = 2720;

impl Drive {
    fn has_access_order(&self) -> Result<(), Stop> {
        if self.generation < Generation::Lto9 {
            return Err(INVALID_FIELD.into());
        }
        Ok(())
    }

    /// GENERATE RECOMMENDED ACCESS ORDER: remembers the segments, reordered when byte 2 says 2.
    pub(super) fn generate_order(&mut self, cdb: &Cdb, data: Data<'_>, faults: &DriveFaults) -> Outcome {
        self.has_access_order()?;
        self.medium()?;
        let length = cdb.u32(6) as usize;
        let list = receive(data, length)?;
        let body = list.get(8..8 + u32_at(list, 4) as usize).ok_or(LIST_LENGTH)?;
        let (segments, rest) = body.as_chunks::<SEGMENT>();
        if !rest.is_empty() || segments.len() > usize::from(SEGMENTS) {
            return Err(LIST_LENGTH.into());
        }
        if segments.iter().any(|segment| u16_at(segment, 0) != 30 || u8_at(segment, 15) != 0) {
            return Err(INVALID_PARAMETER.into());
        }
        let mut order = Vec::with_capacity(body.len());
        if cdb.u8(2) & 0x07 == 2 {
            let mut way = self.shortest_way(segments)?;
            if let Some(mut state) = faults.access_order_seed {
                // Any order: each place changes with one before it (a linear congruential generator picks which).
                for last in (1..way.len()).rev() {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    way.swap(last, (state >> 33) as usize % (last + 1));
                }
            }
            for index in way {
                order.extend_from_slice(&segments[index]);
            }
        } else {
            order.extend_from_slice(body);
        }
        self.access_order = order;
        Ok(length)
    }

    /// Always to the segment whose beginning is reached soonest from where the one before ended.
    fn shortest_way(&mut self, segments: &[[u8; SEGMENT]]) -> Result<Vec<usize>, Stop> {
        let mut left = Vec::with_capacity(segments.len());
        for (index, segment) in segments.iter().enumerate() {
            let medium = self.medium()?;
            let first = medium.bytes_before(u64_at(segment, 16))?;
            let last = medium.bytes_before(u64_at(segment, 24).saturating_add(1))?;
            left.push((index, first, last));
        }
        let mut here = self.used_here()?;
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let mut nearest = 0;
            for (at, &(_, first, _)) in left.iter().enumerate() {
                let way = |to| self.motion.locate_seconds(here, to);
                if way(first) < way(left[nearest].1) {
                    nearest = at;
                }
            }
            let (index, _, last) = left.swap_remove(nearest);
            order.push(index);
            here = last;
        }
        Ok(order)
    }

    /// RECEIVE RECOMMENDED ACCESS ORDER: the list, or with byte 1 bit 7 what a list may hold (segments, bytes of one).
    pub(super) fn receive_order(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        self.has_access_order()?;
        let mut reply = vec![0u8; 8];
        if cdb.bit(1, 0x80) {
            reply[4..6].copy_from_slice(&SEGMENTS.to_be_bytes());
            reply[6..].copy_from_slice(&(SEGMENT as u16).to_be_bytes());
        } else {
            reply[4..].copy_from_slice(&(self.access_order.len() as u32).to_be_bytes());
            reply.extend_from_slice(&self.access_order);
        }
        Ok(send(data, &reply, cdb.u32(6) as usize))
    }
}
