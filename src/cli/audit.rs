//! `reelward audit`: the log of who did what.

use clap::Subcommand;

use super::context::Context;
use super::error::CliError;
use super::output::Tone;
use super::{Outcome, text, user};

/// Commands of `reelward audit`.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that no record was altered, taken out, put in, moved or cut off at the end
    Verify,
}

pub(super) fn run(context: &Context, command: AuditCommand) -> Result<Outcome, CliError> {
    let AuditCommand::Verify = command;
    let output = context.output;
    let report = user::existing(context)?.audit().verify()?;
    for fault in &report.faults {
        output.error(&text::name(fault.as_bytes()));
    }
    output.answer(&report, || {
        let records = text::plural(report.records.unsigned_abs(), "record");
        let (tone, verdict) = if report.sound { (Tone::Good, "sound") } else { (Tone::Bad, "ALTERED") };
        let head = match report.last {
            0 => String::new(),
            last => format!(", the last is {last} {}", report.hash),
        };
        format!("{}  {records} in one chain{head}\n", output.paint(tone, verdict))
    });
    Ok(Outcome::from_fault(!report.sound))
}
