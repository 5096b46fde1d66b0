//! What there is to say of devices and state: one thing each, with what to do.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Looked at, and as it should be.
    Good,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something does not work, or will not.
    Wrong,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Drives, changers and what leads to them.
    Devices,
    /// State directory, catalog, clock.
    State,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub area: Area,
    /// A word for programs that never changes, as in `no_permission`.
    pub code: &'static str,
    /// The device, file or directory.
    pub subject: String,
    /// What was seen, in a sentence without a capital or full stop.
    pub what: String,
    /// What to do; empty where nothing has to be done.
    pub advice: String,
}

impl Finding {
    /// Something that does not work.
    pub fn wrong(code: &'static str, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Wrong, code, subject, what)
    }

    /// Something worth knowing.
    pub fn note(code: &'static str, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, code, subject, what)
    }

    /// Something as it should be.
    pub fn good(code: &'static str, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Good, code, subject, what)
    }

    fn new(
        severity: Severity,
        code: &'static str,
        subject: impl Into<String>,
        what: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            area: Area::Devices,
            code,
            subject: subject.into(),
            what: what.into(),
            advice: String::new(),
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..self }
    }

    /// The same, about the state directory.
    #[must_use]
    pub fn of_state(self) -> Finding {
        Finding { area: Area::State, ..self }
    }
}
