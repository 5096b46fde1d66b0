//! `reelward backup`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::{Outcome, interrupt, monitor, numbers, text};
use crate::engine::{BackupKind, BackupReport, BackupRequest, Compression};
use crate::format::age::Recipient;

/// Problems shown one by one; `--json` has more of them.
const PROBLEMS_SHOWN: usize = 20;

/// Arguments of `reelward backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "Files that could not be stored, or changed while they were read, are named and do not fail the backup: \
    the exit code is 0 and the answer counts them.\nSizes: 512, 64K, 16M, 2G, 18T (powers of 1024) or 18TB (powers of 1000)."
)]
pub(super) struct BackupArgs {
    /// Files and directories
    #[arg(required_unless_present = "resume", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Go on with this interrupted set; without PATHs everything is as it was
    #[arg(long, value_name = "SET", value_parser = super::args::name())]
    resume: Option<String>,
    /// Store everything, what changed since the newest complete set of the job, or what changed since its newest full one
    #[arg(long, value_name = "full|incremental|differential", value_parser = kind)]
    kind: Option<BackupKind>,
    /// Name of the job that the set belongs to [default: backup]
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    job: Option<String>,
    /// Leave out what matches: a name, or with a slash a whole path
    #[arg(long, value_name = "PATTERN", value_parser = super::args::name())]
    exclude: Vec<String>,
    /// Do not enter other file systems
    #[arg(long)]
    one_file_system: bool,
    /// Compress in independent frames: zstd, zstd:1 to zstd:19
    #[arg(long, value_name = "zstd[:LEVEL]", value_parser = compression)]
    compress: Option<Compression>,
    /// Encrypt for this age recipient (`reelward key create` makes one)
    #[arg(long, value_name = "age1...", value_parser = recipient)]
    encrypt_to: Vec<Recipient>,
    /// Have the drive encrypt (AES-256-GCM); its keys go to tape, encrypted for the recipients
    #[arg(long, requires = "encrypt_to")]
    hardware_encryption: bool,
    /// Read-ahead buffer, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    buffer: u32,
    /// Commit what was written after so many bytes [default: 16G]
    #[arg(long, value_name = "SIZE", value_parser = numbers::some_size)]
    checkpoint_bytes: Option<u64>,
    /// Commit what was written after so many seconds [default: 300]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86400))]
    checkpoint_seconds: Option<u64>,
    /// Write to this volume only (label or barcode)
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    volume: Option<String>,
    /// Write to volumes of this pool only
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    pool: Option<String>,
    /// Label blank cartridges when no volume has room
    #[arg(long)]
    auto_label: bool,
}

fn compression(text: &str) -> Result<Compression, String> {
    /// zstd's own default.
    const LEVEL: i32 = 3;
    let level = match text.split_once(':') {
        None if text == "zstd" => Some(LEVEL),
        Some(("zstd", level)) => level.parse().ok().filter(|level| (1..=19).contains(level)),
        _ => None,
    };
    level.map(Compression::Zstd).ok_or_else(|| "say zstd, or zstd:LEVEL with a level from 1 to 19".to_owned())
}

fn kind(text: &str) -> Result<BackupKind, String> {
    BackupKind::from_name(text).ok_or_else(|| "say full, incremental or differential".to_owned())
}

fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|error: crate::format::age::AgeError| error.to_string())
}

impl BackupArgs {
    fn into_request(self) -> BackupRequest {
        let usual = BackupRequest::default();
        BackupRequest {
            job: self.job.unwrap_or(usual.job),
            paths: self.paths,
            exclude: self.exclude,
            one_file_system: self.one_file_system,
            compression: self.compress.unwrap_or(Compression::None),
            recipients: self.encrypt_to,
            hardware_encryption: self.hardware_encryption,
            buffer_bytes: usize::try_from(u64::from(self.buffer) << 20).unwrap_or(usize::MAX),
            checkpoint_bytes: self.checkpoint_bytes.unwrap_or(usual.checkpoint_bytes),
            checkpoint_time: self.checkpoint_seconds.map_or(usual.checkpoint_time, Duration::from_secs),
            volume: self.volume,
            pool: self.pool,
            auto_label: self.auto_label,
            set_uuid: None,
            kind: self.kind.unwrap_or_default(),
            resume: self.resume,
        }
    }
}

