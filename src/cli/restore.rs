//! `reelward restore`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::context::{Context, identities, is_root};
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::{Outcome, backup, interrupt, monitor, text};
use crate::engine::{Fault, RestorePlan, RestoreReport, RestoreRequest};
use crate::sources::extract::{ExtractOptions, Overwrite, Owners};

/// Faults shown one by one; `--json` has more of them.
const FAULTS_SHOWN: usize = 20;

/// Arguments of `reelward restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Paths are restored beneath the target: /etc/hosts becomes DIR/etc/hosts. Without --set the newest \
    version of everything in all sets is restored: what a newer set holds below its paths goes before what an older one \
    holds there.\n\
    For root, --devices and --keep-setid are on unless told otherwise (a restored system must be what it was); for everybody \
    else they are off.\n\
    The exit code is 1 when anything could not be put back, 3 when a volume is missing; everything else is in place then."
)]
pub(super) struct RestoreArgs {
    /// Absolute paths (directories with all they hold) or wildcards as in `find`; everything without one
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Directory to restore beneath; made when missing
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    to: Option<PathBuf>,
    /// A set: number, identity, or `latest`
    #[arg(long, value_name = "SET", value_parser = super::args::name())]
    set: Option<String>,
    /// What to do with names that are taken
    #[arg(long, value_enum, default_value = "never")]
    overwrite: OverwriteRule,
    /// Whether to restore owners and groups; auto: when this process may
    #[arg(long, value_enum, default_value = "auto")]
    owners: OwnersRule,
    /// Keep set-user-id and set-group-id bits and file capabilities [default: for root true, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_setid: Option<bool>,
    /// Make device nodes [default: for root true, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    devices: Option<bool>,
    /// File with age identities, for encrypted sets
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Only say what would be read
    #[arg(long)]
    dry_run: bool,
}

/// What happens with names that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OverwriteRule {
    /// They stay
    Never,
    /// They are replaced when they are older
    Older,
    /// They are replaced
    Always,
    /// They stay, and what is restored is named NAME.restored
    Rename,
}

/// Whose the restored files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OwnersRule {
    Auto,
    Always,
    Never,
}

impl RestoreArgs {
    fn into_request(self) -> Result<RestoreRequest, CliError> {
        let options = ExtractOptions {
            overwrite: match self.overwrite {
                OverwriteRule::Never => Overwrite::Never,
                OverwriteRule::Older => Overwrite::Older,
                OverwriteRule::Always => Overwrite::Always,
                OverwriteRule::Rename => Overwrite::Rename,
            },
            owners: match self.owners {
                OwnersRule::Auto => Owners::Auto,
                OwnersRule::Always => Owners::Always,
                OwnersRule::Never => Owners::Never,
            },
            special: self.devices.unwrap_or_else(is_root),
            keep_setid: self.keep_setid.unwrap_or_else(is_root),
            ..ExtractOptions::default()
        };
        Ok(RestoreRequest {
            set: self.set,
            patterns: self.patterns,
            target: self.to.unwrap_or_default(),
            options,
            identities: identities(&self.identity)?,
            dry_run: self.dry_run,
        })
    }
}

pub(super) fn run(context: &Context, args: RestoreArgs) -> Result<Outcome, CliError> {
    let output = context.output;
    let cancel = interrupt::watch()?;
    let request = args.into_request()?;
    let mut appliance = context.open_existing()?;
    if request.dry_run {
        let plan = appliance.plan_restore(&request)?;
        output.answer(&plan, || describe_plan(output, &plan));
        return Ok(Outcome::Done);
    }
    let report = match Daemon::find(context)? {
        Some(daemon) => daemon.restore(&request, &cancel)?,
        None => {
            monitor::watched(output, "restore", |progress| appliance.restore(&request, progress, &cancel))?
        }
    };
    warn(output, &report);
    output.answer(&report, || describe(output, &report, &request.target));
    if !report.missing_volumes.is_empty() && !report.cancelled {
        return Ok(Outcome::Waiting);
    }
    Ok(Outcome::from_fault(!report.faults.is_empty() || report.cancelled))
}

