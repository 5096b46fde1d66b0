//! Tar headers as chapter 4 of `docs/tape-format.md` lays them down.
//!
//! The 512 bytes are written directly, not through a header type: an entry costs one growth of the
//! output buffer and one pass over the block for the check sum, and allocates nothing.

use super::acl;
use super::entry::{Entry, Kind, Timestamp};
use super::sparse;

/// Bytes of a tar block.
pub const BLOCK: usize = 512;

/// The two zero blocks that end an archive.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Largest number in an octal field of 11 digits (`size`, `mtime`).
const MAX_OCTAL_11: u64 = 0o77_777_777_777;
/// Largest number in an octal field of 7 digits (`uid`, `gid`, devices).
const MAX_OCTAL_7: u32 = 0o7_777_777;
/// Bytes of a last component that the name of an auxiliary header repeats.
const SHORT_NAME: usize = 80;

/// Zero bytes that follow `length` bytes of data up to the next block.
pub const fn padding(length: u64) -> usize {
    (length.wrapping_neg() % BLOCK as u64) as usize
}

/// Bytes of data that follow the headers of `entry`: for a sparse file the map (which [`encode_entry`] writes
/// already) and its extents, else the content. What chapter 4 counts when a member is split.
pub fn data_length(entry: &Entry) -> u64 {
    match (&entry.sparse, entry.kind) {
        (Some(extents), Kind::Regular) => sparse::map_length(extents, entry.size) + entry.stored_size(),
        (None, Kind::Regular) => entry.size,
        _ => 0,
    }
}

/// Appends everything that stands before the data of `entry`: the extended header where one is needed, the ustar
/// header, and the map of a sparse file. Data follows, then [`padding`] of [`data_length`].
///
/// Extents of a sparse file begin and end at multiples of 512, but for an end at the end of the file
/// ([`sparse::align`]).
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let sparse = entry.sparse.as_deref().filter(|_| entry.kind == Kind::Regular);
    let size = data_length(entry);
    let mut pax = Pax::new(entry, out);

    let split = if sparse.is_some() { None } else { split_path(&entry.path, entry.kind) };
    let link_fits = entry.link.len() <= 100;
    let binary_path = split.is_none() && std::str::from_utf8(&entry.path).is_err();
    let binary_link = !link_fits && std::str::from_utf8(&entry.link).is_err();
    if binary_path || binary_link {
        pax.record(&[b"hdrcharset"], &[b"BINARY"]);
    }
    if sparse.is_some() {
        pax.record(&[b"GNU.sparse.major"], &[b"1"]);
        pax.record(&[b"GNU.sparse.minor"], &[b"0"]);
        pax.record(&[b"GNU.sparse.name"], &[&entry.path]);
        pax.number(b"GNU.sparse.realsize", entry.size);
    } else if split.is_none() {
        pax.record(&[b"path"], &[path_bytes(&entry.path), directory_slash(entry.kind)]);
    }
    if !link_fits {
        pax.record(&[b"linkpath"], &[&entry.link]);
    }
    if size > MAX_OCTAL_11 {
        pax.number(b"size", size);
    }
    if entry.uid > MAX_OCTAL_7 {
        pax.number(b"uid", entry.uid.into());
    }
    if entry.gid > MAX_OCTAL_7 {
        pax.number(b"gid", entry.gid.into());
    }
    let seconds = whole_seconds(entry.mtime);
    if entry.mtime.nanoseconds != 0 || seconds.is_none() {
        pax.time(b"mtime", entry.mtime);
    }
    let device = matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice).then_some(entry.device);
    if let Some((major, minor)) = device {
        if major > MAX_OCTAL_7 {
            pax.number(b"SCHILY.devmajor", major.into());
        }
        if minor > MAX_OCTAL_7 {
            pax.number(b"SCHILY.devminor", minor.into());
        }
    }
    for (name, value) in &entry.xattrs {
        pax.xattr(name, value);
    }
    pax.acl(b"access", entry.acl_access.as_deref());
    pax.acl(b"default", entry.acl_default.as_deref());
    pax.finish();

    let typeflag = match entry.kind {
        Kind::Regular => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    let block = new_block(out);
    match (split, sparse) {
        (Some((prefix, name)), _) => {
            put(block, 345, prefix);
            put(block, 0, path_bytes(name));
            put(block, path_bytes(name).len(), directory_slash(entry.kind));
        }
        (None, Some(_)) => short_name(block, b"GNUSparseFile.0/", &entry.path),
        // A reader that does not know extended headers gets the beginning of the path.
        (None, None) => put(block, 0, entry.path.get(..99).unwrap_or(&entry.path)),
    }
    put(block, 157, entry.link.get(..100).unwrap_or(&entry.link));
    octal(block, 100, 7, (entry.mode & 0o7777).into());
    octal(block, 108, 7, entry.uid.min(MAX_OCTAL_7).into());
    octal(block, 116, 7, entry.gid.min(MAX_OCTAL_7).into());
    octal(block, 124, 11, if size > MAX_OCTAL_11 { 0 } else { size });
    octal(block, 136, 11, seconds.unwrap_or(0));
    if let Some((major, minor)) = device {
        octal(block, 329, 7, major.min(MAX_OCTAL_7).into());
        octal(block, 337, 7, minor.min(MAX_OCTAL_7).into());
    }
    seal(block, typeflag);

    if let Some(extents) = sparse {
        sparse::encode_map(extents, entry.size, out);
    }
}

