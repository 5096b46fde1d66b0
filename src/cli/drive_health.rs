//! Health of drives and cartridges for people.

use super::backup::virtual_note;
use super::output::{Output, Tone};
use super::table::{Align, Table};
use super::text;
use crate::engine::{
    Advice, CartridgeHealth, CleanReport, DriveHealth, HealthAlert, Judgement, RetensionReport,
};

/// Lines of name and value.
struct Facts {
    output: Output,
    lines: String,
}

impl Facts {
    fn new(output: Output) -> Facts {
        Facts { output, lines: String::new() }
    }

    fn fact(&mut self, name: &str, value: impl Into<Option<String>>) {
        if let Some(value) = value.into() {
            let name = self.output.paint(Tone::Strong, &format!("{name:12}"));
            self.lines.push_str(&format!("{name}  {value}\n"));
        }
    }

    fn judgement(&mut self, judgement: &Judgement) {
        let tone = match judgement.advice {
            Advice::Fine => Tone::Good,
            Advice::Watch => Tone::Warning,
            Advice::Clean | Advice::Retire => Tone::Bad,
        };
        let word = self.output.paint(tone, judgement.advice.as_str());
        let reason = match judgement.reason.as_str() {
            "" => String::new(),
            reason => format!(": {}", shown(reason)),
        };
        self.fact("Advice", format!("{word}{reason}"));
    }

    fn alerts(&mut self, alerts: &[HealthAlert]) {
        for alert in alerts {
            let since = text::stamp(&alert.created_at);
            self.fact("Alert", format!("{}, since {since}", shown(&alert.message)));
        }
    }
}

fn shown(text: &str) -> String {
    text::name(text.as_bytes())
}

fn some(count: Option<u64>, unit: &str) -> Option<String> {
    Some(format!("{} {unit}", text::count(count?)))
}

