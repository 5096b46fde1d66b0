//! The command line as a user meets it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::reelward::Reelward;
use crate::support::tree::assert_same;

/// Every command with its required arguments left out.
const COMMANDS: &[&[&str]] = &[
    &["try"],
    &["backup"],
    &["restore"],
    &["ls"],
    &["find"],
    &["verify"],
    &["tape"],
    &["tape", "label"],
    &["tape", "info"],
    &["tape", "list"],
    &["doctor"],
    &["drive"],
    &["drive", "list"],
    &["drive", "scan"],
    &["drive", "status"],
    &["library"],
    &["library", "status"],
    &["library", "load"],
    &["library", "unload"],
    &["library", "transfer"],
    &["catalog"],
    &["catalog", "rebuild"],
    &["catalog", "check"],
    &["key"],
    &["key", "create"],
    &["user"],
    &["user", "create"],
    &["user", "list"],
    &["user", "delete"],
    &["user", "passwd"],
    &["user", "unlock"],
    &["audit"],
    &["audit", "verify"],
    &["virtual"],
    &["virtual", "create"],
    &["virtual", "export"],
];

fn tree(root: &Path) {
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::write(root.join("hello.txt"), "hello\n").unwrap();
    fs::write(root.join("sub/line\nfeed"), "odd name").unwrap();
    fs::write(root.join("sub/deep/data"), vec![7; 300_000]).unwrap();
    fs::hard_link(root.join("hello.txt"), root.join("sub/again.txt")).unwrap();
    std::os::unix::fs::symlink("../hello.txt", root.join("sub/link")).unwrap();
    fs::set_permissions(root.join("sub/deep/data"), fs::Permissions::from_mode(0o640)).unwrap();
}

/// A place with a tree `data`, and a binary whose state is beside it.
fn place() -> (tempfile::TempDir, Reelward) {
    let place = tempfile::tempdir().unwrap();
    tree(&place.path().join("data"));
    let reelward = Reelward::new(place.path().join("state"));
    (place, reelward)
}