/// What GNU tar checks as the offset of a continuation: the file's size, holes included, less the `remaining` bytes of
/// data still to come. For a dense file that is the number of bytes stored before. A member is never split inside its
/// sparse map.
pub fn volume_offset(entry: &Entry, remaining: u64) -> u64 {
    entry.size.saturating_sub(remaining)
}

/// Appends the global extended header that begins an archive: the comment, and for an archive that goes on with a
/// member split before, `(stored path of the member, bytes of its data still to come, volume_offset)`.
pub fn encode_global(comment: &str, volume: Option<(&[u8], u64, u64)>, out: &mut Vec<u8>) {
    let start = out.len();
    new_block(out);
    record(out, &[b"comment"], &[comment.as_bytes()]);
    if let Some((filename, remaining, offset)) = volume {
        record(out, &[b"GNU.volume.filename"], &[filename]);
        record(out, &[b"GNU.volume.size"], &[Decimal::new(remaining).digits()]);
        record(out, &[b"GNU.volume.offset"], &[Decimal::new(offset).digits()]);
    }
    finish_extended(out, start, b'g', b"GlobalHead/", b"1");
}

/// Appends the headers of the rest of a member that was split, to stand right after [`encode_global`]: fragment
/// `number` (2 is the first continuation), `remaining` bytes of data to come, `offset` as [`volume_offset`] has it.
pub fn encode_fragment(entry: &Entry, number: u32, remaining: u64, offset: u64, out: &mut Vec<u8>) {
    debug_assert_eq!(offset, volume_offset(entry, remaining), "a fragment is what is left of the member");
    let mut pax = Pax::new(entry, out);
    if remaining > MAX_OCTAL_11 {
        pax.number(b"size", remaining);
    }
    pax.finish();
    let block = new_block(out);
    let name = last_component(&entry.path);
    let name = name.get(..SHORT_NAME - 15).unwrap_or(name);
    let prefix = b"GNUFileParts/";
    put(block, 0, prefix);
    put(block, prefix.len(), name);
    put(block, prefix.len() + name.len(), b".");
    put(block, prefix.len() + name.len() + 1, Decimal::new(number.into()).digits());
    octal(block, 100, 7, (entry.mode & 0o777).into());
    octal(block, 108, 7, entry.uid.min(MAX_OCTAL_7).into());
    octal(block, 116, 7, entry.gid.min(MAX_OCTAL_7).into());
    octal(block, 124, 11, if remaining > MAX_OCTAL_11 { 0 } else { remaining });
    octal(block, 136, 11, whole_seconds(entry.mtime).unwrap_or(0));
    seal(block, b'0');
}