fn describe_plan(output: Output, plan: &RestorePlan) -> String {
    let mut lines = format!(
        "{} {}, {}; nothing was read\n",
        output.paint(Tone::Strong, "would restore"),
        text::plural(plan.members, "member"),
        text::bytes(plan.bytes),
    );
    for set in &plan.sets {
        let members = text::plural(set.members, "member");
        lines.push_str(&format!("  set {}: {members}, {}\n", set.set_id, text::bytes(set.bytes)));
        for volume in &set.volumes {
            let barcode = volume.barcode.as_deref().filter(|barcode| *barcode != volume.label);
            lines.push_str(&format!(
                "    volume {}{}: {}\n",
                text::name(volume.label.as_bytes()),
                barcode
                    .map(|barcode| format!(" (barcode {})", text::name(barcode.as_bytes())))
                    .unwrap_or_default(),
                text::plural(volume.members, "member"),
            ));
        }
        if set.missing > 0 {
            let missing = text::plural(set.missing, "member");
            lines.push_str(&format!("    {missing} on volumes that the catalog does not know\n"));
        }
    }
    lines
}

/// What is not in place, on standard error.
fn warn(output: Output, report: &RestoreReport) {
    for warning in report.warnings.iter().take(FAULTS_SHOWN) {
        output.warning(&text::name(warning.as_bytes()));
    }
    if report.warnings.len() > FAULTS_SHOWN {
        let more = (report.warnings.len() - FAULTS_SHOWN) as u64;
        output.warning(&format!("... and {} more warnings", text::count(more)));
    }
    faults(output, &report.faults);
    if report.cancelled {
        output.warning("ended early, as asked: what is not there was not reached");
    }
}

/// Faults of a restore or a verification, on standard error.
pub(super) fn faults(output: Output, faults: &[Fault]) {
    for fault in faults.iter().take(FAULTS_SHOWN) {
        let place = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
        output.error(&format!("{place}{}", fault.reason));
    }
    if faults.len() > FAULTS_SHOWN {
        let more = (faults.len() - FAULTS_SHOWN) as u64;
        output.error(&format!("... and {} more; --json has them", text::count(more)));
    }
}

fn sets(numbers: &[i64]) -> String {
    let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("set{} {}", if numbers.len() == 1 { "" } else { "s" }, list.join(", "))
}

fn describe(output: Output, report: &RestoreReport, target: &Path) -> String {
    let whole = report.faults.is_empty() && !report.cancelled;
    let mut lines = format!(
        "{} {} from {} into {}  {} in {}{}\n",
        output
            .paint(if whole { Tone::Good } else { Tone::Bad }, if whole { "restored" } else { "INCOMPLETE" }),
        text::plural(report.files, "object"),
        sets(&report.sets),
        target.display(),
        text::bytes(report.bytes),
        text::seconds(report.seconds),
        text::rate_note(report.bytes, report.seconds),
    );
    lines.push_str(&format!("read from {}\n", backup::volumes(&report.volumes)));
    if report.skipped > 0 {
        lines.push_str(&format!("left as they were: {}", text::plural(report.skipped, "object")));
        if let Some(first) = report.skipped_list.first() {
            lines.push_str(&format!(", the first {} ({})", first.path, first.reason));
        }
        lines.push('\n');
    }
    if report.noted > 0 {
        let noted = text::plural(report.noted, "file");
        lines.push_str(&format!("changed or not readable while they were backed up: {noted}\n"));
    }
    if !report.faults.is_empty() {
        let lost = text::plural(report.faults.len() as u64, "object");
        lines.push_str(&output.paint(Tone::Bad, &format!("NOT restored: {lost}")));
        lines.push('\n');
    }
    if !report.missing_volumes.is_empty() {
        lines.push_str(&format!(
            "waiting for an operator: put {} into the library and run the command again; what is in place stays\n",
            backup::volumes(&report.missing_volumes)
        ));
    }
    lines
}