/// Arguments as strings.
fn args(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

fn with_path(before: &[&str], path: &Path, after: &[&str]) -> Vec<String> {
    let mut all = args(before);
    all.push(path.to_str().unwrap().to_owned());
    all.extend(args(after));
    all
}

#[test]
fn every_command_has_help() {
    let (_place, reelward) = place();
    for command in COMMANDS {
        let help = reelward.ok(command.iter().copied().chain(["--help"]));
        assert!(help.contains("Usage: reelward"), "{command:?}:\n{help}");
        assert!(help.contains("--json"), "{command:?} takes --json:\n{help}");
        assert!(help.contains("--state-dir"), "{command:?} takes --state-dir:\n{help}");
    }
    assert!(reelward.ok(["--version"]).starts_with("reelward "));
    assert!(!reelward.state_dir().exists(), "help makes nothing");
}

#[test]
fn wrong_usage_exits_with_2_and_does_nothing() {
    let (_place, reelward) = place();
    let wrong: &[&[&str]] = &[
        &["nonsense"],
        &["backup"],
        &["backup", "/etc", "--compress", "gzip"],
        &["backup", "/etc", "--compress", "zstd:99"],
        &["backup", "/etc", "--encrypt-to", "age1wrong"],
        &["backup", "/etc", "--checkpoint-bytes", "0"],
        &["backup", "/etc", "--checkpoint-bytes", "many"],
        &["backup", "/etc", "--buffer", "0"],
        &["backup", "/etc", "--job", ""],
        &["backup", "/etc", "--pool", ""],
        &["backup", "/etc", "--volume="],
        &["backup", "/etc", "--exclude", ""],
        &["restore", "--to", "x", "--set", ""],
        &["ls", "--set", ""],
        &["find", "x", "--set", ""],
        &["verify", "--set", ""],
        &["verify", "--volume", ""],
        &["tape", "label", "A", "--label", ""],
        &["tape", "label", "A", "--pool", ""],
        &["restore"],
        &["restore", "--to", "x", "--overwrite", "perhaps"],
        &["restore", "--to", "x", "--devices=maybe"],
        &["find"],
        &["verify", "--set", "1", "--volume", "A"],
        &["tape"],
        &["tape", "label", "A", "--destroy-sets"],
        &["tape", "label", "A", "--record-size", "5G"],
        &["library", "transfer", "A"],
        &["key", "create"],
        &["virtual", "create", "x", "--generation", "LTO-3"],
        &["virtual", "create", "x", "--drives", "0"],
        &["try", "/etc", "--drive", "virtual://x#drive0"],
    ];
    for command in wrong {
        let (stdout, stderr) = reelward.exits(2, *command);
        assert!(stdout.is_empty() && stderr.contains("error"), "{command:?}: {stdout}{stderr}");
        if let [.., option, ""] = command {
            assert!(stderr.contains(option), "names the option: {stderr}");
        }
        let (stdout, _) = reelward.exits(2, command.iter().copied().chain(["--json"]));
        let answer: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{command:?}: {e}: {stdout}"));
        assert_eq!(answer["error"]["exit_code"], 2);
    }
}

#[test]
fn failures_exit_with_1_and_name_the_way_out() {
    let (place, reelward) = place();
    reelward.ok(with_path(&["backup"], &place.path().join("data"), &[]));
    let target = place.path().join("out").to_str().unwrap().to_owned();
    let cases: &[(&[&str], &str)] = &[
        (&["tape", "info", "NOPE"], "tape list"),
        (&["ls", "--set", "99"], "reelward ls"),
        (&["ls", "/not/stored"], "nothing in the catalog matches"),
        (&["restore", "--to", &target, "/not/stored"], "nothing in the catalog matches"),
        (&["restore", "--to", &target, "--set", "nonsense"], "reelward ls"),
        (&["verify", "--volume", "NOPE"], "tape list"),
        (&["backup", "/not/there"], "/not/there"),
        (&["library", "load", "NOPE"], "NOPE"),
        (&["library", "transfer", "NOPE", "1"], "NOPE"),
        (&["tape", "label", "RW0001L9"], "--overwrite"),
        (&["tape", "label", "RW0001L9", "--overwrite"], "--destroy-sets"),
        (&["restore", "--to", &target, "--identity", "/not/there"], "key file"),
        (&["virtual", "export", "NOPE", &target], "NOPE"),
        (&["ls", "--drive", "/dev/nst0", "--set", "99"], "reelward ls"),
        (&["library", "status", "--drive", "tape0"], "virtual://"),
        (&["library", "status", "--drive", "/dev/null"], "no tape drive or changer"),
        (&["library", "status", "--drive", "/dev/not-there"], "/dev/not-there"),
        (&["library", "status", "--changer", "iscsi://me%secret@host/disk/0"], "USER[%SECRET]@"),
    ];
    for (command, way_out) in cases {
        let (_, stderr) = reelward.exits(1, *command);
        assert!(stderr.starts_with("reelward: error: "), "{command:?}: {stderr}");
        assert!(stderr.contains(way_out), "{command:?} should say {way_out:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{command:?}: one line: {stderr}");
        let (stdout, _) = reelward.exits(1, command.iter().copied().chain(["--json"]));
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains(way_out), "{command:?}: {stdout}");
    }
}

