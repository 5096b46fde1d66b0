//! Reading a CDB and its parameter list, and answering within an allocation length.

use super::outcome::{Check, DATA_PHASE, INVALID_FIELD, INVALID_OPCODE};
use crate::scsi::{Data, bytes, opcode};

/// One CDB of at most 16 bytes, as long as its group code says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cdb([u8; 16]);

impl Cdb {
    /// Takes the bytes; a CDB shorter than its group code says is refused.
    pub fn new(bytes: &[u8]) -> Result<Cdb, Check> {
        let code = bytes.first().copied().ok_or(INVALID_OPCODE)?;
        let length = opcode::cdb_length(code).ok_or(INVALID_OPCODE)?;
        let used = bytes.get(..length).ok_or(INVALID_FIELD)?;
        let mut cdb = [0u8; 16];
        cdb[..length].copy_from_slice(used);
        Ok(Cdb(cdb))
    }

    /// The operation code.
    pub fn opcode(&self) -> u8 {
        self.0[0]
    }

    /// The byte at `at`, 0 past the end.
    pub fn u8(&self, at: usize) -> u8 {
        u8_at(&self.0, at)
    }

    /// Whether any bit of `mask` is set in the byte at `at`.
    pub fn bit(&self, at: usize, mask: u8) -> bool {
        self.u8(at) & mask != 0
    }

    /// A big-endian 16-bit field.
    pub fn u16(&self, at: usize) -> u16 {
        u16_at(&self.0, at)
    }

    /// A big-endian 24-bit field.
    pub fn u24(&self, at: usize) -> u32 {
        bytes::u24_at(&self.0, at).unwrap_or(0)
    }

    /// A big-endian 32-bit field.
    pub fn u32(&self, at: usize) -> u32 {
        u32_at(&self.0, at)
    }

    /// A big-endian 64-bit field.
    pub fn u64(&self, at: usize) -> u64 {
        u64_at(&self.0, at)
    }
}

/// The byte at `at`, 0 past the end.
pub(super) fn u8_at(from: &[u8], at: usize) -> u8 {
    bytes::u8_at(from, at).unwrap_or(0)
}

/// A 16-bit field, 0 where the bytes end too early.
pub(super) fn u16_at(from: &[u8], at: usize) -> u16 {
    bytes::u16_at(from, at).unwrap_or(0)
}

/// A 32-bit field, 0 where the bytes end too early.
pub(super) fn u32_at(from: &[u8], at: usize) -> u32 {
    bytes::u32_at(from, at).unwrap_or(0)
}

/// A 64-bit field, 0 where the bytes end too early.
pub(super) fn u64_at(from: &[u8], at: usize) -> u64 {
    bytes::u64_at(from, at).unwrap_or(0)
}

/// The three low bytes of `value`, big-endian.
pub(super) fn be24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}

/// `text` in exactly `length` bytes, cut or padded with spaces.
pub(super) fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().take(length).collect();
    bytes.resize(length, b' ');
    bytes
}

/// Sends `bytes`, cut at the allocation length and at what the initiator takes.
pub(super) fn send(data: Data<'_>, bytes: &[u8], allocation: usize) -> usize {
    let Data::In(buffer) = data else { return 0 };
    let length = bytes.len().min(allocation).min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(&bytes[..length]) {
        *to = *from;
    }
    length
}

/// The first `length` bytes that the initiator sends.
pub(super) fn receive<'a>(data: Data<'a>, length: usize) -> Result<&'a [u8], Check> {
    match data {
        Data::Out(bytes) => bytes.get(..length).ok_or(DATA_PHASE),
        _ if length == 0 => Ok(&[]),
        _ => Err(DATA_PHASE),
    }
}
