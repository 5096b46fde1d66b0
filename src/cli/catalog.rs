//! `reelward catalog`: the index of what is on tape.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, identities};
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::table::{Align, Table};
use super::{Outcome, interrupt, monitor, text};
use crate::engine::{Appliance, RebuildReport, RebuildRequest};

/// Commands of `reelward catalog`.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Read the indexes from the tapes and put what is missing into the catalog
    Rebuild {
        /// Labels or barcodes; without one all cartridges in reach
        #[arg(value_name = "VOLUME")]
        volumes: Vec<String>,
        /// File with age identities, for encrypted sets
        #[arg(long, value_name = "FILE")]
        identity: Vec<PathBuf>,
    },
    /// Check that the catalog agrees with itself
    Check,
}

pub(super) fn run(context: &Context, command: CatalogCommand) -> Result<Outcome, CliError> {
    match command {
        CatalogCommand::Rebuild { volumes, identity } => {
            rebuild(context, RebuildRequest { volumes, identities: identities(&identity)? })
        }
        CatalogCommand::Check => check(context),
    }
}

fn check(context: &Context) -> Result<Outcome, CliError> {
    let appliance = context.open_existing()?;
    context.hint_when_lost(&appliance)?;
    let report = appliance.check_catalog()?;
    let output = context.output;
    let answer = json!({
        "sound": report.is_sound(),
        "damaged": report.is_damaged(),
        "problems": report.problems,
        "missing": report.missing,
        "sets": report.sets,
        "members": report.members,
        "blocks": report.blocks,
    });
    for problem in report.problems.iter().chain(&report.missing) {
        output.error(&text::name(problem.as_bytes()));
    }
    output.answer(&answer, || {
        let tone = if report.is_sound() { Tone::Good } else { Tone::Bad };
        let verdict = match (report.is_damaged(), report.is_sound()) {
            (true, _) => "DAMAGED: `reelward catalog rebuild` makes a new one",
            (false, false) => "INCOMPLETE: parts of sets are missing",
            (false, true) => "sound",
        };
        format!(
            "{}  {}, {}, {} looked at\n",
            output.paint(tone, verdict),
            text::plural(report.sets, "set"),
            text::plural(report.members, "member"),
            text::plural(report.blocks, "block"),
        )
    });
    Ok(Outcome::from_fault(!report.is_sound()))
}

fn rebuild(context: &Context, mut request: RebuildRequest) -> Result<Outcome, CliError> {
    let output = context.output;
    let cancel = interrupt::watch()?;
    if let Some(daemon) = Daemon::find(context)? {
        return Ok(tell(output, &daemon.rebuild(&request, &cancel)?, None));
    }
    let (appliance, moved) = Appliance::open_for_rebuild(context.settings())?;
    let mut appliance = context.with_options(appliance);
    if let Some(moved) = &moved {
        output.warning(&format!(
            "the catalog was damaged and is moved to {}; a new one is made from all cartridges in reach",
            moved.display()
        ));
        // One volume alone would make a catalog that knows nothing of the others.
        request.volumes.clear();
    }
    let report =
        monitor::watched(output, "rebuild", |progress| appliance.rebuild(&request, progress, &cancel))?;
    Ok(tell(output, &report, moved))
}

fn tell(output: Output, report: &RebuildReport, moved: Option<PathBuf>) -> Outcome {
    warn(output, report);
    let mut answer = serde_json::to_value(report).unwrap_or_default();
    if let (Some(fields), Some(moved)) = (answer.as_object_mut(), &moved) {
        fields.insert("moved_aside".into(), moved.display().to_string().into());
    }
    output.answer(&answer, || {
        let aside = moved.map(|moved| format!("the damaged catalog was moved to {}\n", moved.display()));
        aside.unwrap_or_default() + &describe(output, report)
    });
    Outcome::from_fault(!report.is_complete())
}

/// What is not in the catalog, on standard error.
fn warn(output: Output, report: &RebuildReport) {
    for volume in &report.volumes {
        for problem in &volume.problems {
            output.error(&text::name(format!("{}: {problem}", volume.cartridge).as_bytes()));
        }
    }
    for index in &report.encrypted {
        output.error(&text::name(
            format!(
                "volume {}: set {} part {} is encrypted for {}; run again with --identity FILE",
                index.volume,
                index.set,
                index.part,
                index.recipients.join(", ")
            )
            .as_bytes(),
        ));
    }
    for missing in &report.incomplete {
        output.warning(&text::name(missing.as_bytes()));
    }
    if report.cancelled {
        output.warning("ended early, as asked: what was entered stays, the rest was not looked at");
    }
}

fn describe(output: Output, report: &RebuildReport) -> String {
    let mut table = Table::new(&[
        ("Cartridge", Align::Left),
        ("Volume", Align::Left),
        ("Sets", Align::Right),
        ("Parts new", Align::Right),
        ("known", Align::Right),
        ("Members new", Align::Right),
        ("Found", Align::Left),
    ]);
    for volume in &report.volumes {
        table.row([
            text::name(volume.cartridge.as_bytes()),
            volume.label.as_deref().map_or("-".to_owned(), |label| text::name(label.as_bytes())),
            text::count(volume.sets),
            text::count(volume.parts_added),
            text::count(volume.parts_known),
            text::count(volume.members),
            text::name(volume.found.as_bytes()),
        ]);
    }
    let complete = report.is_complete();
    let verdict = if complete { "rebuilt" } else { "INCOMPLETE" };
    format!(
        "{}{}  {} met, {} new in the catalog, in {}\n",
        table.show(output),
        output.paint(if complete { Tone::Good } else { Tone::Bad }, verdict),
        text::plural(report.sets, "set"),
        text::plural(report.members, "member"),
        text::seconds(report.seconds),
    )
}
