//! `reelward library`: the medium changer.

use clap::Subcommand;
use serde::de::DeserializeOwned;

use super::Outcome;
use super::backup::virtual_note;
use super::context::Context;
use super::error::CliError;
use super::output::{Output, Tone};
use super::remote::Daemon;
use super::table::{Align, Table};
use super::text;
use crate::changer::ElementKind;
use crate::engine::{Appliance, ElementRow, EngineError, LibraryStatus, MoveReport};
use crate::tasks::LibraryStep;

/// Commands of `reelward library`.
#[derive(Debug, Subcommand)]
pub(super) enum LibraryCommand {
    /// Devices, slots and what lies in them
    Status,
    /// Put a cartridge into the drive; the one that is there goes back first
    Load {
        /// Barcode, or address of the slot
        #[arg(value_name = "BARCODE|SLOT")]
        cartridge: String,
        /// Number of the drive in the library, from 0, where it is not the one in use
        #[arg(long, value_name = "N")]
        into: Option<u32>,
    },
    /// Take the cartridge out of the drive, back to its slot
    Unload {
        /// Number of the drive in the library, from 0, where it is not the one in use
        #[arg(long, value_name = "N")]
        from: Option<u32>,
    },
    /// Take cartridges from the import/export slots into the library
    Import {
        /// Barcodes, or addresses of import/export slots; all of them without one
        #[arg(value_name = "BARCODE|SLOT")]
        cartridges: Vec<String>,
    },
    /// Put cartridges into import/export slots, to be taken out
    Export {
        /// Barcodes, or addresses of slots
        #[arg(value_name = "BARCODE|SLOT", required = true)]
        cartridges: Vec<String>,
    },
    /// Ask the library what lies where
    Inventory {
        /// Have it look at every slot first (up to half an hour)
        #[arg(long)]
        scan: bool,
        /// Load each cartridge whose barcode the catalog does not know, and read what it is
        #[arg(long)]
        read_labels: bool,
    },
    /// Move a cartridge to another slot or drive
    Transfer {
        /// Barcode, or address of the element
        from: String,
        /// Address of an empty element
        to: String,
    },
}

pub(super) fn run(context: &Context, command: LibraryCommand) -> Result<Outcome, CliError> {
    let output = context.output;
    let by = Hands::of(context)?;
    match command {
        LibraryCommand::Status => {
            let status = by.take(LibraryStep::Status, |library| library.library_status())?;
            output.answer(&status, || describe(output, &status));
        }
        LibraryCommand::Load { cartridge, into } => {
            let step = LibraryStep::Load { cartridge: cartridge.clone(), into };
            let report = by.take(step, |library| match into {
                Some(drive) => library.library_load_number(&cartridge, drive),
                None => library.library_load(&cartridge),
            })?;
            told(output, "loaded", &report);
        }
        LibraryCommand::Unload { from } => {
            let report = by.take(LibraryStep::Unload { from }, |library| match from {
                Some(drive) => library.library_unload_number(drive, None),
                None => library.library_unload(),
            })?;
            told(output, "unloaded", &report);
        }
        LibraryCommand::Import { cartridges } => {
            let step = LibraryStep::Import { cartridges: cartridges.clone() };
            let moved = by.take(step, |library| library.library_import(&cartridges))?;
            output.answer(&moved, || match moved.is_empty() {
                true => "nothing lies in the import/export slots\n".to_owned(),
                false => moved.iter().map(|report| line(output, "imported", report)).collect(),
            });
        }
        LibraryCommand::Export { cartridges } => {
            let step = LibraryStep::Export { cartridges: cartridges.clone() };
            let moved = by.take(step, |library| {
                cartridges
                    .iter()
                    .map(|cartridge| library.library_export(cartridge))
                    .collect::<Result<Vec<_>, _>>()
            })?;
            output.answer(&moved, || moved.iter().map(|report| line(output, "exported", report)).collect());
        }
        LibraryCommand::Inventory { scan, read_labels } => {
            let step = LibraryStep::Inventory { scan, read_labels };
            let found = by.take(step, |library| library.library_inventory(scan, read_labels))?;
            output.answer(&found, || {
                let mut lines = describe(output, &found.status);
                for label in &found.labels {
                    let name = label.barcode.as_deref().unwrap_or("without a barcode");
                    let known =
                        if label.known || label.label.is_none() { "" } else { ", not in the catalog" };
                    lines.push_str(&format!(
                        "read {}  {}: {}{known}\n",
                        label.address,
                        text::name(name.as_bytes()),
                        text::name(label.found.as_bytes())
                    ));
                }
                lines
            });
        }
        LibraryCommand::Transfer { from, to } => {
            let step = LibraryStep::Transfer { from: from.clone(), to: to.clone() };
            told(output, "moved", &by.take(step, |library| library.library_transfer(&from, &to))?);
        }
    }
    Ok(Outcome::Done)
}

