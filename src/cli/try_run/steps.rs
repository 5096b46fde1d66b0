//! The numbered steps as they are told, and as JSON.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::output::{Output, Tone};
use crate::cli::text;

/// Characters of a step's name.
const NAME_WIDTH: usize = 13;

/// One step that is over.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    number: usize,
    step: &'static str,
    ok: bool,
    seconds: f64,
    details: String,
}

/// Steps told so far.
#[derive(Debug)]
pub(super) struct Steps {
    output: Output,
    done: Vec<Step>,
    started: Instant,
}

impl Steps {
    pub(super) fn new(output: Output) -> Steps {
        Steps { output, done: Vec::new(), started: Instant::now() }
    }

    /// Tells one step; `bytes` gives a rate.
    pub(super) fn tell(
        &mut self,
        step: &'static str,
        ok: bool,
        took: Duration,
        bytes: Option<u64>,
        details: String,
    ) {
        let number = self.done.len() + 1;
        let rate =
            bytes.map(|bytes| format!(", {}", text::rate(bytes, took.as_secs_f64()))).unwrap_or_default();
        let tone = if ok { Tone::Good } else { Tone::Bad };
        self.output.line(&format!(
            "{number:2}  {}  {details} {}",
            self.output.paint(tone, &format!("{step:NAME_WIDTH$}")),
            self.output.paint(Tone::Faint, &format!("({}{rate})", text::duration(took))),
        ));
        self.done.push(Step { number, step, ok, seconds: took.as_secs_f64(), details });
    }

    /// A line that belongs to the step before it.
    pub(super) fn note(&self, line: &str) {
        self.output.line(&format!("    {:NAME_WIDTH$}  {line}", ""));
    }

    /// Whether no step failed.
    pub(super) fn all_well(&self) -> bool {
        self.done.iter().all(|step| step.ok)
    }

    /// The names of the steps that failed.
    pub(super) fn failed(&self) -> Vec<String> {
        self.done
            .iter()
            .filter(|step| !step.ok)
            .map(|step| format!("{} ({})", step.number, step.step))
            .collect()
    }

    /// All steps, for programs.
    pub(super) fn list(&self) -> &[Step] {
        &self.done
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
