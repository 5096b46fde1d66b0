//! `reelward tape`: volumes.

use clap::{Args, Subcommand};
use serde_json::json;

use super::backup::virtual_note;
use super::context::Context;
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::table::{Align, Table};
use super::{Outcome, drive_health, library, numbers, text};
use crate::engine::{LabelRequest, TapeInfo, TapeRow};

/// Commands of `reelward tape`.
#[derive(Debug, Subcommand)]
pub(super) enum TapeCommand {
    /// Make a cartridge a volume: write its identity and the recovery note
    Label(LabelArgs),
    /// Everything about one volume
    Info {
        /// Label, barcode or identity
        name: String,
    },
    /// List all volumes
    List,
}

/// Arguments of `reelward tape label`.
#[derive(Debug, Args)]
#[command(
    after_help = "A cartridge that holds anything is left alone unless --overwrite is given, one with backup sets of this \
    catalog unless --destroy-sets is given as well. What it held is gone then."
)]
pub(super) struct LabelArgs {
    /// Barcode of the cartridge; without one the cartridge in the drive or, when that is empty, the first in the library
    /// that is no volume yet
    barcode: Option<String>,
    /// Name of the volume [default: the barcode]
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    label: Option<String>,
    /// Pool of the volume
    #[arg(long, value_name = "NAME", value_parser = super::args::name())]
    pool: Option<String>,
    /// Bytes of a record, 16K to 1M [default: 256K]
    #[arg(long, value_name = "SIZE", value_parser = numbers::some_size)]
    record_size: Option<u64>,
    /// Destroy what the cartridge holds
    #[arg(long)]
    overwrite: bool,
    /// Destroy backup sets that this catalog has on it
    #[arg(long, requires = "overwrite")]
    destroy_sets: bool,
}

pub(super) fn run(context: &Context, command: TapeCommand) -> Result<Outcome, CliError> {
    match command {
        TapeCommand::Label(args) => label(context, args),
        TapeCommand::Info { name } => info(context, &name),
        TapeCommand::List => list(context),
    }
}

fn label(context: &Context, args: LabelArgs) -> Result<Outcome, CliError> {
    let record_size = args.record_size.map(|size| {
        u32::try_from(size).map_err(|_| CliError::Usage("--record-size: more than 1M".to_owned()))
    });
    let mut request = LabelRequest {
        volume: None,
        barcode: args.barcode,
        label: args.label,
        pool: args.pool,
        record_size: record_size.transpose()?,
        overwrite: args.overwrite,
        destroy_sets: args.destroy_sets,
    };
    let first_unlabelled = request.barcode.is_none() && !request.overwrite;
    let report = match Daemon::find(context)? {
        Some(daemon) => daemon.label(request, first_unlabelled)?,
        None => {
            let mut appliance = context.open()?;
            if first_unlabelled {
                request.barcode = appliance.first_unlabelled()?;
            }
            appliance.label(&request)?
        }
    };
    let output = context.output;
    report.warnings.iter().for_each(|warning| output.warning(warning));
    output.answer(&report, || {
        let barcode = report.barcode.as_deref().filter(|barcode| *barcode != report.label);
        let mut lines = format!(
            "{} volume {}{}  {}; it held {}\n",
            output.paint(Tone::Good, "labelled"),
            text::name(report.label.as_bytes()),
            barcode
                .map(|barcode| format!(" (barcode {})", text::name(barcode.as_bytes())))
                .unwrap_or_default(),
            report.uuid,
            text::name(report.before.as_bytes()),
        );
        if report.is_virtual {
            lines.push_str(&virtual_note(output));
        }
        lines
    });
    Ok(Outcome::Done)
}

fn list(context: &Context) -> Result<Outcome, CliError> {
    let tapes = context.open_existing()?.tapes()?;
    context.output.answer(&json!({ "volumes": tapes }), || {
        if tapes.is_empty() {
            return "no volumes yet; `reelward tape label BARCODE` makes one\n".to_owned();
        }
        let mut table = Table::new(&[
            ("Volume", Align::Left),
            ("Barcode", Align::Left),
            ("Pool", Align::Left),
            ("Type", Align::Left),
            ("Status", Align::Left),
            ("Sets", Align::Right),
            ("Used", Align::Right),
            ("Capacity", Align::Right),
            ("Last written", Align::Left),
        ]);
        for tape in &tapes {
            table.row(row(tape));
        }
        table.show(context.output)
    });
    Ok(Outcome::Done)
}

fn row(tape: &TapeRow) -> [String; 9] {
    let optional =
        |text: &Option<String>| text.as_deref().map_or("-".to_owned(), |text| text::name(text.as_bytes()));
    [
        text::name(tape.label.as_bytes()),
        optional(&tape.barcode),
        optional(&tape.pool),
        optional(&tape.generation),
        tape.status.to_owned(),
        text::count(tape.sets),
        text::bytes(tape.used),
        capacity(tape.capacity),
        tape.last_written.as_deref().map_or("-".to_owned(), text::stamp),
    ]
}

fn capacity(bytes: u64) -> String {
    if bytes == 0 { "?".to_owned() } else { text::bytes(bytes) }
}

fn info(context: &Context, name: &str) -> Result<Outcome, CliError> {
    let info = context.open_existing()?.tape_info(name)?;
    context.output.answer(&info, || describe(context.output, &info));
    Ok(Outcome::Done)
}

fn describe(output: Output, info: &TapeInfo) -> String {
    let tape = &info.row;
    let [label, barcode, pool, generation, status, sets, used, capacity, last_written] = row(tape);
    let place = match &info.place {
        Some(place) => format!("{} {}", library::kind(place.kind), place.address),
        None => "not in the library in use".to_owned(),
    };
    let facts = [
        ("Volume", label),
        ("Identity", text::name(tape.uuid.as_bytes())),
        ("Barcode", barcode),
        ("Pool", pool),
        ("Type", generation),
        ("Status", status),
        ("Place", place),
        ("Used", format!("{used} of {capacity}, backup sets: {sets}")),
        ("Record", format!("{} bytes", text::count(u64::from(tape.record_size)))),
        ("Labelled", text::stamp(&info.created)),
        ("Last written", last_written),
        ("End of data", format!("block {}, tape file {}", info.end_block, info.end_file)),
    ];
    let mut lines = String::new();
    for (name, value) in facts {
        lines.push_str(&format!("{}  {value}\n", output.paint(Tone::Strong, &format!("{name:12}"))));
    }
    if let Some(health) = &info.health {
        lines.push('\n');
        lines.push_str(&drive_health::cartridge(output, health));
    }
    if info.parts.is_empty() {
        return lines;
    }
    lines.push('\n');
    let mut table = Table::new(&[
        ("Set", Align::Right),
        ("Part", Align::Right),
        ("Started", Align::Left),
        ("State", Align::Left),
        ("Job", Align::Left),
        ("Members", Align::Right),
        ("Size", Align::Right),
        ("Archives", Align::Right),
        ("Index file", Align::Right),
    ]);
    for part in &info.parts {
        let encrypted = if part.recipients.is_empty() { "" } else { " encrypted" };
        table.row([
            part.set_id.to_string(),
            part.part.to_string(),
            text::stamp(&part.started),
            format!("{}{encrypted}", part.state),
            text::name(part.job.as_bytes()),
            text::count(part.members),
            text::bytes(part.bytes),
            text::count(part.archives),
            part.index_file.map_or("-".to_owned(), |file| file.to_string()),
        ]);
    }
    lines.push_str(&table.show(output));
    lines
}
