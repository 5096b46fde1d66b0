//! Tape data encryption (SSC-4 clause 8.6): SECURITY PROTOCOL IN and OUT with protocol 20h.

use zeroize::Zeroizing;

use super::bytes::{at_most, bit_at, put, slice_at, u8_at, u16_at, u32_at, u64_at};
use super::opcode;

/// Security protocol of tape data encryption.
const PROTOCOL: u8 = 0x20;
/// IN: capabilities. OUT: set data encryption.
pub const PAGE_CAPABILITIES: u16 = 0x0010;
/// OUT: set data encryption.
pub const PAGE_SET: u16 = 0x0010;
/// IN: data encryption status.
pub const PAGE_STATUS: u16 = 0x0020;
/// IN: next block encryption status.
pub const PAGE_NEXT_BLOCK: u16 = 0x0021;
/// Security algorithm code of AES-256-GCM (SPC-4 annex).
pub const AES_256_GCM: u32 = 0x0001_0014;

/// SECURITY PROTOCOL IN of one page. It can block while no medium is loaded.
pub fn protocol_in(page: u16, allocation: u32) -> [u8; 12] {
    let mut cdb = [opcode::SECURITY_PROTOCOL_IN, PROTOCOL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[2..4], page.into());
    put(&mut cdb[6..10], allocation.into());
    cdb
}

/// SECURITY PROTOCOL OUT of one page of `length` bytes.
pub fn protocol_out(page: u16, length: u32) -> [u8; 12] {
    let mut cdb = protocol_in(page, length);
    cdb[0] = opcode::SECURITY_PROTOCOL_OUT;
    cdb
}

/// The bytes of page `page` up to its own length, header included.
fn page_bytes(bytes: &[u8], page: u16) -> Option<&[u8]> {
    if u16_at(bytes, 0)? != page {
        return None;
    }
    Some(at_most(bytes, 0, usize::from(u16_at(bytes, 2)?) + 4))
}

/// One algorithm of the capabilities page (SSC-4 table 122).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm {
    /// The index by which the drive names it; every drive numbers in its own way.
    pub index: u8,
    /// Security algorithm code, such as [`AES_256_GCM`].
    pub code: u32,
    /// The drive can encrypt with it in hardware now.
    pub encrypts: bool,
    /// The drive can decrypt with it in hardware now.
    pub decrypts: bool,
    /// Key length in bytes.
    pub key_length: u16,
    /// Most bytes of unauthenticated key-associated data.
    pub max_unauthenticated: u16,
    /// Most bytes of authenticated key-associated data.
    pub max_authenticated: u16,
    /// The drive can tell blocks that are encrypted from those that are not.
    pub distinguishes_blocks: bool,
}

/// Data encryption capabilities page (0010h).
pub fn capabilities(bytes: &[u8]) -> Option<Vec<Algorithm>> {
    let bytes = page_bytes(bytes, PAGE_CAPABILITIES)?;
    let mut rest = bytes.get(20..).unwrap_or_default();
    let mut found = Vec::new();
    while let (Some(index), Some(length)) = (u8_at(rest, 0), u16_at(rest, 2)) {
        let Some(descriptor) = slice_at(rest, 0, usize::from(length) + 4).filter(|d| d.len() >= 24) else {
            break;
        };
        let flags = u8_at(descriptor, 4)?;
        found.push(Algorithm {
            index,
            code: u32_at(descriptor, 20)?,
            encrypts: flags & 0x03 == 2,
            decrypts: flags >> 2 & 0x03 == 2,
            key_length: u16_at(descriptor, 10)?,
            max_unauthenticated: u16_at(descriptor, 6)?,
            max_authenticated: u16_at(descriptor, 8)?,
            distinguishes_blocks: flags & 0x10 != 0,
        });
        rest = rest.get(descriptor.len()..).unwrap_or_default();
    }
    Some(found)
}

/// ENCRYPTION MODE (SSC-4 table 130).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EncryptionMode {
    /// Writes are plain.
    Disable = 0,
    /// Data comes encrypted from outside.
    External = 1,
    /// Writes are encrypted.
    Encrypt = 2,
}

