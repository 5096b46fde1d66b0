//! The command line as clap sees it. Arguments of a command stand in its own file.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

use super::{
    audit, backup, catalog, doctor, drive, find, key, library, ls, restore, serve, tape, try_run, user,
    verify, virtual_library,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "reelward",
    version,
    about = "Backs up to tape in plain tar, finds it again and puts it back",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting for an operator.\n\
        First steps: `reelward try` shows the whole circle on a virtual library (files, not tape).",
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// A name that is one: an empty one is what an unset variable in a script leaves.
pub(super) fn name() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Where catalog and embedded virtual library lie [default: /var/lib/reelward for root, else ./reelward-state;
    /// environment: REELWARD_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(super) state_dir: Option<PathBuf>,
    /// The drive to use: /dev/nst0, /dev/sg3, /dev/tape/by-id/NAME, iscsi://[USER@]HOST[:PORT]/TARGET/LUN (secret in
    /// REELWARD_ISCSI_SECRET), virtual://DIR#drive0, or virtual: the library in the state directory. Without one: that
    /// library where there is one, else the machine's own drive [environment: REELWARD_DRIVE]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(super) drive: Option<String>,
    /// The changer to use: /dev/sch0, /dev/sg4, iscsi://... or virtual://DIR#changer [environment: REELWARD_CHANGER]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(super) changer: Option<String>,
    /// Take the drive from another host that has it reserved: only when that host is dead
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) break_reservation: bool,
    /// Answer with one JSON object on standard output and nothing else there
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) json: bool,
    /// No progress on standard error
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(super) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the whole circle with DIR on a virtual library: label, back up, verify, find, restore, compare
    Try(try_run::TryArgs),
    /// Back up files and directories
    Backup(backup::BackupArgs),
    /// Put files back from tape
    Restore(restore::RestoreArgs),
    /// List backup sets, or what a directory holds
    Ls(ls::LsArgs),
    /// Search the names of everything stored
    Find(find::FindArgs),
    /// Read tapes and compare every file with its SHA-256
    Verify(verify::VerifyArgs),
    /// Volumes: label, list, look closely
    Tape {
        #[command(subcommand)]
        command: tape::TapeCommand,
    },
    /// Drives: which there are, how they stand
    Drive {
        #[command(subcommand)]
        command: drive::DriveCommand,
    },
    /// The medium changer: what lies where, load, unload, move
    Library {
        #[command(subcommand)]
        command: library::LibraryCommand,
    },
    /// What is wrong with devices, permissions, state directory and clock, and what to do
    Doctor(doctor::DoctorArgs),
    /// The index of what is on tape: rebuild it from the tapes, check it
    Catalog {
        #[command(subcommand)]
        command: catalog::CatalogCommand,
    },
    /// Run the appliance: tasks, schedules and the API
    Serve(serve::ServeArgs),
    /// Encryption keys
    Key {
        #[command(subcommand)]
        command: key::KeyCommand,
    },
    /// Users: who may sign in to the daemon
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// The log of who did what
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Virtual libraries: drives and a changer in files
    Virtual {
        #[command(subcommand)]
        command: virtual_library::VirtualCommand,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }
}
