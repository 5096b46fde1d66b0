//! What to do about a cartridge or a drive: pure functions of what is known. docs/health.md explains the thresholds.

use serde::{Deserialize, Serialize};

use crate::catalog::{AlertSeverity, Happened};

/// Life left, percent: at or below the first a cartridge is to be retired, at or below the second watched.
const LIFE: (u64, u64) = (5, 20);
/// Loads in a cartridge's life: LTO cartridges are made for 20,000.
const LOADS: (u64, u64) = (20_000, 18_000);
/// Failed reads and writes, by our history, of a cartridge that failed in more than one drive.
const FAILURES: u64 = 2;
/// Corrected errors for each GB: below this nothing is said, however much better others are.
const LEAST_RATE: f64 = 100.0;
/// Times the usual rate that is too much.
const RATE_RATIO: f64 = 10.0;
/// Bytes that must have moved before a rate says anything.
const LEAST_BYTES: u64 = 10_000_000_000;
/// Cartridges on which a drive must do badly before it is the drive.
const LEAST_CARTRIDGES: usize = 3;
/// TapeAlert flags by which a cartridge is to be retired: medium, media life, mechanics, system area.
const RETIRE_FLAGS: [u8; 6] = [4, 7, 14, 52, 53, 8];
/// TapeAlert flags by which a drive is faulty and cleaning does not help.
const DRIVE_FLAGS: [u8; 4] = [30, 31, 38, 58];

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Nothing.
    Fine,
    /// Keep an eye on it.
    Watch,
    /// Clean the drive.
    Clean,
    /// Take it out of use: copy what is on the cartridge, or have the drive repaired.
    Retire,
}

impl Advice {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::Fine => "fine",
            Advice::Watch => "watch",
            Advice::Clean => "clean",
            Advice::Retire => "retire",
        }
    }
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What to do.
    pub advice: Advice,
    /// Why, in a sentence without a full stop; empty where all is fine.
    pub reason: String,
}

impl Judgement {
    fn fine() -> Judgement {
        Judgement { advice: Advice::Fine, reason: String::new() }
    }

    fn of(advice: Advice, reason: impl Into<String>) -> Judgement {
        Judgement { advice, reason: reason.into() }
    }
}

/// An alert that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complained {
    /// TapeAlert flag, or 0.
    pub flag: u8,
    /// How much it matters.
    pub severity: AlertSeverity,
    /// What is wrong.
    pub message: String,
}

/// One side of what a drive and a cartridge did together: the other one's name, and what happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// The drive, where a cartridge is judged; the cartridge, where a drive is.
    pub other: String,
    /// What happened.
    pub happened: Happened,
}

/// What is known of a cartridge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CartridgeFacts {
    /// Percent.
    pub life_left: Option<u64>,
    /// In its life.
    pub loads: Option<u64>,
    /// With each drive.
    pub drives: Vec<Together>,
    /// Corrected errors for each GB that are usual: of all cartridges and drives together.
    pub usual_rate: Option<f64>,
    /// Alerts that are not over.
    pub alerts: Vec<Complained>,
}

/// What is known of a drive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DriveFacts {
    /// The drive asks for cleaning: before it goes on, or at the next opportunity.
    pub cleaning_required: bool,
    /// The drive asks for cleaning at the next opportunity.
    pub cleaning_requested: bool,
    /// With each cartridge.
    pub cartridges: Vec<Together>,
    /// Corrected errors for each GB that are usual: of all cartridges and drives together.
    pub usual_rate: Option<f64>,
    /// Alerts that are not over.
    pub alerts: Vec<Complained>,
}

/// Whether a rate is too high, and what it is.
fn excess(happened: &Happened, usual: Option<f64>) -> Option<f64> {
    if happened.written.saturating_add(happened.read) < LEAST_BYTES {
        return None;
    }
    let rate = happened.corrected_per_gb()?;
    (rate >= LEAST_RATE && usual.is_none_or(|usual| rate >= usual * RATE_RATIO)).then_some(rate)
}

fn flagged(alerts: &[Complained], flags: &[u8]) -> Option<String> {
    alerts.iter().find(|alert| flags.contains(&alert.flag)).map(|alert| alert.message.clone())
}

