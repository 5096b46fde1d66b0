//! `reelward try`: the whole circle on a virtual library, step by step, with an honest comparison at the end.

mod attributes;
mod circle;
mod compare;
mod steps;
mod survey;
mod workshop;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::error::CliError;
use super::output::Tone;
use super::{Outcome, interrupt, text};
use circle::Circle;
use workshop::Workshop;

/// What is tried without an argument: there on most machines, and small.
const USUAL: [&str; 2] = ["/usr/share/doc", "/etc"];
/// The tape and one restored or exported copy, in tenths of what is backed up.
const ROOM_TENTHS: u64 = 22;
/// Catalog and headers.
const ROOM_BASE: u64 = 64 << 20;

/// Arguments of `reelward try`.
#[derive(Debug, Args)]
#[command(
    after_help = "Makes a virtual library (files, not tape), labels a cartridge, backs DIR up, verifies it, finds and restores \
    one file, restores everything, compares it with DIR and shows what lies on the tape. DIR is only read. Works in a temporary \
    directory, or in --state-dir, which is kept."
)]
pub(super) struct TryArgs {
    /// The directory to try it with [default: /usr/share/doc, or /etc where that is missing]
    dir: Option<PathBuf>,
    /// Keep the tape, the catalog and what was restored
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(context: &Context, args: &TryArgs) -> Result<Outcome, CliError> {
    let named = context.devices.drive.is_some() || context.devices.changer.is_some();
    if named && !context.devices.is_embedded() {
        return Err(CliError::Usage(
            "try works on a virtual library of its own: leave --drive and --changer out".into(),
        ));
    }
    let cancel = interrupt::watch()?;
    let source = directory(args.dir.as_deref())?;
    let output = context.output;
    let survey = survey::look(&source);
    let workshop = Workshop::new(context, args.keep, survey.bytes / 10 * ROOM_TENTHS + ROOM_BASE)?;
    let shown = text::name(source.as_os_str().as_encoded_bytes());
    output.line(&format!(
        "{}: the whole circle with {shown}: {}, {}",
        output.paint(Tone::Strong, &format!("Reelward {}", env!("CARGO_PKG_VERSION"))),
        text::plural(survey.objects, "object"),
        text::bytes(survey.bytes),
    ));
    output.line(&format!(
        "on a {} in {}\n",
        output.paint(Tone::Warning, "virtual library (files, not tape)"),
        text::name(workshop.state.as_os_str().as_encoded_bytes())
    ));
    let mut circle = Circle::new(context, &workshop, &source, &survey, &cancel);
    let comparison = circle.run()?;
    let steps = circle.into_steps();
    let ok = steps.all_well();
    let kept = workshop.is_kept().then(|| workshop.folder.display().to_string());
    if output.is_json() {
        output.json(&json!({
            "ok": ok,
            "directory": source.display().to_string(),
            "virtual": true,
            "seconds": steps.elapsed().as_secs_f64(),
            "steps": steps.list(),
            "comparison": comparison,
            "state_dir": workshop.state.display().to_string(),
            "kept": kept,
        }));
    }
    output.line("");
    let took = text::duration(steps.elapsed());
    let verdict = if ok {
        let told =
            [(&comparison.changed_meanwhile, "changed meanwhile"), (&comparison.not_stored, "not stored")];
        let told = told.iter().filter(|(list, _)| !list.is_empty());
        let told: Vec<String> = told
            .map(|(list, what)| format!("; {what}, as named above: {}", text::count(list.len() as u64)))
            .collect();
        let same = format!("{}, {}", text::plural(comparison.same, "object"), text::bytes(comparison.bytes));
        let verdict = format!("ALL WELL: {same} went to virtual tape and came back the same, in {took}");
        output.paint(Tone::Good, &(verdict + &told.concat()))
    } else {
        output.paint(Tone::Bad, &format!("FAILED at step {}, after {took}", steps.failed().join(", ")))
    };
    output.line(&verdict);
    Ok(Outcome::from_fault(!ok))
}

/// The directory to try it with, links resolved.
fn directory(named: Option<&Path>) -> Result<PathBuf, CliError> {
    let usual = || USUAL.iter().map(Path::new).find(|path| path.is_dir()).unwrap_or(Path::new("/etc"));
    let path = named.unwrap_or_else(usual);
    let unreadable = |source| CliError::File { path: path.into(), what: "cannot be backed up", source };
    let full = path.canonicalize().map_err(unreadable)?;
    std::fs::read_dir(&full).map_err(unreadable)?;
    Ok(full)
}
