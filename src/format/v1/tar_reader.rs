//! Reads tar archives: ours, and those of GNU tar (posix, gnu, v7) and bsdtar.
//!
//! Nothing in an archive is trusted: sizes are bounded before memory is taken, and what a header says about paths is
//! handed on as it stands (extraction decides what is safe).

use std::io::{self, Read};

use super::entry::{Entry, Kind, Timestamp};
use super::error::FormatError;
use super::pax::{self, Records};
use super::sparse::{self, MapParser};
use super::tar_fields::{self as fields, Raw};
use super::tar_header::{BLOCK, padding};
use super::window::{WINDOW, Window};

pub use super::window::{Sequential, Skip};

/// Largest extended header (`x`, `g`), long name or long link that is read, in bytes.
pub const MAX_EXTENDED: u64 = 1 << 20;
/// Largest sparse map that is read, in bytes.
pub const MAX_MAP: u64 = 16 << 20;
/// A member that goes on with data of which the beginning is on an earlier volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continues {
    /// Stored path of the whole member.
    pub filename: Vec<u8>,
    /// Bytes of data in this archive and after it.
    pub remaining: u64,
    /// Bytes of data that earlier archives hold.
    pub offset: u64,
}

/// One member, before its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What the headers say.
    pub entry: Entry,
    /// Stream offset of its first header, extended ones included (a global header is not).
    pub offset: u64,
    /// Stream offset of its data, the sparse map not counted.
    pub data_offset: u64,
    /// Bytes of data that follow: the extents of a sparse file one after the other, else the content. For a
    /// continuation, what is left.
    pub data_length: u64,
    /// Bytes of sparse map before the data.
    pub map_length: u64,
    /// Set when the data goes on from an earlier archive; `entry.path` is then only a placeholder.
    pub continues: Option<Continues>,
    /// An ACL stood there that names users of another machine; it is not in `entry`.
    pub acl_dropped: bool,
}

/// Reads one archive, member after member.
#[derive(Debug)]
pub struct TarReader<R> {
    window: Window<R>,
    /// Data of the current member not yet taken, and the zeros after it.
    data_left: u64,
    padding_left: u64,
    comment: Option<Vec<u8>>,
    volume: Records,
    ended: bool,
}

impl<R: Skip> TarReader<R> {
    /// Reads an archive from its beginning.
    pub fn new(inner: R) -> Self {
        Self::at(inner, 0)
    }

    /// Reads on from a header that stands at `offset` of the stream, where `inner` stands.
    pub fn at(inner: R, offset: u64) -> Self {
        TarReader {
            window: Window::new(inner, offset),
            data_left: 0,
            padding_left: 0,
            comment: None,
            volume: Records::default(),
            ended: false,
        }
    }

    /// Stream offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// The `comment` of the last global header met.
    pub fn comment(&self) -> Option<&[u8]> {
        self.comment.as_deref()
    }

    /// Whether the zero blocks that end an archive were met (else the bytes just ended at a member's end).
    pub fn saw_end(&self) -> bool {
        self.ended
    }

    /// The next member; what is left of the one before is passed over. `None` at the end of the archive.
    ///
    /// # Errors
    /// A [`FormatError`]; after one the reader should not be used, save after `Checksum`, when `next` goes on with the
    /// following block.
    #[allow(clippy::should_implement_trait)] // an iterator could not lend the data between two members
    pub fn next(&mut self) -> Result<Option<Item>, FormatError> {
        self.skip_data()?;
        if self.ended {
            return Ok(None);
        }
        let mut first = None;
        let mut records = Records::default();
        loop {
            let at = self.offset();
            let Some(block) = self.block()? else {
                if first.is_none() && self.window.is_drained() {
                    return Ok(None);
                }
                return Err(self.truncated("a header"));
            };
            let raw = Raw(&block);
            if !raw.sum_fits() {
                if block.iter().all(|&b| b == 0) {
                    self.ended = true;
                    return Ok(None);
                }
                return Err(FormatError::Checksum { offset: at });
            }
            if raw.typeflag() != b'g' {
                first.get_or_insert(at);
            }
            let start = first.unwrap_or(at);
            let size = raw.size().ok_or(FormatError::Field { offset: at, field: "size" })?;
            match raw.typeflag() {
                b'x' | b'X' => self.extended(size, |body| pax::parse(body, at, &mut records))?,
                b'g' => {
                    let mut global = Records::default();
                    self.extended(size, |body| pax::parse(body, at, &mut global))?;
                    self.comment = global.comment.take().or(self.comment.take());
                    self.volume = global;
                }
                b'L' => records.path = Some(self.long_name(size)?),
                b'K' => records.link = Some(self.long_name(size)?),
                // A volume label and GNU's long list of renamed files: nothing to restore.
                b'V' | b'N' => {
                    first = None;
                    self.begin_data(size);
                    self.skip_data()?;
                }
                _ => return self.member(raw, size, start, records).map(Some),
            }
        }
    }

