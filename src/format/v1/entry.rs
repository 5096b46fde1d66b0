//! One file-system object as an archive carries it.

/// What kind of object an entry is. The numbers are those of the member block (chapter 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A regular file with content.
    Regular = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A further name of a regular file met before in the same set.
    HardLink = 4,
    /// A character device.
    CharDevice = 5,
    /// A block device.
    BlockDevice = 6,
    /// A named pipe.
    Fifo = 7,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Regular,
            2 => Kind::Directory,
            3 => Kind::Symlink,
            4 => Kind::HardLink,
            5 => Kind::CharDevice,
            6 => Kind::BlockDevice,
            7 => Kind::Fifo,
            _ => return None,
        })
    }
}

/// Seconds since the epoch, negative before it, and the nanoseconds (0..1e9) to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0..=999_999_999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Nanoseconds since the epoch, saturating (years 1677 to 2262 are exact).
    pub fn as_nanos(self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanoseconds))
    }

    /// The inverse of [`Timestamp::as_nanos`].
    pub fn from_nanos(nanos: i64) -> Self {
        Timestamp {
            seconds: nanos.div_euclid(1_000_000_000),
            nanoseconds: nanos.rem_euclid(1_000_000_000) as u32,
        }
    }
}

/// A run of data in a sparse file; what lies between extents reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes of data.
    pub length: u64,
}

/// Everything an archive says about one object, its content excepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path as stored: no leading `/`, components joined by `/`, any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Bytes of content as a reader of the file sees them (holes included); 0 unless regular.
    pub size: u64,
    /// Target of a symbolic link (as it stands) or stored path of a hard link's first name.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, name and value, POSIX ACLs excepted.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `system.posix_acl_access` as the kernel gives it.
    pub acl_access: Option<Vec<u8>>,
    /// `system.posix_acl_default` as the kernel gives it.
    pub acl_default: Option<Vec<u8>>,
    /// Where the data lies, for a sparse file; `None` for a dense one.
    pub sparse: Option<Vec<Extent>>,
}

impl Entry {
    /// An entry without content, rights or attributes, of the epoch.
    pub fn new(path: Vec<u8>, kind: Kind) -> Entry {
        Entry {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            acl_access: None,
            acl_default: None,
            sparse: None,
        }
    }

    /// Bytes of data that follow the headers in the archive, the sparse map not counted.
    pub fn stored_size(&self) -> u64 {
        match &self.sparse {
            Some(extents) => extents.iter().map(|e| e.length).sum(),
            None => self.size,
        }
    }
}

/// A stored path, which has no leading slash, for people: absolute, controls escaped.
pub fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).escape_debug())
}
