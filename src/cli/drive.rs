//! `reelward drive`: tape drives.

use clap::{Args, Subcommand};

use super::backup::virtual_note;
use super::context::Context;
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::table::{Align, Table};
use super::{Outcome, drive_health, text};
use crate::engine::{
    self, Access, CleanReport, Contents, DevicePath, Discovery, DiscoveryRequest, DriveHealth, DriveStatus,
    Finding, FoundDrive, RetensionReport, Severity,
};

/// Commands of `reelward drive`.
#[derive(Debug, Subcommand)]
pub(super) enum DriveCommand {
    /// List the drives of this machine, of iSCSI portals and of the embedded virtual library
    List(LookArgs),
    /// The same with changers, all paths, host adapters and what stands in the way
    Scan(LookArgs),
    /// How the drive in use stands: cartridge, position, alerts
    Status,
    /// Wear, errors, temperature, need for cleaning and alerts of the drive in use and of the cartridge in it
    Health,
    /// Clean the drive: with the library's cleaning cartridge, or with one that you put in
    Clean,
    /// Wind the tape in the drive to its end and back, where it lies unevenly
    Retension,
}

/// Where to look.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LookArgs {
    /// Ask this iSCSI portal for targets as well: HOST, HOST:PORT or USER@HOST (secret in REELWARD_ISCSI_SECRET)
    #[arg(long, value_name = "[USER@]HOST[:PORT]", value_parser = super::args::name())]
    iscsi: Vec<String>,
}

impl LookArgs {
    /// What the engine is asked for.
    pub(super) fn request(&self) -> Result<DiscoveryRequest, CliError> {
        let mut request = DiscoveryRequest::default();
        for portal in &self.iscsi {
            request.add_portal(portal).map_err(|error| CliError::Usage(error.to_string()))?;
        }
        Ok(request)
    }
}

pub(super) fn run(context: &Context, command: DriveCommand) -> Result<Outcome, CliError> {
    let output = context.output;
    match command {
        DriveCommand::List(args) => {
            let found = engine::discover(&context.settings(), &args.request()?);
            output.answer(&found, || list(output, &found));
        }
        DriveCommand::Scan(args) => {
            let found = engine::discover(&context.settings(), &args.request()?);
            output.answer(&found, || scan(output, &found));
        }
        DriveCommand::Status => {
            let status: DriveStatus = match Daemon::find(context)? {
                Some(daemon) => daemon.drive_status()?,
                None => context.open()?.drive_status()?,
            };
            output.answer(&status, || describe(output, &status));
        }
        DriveCommand::Health => {
            let health: DriveHealth = match Daemon::find(context)? {
                Some(daemon) => daemon.drive_health()?,
                None => context.open()?.drive_health()?,
            };
            output.answer(&health, || drive_health::describe(output, &health));
        }
        DriveCommand::Clean => {
            let report: CleanReport = match Daemon::find(context)? {
                Some(daemon) => daemon.clean()?,
                None => context.open()?.clean()?,
            };
            report.warnings.iter().for_each(|warning| output.warning(warning));
            output.answer(&report, || drive_health::cleaned(output, &report));
        }
        DriveCommand::Retension => {
            let report: RetensionReport = match Daemon::find(context)? {
                Some(daemon) => daemon.retension()?,
                None => context.open()?.retension()?,
            };
            output.answer(&report, || drive_health::retensioned(output, &report));
        }
    }
    Ok(Outcome::Done)
}

fn shown(text: &str) -> String {
    text::name(text.as_bytes())
}

fn list(output: Output, found: &Discovery) -> String {
    let mut lines = drives(output, &found.drives);
    let wrong = found.problems.iter().filter(|finding| finding.severity == Severity::Wrong).count();
    if wrong > 0 {
        let count = text::plural(u64::try_from(wrong).unwrap_or(0), "thing");
        lines.push_str(&format!("{count} wrong: `reelward doctor` says what and what to do\n"));
    }
    lines
}

/// A table of drives, and that virtual ones are virtual.
pub(super) fn drives(output: Output, drives: &[FoundDrive]) -> String {
    if drives.is_empty() {
        return "no tape drives found\n".to_owned();
    }
    let mut table = Table::new(&[
        ("Drive", Align::Left),
        ("Model", Align::Left),
        ("Firmware", Align::Left),
        ("Serial", Align::Left),
        ("Element", Align::Right),
        ("Cartridge", Align::Left),
        ("Use", Align::Left),
    ]);
    for drive in drives {
        let place = drive.place.as_ref();
        table.row([
            shown(&drive.name),
            shown(&format!("{} {}", drive.vendor, drive.product)),
            shown(&drive.revision),
            shown(&drive.serial),
            place.map_or("-".to_owned(), |place| place.element.to_string()),
            place.map_or(String::new(), |place| match (&place.barcode, place.full) {
                (Some(barcode), _) => shown(barcode),
                (None, true) => "without a barcode".to_owned(),
                (None, false) => "-".to_owned(),
            }),
            access(drive.access).to_owned(),
        ]);
    }
    let mut lines = table.show(output);
    if drives.iter().any(|drive| drive.is_virtual) {
        lines.push_str(&virtual_note(output));
    }
    lines
}

/// Whether a device can be used, in a word or two.
fn access(access: Access) -> &'static str {
    match access {
        Access::Free => "free",
        Access::InUse => "in use",
        Access::NoPermission => "no permission",
        Access::NoNode => "no device node",
        Access::Failed => "does not answer",
    }
}

