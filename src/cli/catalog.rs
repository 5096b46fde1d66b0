//! `reelward catalog`: the index of what is on tape.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, identities};
use super::error::CliError;
use super::output::Tone;
use super::{Outcome, interrupt, monitor, text};
use crate::engine::{RebuildReport, RebuildRequest};

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
    let report = context.open()?.check_catalog()?;
    let output = context.output;
    let answer = json!({
        "sound": report.is_sound(),
        "problems": report.problems,
        "sets": report.sets,
        "members": report.members,
        "blocks": report.blocks,
    });
    for problem in &report.problems {
        output.error(&text::name(problem.as_bytes()));
    }
    output.answer(&answer, || {
        let tone = if report.is_sound() { Tone::Good } else { Tone::Bad };
        let verdict = if report.is_sound() { "sound" } else { "DAMAGED: `reelward catalog rebuild` makes a new one" };
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
