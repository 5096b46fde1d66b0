//! Standard output and standard error, colours where they are wanted.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// How the command speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
    colour: bool,
    colour_errors: bool,
}

/// What a word means, hence its colour on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// All is well.
    Good,
    /// Look at it.
    Warning,
    /// It went wrong.
    Bad,
    /// A heading.
    Strong,
    /// By the way.
    Faint,
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR`.
    pub(super) fn new(json: bool, quiet: bool) -> Output {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Output {
            json,
            quiet,
            colour: wanted && std::io::stdout().is_terminal(),
            colour_errors: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// Whether standard output is for one JSON object.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress is to be shown.
    pub(super) fn shows_progress(self) -> bool {
        !self.json && !self.quiet
    }

    /// A line of the answer for people; nothing with `--json`.
    pub(super) fn line(self, text: &str) {
        if !self.json {
            print(&format!("{text}\n"));
        }
    }

    /// The answer for programs.
    pub(super) fn json(self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => print(&format!("{text}\n")),
            Err(error) => self.error(&format!("the answer cannot be written as JSON: {error}")),
        }
    }

    /// The answer: the object with `--json`, else the lines.
    pub(super) fn answer(self, value: &impl Serialize, lines: impl FnOnce() -> String) {
        if self.json { self.json(value) } else { print(&lines()) }
    }

    /// Something to look at, on standard error.
    pub(super) fn warning(self, text: &str) {
        tell(&format!("reelward: {} {text}\n", painted(self.colour_errors, Tone::Warning, "warning:")));
    }

    /// What went wrong, on standard error.
    pub(super) fn error(self, text: &str) {
        tell(&format!("reelward: {} {text}\n", painted(self.colour_errors, Tone::Bad, "error:")));
    }

    /// `text` in the tone's colour, for standard output.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.colour, tone, text)
    }
}

/// Writes to standard output; who closed it wants no more.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(i32::from(super::error::FAILED));
    }
}

/// Writes to standard error; a closed one is not an error.
pub(super) fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn painted(colour: bool, tone: Tone, text: &str) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "31",
        Tone::Strong => "1",
        Tone::Faint => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
