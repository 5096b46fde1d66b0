//! `reelward doctor`: what is wrong, and what to do.

use clap::Args;

use super::Outcome;
use super::context::Context;
use super::drive::{LookArgs, devices, findings};
use super::error::CliError;
use super::output::{Output, Tone};
use super::text;
use crate::engine::{self, Area, Discovery, DoctorReport, Finding};

/// Arguments of `reelward doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is changed and nothing moves. Exit code 0: all is well, or there are only notes. 1: something is wrong."
)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    look: LookArgs,
}

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<Outcome, CliError> {
    let report = engine::examine(&context.settings(), &args.look.request()?);
    let output = context.output;
    output.answer(&report, || describe(output, &report));
    Ok(Outcome::from_fault(!report.healthy))
}

fn describe(output: Output, report: &DoctorReport) -> String {
    let found =
        Discovery { drives: report.drives.clone(), changers: report.changers.clone(), problems: Vec::new() };
    let mut lines = devices(output, &found);
    for (head, area) in [("Devices", Area::Devices), ("State", Area::State)] {
        let about: Vec<Finding> =
            report.findings.iter().filter(|finding| finding.area == area).cloned().collect();
        if !about.is_empty() {
            lines.push_str(&format!("\n{}\n{}", output.paint(Tone::Strong, head), findings(output, &about)));
        }
    }
    let count = |number: usize, noun: &str| text::plural(u64::try_from(number).unwrap_or(0), noun);
    let verdict = match (report.wrong, report.notes) {
        (0, 0) => output.paint(Tone::Good, "all is well"),
        (0, notes) => format!("{}, {}", output.paint(Tone::Good, "nothing wrong"), count(notes, "note")),
        (wrong, notes) => {
            format!("{}, {}", output.paint(Tone::Bad, &count(wrong, "problem")), count(notes, "note"))
        }
    };
    lines.push_str(&format!("\n{verdict}\n"));
    lines
}