/// DECRYPTION MODE (SSC-4 table 131).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DecryptionMode {
    /// Encrypted blocks are not read.
    Disable = 0,
    /// Blocks are given as they are on tape.
    Raw = 1,
    /// Encrypted blocks are decrypted; plain ones are an error.
    Decrypt = 2,
    /// Encrypted blocks are decrypted, plain ones given as they are.
    Mixed = 3,
}

/// Key-associated data that goes to tape with every block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyData {
    /// 0 unauthenticated, 1 authenticated, 2 nonce, 3 metadata.
    pub kind: u8,
    /// AUTHENTICATED field of a status reply.
    pub authenticated: u8,
    /// The bytes.
    pub value: Vec<u8>,
}

/// Set data encryption page for all initiators (scope 2), the key cleared when the cartridge leaves (CKOD).
/// `key` is empty where both modes are `Disable`. The list holds the key and is wiped when dropped.
pub fn set_page(
    encryption: EncryptionMode,
    decryption: DecryptionMode,
    algorithm: u8,
    key: &[u8],
    unauthenticated: &[u8],
) -> Zeroizing<Vec<u8>> {
    let extra = if unauthenticated.is_empty() { 0 } else { 4 + unauthenticated.len() };
    let mut page = Zeroizing::new(vec![0; 20 + key.len() + extra]);
    let length = page.len() as u64;
    put(&mut page[0..2], PAGE_SET.into());
    put(&mut page[2..4], length - 4);
    page[4] = 0x40;
    page[5] = 0x04;
    page[6] = encryption as u8;
    page[7] = decryption as u8;
    page[8] = algorithm;
    put(&mut page[18..20], key.len() as u64);
    let key_end = 20 + key.len();
    page[20..key_end].copy_from_slice(key);
    if extra != 0 {
        put(&mut page[key_end + 2..key_end + 4], unauthenticated.len() as u64);
        page[key_end + 4..].copy_from_slice(unauthenticated);
    }
    page
}

/// A list of key-associated data descriptors.
fn key_data(mut rest: &[u8]) -> Vec<KeyData> {
    let mut found = Vec::new();
    while let (Some(kind), Some(flags), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1), u16_at(rest, 2)) {
        let Some(value) = slice_at(rest, 4, length.into()) else { break };
        found.push(KeyData { kind, authenticated: flags & 0x07, value: value.to_vec() });
        rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
    }
    found
}

/// Data encryption status page (0020h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// ENCRYPTION MODE in force.
    pub encryption: u8,
    /// DECRYPTION MODE in force.
    pub decryption: u8,
    /// Index of the algorithm.
    pub algorithm: u8,
    /// Counts every change of the key.
    pub key_instance: u32,
    /// The volume holds encrypted blocks (VCELB).
    pub volume_encrypted: bool,
    /// Key-associated data in force.
    pub key_data: Vec<KeyData>,
}

/// Data encryption status page.
pub fn status(bytes: &[u8]) -> Option<Status> {
    let bytes = page_bytes(bytes, PAGE_STATUS)?;
    Some(Status {
        encryption: u8_at(bytes, 5)?,
        decryption: u8_at(bytes, 6)?,
        algorithm: u8_at(bytes, 7)?,
        key_instance: u32_at(bytes, 8)?,
        volume_encrypted: bit_at(bytes, 12, 0x08),
        key_data: key_data(bytes.get(24..).unwrap_or_default()),
    })
}

/// ENCRYPTION STATUS of the next block (SSC-4 table 128).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockStatus {
    /// 0: the drive cannot tell.
    Incapable,
    /// 1: it cannot tell now.
    Unknown,
    /// 2: a filemark or the end of data.
    NotABlock,
    /// 3: plain.
    Plain,
    /// 4: encrypted with an algorithm the drive does not have.
    OtherAlgorithm,
    /// 5: encrypted, and the key in the drive fits.
    Decryptable,
    /// 6: encrypted, and the key in the drive does not fit or there is none.
    OtherKey,
    /// Any other code.
    Reserved(u8),
}

