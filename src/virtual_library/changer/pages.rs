//! INQUIRY and MODE SENSE of the changer.

use super::super::drive::{designators, page, standard};
use super::super::layout::{DRIVES, IMPORT_EXPORT, STORAGE, TRANSPORT};
use super::super::outcome::{Check, INVALID_FIELD, Outcome};
use super::super::wire::{Cdb, send};
use super::Changer;
use crate::scsi::{Data, opcode};

const DEVICE_TYPE: u8 = 8;
const PRODUCT: &str = "VIRTUAL CHANGER";

impl Changer {
    /// INQUIRY: standard data and the pages 00h, 80h, 83h.
    pub(super) fn inquiry(&self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let serial = self.file.changer_serial();
        let reply = match (cdb.bit(1, 1), cdb.u8(2)) {
            (false, 0) => standard(DEVICE_TYPE, PRODUCT),
            (true, 0x00) => page(DEVICE_TYPE, 0x00, &[0x00, 0x80, 0x83]),
            (true, 0x80) => page(DEVICE_TYPE, 0x80, serial.as_bytes()),
            (true, 0x83) => page(DEVICE_TYPE, 0x83, &designators(PRODUCT, &serial)),
            _ => return Err(INVALID_FIELD.into()),
        };
        Ok(send(data, &reply, usize::from(cdb.u16(3))))
    }

    /// MODE SENSE: element address assignment (1Dh), transport geometry (1Eh), device capabilities (1Fh; SMC-3 clause 7.3).
    pub(super) fn mode_sense(&self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let wanted = cdb.u8(2) & 0x3f;
        let control = cdb.u8(2) >> 6;
        if control == 3 {
            return Err(Check::new(5, 0x39, 0x00).into()); // saving parameters not supported
        }
        if !matches!(wanted, 0x1d | 0x1e | 0x1f | 0x3f) {
            return Err(INVALID_FIELD.into());
        }
        let mut pages = Vec::new();
        if matches!(wanted, 0x1d | 0x3f) {
            pages.extend([0x1d, 18]);
            for number in [
                TRANSPORT,
                1,
                STORAGE,
                self.file.slots,
                IMPORT_EXPORT,
                self.file.import_export,
                DRIVES,
                self.file.drives,
            ] {
                pages.extend(if control == 1 { [0, 0] } else { number.to_be_bytes() });
            }
            pages.extend([0, 0]);
        }
        if matches!(wanted, 0x1e | 0x3f) {
            pages.extend([0x1e, 2, 0, 0]);
        }
        if matches!(wanted, 0x1f | 0x3f) {
            // Drives, import/export and storage hold cartridges; moves go between all of them; no exchange.
            let places = if control == 1 { 0 } else { 0x0e };
            pages.extend([0x1f, 18, places, 0, 0, places, places, places]);
            pages.resize(pages.len() + 12, 0);
        }
        let (reply, allocation) = if cdb.opcode() == opcode::MODE_SENSE_10 {
            let mut reply = (pages.len() as u16 + 6).to_be_bytes().to_vec();
            reply.resize(8, 0);
            reply.extend(pages);
            (reply, usize::from(cdb.u16(7)))
        } else {
            let mut reply = vec![pages.len() as u8 + 3, 0, 0, 0];
            reply.extend(pages);
            (reply, usize::from(cdb.u8(4)))
        };
        Ok(send(data, &reply, allocation))
    }
}
