//! `reelward verify`.

use std::path::PathBuf;

use clap::Args;

use super::context::{Context, identities};
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::{Outcome, backup, interrupt, monitor, restore, text};
use crate::engine::{VerifyReport, VerifyRequest};

/// Arguments of `reelward verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Reads everything from tape, checks every file against the SHA-256 taken when it was backed up, and writes \
    nothing. The exit code is 1 when anything is not as it was stored, or could not be looked at."
)]
pub(super) struct VerifyArgs {
    /// Only this set: number, identity, or `latest`
    #[arg(long, value_name = "SET", conflicts_with = "volume", value_parser = super::args::name())]
    set: Option<String>,
    /// Only this volume (label or barcode), its structure included; without both everything in reach
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    volume: Option<String>,
    /// File with age identities, for encrypted sets
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

pub(super) fn run(context: &Context, args: VerifyArgs) -> Result<Outcome, CliError> {
    let output = context.output;
    let cancel = interrupt::watch()?;
    let request =
        VerifyRequest { set: args.set, volume: args.volume, identities: identities(&args.identity)? };
    let mut appliance = context.open_existing()?;
    let report = match Daemon::find(context)? {
        Some(daemon) => daemon.verify(&request, &cancel)?,
        None => monitor::watched(output, "verify", |progress| appliance.verify(&request, progress, &cancel))?,
    };
    warn(output, &report);
    output.answer(&report, || describe(output, &report));
    Ok(Outcome::from_fault(!report.is_clean() || !report.is_complete()))
}

/// What is wrong, or was not looked at, on standard error.
pub(super) fn warn(output: Output, report: &VerifyReport) {
    for set in &report.sets {
        restore::faults(output, &set.faults);
    }
    for volume in &report.volumes {
        for problem in &volume.problems {
            output.error(&format!("volume {}: {problem}", text::name(volume.label.as_bytes())));
        }
    }
    for left_out in &report.unchecked {
        output.warning(&format!("not verified: {left_out}"));
    }
    for alert in &report.alerts {
        output.warning(alert);
    }
    if report.cancelled {
        output.warning("ended early, as asked: the rest was not looked at");
    }
}

fn describe(output: Output, report: &VerifyReport) -> String {
    let clean = report.is_clean() && report.is_complete();
    let verdict = match (clean, report.faults) {
        (true, _) => "verified".to_owned(),
        (false, 0) => "not all:".to_owned(),
        (false, faults) => format!("{};", text::plural(faults, "FAULT")),
    };
    let mut lines = format!(
        "{} {} as stored  {} in {}{}\n",
        output.paint(if clean { Tone::Good } else { Tone::Bad }, &verdict),
        text::plural(report.files, "object"),
        text::bytes(report.bytes),
        text::seconds(report.seconds),
        text::rate_note(report.bytes, report.seconds),
    );
    for set in &report.sets {
        let faults = match set.faults.len() as u64 {
            0 => "clean".to_owned(),
            faults => output.paint(Tone::Bad, &text::plural(faults, "fault")),
        };
        let objects = text::plural(set.files, "object");
        lines.push_str(&format!(
            "  set {}: {objects}, {faults}, {}\n",
            set.set_id,
            backup::volumes(&set.volumes)
        ));
    }
    lines
}