/// Next block encryption status page (0021h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextBlock {
    /// Its block address.
    pub block: u64,
    /// Whether and how it is encrypted.
    pub status: BlockStatus,
    /// Index of the algorithm.
    pub algorithm: u8,
    /// Key-associated data stored with it.
    pub key_data: Vec<KeyData>,
}

/// Next block encryption status page.
pub fn next_block(bytes: &[u8]) -> Option<NextBlock> {
    let bytes = page_bytes(bytes, PAGE_NEXT_BLOCK)?;
    let status = match u8_at(bytes, 12)? & 0x0f {
        0 => BlockStatus::Incapable,
        1 => BlockStatus::Unknown,
        2 => BlockStatus::NotABlock,
        3 => BlockStatus::Plain,
        4 => BlockStatus::OtherAlgorithm,
        5 => BlockStatus::Decryptable,
        6 => BlockStatus::OtherKey,
        other => BlockStatus::Reserved(other),
    };
    Some(NextBlock {
        block: u64_at(bytes, 4)?,
        status,
        algorithm: u8_at(bytes, 13)?,
        key_data: key_data(bytes.get(16..).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands() {
        assert_eq!(protocol_in(0x0021, 0x0102), [0xa2, 0x20, 0, 0x21, 0, 0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(protocol_out(0x0010, 52)[0], 0xb5);
    }

    #[test]
    fn the_algorithm_is_known_by_its_code() {
        let mut page = vec![0, 0x10, 0, 40];
        page.resize(20, 0);
        let mut algorithm = [0u8; 24];
        algorithm[0] = 3;
        algorithm[3] = 20;
        algorithm[4] = 0x1a;
        algorithm[7] = 32;
        algorithm[11] = 32;
        algorithm[20..].copy_from_slice(&AES_256_GCM.to_be_bytes());
        page.extend(algorithm);
        let found = capabilities(&page).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].index, found[0].code, found[0].key_length), (3, AES_256_GCM, 32));
        assert!(found[0].encrypts && found[0].decrypts && found[0].distinguishes_blocks);
        assert_eq!(capabilities(&page[..43]), Some(vec![]));
    }

    #[test]
    fn set_page_by_byte() {
        let page = set_page(EncryptionMode::Encrypt, DecryptionMode::Mixed, 1, &[7; 32], b"name");
        assert_eq!(page.len(), 20 + 32 + 8);
        assert_eq!(&page[..9], &[0, 0x10, 0, 56, 0x40, 0x04, 2, 3, 1]);
        assert_eq!(&page[18..20], &[0, 32]);
        assert_eq!(&page[52..], &[0, 0, 0, 4, b'n', b'a', b'm', b'e']);
        assert_eq!(set_page(EncryptionMode::Disable, DecryptionMode::Disable, 1, &[], &[]).len(), 20);
    }

    #[test]
    fn status_pages() {
        let mut page = vec![0, 0x20, 0, 24, 0x42, 2, 3, 1, 0, 0, 0, 9, 0x08];
        page.resize(24, 0);
        page.extend([0, 1, 0, 0]);
        let now = status(&page).unwrap();
        assert_eq!((now.encryption, now.decryption, now.key_instance), (2, 3, 9));
        assert!(now.volume_encrypted);
        assert_eq!(now.key_data.len(), 1);
        let page = [0, 0x21, 0, 18, 0, 0, 0, 0, 0, 0, 1, 0, 0x06, 1, 0, 0, 0, 0, 0, 2, b'i', b'd'];
        let next = next_block(&page).unwrap();
        assert_eq!((next.block, next.status), (256, BlockStatus::OtherKey));
        assert_eq!(next.key_data[0].value, b"id");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_panic(page in 0x10u8..0x22, length in 0u8..100, rest in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = vec![0, page, 0, length];
            bytes.extend(rest);
            let _ = (capabilities(&bytes), status(&bytes), next_block(&bytes));
        }
    }
}