#[test]
fn every_answer_is_one_json_object() {
    let (place, reelward) = place();
    let data = place.path().join("data");
    let key = place.path().join("key.txt");
    let created = reelward.json(with_path(&["key", "create", "--output"], &key, &[]));
    assert!(created["recipient"].as_str().unwrap().starts_with("age1"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    reelward.exits(1, with_path(&["key", "create", "--output"], &key, &[]));

    let stored = reelward.json(with_path(&["backup"], &data, &["--job", "test", "--compress", "zstd:1"]));
    assert_eq!(stored["is_virtual"], true);
    assert_eq!(stored["problem_count"], 0);
    let set = stored["set_id"].as_i64().unwrap().to_string();

    let sets = reelward.json(["ls"]);
    assert_eq!(sets["sets"][0]["state"], "complete");
    assert_eq!(sets["sets"][0]["job"], "test");
    let listing = reelward.json(with_path(&["ls"], &data.join("sub"), &["--set", &set]));
    assert_eq!(listing["total"], 4);
    let file = reelward.json(with_path(&["ls"], &data.join("hello.txt"), &[]));
    assert_eq!(file["entries"][0]["member"]["size"], 6);

    let found = reelward.json(["find", "LINE*", "--ignore-case"]);
    assert_eq!(found["total"], 1);
    assert!(found["members"][0]["path"].as_str().unwrap().ends_with("sub/line\nfeed"));
    assert_eq!(reelward.json(["find", "*", "--count"])["total"], stored["members"]);

    assert_eq!(reelward.json(["verify"])["faults"], 0);
    assert_eq!(reelward.json(["verify", "--set", &set])["faults"], 0);
    assert_eq!(reelward.json(["tape", "list"])["volumes"][0]["status"], "active");
    assert_eq!(reelward.json(["tape", "info", "RW0001L9"])["label"], "RW0001L9");
    assert_eq!(reelward.json(["catalog", "check"])["sound"], true);
    assert_eq!(reelward.json(["library", "status"])["devices"][0]["is_virtual"], true);
    assert_eq!(reelward.json(["library", "unload"])["barcode"], "RW0001L9");
    assert_eq!(reelward.json(["library", "load", "RW0002L9"])["moved"], true);
    assert_eq!(reelward.json(["tape", "label", "RW0002L9", "--pool", "p"])["label"], "RW0002L9");

    let out = place.path().join("out");
    let planned = reelward.json(["restore", "--dry-run", "--set", "latest"]);
    assert_eq!(planned["members"], stored["members"]);
    let restored = reelward.json(with_path(&["restore", "--to"], &out, &[]));
    assert_eq!(restored["files"], stored["members"]);
    assert_same(&data, &out.join(data.strip_prefix("/").unwrap()));

    let exported = place.path().join("exported");
    let tape = reelward.json(with_path(&["virtual", "export", "RW0001L9"], &exported, &[]));
    assert_eq!(tape["tape_files"], fs::read_dir(&exported).unwrap().count());
    let other = place.path().join("other");
    let made =
        reelward.json(with_path(&["virtual", "create"], &other, &["--drives", "1", "--capacity", "64M"]));
    assert_eq!(made["drives"].as_array().unwrap().len(), 1);

    let rebuilt = reelward.json(["catalog", "rebuild"]);
    assert_eq!(rebuilt["members"], 0, "everything is known already: {rebuilt}");
}

#[test]
fn names_cannot_touch_the_terminal() {
    let (place, reelward) = place();
    let data = place.path().join("data");
    fs::write(data.join("\x1b[31mred"), "").unwrap();
    reelward.ok(with_path(&["backup"], &data, &[]));
    for command in [args(&["find", "*red"]), args(&["find", "line*"]), with_path(&["ls"], &data, &[])] {
        let shown = reelward.ok(command);
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }
    assert!(reelward.ok(["find", "line*"]).contains("line\\nfeed"));
}

#[test]
fn an_encrypted_set_is_restored_with_its_key_only() {
    let (place, reelward) = place();
    let data = place.path().join("data");
    let [key, other] = ["key", "other"].map(|name| place.path().join(name));
    let recipient = reelward.ok(with_path(&["key", "create", "--output"], &key, &[]));
    reelward.ok(with_path(&["key", "create", "--output"], &other, &[]));
    reelward.ok(with_path(&["backup"], &data, &["--encrypt-to", recipient.trim()]));
    let out = place.path().join("out");
    let restore = |with: &[&str]| with_path(&["restore", "--to"], &out, with);
    let (_, stderr) = reelward.exits(1, restore(&[]));
    assert!(stderr.contains("--identity"), "{stderr}");
    let (_, stderr) = reelward.exits(1, restore(&["--identity", other.to_str().unwrap()]));
    assert!(stderr.contains(recipient.trim()), "{stderr}");
    assert!(!out.exists(), "nothing was made before the key was known to fit");
    reelward.ok(restore(&["--identity", key.to_str().unwrap()]));
    assert_same(&data, &out.join(data.strip_prefix("/").unwrap()));
}

#[test]
fn a_missing_volume_is_waited_for_with_3() {
    let (place, reelward) = place();
    let library = place.path().join("library");
    reelward.ok(with_path(&["virtual", "create"], &library, &["--cartridges", "0"]));
    let drive = format!("virtual://{}#drive0", library.display());
    let changer = format!("virtual://{}#changer", library.display());
    let devices = ["--drive", &drive, "--changer", &changer];
    let command = with_path(&["backup"], &place.path().join("data"), &devices);
    let (_, stderr) = reelward.exits(3, &command);
    assert!(stderr.contains("operator"), "{stderr}");
}

#[test]
fn commands_that_only_look_make_nothing() {
    let (_place, reelward) = place();
    let state = reelward.state_dir().to_owned();
    let commands: &[&[&str]] = &[
        &["ls"],
        &["ls", "/etc"],
        &["find", "*"],
        &["tape", "list"],
        &["tape", "info", "RW0001L9"],
        &["catalog", "check"],
        &["restore", "--dry-run"],
        &["verify"],
    ];
    for command in commands {
        let (_, stderr) = reelward.exits(1, *command);
        assert!(stderr.contains(state.to_str().unwrap()) && stderr.contains("--state-dir"), "{stderr}");
        assert!(!state.exists(), "{command:?}");
    }
    fs::create_dir(&state).unwrap();
    reelward.exits(1, ["tape", "list"]);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
}

#[test]
fn an_empty_drive_asks_for_the_cartridge_to_label() {
    let (place, reelward) = place();
    let library = place.path().join("library");
    reelward.ok(with_path(&["virtual", "create"], &library, &[]));
    let drive = format!("virtual://{}#drive0", library.display());
    for more in [&[][..], &["--label", "new"]] {
        let (_, stderr) = reelward.exits(3, ["tape", "label", "--drive", &drive].iter().chain(more));
        assert!(stderr.contains("put the cartridge to be labelled into"), "{stderr}");
    }
}

#[test]
fn what_is_left_as_it_is_has_its_reason_in_words() {
    let (place, reelward) = place();
    reelward.ok(with_path(&["backup"], &place.path().join("data"), &[]));
    let out = place.path().join("out");
    reelward.ok(with_path(&["restore", "--to"], &out, &[]));
    let again = reelward.json(with_path(&["restore", "--to"], &out, &[]));
    let reason = again["skipped_list"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "left as it is: the name is taken");
}

#[test]
fn an_encrypted_set_without_its_key_is_not_verified_and_no_fault() {
    let (place, reelward) = place();
    let key = place.path().join("key");
    let recipient = reelward.ok(with_path(&["key", "create", "--output"], &key, &[]));
    let data = place.path().join("data");
    reelward.ok(with_path(&["backup"], &data, &["--encrypt-to", recipient.trim()]));
    let (stdout, stderr) = reelward.exits(1, ["verify", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&report["faults"], report["unchecked"].as_array().unwrap().len()),
        (&0.into(), 1),
        "{stdout}"
    );
    assert!(stderr.contains("not verified: set") && stderr.contains(recipient.trim()), "{stderr}");
    reelward.ok(with_path(&["verify", "--identity"], &key, &[]));
}

#[test]
fn the_circle_closes_on_a_small_tree() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    tree(&data);
    let tries = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelward"));
        command.arg("try").arg(&data).args(more).env("TMPDIR", place.path()).env_remove("REELWARD_STATE_DIR");
        command.stdin(Stdio::null()).output().unwrap()
    };
    let shown = tries(&[]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    assert!(text.contains("files, not tape") && text.contains("ALL WELL"), "{text}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "everything temporary is gone");

    let state = place.path().join("state");
    let answer = tries(&["--json", "--keep", "--state-dir", state.to_str().unwrap()]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["ok"], true, "{answer:#}");
    assert_eq!(answer["steps"].as_array().unwrap().len(), 9);
    let kept = Path::new(answer["kept"].as_str().unwrap());
    assert_same(&data, &kept.join("restored").join(data.strip_prefix("/").unwrap()));
    assert!(kept.join("tape/0001").exists());
    // Once more on the same state: the next cartridge, and the tape of before is still good.
    assert!(tries(&["--state-dir", state.to_str().unwrap()]).status.success());
    assert_eq!(Reelward::new(&state).json(["verify"])["faults"], 0);
}

#[test]
fn an_interrupt_ends_a_backup_cleanly() {
    let (place, reelward) = place();
    let data = place.path().join("data");
    let chunk = vec![0x5a; 1 << 20];
    for number in 0..256 {
        fs::write(data.join(format!("big{number}")), &chunk).unwrap();
    }
    let mut child = reelward
        .command(with_path(&["backup"], &data, &["--json", "--compress", "zstd:19"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let catalog = reelward.state_dir().join("catalog.sqlite");
    while !catalog.exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(150));
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: it ends by itself");
    let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    if answer["cancelled"] == true {
        assert_eq!(status.code(), Some(1));
    }
    // Whatever the moment: what is listed is on tape, and the next backup goes on behind it.
    assert_eq!(reelward.json(["verify"])["faults"], 0);
    reelward.ok(with_path(&["backup"], &data.join("sub"), &[]));
    assert_eq!(reelward.json(["catalog", "check"])["sound"], true);
}

#[test]
fn a_damaged_catalog_is_moved_aside_and_rebuilt() {
    let (place, reelward) = place();
    let data = place.path().join("data");
    let members = reelward.json(with_path(&["backup"], &data, &[]))["members"].clone();
    let catalog = reelward.state_dir().join("catalog.sqlite");
    fs::write(&catalog, vec![0xa5; 20_000]).unwrap();
    let (_, stderr) = reelward.exits(1, ["ls"]);
    assert!(stderr.contains("catalog rebuild"), "{stderr}");
    let rebuilt = reelward.json(["catalog", "rebuild"]);
    assert_eq!(rebuilt["members"], members);
    let aside = Path::new(rebuilt["moved_aside"].as_str().unwrap());
    assert_eq!(fs::read(aside).unwrap(), vec![0xa5; 20_000], "never deleted");
    let out = place.path().join("out");
    reelward.ok(with_path(&["restore", "--to"], &out, &[]));
    assert_same(&data, &out.join(data.strip_prefix("/").unwrap()));
}

#[test]
fn odd_arguments_do_not_panic() {
    let (_place, reelward) = place();
    let odd: &[&[&str]] = &[
        &[""],
        &["ls", ""],
        &["ls", "-", "--limit", "0"],
        &["ls", "..", "--limit", "18446744073709551615"],
        &["find", ""],
        &["find", "["],
        &["find", "\\"],
        &["find", "*", "--limit", "18446744073709551615"],
        &["find", "--", "-x"],
        &["restore", "--dry-run", ""],
        &["restore", "--dry-run", "/"],
        &["restore", "--dry-run", "--set", "-1"],
        &["backup", ""],
        &["tape", "info", ""],
        &["tape", "label", ""],
        &["tape", "label", "RW0001L9", "--label", "\u{7}\n"],
        &["tape", "label", "RW0001L9", "--record-size", "1"],
        &["library", "load", ""],
        &["library", "load", "65536"],
        &["library", "transfer", "0", "0"],
        &["library", "status", "--drive", "virtual://"],
        &["library", "status", "--changer", "virtual:///nowhere#changer"],
        &["catalog", "rebuild", ""],
        &["virtual", "create", "", "--slots", "1", "--cartridges", "9"],
        &["virtual", "export", "../../etc", "/dev/null/x"],
        &["key", "create", "--output", "/"],
        &["try", "/dev/null"],
    ];
    for command in odd {
        let output = reelward.run(*command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0..=3)), "{command:?}: {}: {stderr}", output.status);
        assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    }
}

#[test]
fn who_closes_the_output_gets_no_panic() {
    let (place, reelward) = place();
    reelward.ok(with_path(&["backup"], &place.path().join("data"), &[]));
    let mut child =
        reelward.command(["find", "*"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