fn scan(output: Output, found: &Discovery) -> String {
    let mut lines = devices(output, found);
    if !found.problems.is_empty() {
        lines.push('\n');
        lines.push_str(&findings(output, &found.problems));
    }
    lines
}

/// Drives and changers with their paths.
pub(super) fn devices(output: Output, found: &Discovery) -> String {
    let mut lines = drives(output, &found.drives);
    for changer in &found.changers {
        lines.push_str(&format!(
            "\n{}  {}  {} {} {}, serial {}, {}\n",
            output.paint(Tone::Strong, "changer"),
            shown(&changer.name),
            shown(&changer.vendor),
            shown(&changer.product),
            shown(&changer.revision),
            shown(&changer.serial),
            changer.contents.as_ref().map_or_else(|| access(changer.access).to_owned(), holds),
        ));
    }
    let drives = found.drives.iter().flat_map(|drive| &drive.paths);
    let changers = found.changers.iter().flat_map(|changer| &changer.paths);
    let paths: Vec<&DevicePath> = drives.chain(changers).filter(|path| path.address.is_some()).collect();
    if !paths.is_empty() {
        let mut table = Table::new(&[
            ("Path", Align::Left),
            ("Address", Align::Left),
            ("Adapter", Align::Left),
            ("Transfer", Align::Right),
            ("Use", Align::Left),
            ("Nodes", Align::Left),
        ]);
        for path in paths {
            let adapter = path.adapter.as_ref();
            table.row([
                shown(&path.name),
                path.address.clone().unwrap_or_default(),
                adapter.map_or(String::new(), |adapter| {
                    shown(&format!("{} (host{})", adapter.driver, adapter.host))
                }),
                path.max_transfer.map_or("?".to_owned(), |bytes| format!("{} KiB", bytes / 1024)),
                path.detail.as_deref().map_or_else(|| access(path.access).to_owned(), shown),
                shown(&path.nodes.join(" ")),
            ]);
        }
        lines.push('\n');
        lines.push_str(&table.show(output));
    }
    lines
}

fn holds(contents: &Contents) -> String {
    let count = |number: usize, noun: &str| text::plural(u64::try_from(number).unwrap_or(0), noun);
    format!(
        "{}, {}, {}, {}",
        count(contents.bays.len(), "drive"),
        count(contents.slots, "slot"),
        count(contents.import_export, "import/export slot"),
        count(contents.cartridges, "cartridge"),
    )
}

/// Findings, the worst first, each with what to do below it.
pub(super) fn findings(output: Output, findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut lines = String::new();
    for finding in sorted {
        let (tone, word) = match finding.severity {
            Severity::Good => (Tone::Good, "ok   "),
            Severity::Note => (Tone::Warning, "note "),
            Severity::Wrong => (Tone::Bad, "WRONG"),
        };
        let told = output.paint(tone, word);
        lines.push_str(&format!("{told}  {}  {}\n", shown(&finding.subject), shown(&finding.what)));
        if !finding.advice.is_empty() {
            lines.push_str(&format!(
                "       {} {}\n",
                output.paint(Tone::Faint, "->"),
                shown(&finding.advice)
            ));
        }
    }
    lines
}

fn describe(output: Output, status: &DriveStatus) -> String {
    let mut lines = format!(
        "{}  {} {} {}, serial {}{}\n",
        output.paint(Tone::Strong, &shown(&status.name)),
        shown(&status.vendor),
        shown(&status.product),
        shown(&status.revision),
        shown(&status.serial),
        status.element.map(|element| format!(", element {element}")).unwrap_or_default(),
    );
    if status.is_virtual {
        lines.push_str(&virtual_note(output));
    }
    let mut row = |head: &str, text: &str| lines.push_str(&format!("{head:11}{text}\n"));
    match &status.cartridge {
        None => row("cartridge", "none loaded"),
        Some(cartridge) => {
            let mut words = vec![cartridge.barcode.as_deref().map_or("without a barcode".to_owned(), shown)];
            words.extend(cartridge.generation.clone());
            words.extend(cartridge.volume.as_deref().map(|volume| format!("volume {}", shown(volume))));
            if cartridge.write_protected {
                words.push("write-protected".into());
            }
            if cartridge.worm {
                words.push("write-once".into());
            }
            row("cartridge", &words.join(", "));
            if let (Some(capacity), Some(remaining)) = (cartridge.capacity, cartridge.remaining) {
                row("capacity", &format!("{}, {} left", text::bytes(capacity), text::bytes(remaining)));
            }
            let records = match cartridge.block_length {
                Some(0) => "of any length".to_owned(),
                Some(length) => format!("of {} bytes", text::count(length.into())),
                None => "the drive does not tell".to_owned(),
            };
            row("records", &records);
            let position = status.position.as_ref().map_or("not told".to_owned(), |at| {
                let file = at.file.map(|file| format!(", file {file}")).unwrap_or_default();
                let end = match (at.at_beginning, at.at_end) {
                    (true, _) => ", at the beginning",
                    (_, true) => ", near the end",
                    _ => "",
                };
                format!("block {}{file}{end}", at.block)
            });
            row("position", &position);
        }
    }
    for alert in &status.alerts {
        let tone = if alert.severity == "information" { Tone::Warning } else { Tone::Bad };
        let told = format!("{} ({}): {}", alert.name, alert.severity, alert.meaning);
        row("alert", &output.paint(tone, &told));
    }
    for lacking in &status.lacks {
        row("lacks", lacking);
    }
    lines
}
