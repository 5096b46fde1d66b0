//! Reelward: one daemon for a machine that owns tape drives.
//!
//! The modules read from request to SCSI; each may use only those that stand below it
//! (`tests/suite/architecture.rs` holds that).

/// The commands of the binary: arguments in, progress and reports out.
pub mod cli;
/// `serve`: everything put together, started, watched and ended.
pub mod daemon;
/// HTTP: one declaration for each endpoint, and what answers it.
pub mod api;
/// Who may do what: users, roles, sessions, API keys, limits, the audit log.
pub mod access;
/// Long work: the queue, its workers, schedules, events.
pub mod tasks;
/// What an administrator configures: files, drop-ins, environment, flags.
pub mod config;
/// What an administrator asks for, planned and then executed: label, back up, restore, verify, rebuild.
pub mod engine;
/// Threads joined by bounded channels: read, tar, compress, encrypt, hash, blocks; and the way back.
pub mod pipeline;
/// What can be backed up and put back: the file tree.
pub mod sources;
/// The index of what is on tape, in SQLite; it can be rebuilt from the tapes alone.
pub mod catalog;
/// The bytes on tape, version by version.
pub mod format;
/// Typed operations on one tape drive.
pub mod drive;
/// Typed operations on one medium changer.
pub mod changer;
/// Drives and a changer that answer CDBs from files.
pub mod virtual_library;
/// One CDB at a time: transport, builders, parsers, sense.
pub mod scsi;
