//! Shows a running task on standard error: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Output, tell};
use super::text;
use crate::pipeline::{Phase, Progress, Snapshot};

/// How often a terminal is drawn.
const DRAW: Duration = Duration::from_millis(120);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// A task that is shorter says nothing of itself in a log.
const PATIENCE: Duration = Duration::from_secs(1);
/// Characters of the path in work that are shown.
const PATH_SHOWN: usize = 60;

/// Runs `work` and shows its progress under `title` until it returns.
pub(super) fn watched<T>(output: Output, title: &str, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !output.shows_progress() {
        return work(&progress);
    }
    std::thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        let shown = &progress;
        let show = move || match std::io::stderr().is_terminal() {
            true => draw(title, shown, &ended),
            false => write_lines(title, shown, &ended),
        };
        // A task without its display is still a task.
        let shower = std::thread::Builder::new().name("progress".into()).spawn_scoped(scope, show);
        let result = work(&progress);
        drop(end);
        if let Ok(shower) = shower {
            let _ = shower.join();
        }
        result
    })
}

fn has_ended(ended: &Receiver<()>, pause: Duration) -> bool {
    ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
}

/// What the phase is called.
fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Mounting => "mounting a volume",
        Phase::Transferring => "transferring",
        Phase::WritingIndex => "writing the index",
        Phase::Verifying => "verifying",
        Phase::Finishing => "finishing",
        Phase::Done => "done",
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn draw(title: &str, progress: &Progress, ended: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let open =
        bar_style("{spinner} {prefix}  {decimal_bytes}  {decimal_bytes_per_sec}  {elapsed}\n  {wide_msg}");
    let known = bar_style(
        "{spinner} {prefix} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left\n  {wide_msg}",
    );
    bar.set_style(open);
    bar.set_prefix(title.to_owned());
    let mut has_total = false;
    while !has_ended(ended, DRAW) {
        let now = progress.snapshot();
        if now.total_bytes > 0 && !has_total {
            has_total = true;
            bar.set_length(now.total_bytes);
            bar.set_style(known.clone());
        }
        bar.set_position(now.bytes);
        bar.set_message(details(&now));
        bar.tick();
    }
    bar.finish_and_clear();
}

/// Everything that is not a number of bytes.
fn details(now: &Snapshot) -> String {
    let mut text = match now.total_files {
        0 => text::plural(now.files, "object"),
        total => format!("{} of {}", text::count(now.files), text::plural(total, "object")),
    };
    text.push_str(&format!(", {}", phase(now.phase)));
    if now.buffer_percent > 0 {
        text.push_str(&format!(", buffer {} %", now.buffer_percent));
    }
    if !now.volume.is_empty() {
        text.push_str(&format!(", volume {}", text::name(now.volume.as_bytes())));
    }
    if !now.current.is_empty() {
        text.push_str(&format!(", {}", shortened(&now.current)));
    }
    text
}

/// The end of a long path says more than its beginning. The snapshot has escaped it already.
fn shortened(path: &str) -> String {
    let length = path.chars().count();
    if length <= PATH_SHOWN {
        return path.to_owned();
    }
    format!("...{}", path.chars().skip(length - PATH_SHOWN).collect::<String>())
}

fn write_lines(title: &str, progress: &Progress, ended: &Receiver<()>) {
    let started = Instant::now();
    let mut told: Option<(Phase, Instant)> = None;
    while !has_ended(ended, DRAW) {
        let now = progress.snapshot();
        let is_due = match told {
            None => started.elapsed() >= PATIENCE,
            Some((phase, at)) => phase != now.phase || at.elapsed() >= LINE,
        };
        if is_due && now.phase != Phase::Done {
            told = Some((now.phase, Instant::now()));
            tell(&format!("{}\n", plain(title, &now, started.elapsed())));
        }
    }
}

/// One line of a log.
fn plain(title: &str, now: &Snapshot, elapsed: Duration) -> String {
    let share = match now.total_bytes {
        0 => String::new(),
        total => format!(" of {}", text::bytes(total)),
    };
    let rate = text::rate(now.bytes, elapsed.as_secs_f64());
    let left = match (now.total_bytes.checked_sub(now.bytes), now.bytes) {
        (Some(left), 1..) => {
            let seconds = elapsed.as_secs_f64() * left as f64 / now.bytes as f64;
            format!(", {} left", text::seconds(seconds))
        }
        _ => String::new(),
    };
    format!("{title}: {}{share}, {rate}{left}, {}", text::bytes(now.bytes), details(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress::default();
        progress.total(10, 4_000_000);
        progress.done(3, 1_000_000);
        progress.phase(Phase::Transferring);
        progress.volume("REEL01L9");
        progress.current(b"etc/hosts");
        let line = plain("backup", &progress.snapshot(), Duration::from_secs(2));
        assert_eq!(
            line,
            "backup: 1.0 MB of 4.0 MB, 500.0 kB/s, 6.00 s left, 3 of 10 objects, transferring, volume REEL01L9, /etc/hosts"
        );
        assert_eq!(shortened(&"x".repeat(100)).chars().count(), PATH_SHOWN + 3);
    }

    #[test]
    fn the_work_runs_without_a_display() {
        let result = watched(Output::new(true, false), "nothing", |progress| {
            progress.done(1, 1);
            progress.snapshot().files
        });
        assert_eq!(result, 1);
    }
}
