//! What stops a task. Every variant names the thing and, where there is one, the way out.

use std::path::PathBuf;

use crate::catalog::CatalogError;
use crate::changer::{ChangerError, ElementAddress};
use crate::drive::DriveError;
use crate::format::age::AgeError;
use crate::format::v1::FormatError;
use crate::format::v1::index::IndexError;
use crate::pipeline::PipelineError;
use crate::scsi::iscsi::IscsiError;
use crate::scsi::linux_sg::SgError;
use crate::sources::SelectionError;
use crate::virtual_library::VirtualError;

/// Why a task failed, or what it waits for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The state directory cannot be used.
    #[error("{}: cannot be used as state directory", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// There is nothing to look at.
    #[error(
        "{}: no catalog here, so no volume and no backup yet; name the state directory with --state-dir, or make a backup", path.display()
    )]
    NoState {
        /// The state directory.
        path: PathBuf,
    },
    /// There was something to look at.
    #[error(
        "{}: no catalog here, but cartridges of its library are written to: run `reelward catalog rebuild`", path.display()
    )]
    LostCatalog {
        /// The state directory.
        path: PathBuf,
    },
    /// Cartridges hold volumes of ours that the catalog has not heard of.
    #[error(
        "this catalog does not know volume(s) in the library that hold data: {volumes}; nothing was written. Run `reelward catalog rebuild` to take them in; to leave them alone and use blank cartridges, give --auto-label"
    )]
    UnknownVolumes {
        /// Label and barcode of each.
        volumes: String,
    },
    /// Another task holds the state directory.
    #[error("{}: another task is running on this state directory; wait for it or name another with --state-dir", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The catalog refused or failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// The drive refused or failed.
    #[error("the drive failed")]
    Drive(#[from] DriveError),
    /// The changer refused or failed.
    #[error("the changer failed")]
    Changer(#[from] ChangerError),
    /// The changer could not move a cartridge.
    #[error(
        "the cartridge {cartridge} could not be moved from element {from} to {to}; {}. Look at the library, then run `reelward library status`",
        match now { Some(now) => format!("the library says it is at {now}"), None => "the library does not say where it is".into() }
    )]
    MoveFailed {
        /// Its barcode.
        cartridge: String,
        /// Where it was.
        from: ElementAddress,
        /// Where it was to go.
        to: ElementAddress,
        /// Where the library says it is now, asked after the failure.
        now: Option<ElementAddress>,
        /// The cause.
        source: ChangerError,
    },
    /// The cartridge is in a drive that this task does not have.
    #[error(
        "{volume} is in another drive, at element {element}{}; nothing moved. Name that drive with --drive, or unload it first",
        if *busy { ", which another task uses" } else { "" }
    )]
    InAnotherDrive {
        /// Barcode, label or address.
        volume: String,
        /// The drive's address.
        element: ElementAddress,
        /// A task of this process works with it.
        busy: bool,
    },
    /// The virtual library failed.
    #[error("the virtual library failed")]
    Virtual(#[from] VirtualError),
    /// An iSCSI device cannot be opened.
    #[error("the iSCSI device cannot be used")]
    Iscsi(#[from] IscsiError),
    /// A device node cannot be opened.
    #[error("the device cannot be used")]
    Sg(#[from] SgError),
    /// A backup's threads failed.
    #[error("the backup stopped")]
    Pipeline(#[from] PipelineError),
    /// What to back up cannot be walked.
    #[error("the selection cannot be read")]
    Selection(#[from] SelectionError),
    /// Bytes on tape are not what they should be.
    #[error("{what} cannot be understood")]
    Format {
        /// Where they stand.
        what: String,
        /// The cause.
        source: FormatError,
    },
    /// An index file is not what it should be.
    #[error("the index file of {volume} cannot be understood")]
    Index {
        /// The volume.
        volume: String,
        /// The cause.
        source: IndexError,
    },
    /// Encryption keys do not work.
    #[error("encryption: {what}")]
    Key {
        /// What was tried.
        what: String,
        /// The cause.
        source: AgeError,
    },
    /// A device name that this version cannot open.
    #[error("{name}: {reason}")]
    Device {
        /// As the user named it.
        name: String,
        /// Why not, and what can be named instead.
        reason: String,
    },
    /// No volume of this name.
    #[error("{name}: no such volume; `reelward tape list` shows what there is")]
    NoSuchVolume {
        /// Label or barcode as given.
        name: String,
    },
    /// No set of this name.
    #[error("{name}: no such backup set; `reelward ls` shows what there is")]
    NoSuchSet {
        /// As given.
        name: String,
    },
    /// The set cannot be continued.
    #[error("set {set} cannot be resumed: {reason}; nothing was written")]
    NotResumable {
        /// The set.
        set: String,
        /// Why not.
        reason: String,
    },
    /// Nothing matches.
    #[error("{pattern}: nothing in the catalog matches")]
    NothingFound {
        /// As given.
        pattern: String,
    },
    /// The cartridge in the drive is not the one the catalog means.
    #[error(
        "wrong volume in {drive}: expected {expected}, found {found}; nothing was written. Load the right cartridge, or run `reelward catalog rebuild` if this one belongs to another catalog"
    )]
    WrongVolume {
        /// The drive.
        drive: String,
        /// Label and identity expected.
        expected: String,
        /// What the first tape file is.
        found: String,
    },
    /// The tape was written to by somebody else.
    #[error(
        "volume {volume}: the catalog ends at block {expected}, the tape at block {found}; nothing was written. {advice}"
    )]
    EndOfDataMoved {
        /// The volume.
        volume: String,
        /// Block after the last committed filemark.
        expected: u64,
        /// Block at which the drive finds the end of data.
        found: u64,
        /// What to do.
        advice: &'static str,
    },
    /// The cartridge memory says that it was written to since.
    #[error(
        "volume {volume}: its cartridge memory has change reference {found}, the catalog {expected}: another program wrote to it; nothing was written. Run `reelward verify --volume {volume}` and then `reelward catalog rebuild {volume}`"
    )]
    ChangedElsewhere {
        /// The volume.
        volume: String,
        /// As committed.
        expected: u32,
        /// As read.
        found: u32,
    },
    /// The write-protect tab is set.
    #[error(
        "volume {volume} is write-protected; nothing was written. Move the tab of the cartridge, or use another volume"
    )]
    WriteProtected {
        /// The volume.
        volume: String,
    },
    /// A volume that is never written as it is.
    #[error(
        "volume {volume} is {status}: it is not written; nothing was written. An exported volume has to be imported first, a retired one stays as it is"
    )]
    Unwritable {
        /// The volume.
        volume: String,
        /// What it is.
        status: &'static str,
    },
    /// The cartridge holds something that must not be overwritten.
    #[error(
        "{cartridge} is not blank: it holds {found}; nothing was written. Use --overwrite to destroy what it holds"
    )]
    NotBlank {
        /// Barcode or drive.
        cartridge: String,
        /// What the first tape file is.
        found: String,
    },
    /// A volume holds sets that the catalog still counts on.
    #[error(
        "volume {volume} holds {sets} backup set(s){}; nothing was written. Use --destroy-sets to give them up",
        elsewhere(others)
    )]
    HoldsSets {
        /// The volume.
        volume: String,
        /// How many.
        sets: usize,
        /// Labels of other volumes that parts of these sets lie on.
        others: Vec<String>,
    },
    /// A label, barcode or the like that is in use already.
    #[error("{what} {name:?} is in use already; nothing was written")]
    InUse {
        /// What kind of name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A drive could not be cleaned.
    #[error("{drive}: not cleaned: {reason}")]
    NotCleaned {
        /// The drive.
        drive: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Somebody has to do something first.
    #[error("{0}")]
    Operator(OperatorRequest),
    /// The directory to restore into cannot be used.
    #[error("{}: cannot be restored into", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: Box<crate::sources::extract::ExtractError>,
    },
    /// A thread that owns a device could not be started, or died.
    #[error("a thread of the task failed")]
    Thread(#[source] std::io::Error),
    /// The data is encrypted and no identity was given.
    #[error(
        "set {set} is encrypted for {recipients}: give the matching key with --identity FILE; nothing was read"
    )]
    KeyMissing {
        /// The set.
        set: String,
        /// Its recipients.
        recipients: String,
    },
    /// The data is encrypted and the identity given is another one.
    #[error("set {set} is encrypted for {recipients}: none of the given identities fits; nothing was read")]
    KeyWrong {
        /// The set.
        set: String,
        /// Its recipients.
        recipients: String,
    },
    /// A write-once cartridge that holds something.
    #[error(
        "{cartridge} is write-once and holds {found}: it cannot be labelled again; nothing was written. Use another cartridge"
    )]
    WriteOnce {
        /// Barcode or drive.
        cartridge: String,
        /// What the first tape file is.
        found: String,
    },
    /// A write-once volume on which a task died: what it left cannot be written over.
    #[error(
        "volume {volume} is write-once, and a task that died left data behind its last checkpoint: it takes no more. Use another volume; what was committed is safe"
    )]
    WriteOnceTail {
        /// The volume.
        volume: String,
    },
    /// More than one partition, as LTFS makes them.
    #[error(
        "{cartridge} has {partitions} partitions, as LTFS cartridges have; nothing was written. `tape label --overwrite` makes it one partition and destroys all of them"
    )]
    Partitioned {
        /// Barcode, label or drive.
        cartridge: String,
        /// How many.
        partitions: u16,
    },
    /// Another host holds the drive.
    #[error(
        "{drive}: reserved by another host{}; nothing was read or written. Wait until its task has ended; if that host is dead, give --break-reservation",
        holder.map_or(String::new(), |key| format!(", under the key {key:016x}"))
    )]
    Reserved {
        /// The drive.
        drive: String,
        /// The holder's key, where the drive tells.
        holder: Option<u64>,
    },
    /// The drive does not encrypt.
    #[error(
        "{drive}: this drive does not encrypt, or its encryption is switched off; nothing was written. Leave out --hardware-encryption: with --encrypt-to alone the data is encrypted in software (age)"
    )]
    NoHardwareEncryption {
        /// The drive.
        drive: String,
    },
    /// The drive encrypted the data, this one cannot decrypt.
    #[error(
        "{drive}: this drive does not decrypt; the data was encrypted by a drive with the key {key}. Read it in a drive with encryption (AES-256-GCM); nothing was read"
    )]
    NoHardwareDecryption {
        /// The drive.
        drive: String,
        /// Name of the key.
        key: String,
    },
    /// The keys file before a part cannot be used.
    #[error("the keys file with the key {key} cannot be used: {reason}; nothing was read")]
    KeysFile {
        /// Name of the key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The key that was unwrapped is not the one that the data needs.
    #[error("block {block} needs {needed}, and the keys file gave the key {key}; nothing was read")]
    KeyUnfit {
        /// Name of the key in the keys file.
        key: String,
        /// What the block was encrypted with.
        needed: String,
        /// The block.
        block: u64,
    },
    /// The request contradicts itself or names nothing.
    #[error("{0}")]
    Request(String),
    /// A file that the task needs or makes.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}

/// That giving up sets gives up what lies on other volumes.
fn elsewhere(others: &[String]) -> String {
    match others {
        [] => String::new(),
        [one] => format!(", and parts of them lie on volume {one}, which would be lost too"),
        many => format!(", and parts of them lie on volumes {}, which would be lost too", many.join(", ")),
    }
}

/// What a task waits for; the exit code is 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorRequest {
    /// A certain volume must be put in.
    Insert {
        /// Label and barcode.
        volume: String,
        /// The drive.
        drive: String,
    },
    /// The cartridge to label.
    InsertToLabel {
        /// The drive.
        drive: String,
    },
    /// A cleaning cartridge, into the drive or into the library.
    InsertCleaning {
        /// The drive.
        drive: String,
        /// Why none of those present will do; empty without a library.
        why: String,
    },
    /// Any volume with room.
    NeedVolume {
        /// Why none of those present will do.
        why: String,
    },
}

impl std::fmt::Display for OperatorRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OperatorRequest::Insert { volume, drive } => {
                write!(
                    f,
                    "waiting for an operator: put volume {volume} into {drive} and run the command again"
                )
            }
            OperatorRequest::InsertToLabel { drive } => write!(
                f,
                "waiting for an operator: put the cartridge to be labelled into {drive} and run the command again"
            ),
            OperatorRequest::InsertCleaning { drive, why } if why.is_empty() => write!(
                f,
                "waiting for an operator: take out what is in {drive}, put a cleaning cartridge in and run the command again"
            ),
            OperatorRequest::InsertCleaning { drive, why } => write!(
                f,
                "waiting for an operator: {drive} needs a cleaning cartridge ({why}). Put one into the library and run the command again"
            ),
            OperatorRequest::NeedVolume { why } => write!(
                f,
                "waiting for an operator: no volume can take more ({why}). Label one with `reelward tape label` and run the command again"
            ),
        }
    }
}

/// An error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if told != last {
            text.push_str(": ");
            text.push_str(&told);
        }
        last = told;
        source = cause.source();
    }
    text
}