/// The worst alert that is more than for the record.
fn worst(alerts: &[Complained]) -> Option<String> {
    let told = alerts.iter().filter(|alert| alert.severity > AlertSeverity::Info);
    told.max_by_key(|alert| alert.severity).map(|alert| alert.message.clone())
}

/// What to do about a cartridge.
pub fn of_cartridge(facts: &CartridgeFacts) -> Judgement {
    if let Some(message) = flagged(&facts.alerts, &RETIRE_FLAGS) {
        return Judgement::of(Advice::Retire, message);
    }
    if let Some(left) = facts.life_left.filter(|&left| left <= LIFE.0) {
        return Judgement::of(Advice::Retire, format!("{left} % of its life is left"));
    }
    if let Some(loads) = facts.loads.filter(|&loads| loads >= LOADS.0) {
        return Judgement::of(
            Advice::Retire,
            format!("loaded {loads} times; LTO cartridges are made for 20,000"),
        );
    }
    let failed: u64 = facts.drives.iter().map(|with| with.happened.failed()).sum();
    let failing = facts.drives.iter().filter(|with| with.happened.failed() > 0).count();
    if failed >= FAILURES && failing > 1 {
        let reason = format!("{failed} reads or writes failed, in {failing} different drives");
        return Judgement::of(Advice::Retire, reason);
    }
    if let Some(left) = facts.life_left.filter(|&left| left <= LIFE.1) {
        return Judgement::of(Advice::Watch, format!("{left} % of its life is left"));
    }
    if let Some(loads) = facts.loads.filter(|&loads| loads >= LOADS.1) {
        return Judgement::of(
            Advice::Watch,
            format!("loaded {loads} times; LTO cartridges are made for 20,000"),
        );
    }
    if failed > 0 {
        let drives = facts.drives.iter().filter(|with| with.happened.failed() > 0);
        let names: Vec<&str> = drives.map(|with| with.other.as_str()).collect();
        let reason = format!("{failed} reads or writes failed, in drive {}", names.join(", "));
        return Judgement::of(Advice::Watch, reason);
    }
    let worn: Vec<&Together> =
        facts.drives.iter().filter(|with| excess(&with.happened, facts.usual_rate).is_some()).collect();
    if let [only] = worn.as_slice()
        && facts.drives.len() > 1
    {
        let reason = format!("many corrected errors, but only in drive {}: look at the drive", only.other);
        return Judgement::of(Advice::Watch, reason);
    }
    if let Some(rate) =
        worn.iter().filter_map(|with| excess(&with.happened, facts.usual_rate)).reduce(f64::max)
    {
        return Judgement::of(Advice::Watch, format!("{rate:.0} corrected errors for each GB"));
    }
    match worst(&facts.alerts) {
        Some(message) => Judgement::of(Advice::Watch, message),
        None => Judgement::fine(),
    }
}

