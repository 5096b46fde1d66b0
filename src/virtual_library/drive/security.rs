//! SECURITY PROTOCOL IN and OUT, protocol 20h: tape data encryption (SSC-4 clause 8.5). Records are sealed with
//! AES-256-GCM: nonce, ciphertext, tag.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::super::cartridge::{Cartridge, KeyData, Object};
use super::super::outcome::{Check, INVALID_FIELD, INVALID_PARAMETER, LIST_LENGTH, Outcome, Stop};
use super::super::wire::{Cdb, receive, send, u8_at, u16_at};
use super::Drive;
use crate::scsi::Data;

const TAPE_ENCRYPTION: u8 = 0x20;
/// The drive's index for AES-256-GCM, and the algorithm's code.
const ALGORITHM_INDEX: u8 = 1;
const AES_256_GCM_CODE: u32 = 0x0001_0014;
/// Longest unauthenticated and authenticated key-associated data.
const LONGEST_UNAUTHENTICATED: usize = 32;
const LONGEST_AUTHENTICATED: usize = 12;

const ENCRYPT: u8 = 2;
const DECRYPT: u8 = 2;
const MIXED: u8 = 3;

/// The drive's key and what it is used for.
#[derive(Debug, Default)]
pub(super) struct Crypto {
    encryption: u8,
    decryption: u8,
    key: Option<LessSafeKey>,
    associated: KeyData,
    clear_on_demount: bool,
    scope: u8,
    key_instance: u32,
}

impl Crypto {
    /// Seals a record into `out` when the mode says so; returns which key-associated data it has.
    pub fn seal(&self, bytes: &[u8], out: &mut Vec<u8>, medium: &mut Cartridge) -> Result<Option<u16>, Stop> {
        let Some(key) = self.key.as_ref().filter(|_| self.encryption == ENCRYPT) else { return Ok(None) };
        let index = match medium.memory.keys.iter().position(|known| *known == self.associated) {
            Some(index) => index,
            None => {
                medium.memory.keys.push(self.associated.clone());
                medium.save_memory()?;
                medium.memory.keys.len() - 1
            }
        };
        // 7/74/00 SECURITY ERROR: no more room for key-associated data, or no random numbers.
        let failed = || Stop::Check(Check::new(7, 0x74, 0x00));
        let index = u16::try_from(index).map_err(|_| failed())?;
        let mut nonce = [0u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| failed())?;
        out.clear();
        out.extend_from_slice(&nonce);
        out.extend_from_slice(bytes);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&self.associated.authenticated),
                &mut out[NONCE_LEN..],
            )
            .map_err(|_| failed())?;
        out.extend_from_slice(tag.as_ref());
        Ok(Some(index))
    }

    /// Whether the decryption mode lets a record be read.
    pub fn may_read(&self, encrypted: bool) -> Result<(), Check> {
        match (encrypted, self.decryption) {
            (true, DECRYPT | MIXED) | (false, 0 | MIXED) => Ok(()),
            (true, _) => Err(Check::new(7, 0x74, 0x01)), // UNABLE TO DECRYPT DATA
            (false, _) => Err(Check::new(7, 0x74, 0x02)), // UNENCRYPTED DATA ENCOUNTERED WHILE DECRYPTING
        }
    }

    /// Opens a sealed record in place.
    pub fn open<'a>(&self, sealed: &'a mut [u8], index: u16, medium: &Cartridge) -> Result<&'a [u8], Check> {
        let wrong = Check::new(7, 0x74, 0x03); // INCORRECT DATA ENCRYPTION KEY
        let Some(key) = &self.key else { return Err(Check::new(7, 0x74, 0x01)) };
        let authenticated =
            medium.memory.keys.get(usize::from(index)).map_or(&[][..], |known| &known.authenticated);
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(wrong.clone())?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        key.open_in_place(nonce, Aad::from(authenticated), rest).map(|plain| &*plain).map_err(|_| wrong)
    }

    /// Another cartridge came: a key that is to be cleared on demount goes.
    pub fn medium_changed(&mut self) {
        if self.clear_on_demount {
            self.clear();
        }
    }

    fn clear(&mut self) {
        let key_instance = self.key_instance.wrapping_add(1);
        *self = Crypto { key_instance, ..Crypto::default() };
    }
}