/// The path of an entry as it stands in a header: the root itself is `.`.
fn path_bytes(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

fn directory_slash(kind: Kind) -> &'static [u8] {
    if kind == Kind::Directory { b"/" } else { b"" }
}

fn last_component(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).and_then(|at| path.get(at + 1..)).unwrap_or(path)
}

/// Splits a path into ustar prefix and name (without a directory's final slash, which must fit too).
fn split_path(path: &[u8], kind: Kind) -> Option<(&[u8], &[u8])> {
    let slash = directory_slash(kind).len();
    if path.len() + slash <= 100 {
        return Some((b"", path));
    }
    // The first slash that leaves at most 100 bytes for the name; a later one only lengthens the prefix.
    let from = path.len() + slash - 101;
    let at = from + memchr::memchr(b'/', path.get(from..)?)?;
    let (prefix, name) = (path.get(..at)?, path.get(at + 1..)?);
    (!prefix.is_empty() && prefix.len() <= 155 && !name.is_empty()).then_some((prefix, name))
}

/// The octal field for a time: whole seconds from 1970 on.
fn whole_seconds(time: Timestamp) -> Option<u64> {
    u64::try_from(time.seconds).ok().filter(|&s| s <= MAX_OCTAL_11)
}

/// Appends a zeroed block and lends it.
fn new_block(out: &mut Vec<u8>) -> &mut [u8; BLOCK] {
    let start = out.len();
    out.extend_from_slice(&[0; BLOCK]);
    block_at(out, start)
}