/// What to do about a drive.
pub fn of_drive(facts: &DriveFacts) -> Judgement {
    if let Some(message) = flagged(&facts.alerts, &DRIVE_FLAGS) {
        return Judgement::of(Advice::Retire, message);
    }
    if facts.cleaning_required {
        return Judgement::of(Advice::Clean, "the drive must be cleaned before it goes on");
    }
    if facts.cleaning_requested {
        return Judgement::of(Advice::Clean, "the drive asks to be cleaned");
    }
    let bad =
        facts.cartridges.iter().filter(|with| excess(&with.happened, facts.usual_rate).is_some()).count();
    if bad >= LEAST_CARTRIDGES && bad * 2 > facts.cartridges.len() {
        let reason = format!("many corrected errors on {bad} of {} cartridges", facts.cartridges.len());
        return Judgement::of(Advice::Clean, reason);
    }
    let failed: u64 = facts.cartridges.iter().map(|with| with.happened.failed()).sum();
    let failing = facts.cartridges.iter().filter(|with| with.happened.failed() > 0).count();
    if failing >= LEAST_CARTRIDGES {
        let reason = format!("{failed} reads or writes failed, on {failing} different cartridges");
        return Judgement::of(Advice::Clean, reason);
    }
    match worst(&facts.alerts) {
        Some(message) => Judgement::of(Advice::Watch, message),
        None => Judgement::fine(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(other: &str, corrected_per_gb: u64, failed: u64) -> Together {
        let happened = Happened {
            written: 50_000_000_000,
            write_corrected: 50 * corrected_per_gb,
            read_failed: failed,
            ..Happened::default()
        };
        Together { other: other.into(), happened }
    }

    fn alert(flag: u8, severity: AlertSeverity) -> Complained {
        Complained { flag, severity, message: format!("flag {flag}") }
    }

    #[test]
    fn cartridges() {
        let advice = |change: &dyn Fn(&mut CartridgeFacts)| {
            let mut facts = CartridgeFacts { usual_rate: Some(20.0), ..CartridgeFacts::default() };
            change(&mut facts);
            of_cartridge(&facts).advice
        };
        use Advice::*;
        assert_eq!(advice(&|_| {}), Fine);
        for (left, wanted) in [(0, Retire), (5, Retire), (6, Watch), (20, Watch), (21, Fine), (100, Fine)] {
            assert_eq!(advice(&|f| f.life_left = Some(left)), wanted, "{left} %");
        }
        for (loads, wanted) in [(17_999, Fine), (18_000, Watch), (20_000, Retire)] {
            assert_eq!(advice(&|f| f.loads = Some(loads)), wanted, "{loads} loads");
        }
        // Failures in two drives are the cartridge's; in one drive that is not known.
        assert_eq!(advice(&|f| f.drives = vec![together("a", 1, 1), together("b", 1, 1)]), Retire);
        assert_eq!(advice(&|f| f.drives = vec![together("a", 1, 9), together("b", 1, 0)]), Watch);
        // Rates: 200 for each GB is ten times what is usual.
        assert_eq!(advice(&|f| f.drives = vec![together("a", 199, 0)]), Fine);
        assert_eq!(advice(&|f| f.drives = vec![together("a", 200, 0)]), Watch);
        assert_eq!(advice(&|f| (f.drives, f.usual_rate) = (vec![together("a", 99, 0)], None)), Fine);
        assert_eq!(advice(&|f| (f.drives, f.usual_rate) = (vec![together("a", 100, 0)], None)), Watch);
        let facts = CartridgeFacts {
            drives: vec![together("a", 900, 0), together("b", 5, 0)],
            usual_rate: Some(20.0),
            ..CartridgeFacts::default()
        };
        assert!(of_cartridge(&facts).reason.contains("only in drive a"));
        // Little data says nothing.
        let mut little = together("a", 900, 0);
        little.happened.written = 9_000_000_000;
        assert_eq!(advice(&|f| f.drives = vec![little.clone()]), Fine);
        assert_eq!(advice(&|f| f.alerts = vec![alert(4, AlertSeverity::Critical)]), Retire);
        assert_eq!(advice(&|f| f.alerts = vec![alert(1, AlertSeverity::Warning)]), Watch);
        assert_eq!(advice(&|f| f.alerts = vec![alert(19, AlertSeverity::Info)]), Fine);
    }

    #[test]
    fn drives() {
        let advice = |change: &dyn Fn(&mut DriveFacts)| {
            let mut facts = DriveFacts { usual_rate: Some(20.0), ..DriveFacts::default() };
            change(&mut facts);
            of_drive(&facts).advice
        };
        use Advice::*;
        assert_eq!(advice(&|_| {}), Fine);
        assert_eq!(advice(&|f| f.cleaning_requested = true), Clean);
        assert_eq!(advice(&|f| f.cleaning_required = true), Clean);
        assert_eq!(advice(&|f| f.alerts = vec![alert(38, AlertSeverity::Critical)]), Retire);
        assert_eq!(advice(&|f| f.alerts = vec![alert(26, AlertSeverity::Warning)]), Watch);
        let bad = |count: usize, good: usize| {
            let mut all: Vec<Together> = (0..count).map(|n| together(&n.to_string(), 500, 0)).collect();
            all.extend((0..good).map(|n| together(&format!("good {n}"), 3, 0)));
            all
        };
        assert_eq!(advice(&|f| f.cartridges = bad(3, 2)), Clean);
        assert_eq!(advice(&|f| f.cartridges = bad(3, 3)), Fine);
        assert_eq!(advice(&|f| f.cartridges = bad(2, 0)), Fine);
        let failing = |count: usize| (0..count).map(|n| together(&n.to_string(), 0, 1)).collect::<Vec<_>>();
        assert_eq!(advice(&|f| f.cartridges = failing(2)), Fine);
        assert_eq!(advice(&|f| f.cartridges = failing(3)), Clean);
    }
}
