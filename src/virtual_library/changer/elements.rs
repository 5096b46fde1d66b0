//! READ ELEMENT STATUS (SMC-3 clause 6.16).

use super::super::drive::{VENDOR, product};
use super::super::faults::ChangerFaults;
use super::super::layout::{DRIVES, IMPORT_EXPORT, STORAGE, TRANSPORT};
use super::super::outcome::{INVALID_FIELD, Outcome};
use super::super::wire::{Cdb, be24, padded, send};
use super::super::{Shared, locked};
use super::{Changer, INVALID_ELEMENT};
use crate::scsi::Data;

const TRANSPORT_TYPE: u8 = 1;
const STORAGE_TYPE: u8 = 2;
const IMPORT_EXPORT_TYPE: u8 = 3;
const DRIVE_TYPE: u8 = 4;

impl Changer {
    /// READ ELEMENT STATUS: one page for each element type asked for, in order of their addresses.
    pub(super) fn element_status(
        &self,
        shared: &Shared,
        cdb: &Cdb,
        data: Data<'_>,
        faults: &ChangerFaults,
    ) -> Outcome {
        let (tags, identify) = (cdb.bit(1, 0x10), cdb.bit(6, 0x01));
        let wanted = cdb.u8(1) & 0x0f;
        if wanted > DRIVE_TYPE || (faults.one_at_a_time && tags && identify) {
            return Err(INVALID_FIELD.into());
        }
        let (start, count) = (cdb.u16(2), usize::from(cdb.u16(4)));
        let types = [
            (TRANSPORT_TYPE, TRANSPORT, u16::from(!faults.no_transport)),
            (DRIVE_TYPE, DRIVES, self.file.drives),
            (IMPORT_EXPORT_TYPE, IMPORT_EXPORT, self.file.import_export),
            (STORAGE_TYPE, STORAGE, self.file.slots),
        ];
        let mut left = count;
        let mut pages = Vec::new();
        let (mut first, mut reported) = (0, 0u16);
        for (kind, begin, length) in types {
            if wanted != 0 && wanted != kind {
                continue;
            }
            let elements: Vec<u16> =
                (begin..begin + length).filter(|&element| element >= start).take(left).collect();
            let Some(&lowest) = elements.first() else { continue };
            if reported == 0 {
                first = lowest;
            }
            left -= elements.len();
            reported += elements.len() as u16;
            let mut descriptors = Vec::new();
            for &element in &elements {
                descriptors.extend(self.descriptor(shared, kind, element, tags, identify, faults));
            }
            pages.extend([kind, if tags { 0x80 } else { 0 }]);
            pages.extend(((descriptors.len() / elements.len()) as u16).to_be_bytes());
            pages.push(0);
            pages.extend(be24(descriptors.len() as u32));
            pages.extend(descriptors);
        }
        if reported == 0 && count > 0 {
            return Err(INVALID_ELEMENT.into());
        }
        let mut reply = first.to_be_bytes().to_vec();
        reply.extend(reported.to_be_bytes());
        reply.push(0);
        reply.extend(be24(pages.len() as u32));
        reply.extend(pages);
        if faults.cut_replies {
            reply.truncate(reply.len().saturating_sub(8));
        }
        if faults.trailing_bytes {
            reply.extend([0xff; 13]);
        }
        Ok(send(data, &reply, cdb.u24(7) as usize))
    }

    fn descriptor(
        &self,
        shared: &Shared,
        kind: u8,
        element: u16,
        tags: bool,
        identify: bool,
        faults: &ChangerFaults,
    ) -> Vec<u8> {
        let held = self.file.at(element);
        let drive = self.file.drive_at(element);
        let threaded =
            drive.and_then(|n| shared.drives.get(usize::from(n))).is_some_and(|drive| locked(drive).threaded);
        let mut flags = u8::from(held.is_some());
        if kind != TRANSPORT_TYPE && !threaded {
            flags |= 0x08; // the transport can reach it
        }
        if kind == IMPORT_EXPORT_TYPE {
            flags |= 0x30; // imports and exports
        }
        let mut bytes = element.to_be_bytes().to_vec();
        bytes.extend([flags, 0, 0, 0, 0, 0, 0]);
        // MEDIUM TYPE: 1 data, 2 cleaning.
        let medium = held.map_or(0, |held| if held.barcode.starts_with("CLN") { 2 } else { 1 });
        match held.and_then(|held| held.source).filter(|_| kind != STORAGE_TYPE) {
            Some(source) => {
                bytes.push(0x80 | medium);
                bytes.extend(source.to_be_bytes());
            }
            None => bytes.extend([medium, 0, 0]),
        }
        if tags {
            match held.filter(|_| !faults.blank_tags) {
                Some(held) => bytes.extend(padded(&held.barcode, 32)),
                None => bytes.extend([b' '; 32]),
            }
            bytes.extend([0; 4]);
        }
        match drive.filter(|_| identify && !faults.no_serials) {
            Some(index) => {
                let mut identifier = padded(VENDOR, 8);
                identifier.extend(padded(&product(self.file.generation), 16));
                identifier.extend(padded(&self.file.drive_serial(index), 10));
                bytes.extend([2, 1, 0, identifier.len() as u8]);
                bytes.extend(identifier);
            }
            None => bytes.extend([0; 4]),
        }
        bytes
    }
}