/// What is there of several, joined.
fn joined(parts: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A drive, and the cartridge in it.
pub(super) fn describe(output: Output, health: &DriveHealth) -> String {
    let mut facts = Facts::new(output);
    let numbers = &health.statistics;
    let (model, revision, serial) = (shown(&health.model), shown(&health.revision), shown(&health.serial));
    facts.fact("Drive", format!("{}  {model} {revision}, serial {serial}", shown(&health.name)));
    facts.judgement(&health.judgement);
    let moving = health.in_motion.then(|| "the tape moves: numbers are those of the last time".to_owned());
    facts.fact("State", joined([health.activity.as_deref().map(shown), moving]));
    let cleaning = match health.cleaning.as_str() {
        "not_needed" => "not needed",
        other => other,
    };
    let ago = some(numbers.motion_hours_since_cleaning, "h of motion since the last");
    facts.fact("Cleaning", joined([Some(cleaning.to_owned()), some(numbers.cleanings, "so far"), ago]));
    facts.fact("Temperature", some(numbers.temperature_c, "degrees Celsius"));
    let hours = [some(numbers.power_on_hours, "h on"), some(numbers.tape_motion_hours, "h in motion")];
    facts.fact("Life", joined([some(Some(numbers.total_load_count), "loads")].into_iter().chain(hours)));
    let (written, read) = (text::bytes(numbers.total_bytes_written), text::bytes(numbers.total_bytes_read));
    facts.fact("Moved", format!("{written} written, {read} read, as far as we saw it"));
    let failed =
        format!("{} writes, {} reads", text::count(numbers.write_errors), text::count(numbers.read_errors));
    facts.fact("Failed", failed);
    facts.alerts(&health.alerts);
    if health.is_virtual {
        facts.lines.push_str(&virtual_note(output));
    }
    if let Some(memory) = &health.memory {
        facts.lines.push('\n');
        facts.fact("Written by", memory.application.as_deref().map(shown));
        let label = memory.label.as_deref().map(|label| format!("label {}", shown(label)));
        let pool = memory.pool.as_deref().map(|pool| format!("pool {}", shown(pool)));
        let unchanged = memory.unchanged.map(|unchanged| match unchanged {
            true => "unchanged since".to_owned(),
            false => "written to since".to_owned(),
        });
        facts.fact("Memory", joined([label, pool, unchanged]));
    }
    if let Some(found) = &health.cartridge {
        facts.lines.push_str(&cartridge(output, found));
    }
    facts.lines
}

/// A cartridge's life.
pub(super) fn cartridge(output: Output, health: &CartridgeHealth) -> String {
    let mut facts = Facts::new(output);
    let names = joined([
        health.barcode.as_deref().map(shown),
        health.serial.as_deref().map(|serial| format!("serial {}", shown(serial))),
        health.manufacturer.as_deref().map(|maker| format!("made by {}", shown(maker))),
        health.manufactured.as_deref().map(|date| format!("on {}", shown(date))),
    ]);
    facts.fact("Cartridge", names);
    facts.judgement(&health.judgement);
    facts.fact("Life left", health.life_left.map(|left| format!("{left} %")));
    facts.fact("Loads", health.loads.map(text::count));
    let moved = [
        health.written.map(|bytes| format!("{} written", text::bytes(bytes))),
        health.read.map(|bytes| format!("{} read", text::bytes(bytes))),
    ];
    facts.fact("In its life", joined(moved));
    facts.fact("Failed", joined([some(health.write_errors, "writes"), some(health.read_errors, "reads")]));
    let passes = health.passes.map(|(beginning, middle)| {
        format!("{} over the beginning, {} over the middle", text::count(beginning), text::count(middle))
    });
    facts.fact("Passes", passes);
    let drives: Vec<String> = health.last_drives.iter().map(|drive| shown(drive)).collect();
    facts.fact("Last drives", (!drives.is_empty()).then(|| drives.join(", ")));
    let as_of = health.as_of.as_deref().map(text::stamp);
    facts.fact("As of", as_of.map(|time| if health.live { format!("{time}, live") } else { time }));
    facts.alerts(&health.alerts);
    if health.drives.is_empty() {
        return facts.lines;
    }
    let mut table = Table::new(&[
        ("With drive", Align::Left),
        ("Mounts", Align::Right),
        ("Written", Align::Right),
        ("Read", Align::Right),
        ("Corrected/GB", Align::Right),
        ("Failed", Align::Right),
        ("Last", Align::Left),
    ]);
    for pair in &health.drives {
        table.row([
            shown(&pair.drive),
            text::count(pair.happened.mounts),
            text::bytes(pair.happened.written),
            text::bytes(pair.happened.read),
            pair.corrected_per_gb.map_or("-".to_owned(), |rate| format!("{rate:.1}")),
            text::count(pair.happened.failed()),
            text::stamp(&pair.last),
        ]);
    }
    facts.lines.push('\n');
    facts.lines.push_str(&table.show(output));
    facts.lines
}

/// A drive that was cleaned.
pub(super) fn cleaned(output: Output, report: &CleanReport) -> String {
    let barcode = report.barcode.as_deref().map(|barcode| format!(" with {}", shown(barcode)));
    let uses = report.uses.map(|uses| format!(", which has cleaned {}", text::plural(uses, "time")));
    let already = if report.already { " already, by hand" } else { "" };
    format!(
        "{} {}{}{}{already}; {} resolved\n",
        output.paint(Tone::Good, "cleaned"),
        shown(&report.drive),
        barcode.unwrap_or_default(),
        uses.unwrap_or_default(),
        text::plural(report.resolved as u64, "alert"),
    )
}

/// A tape that was wound.
pub(super) fn retensioned(output: Output, report: &RetensionReport) -> String {
    let how = match report.by.as_str() {
        "drive" => "by the drive",
        _ => "by a pass to the end of its data and back",
    };
    let what = report.barcode.as_deref().map_or("the tape".to_owned(), shown);
    format!("{} {what} in {}, {how}\n", output.paint(Tone::Good, "retensioned"), shown(&report.drive))
}