impl Drive {
    /// SECURITY PROTOCOL IN.
    pub(super) fn security_in(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let reply = match (cdb.u8(1), cdb.u16(2)) {
            (0x00, 0x0000) => vec![0, 0, 0, 0, 0, 0, 0, 2, 0x00, TAPE_ENCRYPTION],
            (TAPE_ENCRYPTION, page) => match page {
                0x0000 => listing(page, &[0x0000, 0x0001, 0x0010, 0x0011, 0x0012, 0x0020, 0x0021]),
                0x0001 => listing(page, &[0x0010]),
                0x0010 => capabilities(),
                // Supported key formats: plain.
                0x0011 => with_header(page, &[0x00]),
                // Key management capabilities: scopes local and all, clear on demand and demount.
                0x0012 => with_header(page, &[0x04, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                0x0020 => self.encryption_status(),
                0x0021 => self.next_block_status()?,
                _ => return Err(INVALID_FIELD.into()),
            },
            _ => return Err(INVALID_FIELD.into()),
        };
        let unit = if cdb.bit(4, 0x80) { 512 } else { 1 };
        Ok(send(data, &reply, (cdb.u32(6) as usize).saturating_mul(unit)))
    }

    /// Page 0020h: data encryption status.
    fn encryption_status(&self) -> Vec<u8> {
        let crypto = &self.crypto;
        let mut body = vec![0u8; 20];
        body[0] = crypto.scope << 5 | crypto.scope;
        body[1] = crypto.encryption;
        body[2] = crypto.decryption;
        body[3] = if crypto.key.is_some() { ALGORITHM_INDEX } else { 0 };
        body[4..8].copy_from_slice(&crypto.key_instance.to_be_bytes());
        body[8] = 0x10; // the initiator may set the parameters
        append_associated(&mut body, &crypto.associated);
        with_header(0x0020, &body)
    }

    /// Page 0021h: whether the next block is encrypted, and whether the key is the right one.
    fn next_block_status(&mut self) -> Result<Vec<u8>, Stop> {
        self.medium()?;
        self.synchronise()?;
        let position = self.position;
        let medium = self.medium()?;
        let mut associated = KeyData::default();
        let status = match medium.entry(position)? {
            Some(entry) => match entry.object {
                Object::Filemark => 2,
                Object::Record(record) if !record.encrypted => 3,
                Object::Record(record) => {
                    associated = medium.memory.keys.get(usize::from(record.key)).cloned().unwrap_or_default();
                    let mut sealed = vec![0u8; record.stored as usize];
                    if !record.discarded {
                        medium.read(&entry, &mut sealed)?;
                    }
                    match &self.medium {
                        Some(medium) if self.crypto.open(&mut sealed, record.key, medium).is_ok() => 5,
                        _ => 6,
                    }
                }
            },
            None => 2,
        };
        let mut body = position.to_be_bytes().to_vec();
        body.push(0x10 | status); // compression status: unable to tell
        body.extend([if status >= 5 { ALGORITHM_INDEX } else { 0 }, 0, 0]);
        append_associated(&mut body, &associated);
        Ok(with_header(0x0021, &body))
    }

    /// SECURITY PROTOCOL OUT: page 0010h, set data encryption.
    pub(super) fn security_out(&mut self, cdb: &Cdb, data: Data<'_>) -> Outcome {
        let unit = if cdb.bit(4, 0x80) { 512 } else { 1 };
        let length = (cdb.u32(6) as usize).saturating_mul(unit);
        if cdb.u8(1) != TAPE_ENCRYPTION || cdb.u16(2) != 0x0010 {
            return Err(INVALID_FIELD.into());
        }
        let list = receive(data, length)?;
        if list.is_empty() {
            return Ok(0);
        }
        let list = list.get(..4 + usize::from(u16_at(list, 2))).filter(|list| list.len() >= 20);
        let list = list.ok_or(LIST_LENGTH)?;
        if u16_at(list, 0) != 0x0010 {
            return Err(INVALID_PARAMETER.into());
        }
        let scope = u8_at(list, 4) >> 5;
        let (encryption, decryption) = (u8_at(list, 6), u8_at(list, 7));
        if scope > 2 || !matches!(encryption, 0 | ENCRYPT) || !matches!(decryption, 0 | DECRYPT | MIXED) {
            return Err(INVALID_PARAMETER.into());
        }
        self.synchronise()?;
        if scope == 0 || (encryption == 0 && decryption == 0) {
            self.crypto.clear();
            return Ok(length);
        }
        let key_length = usize::from(u16_at(list, 18));
        if u8_at(list, 8) != ALGORITHM_INDEX || u8_at(list, 9) != 0 || key_length != 32 {
            return Err(INVALID_PARAMETER.into());
        }
        let key = list.get(20..52).ok_or(LIST_LENGTH)?;
        let associated = read_associated(list.get(52..).unwrap_or_default())?;
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| INVALID_PARAMETER)?;
        self.crypto = Crypto {
            encryption,
            decryption,
            key: Some(LessSafeKey::new(key)),
            associated,
            clear_on_demount: u8_at(list, 5) & 0x04 != 0,
            scope,
            key_instance: self.crypto.key_instance.wrapping_add(1),
        };
        Ok(length)
    }
}

fn with_header(page: u16, body: &[u8]) -> Vec<u8> {
    let mut reply = page.to_be_bytes().to_vec();
    reply.extend((body.len() as u16).to_be_bytes());
    reply.extend_from_slice(body);
    reply
}

fn listing(page: u16, pages: &[u16]) -> Vec<u8> {
    let body: Vec<u8> = pages.iter().flat_map(|page| page.to_be_bytes()).collect();
    with_header(page, &body)
}

/// Page 0010h: one algorithm, AES-256-GCM.
fn capabilities() -> Vec<u8> {
    let mut body = vec![0u8; 16];
    body[0] = 0x01; // the configuration is not prevented
    let mut algorithm = vec![0u8; 24];
    algorithm[0] = ALGORITHM_INDEX;
    algorithm[3] = 20;
    // Valid for the mounted volume, detects the algorithm, decrypts and encrypts in hardware.
    algorithm[4] = 0x80 | 0x10 | 0x0a;
    algorithm[5] = 0x80 | 0x03;
    algorithm[6..8].copy_from_slice(&(LONGEST_UNAUTHENTICATED as u16).to_be_bytes());
    algorithm[8..10].copy_from_slice(&(LONGEST_AUTHENTICATED as u16).to_be_bytes());
    algorithm[10..12].copy_from_slice(&32u16.to_be_bytes());
    algorithm[20..24].copy_from_slice(&AES_256_GCM_CODE.to_be_bytes());
    body.extend(algorithm);
    with_header(0x0010, &body)
}

/// Appends the descriptors of key-associated data: type 0 unauthenticated, type 1 authenticated.
fn append_associated(body: &mut Vec<u8>, associated: &KeyData) {
    for (kind, bytes) in [(0u8, &associated.unauthenticated), (1, &associated.authenticated)] {
        if !bytes.is_empty() {
            body.extend([kind, kind]);
            body.extend((bytes.len() as u16).to_be_bytes());
            body.extend_from_slice(bytes);
        }
    }
}

fn read_associated(mut rest: &[u8]) -> Result<KeyData, Check> {
    let mut associated = KeyData::default();
    while rest.len() >= 4 {
        let end = 4 + usize::from(u16_at(rest, 2));
        let bytes = rest.get(4..end).ok_or(LIST_LENGTH)?.to_vec();
        match u8_at(rest, 0) {
            0 if bytes.len() <= LONGEST_UNAUTHENTICATED => associated.unauthenticated = bytes,
            1 if bytes.len() <= LONGEST_AUTHENTICATED => associated.authenticated = bytes,
            _ => return Err(INVALID_PARAMETER),
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(associated)
}
