//! Commands beside a daemon: the same answers and exit codes as without one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use super::support::daemon::{Daemon, Start, eventually};
use super::support::reelward::Reelward;
use super::support::tree::assert_same;

/// A state directory, with or without a daemon on it, and a directory to restore into.
struct Side {
    place: tempfile::TempDir,
    reelward: Reelward,
    daemon: Option<Daemon>,
}

impl Side {
    fn alone() -> Side {
        let place = tempfile::tempdir().unwrap();
        let reelward = Reelward::new(place.path().join("state"));
        reelward.ok(["library", "status"]);
        Side { place, reelward, daemon: None }
    }

    fn with_daemon() -> Side {
        let side = Side::alone();
        let daemon = Daemon::new(side.reelward.state_dir());
        Side { daemon: Some(daemon), ..side }
    }

    /// The same library, with a daemon.
    fn twin(&self, with_drive_alone: bool) -> Side {
        let place = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(self.path("state")).arg(place.path()).status().unwrap();
        assert!(copied.success());
        let reelward = Reelward::new(place.path().join("state"));
        let mut start = Start::default();
        if with_drive_alone {
            let drive = format!("virtual://{}/library#drive0", reelward.state_dir().display());
            start.args = vec!["--drive".into(), drive];
        }
        let daemon = Daemon::with(reelward.state_dir(), &start);
        Side { place, reelward, daemon: Some(daemon) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// One command; `{}` stands for the place. Exit code and standard output, without what differs from run to run.
    fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let own = self.place.path().to_str().unwrap();
        let args = args.iter().map(|arg| arg.replace("{}", own));
        let output = self.reelward.run(args);
        let text = String::from_utf8(output.stdout).unwrap().replace(own, "PLACE");
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(mut value) => {
                timeless(&mut value);
                format!("{value:#}")
            }
            // `... in 20 ms (5 MB/s)`. A cartridge may have stayed in the drive: the order is another then.
            Err(_) => {
                let has_time =
                    |line: &str, at: usize| line[at + 4..].starts_with(|c: char| c.is_ascii_digit());
                let timeless = |line: &str| match line.rfind(" in ").filter(|at| has_time(line, *at)) {
                    Some(at) => line[..at].to_owned(),
                    None => line.to_owned(),
                };
                let mut lines: Vec<String> = text.lines().map(timeless).collect();
                if text.contains("rebuilt") {
                    lines.sort();
                }
                lines.join("\n")
            }
        };
        (output.status.code(), without_identities(&text))
    }
}

fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "seconds" || name == "stored_bytes" {
                    assert!(value.is_number());
                    *value = Value::Null;
                }
                timeless(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// Identities are made up anew each time: 36 characters, four of them `-`.
fn without_identities(text: &str) -> String {
    let is_identity = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        if rest.len() >= 36 && is_identity(&rest.as_bytes()[..36]) {
            out.push_str("IDENTITY");
            rest = &rest[36..];
        } else {
            let next = rest.chars().next().unwrap();
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

fn tree(at: &Path) -> PathBuf {
    let tree = at.join("tree");
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    for number in 0..40u8 {
        fs::write(tree.join(format!("sub/file-{number}")), vec![number; 3000]).unwrap();
    }
    fs::write(tree.join("left-out.tmp"), "x").unwrap();
    std::os::unix::fs::symlink("sub/file-1", tree.join("link")).unwrap();
    tree
}

#[test]
fn the_care_of_a_drive_is_a_task_beside_a_daemon() {
    let alone = Side::alone();
    let beside = alone.twin(false);
    for side in [&alone, &beside] {
        side.reelward.ok(["library", "load", "RW0001L9"]);
    }
    let names =
        |value: serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    for care in ["health", "retension", "clean"] {
        let told = [&alone, &beside].map(|side| names(side.reelward.json(["drive", care])));
        assert_eq!(told[0], told[1], "drive {care}");
        assert!(told[0].len() > 2, "drive {care}: {told:?}");
    }
    let (stdout, _) = beside.reelward.exits(0, ["drive", "health"]);
    assert!(stdout.contains("not needed"), "{stdout}");
}

#[test]
fn every_command_says_the_same_with_and_without_a_daemon() {
    let shared = tempfile::tempdir().unwrap();
    let data = tree(shared.path()).to_str().unwrap().to_owned();
    let key = shared.path().join("key");
    let other = shared.path().join("other-key");
    let alone = Side::alone();
    let beside = alone.twin(false);
    let recipient =
        alone.reelward.json(["key", "create", "--output", key.to_str().unwrap()])["recipient"].clone();
    alone.reelward.ok(["key", "create", "--output", other.to_str().unwrap()]);
    let (key, other) = (key.to_str().unwrap(), other.to_str().unwrap());
    let (data, to) = (data.as_str(), recipient.as_str().unwrap());
    let file = format!("{data}/sub/file-7");
    let steps: &[(i32, &[&str])] = &[
        // The library.
        (0, &["library", "status"]),
        (0, &["library", "status", "--json"]),
        (0, &["drive", "status"]),
        (0, &["library", "load", "RW0001L9", "--json"]),
        (0, &["drive", "status", "--json"]),
        (0, &["library", "load", "RW0001L9"]),
        (0, &["library", "load", "RW0002L9", "--into", "1"]),
        (0, &["library", "unload", "--from", "1", "--json"]),
        (0, &["library", "unload"]),
        (1, &["library", "load", "NOTHING", "--json"]),
        (0, &["library", "export", "RW0008L9", "--json"]),
        (0, &["library", "import"]),
        (0, &["library", "import", "--json"]),
        (0, &["library", "inventory", "--json"]),
        (1, &["library", "transfer", "RW0003L9", "60000"]),
        // Volumes.
        (0, &["tape", "label", "--label", "FIRST"]),
        (0, &["library", "unload", "--json"]),
        (
            0,
            &[
                "tape",
                "label",
                "RW0002L9",
                "--label",
                "SECOND",
                "--pool",
                "keep",
                "--record-size",
                "64K",
                "--json",
            ],
        ),
        (1, &["tape", "label", "RW0002L9", "--json"]),
        (0, &["tape", "label", "RW0002L9", "--overwrite", "--label", "SECOND", "--json"]),
        (0, &["library", "inventory", "--read-labels"]),
        // Backups.
        (
            0,
            &[
                "backup",
                data,
                "--exclude",
                "*.tmp",
                "--compress",
                "zstd:1",
                "--checkpoint-bytes",
                "64K",
                "--json",
            ],
        ),
        (0, &["backup", data, "--volume", "FIRST", "--job", "other", "--one-file-system"]),
        (0, &["backup", data, "--exclude", "*.tmp", "--kind", "incremental", "--job", "backup", "--json"]),
        (
            0,
            &[
                "backup",
                data,
                "--encrypt-to",
                to,
                "--job",
                "secret",
                "--checkpoint-seconds",
                "5",
                "--buffer",
                "8",
            ],
        ),
        (1, &["backup", data, "--volume", "NONE", "--json"]),
        (1, &["backup", "{}/is-not-there", "--json"]),
        (1, &["backup", "--resume", "1", "--json"]),
        // Back.
        (0, &["restore", "--set", "1", "--to", "{}/out"]),
        (0, &["restore", &file, "--set", "1", "--to", "{}/out", "--json"]),
        (
            0,
            &[
                "restore",
                &file,
                "--set",
                "1",
                "--to",
                "{}/out",
                "--overwrite",
                "rename",
                "--owners",
                "never",
                "--json",
            ],
        ),
        (0, &["restore", "--set", "1", "--to", "{}/out", "--dry-run"]),
        (1, &["restore", "/nothing/like/it", "--to", "{}/out", "--json"]),
        (1, &["restore", "--set", "4", "--to", "{}/secret", "--json"]),
        (1, &["restore", "--set", "4", "--to", "{}/secret", "--identity", other, "--json"]),
        (0, &["restore", "--set", "4", "--to", "{}/secret", "--identity", key, "--json"]),
        (0, &["verify", "--set", "1"]),
        (1, &["verify", "--json"]),
        (0, &["verify", "--identity", key, "--json"]),
        (0, &["verify", "--volume", "FIRST", "--identity", key]),
        (1, &["verify", "--volume", "NONE", "--json"]),
        (1, &["catalog", "rebuild", "--json"]),
        (0, &["catalog", "rebuild", "--identity", key]),
        (0, &["catalog", "rebuild", "FIRST", "--identity", key, "--json"]),
        // What reads the catalog alone.
        (0, &["find", "file-7", "--json"]),
        (0, &["catalog", "check", "--json"]),
    ];
    let mut wrong = Vec::new();
    for (code, args) in steps {
        let (one, two) = (alone.said(args), beside.said(args));
        if one.0 != Some(*code) || one != two {
            let differs = one.1.lines().zip(two.1.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{args:?}: {code} expected, {:?} {:?}\n{differs:#?}", one.0, two.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let inner = data.strip_prefix('/').unwrap();
    fs::remove_file(format!("{data}/left-out.tmp")).unwrap();
    for side in [&alone, &beside] {
        let restored = side.path("out").join(inner);
        fs::remove_file(restored.join("sub/file-7.restored")).unwrap();
        assert_eq!(fs::read(restored.join("sub/file-9")).unwrap(), vec![9; 3000]);
        assert_eq!(fs::read(side.path("secret").join(inner).join("sub/file-9")).unwrap(), vec![9; 3000]);
    }
    // The key is nowhere in the state directory.
    let secret = fs::read_to_string(key).unwrap();
    let secret = secret.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
    for entry in
        fs::read_dir(beside.reelward.state_dir()).unwrap().flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{:?}", entry.path());
    }
    let daemon = beside.daemon.as_ref().unwrap();
    assert!(!daemon.errors.lock().unwrap().contains("AGE-SECRET"));
    assert!(!daemon.owner().got("/api/v1/tasks?limit=1000").to_string().contains("AGE-SECRET"));
}

#[test]
fn a_volume_that_somebody_must_insert_is_exit_code_three() {
    let shared = tempfile::tempdir().unwrap();
    let data = tree(shared.path()).to_str().unwrap().to_owned();
    let alone = Side::alone();
    alone.reelward.ok(["tape", "label", "RW0001L9"]);
    alone.reelward.ok(["backup", &data]);
    alone.reelward.ok(["library", "unload"]);
    // A drive without a changer: what lies in a slot is out of reach.
    let beside = alone.twin(true);
    let drive = "virtual://{}/state/library#drive0";
    let steps: &[(i32, &[&str])] = &[
        (3, &["restore", "--to", "{}/out", "--drive", drive, "--json"]),
        (3, &["restore", "--to", "{}/out", "--drive", drive]),
        (3, &["backup", &data, "--volume", "RW0001L9", "--drive", drive, "--json"]),
        (3, &["tape", "label", "RW0002L9", "--drive", drive, "--json"]),
        (3, &["verify", "--drive", drive, "--json"]),
    ];
    for (code, args) in steps {
        let (one, two) = (alone.said(args), beside.said(args));
        assert_eq!(one.0, Some(*code), "{args:?}: {}", one.1);
        assert_eq!(one, two, "{args:?}");
    }
    // Nothing waits for anybody any more.
    let owner = beside.daemon.as_ref().unwrap().owner();
    let live = owner.got("/api/v1/tasks?status=queued,running,waiting_for_operator");
    assert_eq!(live["total"], 0, "{live:#}");
}

#[test]
fn relative_and_odd_paths_mean_the_same_to_the_daemon() {
    let side = Side::with_daemon();
    let odd = OsStr::from_bytes(b"odd \xff%41\xc3");
    let data = side.path("data").join(odd);
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join(OsStr::from_bytes(b"\xfe")), "inside").unwrap();
    side.reelward.ok(["tape", "label", "RW0001L9"]);
    let within = |args: &[&OsStr]| {
        let output = side.reelward.command(args).current_dir(side.path("data")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    within(&["backup".as_ref(), odd]);
    let out = OsStr::from_bytes(b"out\xff");
    within(&["restore".as_ref(), "--to".as_ref(), out]);
    let root = side.path("data").canonicalize().unwrap();
    let restored = root.join(out).join(root.strip_prefix("/").unwrap()).join(odd);
    assert_same(&data, &restored);
}

/// A backup over the daemon that takes a while, once it runs; the number of its task.
fn long_backup(side: &Side) -> (Child, i64) {
    let data = side.path("long");
    fs::create_dir(&data).unwrap();
    let mut random = super::support::random::Random::new(3);
    for number in 0..32 {
        // Compresses, slowly.
        let bytes: Vec<u8> = random.bytes(1 << 20).iter().map(|byte| b'a' + (byte & 15)).collect();
        fs::write(data.join(format!("file-{number}")), bytes).unwrap();
    }
    side.reelward.ok(["tape", "label", "RW0001L9"]);
    let args = ["backup", data.to_str().unwrap(), "--compress", "zstd:12", "--json"];
    let child = side.reelward.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let owner = side.daemon.as_ref().unwrap().owner();
    let task = eventually("the backup writes", || {
        let tasks = owner.got("/api/v1/tasks?kind=backup&status=running");
        let task = tasks["tasks"].as_array()?.first()?.clone();
        let one = owner.got(&format!("/api/v1/tasks/{}", task["id"]));
        (one["progress"]["files"].as_u64()? > 0).then(|| one["id"].as_i64())?
    });
    (child, task)
}

#[test]
fn an_interrupt_cancels_the_task_at_a_safe_point() {
    let side = Side::with_daemon();
    let (child, task) = long_backup(&side);
    kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["cancelled"], true);
    let row = side.daemon.as_ref().unwrap().owner().got(&format!("/api/v1/tasks/{task}"));
    assert_eq!(row["status"], "cancelled");
    // What was reached is readable, and the set can go on.
    assert_eq!(side.reelward.json(["verify"])["faults"], 0);
    let resumed = side.reelward.json(["backup", "--resume", "1", "--compress", "zstd:1"]);
    assert_eq!(resumed["set"], report["set"]);
    assert_eq!(resumed["cancelled"], false);
}

#[test]
fn a_daemon_that_dies_takes_its_task_up_again() {
    let mut side = Side::with_daemon();
    let (child, task) = long_backup(&side);
    side.daemon.take().unwrap().kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("goes on") && text.contains("at the daemon's next start"), "{text}");
    let daemon = Daemon::new(side.reelward.state_dir());
    let row = eventually("the backup is complete", || {
        let row = daemon.owner().got(&format!("/api/v1/tasks/{task}"));
        (row["status"] == "completed").then_some(row)
    });
    assert_eq!(row["attempt"], 2);
    assert_eq!(side.reelward.json(["ls"])["sets"].as_array().unwrap().len(), 1);
}

#[test]
fn devices_that_the_daemon_does_not_have_are_refused_with_the_way_out() {
    let side = Side::with_daemon();
    let state = side.reelward.state_dir().to_str().unwrap().to_owned();
    let own = format!("virtual://{state}/library#drive1");
    let status = side.reelward.json(["drive", "status", "--drive", &own]);
    assert_eq!(status["name"], own);
    let changer = format!("virtual://{state}/library#changer");
    side.reelward.ok(["library", "status", "--drive", &own, "--changer", &changer]);
    let (_, stderr) = side.reelward.exits(1, ["drive", "status", "--drive", "/dev/nst77"]);
    assert!(stderr.contains("/dev/nst77") && stderr.contains("stop the daemon"), "{stderr}");
    let (_, stderr) = side.reelward.exits(1, ["library", "status", "--changer", "/dev/sch77"]);
    assert!(stderr.contains("/dev/sch77") && stderr.contains("stop the daemon"), "{stderr}");
    let (_, stderr) = side.reelward.exits(2, ["library", "status", "--break-reservation"]);
    assert!(stderr.contains("stop it first"), "{stderr}");
}

#[test]
fn users_and_the_audit_log_beside_a_daemon() {
    let side = Side::with_daemon();
    let mut child = side
        .reelward
        .command(["user", "create", "anna", "--role", "operator", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"correct horse battery\n").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    side.daemon.as_ref().unwrap().sign_in("anna", "correct horse battery");
    side.reelward.ok(["tape", "label", "RW0001L9"]);
    assert_eq!(side.reelward.json(["audit", "verify"])["sound"], true);
    // Somebody who is no administrator cannot submit whatever work there is.
    let anna = side.daemon.as_ref().unwrap().sign_in("anna", "correct horse battery");
    let body = serde_json::json!({ "work": { "kind": "library", "step": "status" } });
    assert_eq!(anna.post("/api/v1/tasks", &body).status, 403);
    let owner = side.daemon.as_ref().unwrap().owner();
    assert_eq!(owner.post("/api/v1/tasks", &serde_json::json!({ "work": { "kind": "dance" } })).status, 400);
    let keyed = serde_json::json!({ "work": { "kind": "verify" }, "identities": ["AGE-SECRET-KEY-1NONE"] });
    let answer = owner.post("/api/v1/tasks", &keyed);
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("NONE"), "{}", answer.text());
}