    /// Reads data of the current member; 0 at its end.
    ///
    /// # Errors
    /// `Truncated` when the archive ends first, or the source's error.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, FormatError> {
        let limit = usize::try_from(self.data_left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..limit).filter(|b| !b.is_empty()) else { return Ok(0) };
        let count = self.window.read(buffer)?;
        if count == 0 {
            return Err(self.truncated("the data of a member"));
        }
        self.data_left -= count as u64;
        Ok(count)
    }

    /// The data of the current member as a reader; a [`FormatError`] inside the `io::Error` when it is cut off.
    pub fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Bytes of the current member's data not yet read.
    pub fn data_left(&self) -> u64 {
        self.data_left
    }

    /// Passes over the rest of the current member's data and its padding.
    ///
    /// # Errors
    /// `Truncated` when the archive ends inside the data, or the source's error. Missing padding at the very end is
    /// forgiven.
    pub fn skip_data(&mut self) -> Result<(), FormatError> {
        if self.data_left > 0 {
            let left = std::mem::take(&mut self.data_left);
            if self.window.skip(left)? < left {
                return Err(self.truncated("the data of a member"));
            }
        }
        let padding = std::mem::take(&mut self.padding_left);
        self.window.skip(padding).map(|_| ())
    }

    fn member(
        &mut self,
        raw: Raw<'_>,
        size: u64,
        start: u64,
        mut records: Records,
    ) -> Result<Item, FormatError> {
        let field = |field| FormatError::Field { offset: start, field };
        let volume = std::mem::take(&mut self.volume);
        let typeflag = raw.typeflag();
        let mut path = records.path.take().unwrap_or_else(|| raw.path());
        let slash = path.ends_with(b"/");
        let kind = match typeflag {
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            // v7 archives tell directories by their name.
            b'0' | 0 if slash && records.sparse_name.is_none() => Kind::Directory,
            _ => Kind::Regular,
        };
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        if kind == Kind::Directory && path == b"." {
            path.clear();
        }
        // A hard link has no data, whatever its size says.
        let size = if kind == Kind::HardLink { 0 } else { records.size.unwrap_or(size) };
        self.begin_data(size);
        let content = if kind == Kind::Regular { size } else { 0 };

        let number = |value: Option<u64>, what| -> Result<u32, FormatError> {
            value.and_then(|v| u32::try_from(v).ok()).ok_or(field(what))
        };
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            (
                number(records.device_major.or_else(|| raw.device_major()), "device number")?,
                number(records.device_minor.or_else(|| raw.device_minor()), "device number")?,
            )
        } else {
            (0, 0)
        };
        let mut entry = Entry {
            path,
            kind,
            mode: number(raw.mode(), "mode")? & 0o7777,
            uid: number(records.uid.or_else(|| raw.uid()), "uid")?,
            gid: number(records.gid.or_else(|| raw.gid()), "gid")?,
            mtime: match records.mtime {
                Some(time) => time,
                None => Timestamp { seconds: raw.mtime().ok_or(field("mtime"))?, nanoseconds: 0 },
            },
            size: content,
            link: match kind {
                Kind::Symlink | Kind::HardLink => records.link.take().unwrap_or_else(|| raw.link()),
                _ => Vec::new(),
            },
            device,
            xattrs: std::mem::take(&mut records.xattrs),
            acl_access: records.acl_access.take(),
            acl_default: records.acl_default.take(),
            sparse: None,
        };
        let data_start = self.offset();
        let acl_dropped = records.acl_dropped;
        let mut continues = None;
        if typeflag == b'M' {
            let offset = raw.gnu_offset().ok_or(field("volume offset"))?;
            continues = Some(Continues { filename: entry.path.clone(), remaining: size, offset });
        } else if let Some(filename) = volume.volume_filename {
            let (Some(remaining), Some(offset)) = (volume.volume_size, volume.volume_offset) else {
                return Err(field("continuation"));
            };
            continues = Some(Continues { filename, remaining, offset });
        } else if kind == Kind::Regular {
            self.sparse(raw, records, start, &mut entry)?;
        }
        Ok(Item {
            entry,
            offset: start,
            data_offset: self.offset(),
            data_length: self.data_left,
            map_length: self.offset() - data_start,
            continues,
            acl_dropped,
        })
    }

    /// Reads whatever says that a regular file is sparse, and takes the map off the data.
    fn sparse(
        &mut self,
        raw: Raw<'_>,
        records: Records,
        start: u64,
        entry: &mut Entry,
    ) -> Result<(), FormatError> {
        let field = |field| FormatError::Field { offset: start, field };
        let (extents, size) = if raw.typeflag() == b'S' {
            let mut extents = Vec::new();
            let mut more = raw.gnu_sparse(&mut extents).ok_or(field("sparse map"))?;
            while more {
                let block = self.block()?.ok_or_else(|| self.truncated("a sparse map"))?;
                more = fields::gnu_sparse_extension(&block, &mut extents).ok_or(field("sparse map"))?;
                if extents.len() as u64 > MAX_MAP / 24 {
                    return Err(FormatError::TooLarge {
                        offset: start,
                        size: extents.len() as u64 * 24,
                        limit: MAX_MAP,
                    });
                }
            }
            (extents, raw.gnu_real_size().ok_or(field("size"))?)
        } else if records.sparse_version == (Some(1), Some(0)) {
            if let Some(name) = records.sparse_name {
                entry.path = name;
            }
            let mut map = MapParser::default();
            let limit = MAX_MAP.min(self.data_left);
            let mut read = 0;
            loop {
                if read >= limit {
                    return Err(field("sparse map"));
                }
                let block = self.block()?.ok_or_else(|| self.truncated("a sparse map"))?;
                read += BLOCK as u64;
                // The map is part of the data.
                self.data_left = self.data_left.checked_sub(BLOCK as u64).ok_or(field("sparse map"))?;
                if map.block(&block, start)? {
                    break;
                }
            }
            (map.into_extents(), records.sparse_real_size.ok_or(field("sparse size"))?)
        } else if !records.sparse_map.is_empty() || records.sparse_real_size.is_some() {
            if let Some(name) = records.sparse_name {
                entry.path = name;
            }
            let extents = records.sparse_map;
            (extents, records.sparse_real_size.ok_or(field("sparse size"))?)
        } else {
            return Ok(());
        };
        let extents = sparse::checked(extents, size).ok_or(field("sparse map"))?;
        let stored: u64 = extents.iter().map(|e| e.length).sum(); // at most `size`
        if stored != self.data_left {
            return Err(field("sparse map"));
        }
        entry.size = size;
        entry.sparse = Some(extents);
        Ok(())
    }

    /// Hands the body of an extended header to `parse`; short ones without a copy.
    fn extended(
        &mut self,
        size: u64,
        mut parse: impl FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let offset = self.offset();
        if size > MAX_EXTENDED {
            return Err(FormatError::TooLarge { offset, size, limit: MAX_EXTENDED });
        }
        self.begin_data(size);
        if size <= WINDOW as u64 {
            let Some(body) = self.window.take(size as usize)? else {
                return Err(self.truncated("an extended header"));
            };
            parse(body)?;
            self.data_left = 0;
        } else {
            let mut body = vec![0; size as usize];
            self.data().read_exact(&mut body).map_err(|source| FormatError::Read { offset, source })?;
            parse(&body)?;
        }
        self.skip_data()
    }

    /// The body of GNU's `L` and `K` headers, up to its NUL.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, FormatError> {
        let mut name = Vec::new();
        self.extended(size, |body| {
            name = body.split(|&b| b == 0).next().unwrap_or_default().to_vec();
            Ok(())
        })?;
        Ok(name)
    }

    fn begin_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding_left = padding(size) as u64;
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, FormatError> {
        Ok(self.window.take(BLOCK)?.and_then(|block| block.first_chunk().copied()))
    }

    fn truncated(&self, inside: &'static str) -> FormatError {
        FormatError::Truncated { offset: self.offset(), inside }
    }
}

/// The data of one member. Made by [`TarReader::data`].
#[derive(Debug)]
pub struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: Skip> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(|error| match error {
            FormatError::Read { source, .. } => source,
            FormatError::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            error => io::Error::other(error),
        })
    }
}
