//! The steps of the trial, in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::compare::{Comparison, Trees, compare};
use super::steps::Steps;
use super::survey::Survey;
use super::workshop::Workshop;
use crate::catalog::{FindQuery, SetId};
use crate::cli::context::{Context, is_root};
use crate::cli::error::CliError;
use crate::cli::virtual_library::{EMBEDDED, data_cartridges, layout};
use crate::cli::{backup, monitor, restore, text, verify};
use crate::engine::{
    Appliance, BackupReport, BackupRequest, DeviceChoice, LabelRequest, RestoreReport, RestoreRequest,
    Settings, VerifyRequest,
};
use crate::sources::extract::ExtractOptions;
use crate::virtual_library::{Statistics, Unit, VirtualLibrary};

/// Differences and other lists shown of each kind.
const SHOWN: usize = 10;
/// The operation code of the command that reads a record, in the library's statistics.
const READ: u8 = 0x08;

/// A trial under way.
pub(super) struct Circle<'a> {
    context: &'a Context,
    workshop: &'a Workshop,
    source: &'a Path,
    survey: &'a Survey,
    cancel: &'a AtomicBool,
    steps: Steps,
}

impl<'a> Circle<'a> {
    pub(super) fn new(
        context: &'a Context,
        workshop: &'a Workshop,
        source: &'a Path,
        survey: &'a Survey,
        cancel: &'a AtomicBool,
    ) -> Circle<'a> {
        Circle { context, workshop, source, survey, cancel, steps: Steps::new(context.output) }
    }

    /// Goes round.
    ///
    /// # Errors
    /// What prevents a step. What a step finds wrong is told, and the rest still done.
    pub(super) fn run(&mut self) -> Result<Comparison, CliError> {
        let barcode = self.make_library()?;
        self.label(barcode)?;
        let since = jiff::Timestamp::now().as_nanosecond();
        let stored = self.back_up()?;
        self.verify(&stored)?;
        self.find(&stored)?;
        self.restore_one(&stored)?;
        let restored = self.workshop.folder.join("restored");
        self.restore_all(&stored, &restored)?;
        let comparison = self.compare(&stored, &restored, since)?;
        self.workshop.clear(&restored);
        self.show_tape(&stored)?;
        Ok(comparison)
    }

    pub(super) fn into_steps(self) -> Steps {
        self.steps
    }

    fn open(&self) -> Result<Appliance, CliError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(CliError::Failed("stopped, as asked".into()));
        }
        let settings = Settings { state: self.workshop.state.clone(), devices: DeviceChoice::embedded() };
        Ok(Appliance::open(settings)?)
    }

    /// Makes the library, or takes the one that is there; a cartridge that is no volume yet.
    fn make_library(&mut self) -> Result<Option<String>, CliError> {
        let started = Instant::now();
        let directory = self.workshop.state.join(EMBEDDED);
        let is_new = !directory.exists();
        let library = match is_new {
            true => VirtualLibrary::create(&directory, &layout(2, 12, 8, "LTO-9")?)?,
            false => VirtualLibrary::open(&directory)?,
        };
        let barcodes = data_cartridges(&library);
        let drives = text::plural(u64::from(library.drives()), "drive");
        drop(library);
        let used: Vec<_> = self.open()?.catalog().volumes()?.into_iter().filter_map(|v| v.barcode).collect();
        let blank = barcodes.iter().find(|barcode| !used.contains(barcode)).cloned();
        let cartridges = text::plural(barcodes.len() as u64, "cartridge");
        let verb = if is_new { "library made" } else { "library found" };
        self.steps.tell(verb, true, started.elapsed(), None, format!("{drives}, {cartridges}"));
        Ok(blank)
    }

    fn label(&mut self, barcode: Option<String>) -> Result<(), CliError> {
        let started = Instant::now();
        let Some(barcode) = barcode else {
            let details = "every cartridge is a volume already".to_owned();
            self.steps.tell("labelled", true, started.elapsed(), None, details);
            return Ok(());
        };
        let request = LabelRequest { barcode: Some(barcode), ..LabelRequest::default() };
        let report = self.open()?.label(&request)?;
        self.steps.tell("labelled", true, started.elapsed(), None, format!("volume {}", report.label));
        Ok(())
    }

    fn back_up(&mut self) -> Result<BackupReport, CliError> {
        let started = Instant::now();
        let request = BackupRequest {
            job: "try".into(),
            paths: vec![self.source.to_path_buf()],
            auto_label: true,
            ..BackupRequest::default()
        };
        let mut appliance = self.open()?;
        let report = monitor::watched(self.context.output, "backing up", |progress| {
            progress.total(self.survey.objects, self.survey.bytes);
            appliance.backup(&request, progress, self.cancel)
        })?;
        drop(appliance); // closing the library is part of the work
        let details = format!(
            "{}, {} on {}",
            text::plural(report.members, "member"),
            text::bytes(report.bytes),
            backup::volumes(&report.volumes)
        );
        self.steps.tell("backed up", !report.cancelled, started.elapsed(), Some(report.bytes), details);
        if report.problem_count > 0 {
            self.list("told of while reading", report.problem_count, &report.problems);
        }
        Ok(report)
    }

    fn verify(&mut self, stored: &BackupReport) -> Result<(), CliError> {
        let started = Instant::now();
        let request = VerifyRequest { set: Some(stored.set_id.to_string()), ..VerifyRequest::default() };
        let mut appliance = self.open()?;
        let report = monitor::watched(self.context.output, "verifying", |progress| {
            appliance.verify(&request, progress, self.cancel)
        })?;
        drop(appliance);
        verify::warn(self.context.output, &report);
        let ok = report.is_clean() && !report.cancelled && report.files == stored.members;
        let details = format!(
            "{} of {} read from tape and as stored (SHA-256), {}",
            text::count(report.files),
            text::plural(stored.members, "member"),
            text::plural(report.faults, "fault")
        );
        self.steps.tell("verified", ok, started.elapsed(), Some(report.bytes), details);
        Ok(())
    }

    /// The sample's path as it is stored.
    fn sample(&self) -> Option<(&'a Path, &'a str)> {
        let path = self.survey.sample.as_deref()?;
        Some((path, path.to_str()?))
    }

    fn find(&mut self, stored: &BackupReport) -> Result<(), CliError> {
        let sample = self.sample();
        // Without a file to look for everything is counted.
        let name =
            sample.and_then(|(path, _)| path.file_name()).map_or("*".into(), |name| name.to_string_lossy());
        let appliance = self.open()?;
        let started = Instant::now();
        let mut query = FindQuery::new(name.as_bytes());
        query.sets = vec![SetId(stored.set_id)];
        query.limit = u64::MAX;
        let found = appliance.catalog().find(&query)?;
        let took = started.elapsed();
        let wanted =
            |path: &[u8]| sample.is_none_or(|(_, text)| text.as_bytes().strip_prefix(b"/") == Some(path));
        let ok = found.rows.iter().any(|row| wanted(&row.path));
        let details = format!(
            "{} named {} in the catalog",
            text::plural(found.total, "object"),
            text::name(name.as_bytes())
        );
        self.steps.tell("found", ok, took, None, details);
        Ok(())
    }

    fn restore_one(&mut self, stored: &BackupReport) -> Result<(), CliError> {
        let Some((path, pattern)) = self.sample() else {
            let details = "left out: no small file with a plain name here".to_owned();
            self.steps.tell("one restored", true, std::time::Duration::ZERO, None, details);
            return Ok(());
        };
        let target = self.workshop.folder.join("one");
        let started = Instant::now();
        let report = self.restore(stored, vec![pattern.to_owned()], &target)?;
        let took = started.elapsed();
        let read = records_read(&self.workshop.state.join(EMBEDDED));
        let copy = beneath(&target, path);
        let same = fs::read(path).ok() == fs::read(&copy).ok();
        let ok = report.faults.is_empty() && copy.exists();
        let details = format!(
            "{} ({}){}",
            text::name(pattern.as_bytes()),
            text::bytes(report.bytes),
            read.map(|records| format!(", {} read", text::plural(records, "record"))).unwrap_or_default()
        );
        self.steps.tell("one restored", ok, took, None, details);
        if ok && !same {
            self.steps.note("it changed in the meantime: see the comparison");
        }
        Ok(())
    }

    fn restore(
        &mut self,
        stored: &BackupReport,
        patterns: Vec<String>,
        target: &Path,
    ) -> Result<RestoreReport, CliError> {
        let request = RestoreRequest {
            set: Some(stored.set_id.to_string()),
            patterns,
            target: target.to_path_buf(),
            options: ExtractOptions { special: is_root(), keep_setid: true, ..ExtractOptions::default() },
            ..RestoreRequest::default()
        };
        let mut appliance = self.open()?;
        let report = monitor::watched(self.context.output, "restoring", |progress| {
            appliance.restore(&request, progress, self.cancel)
        })?;
        restore::faults(self.context.output, &report.faults);
        Ok(report)
    }

    fn restore_all(&mut self, stored: &BackupReport, target: &Path) -> Result<(), CliError> {
        let started = Instant::now();
        let report = self.restore(stored, Vec::new(), target)?;
        let ok = report.faults.is_empty() && !report.cancelled;
        let details = format!("{}, {}", text::plural(report.files, "object"), text::bytes(report.bytes));
        self.steps.tell("all restored", ok, started.elapsed(), Some(report.bytes), details);
        if !report.warnings.is_empty() {
            self.list("warnings", report.warnings.len() as u64, &report.warnings);
        }
        Ok(())
    }

    fn compare(
        &mut self,
        stored: &BackupReport,
        restored: &Path,
        since: i128,
    ) -> Result<Comparison, CliError> {
        let started = Instant::now();
        let copy = beneath(restored, self.source);
        let trees = Trees {
            original: self.source,
            restored: &copy,
            never: &self.workshop.state,
            problems: &stored.problems,
            since,
        };
        let found = monitor::watched(self.context.output, "comparing", |progress| {
            progress.total(self.survey.objects, self.survey.bytes);
            compare(&trees, progress, self.cancel)
        });
        let ok = found.different == 0 && !found.cancelled;
        let details = match found.different {
            0 => format!("{} the same as the original", text::plural(found.same, "object")),
            different => format!("{} DIFFERENT", text::plural(different, "object")),
        };
        self.steps.tell("compared", ok, started.elapsed(), Some(found.bytes), details);
        let lists = [
            ("different", found.different, &found.differences),
            (
                "changed since the backup began",
                found.changed_meanwhile.len() as u64,
                &found.changed_meanwhile,
            ),
            ("not stored, as told", found.not_stored.len() as u64, &found.not_stored),
        ];
        for (what, count, list) in lists {
            if count > 0 {
                self.list(what, count, list);
            }
        }
        Ok(found)
    }

    /// The first lines of a list.
    fn list(&self, what: &str, count: u64, lines: &[String]) {
        self.steps.note(&format!("{what}: {}", text::count(count)));
        for line in lines.iter().take(SHOWN) {
            self.steps.note(&format!("  {line}"));
        }
        if count > SHOWN as u64 {
            self.steps.note(&format!("  ... and {} more", text::count(count - SHOWN as u64)));
        }
    }

    /// Writes the cartridge out as plain files and says what they are.
    fn show_tape(&mut self, stored: &BackupReport) -> Result<(), CliError> {
        let started = Instant::now();
        let appliance = self.open()?;
        let catalog = appliance.catalog();
        let set = SetId(stored.set_id);
        let parts = catalog.parts_of(set)?;
        let Some(part) = parts.first() else {
            return Err(CliError::Failed("the set that was just stored has no part in the catalog".into()));
        };
        let volume = catalog.volume(part.volume)?;
        let archives = catalog.archives_of(set)?;
        drop(appliance);
        let barcode = volume.barcode.unwrap_or(volume.label);
        let directory = self.workshop.folder.join("tape");
        let library = VirtualLibrary::open(&self.workshop.state.join(EMBEDDED))?;
        let files = library.export(&barcode, &directory)?;
        drop(library);
        let details = format!(
            "cartridge {barcode} holds {}, as plain tools see it:",
            text::plural(files.into(), "tape file")
        );
        self.steps.tell("looked at", files > 0, started.elapsed(), None, details);
        for number in 0..files {
            let size = fs::metadata(directory.join(format!("{number:04}"))).map_or(0, |found| found.len());
            let is_archive = archives.iter().any(|a| a.part == part.number && a.file == u64::from(number));
            let what = match number {
                0 => "tar: volume.json and README.txt, which says how to restore without Reelward",
                _ if is_archive => "tar: the files",
                _ if part.index_file == Some(u64::from(number)) => "tar: the index, set.json and its table",
                _ => "of another set",
            };
            self.steps.note(&format!("{number:04} {:>9}  {what}", text::bytes(size)));
        }
        self.tell_places(&directory);
        Ok(())
    }

    fn tell_places(&self, tape: &Path) {
        if !self.workshop.is_kept() {
            self.steps.note("all of it is removed again; --keep keeps it");
            return;
        }
        let state = self.workshop.state.display();
        self.steps.note(&format!("catalog   {state}/catalog.sqlite"));
        self.steps.note(&format!("library   {state}/{EMBEDDED}"));
        self.steps.note(&format!("restored  {}", self.workshop.folder.join("restored").display()));
        self.steps.note(&format!("tape      {}: try `tar -tvf 0001` there", tape.display()));
    }
}

/// Where a restore beneath `target` puts an absolute path.
fn beneath(target: &Path, absolute: &Path) -> PathBuf {
    target.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

/// Records that the drives read since the library was opened last; it wrote that down when it was closed.
fn records_read(library: &Path) -> Option<u64> {
    let text = fs::read_to_string(library.join("statistics.json")).ok()?;
    let statistics: Statistics = serde_json::from_str(&text).ok()?;
    Some((0..2).map(|index| statistics.count(Unit::Drive(index), READ)).sum())
}