/// Who has the devices: the daemon, where one runs, else this process.
enum Hands<'a> {
    Daemon(Daemon<'a>),
    Own(Box<Appliance>),
}

impl<'a> Hands<'a> {
    fn of(context: &'a Context) -> Result<Hands<'a>, CliError> {
        Ok(match Daemon::find(context)? {
            Some(daemon) => Hands::Daemon(daemon),
            None => Hands::Own(Box::new(context.open()?)),
        })
    }

    /// Does one thing with the library: `step` where the daemon does it, else `own`.
    fn take<R: DeserializeOwned>(
        self,
        step: LibraryStep,
        own: impl FnOnce(&mut Appliance) -> Result<R, EngineError>,
    ) -> Result<R, CliError> {
        match self {
            Hands::Daemon(daemon) => daemon.library(step),
            Hands::Own(mut appliance) => Ok(own(&mut appliance)?),
        }
    }
}

/// What an element is called.
pub(super) fn kind(kind: ElementKind) -> &'static str {
    match kind {
        ElementKind::Transport => "robot",
        ElementKind::Storage => "slot",
        ElementKind::ImportExport => "import/export",
        ElementKind::Drive => "drive",
    }
}

fn told(output: Output, verb: &str, report: &MoveReport) {
    output.answer(report, || line(output, verb, report));
}

fn line(output: Output, verb: &str, report: &MoveReport) -> String {
    let barcode = report.barcode.as_deref().unwrap_or("a cartridge without a barcode");
    let place = |address: Option<u16>| address.map_or("outside".to_owned(), |address| address.to_string());
    let way = match report.moved {
        true => format!("from {} to {}", place(report.from), place(report.to)),
        false => format!("in its place already, {}", place(report.to)),
    };
    format!("{} {}  {way}\n", output.paint(Tone::Good, verb), text::name(barcode.as_bytes()))
}

fn describe(output: Output, status: &LibraryStatus) -> String {
    let mut lines = String::new();
    for device in &status.devices {
        let loaded = match device.loaded {
            Some(true) => ", loaded",
            Some(false) => ", empty",
            None => "",
        };
        lines.push_str(&format!(
            "{}  {}  {} {} {}, serial {}{loaded}\n",
            output.paint(Tone::Strong, &format!("{:7}", device.role)),
            text::name(device.name.as_bytes()),
            text::name(device.vendor.as_bytes()),
            text::name(device.product.as_bytes()),
            text::name(device.revision.as_bytes()),
            text::name(device.serial.as_bytes()),
        ));
    }
    if status.devices.iter().any(|device| device.is_virtual) {
        lines.push_str(&virtual_note(output));
    }
    if status.elements.is_empty() {
        return lines;
    }
    lines.push('\n');
    let mut table = Table::new(&[
        ("Address", Align::Right),
        ("Element", Align::Left),
        ("Cartridge", Align::Left),
        ("Volume", Align::Left),
        ("Note", Align::Left),
    ]);
    for element in status.elements.iter().filter(|element| element.kind != ElementKind::Transport) {
        table.row(row(element));
    }
    lines.push_str(&table.show(output));
    lines
}

fn row(element: &ElementRow) -> [String; 5] {
    let named = |text: &Option<String>| text.as_deref().map(|text| text::name(text.as_bytes()));
    let cartridge = match (element.full, named(&element.barcode)) {
        (false, _) => "-".to_owned(),
        (true, Some(barcode)) => barcode,
        (true, None) => "without a barcode".to_owned(),
    };
    let mut notes = Vec::new();
    if element.cleaning {
        notes.push("cleaning cartridge".to_owned());
    }
    if !element.accessible {
        notes.push("out of the robot's reach".to_owned());
    }
    if let (ElementKind::Drive, Some(source)) = (element.kind, element.source) {
        notes.push(format!("from {source}"));
    }
    let volume = named(&element.volume).unwrap_or_default();
    [element.address.to_string(), kind(element.kind).to_owned(), cartridge, volume, notes.join(", ")]
}