pub(super) fn run(context: &Context, args: BackupArgs) -> Result<Outcome, CliError> {
    let cancel = interrupt::watch()?;
    let request = args.into_request();
    let report = match Daemon::find(context)? {
        Some(daemon) => daemon.backup(request, &cancel)?,
        None => {
            let mut appliance = context.open()?;
            monitor::watched(context.output, "backup", |progress| {
                appliance.backup(&request, progress, &cancel)
            })?
        }
    };
    warn(context.output, &report);
    context.output.answer(&report, || describe(context.output, &report));
    Ok(Outcome::from_fault(report.cancelled))
}

/// What is not stored, or not exactly, loudly on standard error.
fn warn(output: Output, report: &BackupReport) {
    for problem in report.problems.iter().take(PROBLEMS_SHOWN) {
        output.warning(problem);
    }
    let shown = report.problems.len().min(PROBLEMS_SHOWN) as u64;
    if report.problem_count > shown {
        output.warning(&format!("... and {} more like these", text::count(report.problem_count - shown)));
    }
    for alert in &report.alerts {
        output.warning(alert);
    }
    if report.skipped > 0 {
        let skipped = text::plural(report.skipped, "object");
        output.warning(&format!("{skipped} NOT stored; everything else is"));
    }
    if report.no_base {
        output.warning("no complete set of this job, machine and paths to build upon: this is a full set");
    }
    if report.cancelled {
        output.warning("ended early, as asked: the set holds what was reached and is marked as interrupted; `reelward backup --resume SET` goes on");
    }
}

/// The report in a few lines.
pub(super) fn describe(output: Output, report: &BackupReport) -> String {
    let state = if report.cancelled { "interrupted" } else { "stored" };
    let mut lines = format!(
        "{} set {}  {}, {} in {}{}\n",
        output.paint(if report.cancelled { Tone::Warning } else { Tone::Good }, state),
        report.set_id,
        text::plural(report.members, "member"),
        text::bytes(report.bytes),
        text::seconds(report.seconds),
        text::rate_note(report.bytes, report.seconds),
    );
    if report.base.is_some() {
        let unchanged = text::plural(report.unchanged, "file");
        lines.push_str(&format!("{} {unchanged} unchanged, not stored again\n", report.kind.as_str()));
    }
    if let Some(before) = report.resumed_behind {
        lines.push_str(&format!("resumed  behind {} of earlier runs\n", text::plural(before, "member")));
    }
    lines.push_str(&format!("on tape  {}, {}\n", text::bytes(report.stored_bytes), volumes(&report.volumes)));
    if report.problem_count > 0 {
        lines.push_str(&format!("warnings {}\n", text::count(report.problem_count)));
    }
    if report.is_virtual {
        lines.push_str(&virtual_note(output));
    }
    lines
}

/// `volume A` or `volumes A, B`.
pub(super) fn volumes(labels: &[String]) -> String {
    if labels.is_empty() {
        return "no volume".to_owned();
    }
    let names: Vec<String> = labels.iter().map(|label| text::name(label.as_bytes())).collect();
    format!("volume{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// Nobody may take files for tape.
pub(super) fn virtual_note(output: Output) -> String {
    format!("{}\n", output.paint(Tone::Warning, "note     this is a virtual library (files, not tape)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_compression() {
        assert_eq!(compression("zstd"), Ok(Compression::Zstd(3)));
        assert_eq!(compression("zstd:19"), Ok(Compression::Zstd(19)));
        for text in ["", "gzip", "zstd:", "zstd:0", "zstd:20", "zstd:x", "zstd:1:2"] {
            assert!(compression(text).is_err(), "{text}");
        }
    }
}
