//! `reelward virtual`: libraries in files.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::error::CliError;
use super::{Outcome, numbers, text};
use crate::virtual_library::{Generation, Layout, VirtualLibrary};

/// Where the embedded library lies in a state directory.
pub(super) const EMBEDDED: &str = "library";

/// Commands of `reelward virtual`.
#[derive(Debug, Subcommand)]
pub(super) enum VirtualCommand {
    /// Make a virtual library in an empty or new directory
    Create(CreateArgs),
    /// Write each tape file of a cartridge as a plain file: OUT-DIR/0000, 0001, ... as dd would read them from a tape
    Export {
        /// The cartridge
        barcode: String,
        /// Where to; made when missing
        #[arg(value_name = "OUT-DIR")]
        out_dir: PathBuf,
        /// The library [default: the embedded one of the state directory]
        #[arg(long, value_name = "DIR")]
        library: Option<PathBuf>,
    },
}

/// Arguments of `reelward virtual create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Sizes: 512, 64K, 16M, 2G, 18T (powers of 1024) or 18TB (powers of 1000). Made as STATE-DIR/library it is the \
    one that commands use when no device is named."
)]
pub(super) struct CreateArgs {
    /// The directory
    dir: PathBuf,
    /// Drives
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    drives: u16,
    /// Storage slots
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=60000))]
    slots: u16,
    /// Blank cartridges
    #[arg(long, value_name = "N", default_value_t = 8)]
    cartridges: u16,
    /// LTO-5 to LTO-10
    #[arg(long, value_name = "NAME", default_value = "LTO-9")]
    generation: String,
    /// Bytes that a cartridge holds [default: as the generation does]
    #[arg(long, value_name = "BYTES", value_parser = numbers::some_size)]
    capacity: Option<u64>,
    /// Keep only the first 16 MiB of each tape file, for benchmarks: what is backed up there cannot be restored
    #[arg(long)]
    discard: bool,
}

pub(super) fn run(context: &Context, command: VirtualCommand) -> Result<Outcome, CliError> {
    match command {
        VirtualCommand::Create(args) => create(context, &args),
        VirtualCommand::Export { barcode, out_dir, library } => {
            let library = library.unwrap_or_else(|| context.state().join(EMBEDDED));
            export(context, &library, &barcode, &out_dir)
        }
    }
}

fn create(context: &Context, args: &CreateArgs) -> Result<Outcome, CliError> {
    let layout = layout(args.drives, args.slots, args.cartridges, &args.generation)?;
    let library = VirtualLibrary::create(
        &args.dir,
        &Layout { capacity: args.capacity, discard: args.discard, ..layout },
    )?;
    // Names of devices hold wherever they are used from.
    let dir = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let drives: Vec<String> =
        (0..library.drives()).map(|index| format!("virtual://{}#drive{index}", dir.display())).collect();
    let changer = format!("virtual://{}#changer", dir.display());
    let barcodes = library.barcodes();
    let blank = data_cartridges(&library);
    let answer = json!({
        "directory": dir.display().to_string(),
        "drives": drives,
        "changer": changer,
        "cartridges": barcodes,
        "virtual": true,
    });
    context.output.answer(&answer, || {
        let mut lines = format!(
            "made a virtual library (files, not tape) in {}: {}, {}\n",
            dir.display(),
            text::plural(u64::from(args.drives), "drive"),
            text::plural(u64::from(args.cartridges), "cartridge"),
        );
        lines.push_str(&format!("cartridges {}\n", blank.join(" ")));
        if let Some(drive) = drives.first() {
            lines.push_str(&format!("use it by --drive '{drive}' --changer '{changer}'\n"));
        }
        lines
    });
    Ok(Outcome::Done)
}

/// A library of the generation with this name; a cleaning cartridge where a slot is left for it.
pub(super) fn layout(drives: u16, slots: u16, cartridges: u16, generation: &str) -> Result<Layout, CliError> {
    let generation = Generation::by_name(generation).ok_or_else(|| {
        let known: Vec<&str> = Generation::ALL.iter().map(|generation| generation.name()).collect();
        CliError::Usage(format!("--generation {generation}: give one of {}", known.join(", ")))
    })?;
    Ok(Layout {
        drives,
        slots,
        import_export: 2,
        cartridges,
        generation,
        capacity: None,
        cleaning_cartridge: slots > cartridges,
        discard: false,
    })
}

/// Barcodes of what can be a volume.
pub(super) fn data_cartridges(library: &VirtualLibrary) -> Vec<String> {
    library.barcodes().into_iter().filter(|barcode| !barcode.starts_with("CLN")).collect()
}

fn export(context: &Context, library: &Path, barcode: &str, out_dir: &Path) -> Result<Outcome, CliError> {
    let library = VirtualLibrary::open(library)?;
    let files = library.export(barcode, out_dir)?;
    let answer =
        json!({ "barcode": barcode, "directory": out_dir.display().to_string(), "tape_files": files });
    context.output.answer(&answer, || {
        let written = text::plural(u64::from(files), "tape file");
        let mut lines = format!("wrote {written} of {barcode} to {}\n", out_dir.display());
        if files > 0 {
            lines.push_str(&format!(
                "how to read them with plain tools: tar -xOf {} README.txt\n",
                out_dir.join("0000").display()
            ));
        }
        lines
    });
    Ok(Outcome::Done)
}