#[allow(clippy::expect_used)] // every caller appended a whole block at `start`
fn block_at(out: &mut [u8], start: usize) -> &mut [u8; BLOCK] {
    out[start..].first_chunk_mut().expect("a block was appended")
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes `value` in `digits` octal digits; the byte after them stays NUL.
fn octal(block: &mut [u8; BLOCK], at: usize, digits: usize, mut value: u64) {
    for byte in block[at..at + digits].iter_mut().rev() {
        *byte = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// The sum of all bytes, eight at a time: four lanes of 16 bits, each at most 128 * 255.
pub(super) fn byte_sum(block: &[u8; BLOCK]) -> u32 {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let lanes = block.as_chunks::<8>().0.iter().fold(0u64, |lanes, word| {
        let word = u64::from_ne_bytes(*word);
        lanes + (word & LANES) + (word >> 8 & LANES)
    });
    [0, 16, 32, 48].iter().map(|shift| (lanes >> shift) as u32 & 0xffff).sum()
}

/// Writes type, magic, version and, last, the check sum.
fn seal(block: &mut [u8; BLOCK], typeflag: u8) {
    block[156] = typeflag;
    put(block, 257, b"ustar\x0000");
    put(block, 148, b"        ");
    let sum = byte_sum(block);
    octal(block, 148, 6, sum.into());
    block[154] = 0;
}

/// Writes `directory` and the beginning of the path's last component as the name.
fn short_name(block: &mut [u8; BLOCK], directory: &[u8], path: &[u8]) {
    let name = path_bytes(last_component(path));
    put(block, 0, directory);
    put(block, directory.len(), name.get(..SHORT_NAME).unwrap_or(name));
}

/// Fills in the header block at `start` of extended records that now end `out`, and pads them.
fn finish_extended(out: &mut Vec<u8>, start: usize, typeflag: u8, directory: &[u8], path: &[u8]) {
    let size = (out.len() - start - BLOCK) as u64;
    out.resize(out.len() + padding(size), 0);
    let block = block_at(out, start);
    short_name(block, directory, path);
    octal(block, 100, 7, 0o644);
    octal(block, 108, 7, 0);
    octal(block, 116, 7, 0);
    octal(block, 124, 11, size);
    octal(block, 136, 11, 0);
    seal(block, typeflag);
}

/// A number in decimal without an allocation.
struct Decimal {
    text: [u8; 20],
    start: usize,
}

impl Decimal {
    fn new(mut value: u64) -> Self {
        let mut decimal = Decimal { text: [b'0'; 20], start: 20 };
        loop {
            decimal.start -= 1;
            decimal.text[decimal.start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return decimal;
            }
        }
    }

    fn digits(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// Appends one record `LENGTH KEY=VALUE\n`; the length counts itself.
fn record(out: &mut Vec<u8>, key: &[&[u8]], value: &[&[u8]]) {
    let length = |parts: &[&[u8]]| parts.iter().map(|p| p.len()).sum::<usize>();
    let rest = (length(key) + length(value) + 3) as u64;
    let mut total = rest + 1;
    while total != rest + Decimal::new(total).digits().len() as u64 {
        total = rest + Decimal::new(total).digits().len() as u64;
    }
    out.extend_from_slice(Decimal::new(total).digits());
    out.push(b' ');
    for part in key {
        out.extend_from_slice(part);
    }
    out.push(b'=');
    for part in value {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

/// The extended header of one entry, begun at its first record.
struct Pax<'a> {
    entry: &'a Entry,
    out: &'a mut Vec<u8>,
    start: Option<usize>,
}

impl<'a> Pax<'a> {
    fn new(entry: &'a Entry, out: &'a mut Vec<u8>) -> Self {
        Pax { entry, out, start: None }
    }

    fn record(&mut self, key: &[&[u8]], value: &[&[u8]]) {
        if self.start.is_none() {
            self.start = Some(self.out.len());
            new_block(self.out);
        }
        record(self.out, key, value);
    }

    fn number(&mut self, key: &[u8], value: u64) {
        self.record(&[key], &[Decimal::new(value).digits()]);
    }

    /// A decimal time without trailing zeros; seconds are rounded down, so a negative time counts back from above.
    fn time(&mut self, key: &[u8], time: Timestamp) {
        let (sign, seconds, mut fraction): (&[u8], u64, u32) = match time.seconds {
            0.. => (b"", time.seconds.unsigned_abs(), time.nanoseconds),
            _ if time.nanoseconds == 0 => (b"-", time.seconds.unsigned_abs(), 0),
            _ => (b"-", time.seconds.unsigned_abs() - 1, 1_000_000_000 - time.nanoseconds),
        };
        let mut text = *b".000000000";
        for byte in text[1..].iter_mut().rev() {
            *byte = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        let end = text.iter().rposition(|&b| b != b'0').filter(|&at| at > 0).map_or(0, |at| at + 1);
        self.record(&[key], &[sign, Decimal::new(seconds).digits(), &text[..end]]);
    }

    /// As GNU tar does, `%` and `=` in the name become `%25` and `%3D`, since a key ends at the first `=`.
    fn xattr(&mut self, name: &[u8], value: &[u8]) {
        if memchr::memchr2(b'=', b'%', name).is_none() {
            return self.record(&[b"SCHILY.xattr.", name], &[value]);
        }
        let mut escaped = Vec::with_capacity(name.len() + 8);
        for &byte in name {
            match byte {
                b'%' => escaped.extend_from_slice(b"%25"),
                b'=' => escaped.extend_from_slice(b"%3D"),
                _ => escaped.push(byte),
            }
        }
        self.record(&[b"SCHILY.xattr.", &escaped], &[value]);
    }

    /// An ACL as text, or, where text cannot say it, as the attribute it is.
    fn acl(&mut self, which: &[u8], binary: Option<&[u8]>) {
        let Some(binary) = binary else { return };
        match acl::to_text(binary) {
            Some(text) => self.record(&[b"SCHILY.acl.", which], &[&text]),
            None => self.record(&[b"SCHILY.xattr.system.posix_acl_", which], &[binary]),
        }
    }

    fn finish(self) {
        if let Some(start) = self.start {
            finish_extended(self.out, start, b'x', b"PaxHeaders/", &self.entry.path);
        }
    }
}
