//! `reelward user` and `reelward audit`, without a daemon.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::reelward::Reelward;

fn place() -> (tempfile::TempDir, Reelward) {
    let place = tempfile::tempdir().unwrap();
    let reelward = Reelward::new(place.path().join("state"));
    (place, reelward)
}

/// Runs with `input` on standard input.
fn fed(reelward: &Reelward, args: &[&str], input: &str) -> Output {
    let mut command = reelward.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read it closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn create(reelward: &Reelward, name: &str, role: &str, password: &str) -> (Option<i32>, String) {
    let output = fed(reelward, &["user", "create", name, "--role", role, "--password-stdin"], password);
    let all = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(all).unwrap())
}

#[test]
fn users_are_made_listed_and_deleted_without_a_daemon() {
    let (_place, reelward) = place();
    assert_eq!(
        create(&reelward, "admin", "admin", "securepassword\n"),
        (Some(0), "admin made, role admin\n".into())
    );
    assert_eq!(create(&reelward, "ops", "operator", "securepassword\r\nsecond line\n").0, Some(0));
    assert_eq!(fs::metadata(reelward.state_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    for (name, role, password, said) in [
        ("ADMIN", "admin", "securepassword\n", "the user ADMIN exists already"),
        ("x", "emperor", "securepassword\n", "role: no role emperor"),
        ("x", "admin", "short\n", "password: must have at least 8 characters"),
        ("a b", "admin", "securepassword\n", "username: must be"),
    ] {
        let (code, text) = create(&reelward, name, role, password);
        assert!(
            code == Some(1) && text.contains(said) && !text.contains("securepassword"),
            "{code:?} {text}"
        );
    }
    assert_eq!(create(&reelward, "x", "admin", "").0, Some(2));
    reelward.exits(2, ["user", "create", "x", "--role", "admin"]);
    let listed = reelward.json(["user", "list"]);
    let names: Vec<_> =
        listed["users"].as_array().unwrap().iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, ["admin", "ops"]);
    assert!(reelward.ok(["user", "list"]).contains("operator"));
    let (_, said) = reelward.exits(1, ["user", "delete", "admin"]);
    assert!(said.contains("this is the last active admin"), "{said}");
    assert!(reelward.exits(1, ["user", "delete", "nobody"]).1.contains("no user nobody"));
    let passwd = fed(&reelward, &["user", "passwd", "OPS", "--password-stdin"], "another password\n");
    assert_eq!(passwd.status.code(), Some(0));
    assert_eq!(reelward.json(["user", "unlock", "ops"])["username"], "ops");
    assert_eq!(reelward.json(["user", "delete", "ops"])["username"], "ops");
    let report = reelward.json(["audit", "verify"]);
    assert_eq!((&report["sound"], &report["records"]), (&Value::Bool(true), &Value::from(20)));
    // Neither hash nor password can be met in what was said or in the log.
    let log = fs::read(reelward.state_dir().join("catalog.sqlite")).unwrap();
    assert!(!log.windows(14).any(|window| window == b"securepassword"));
}

#[test]
fn looking_makes_nothing() {
    let (_place, reelward) = place();
    for args in [["user", "list"], ["audit", "verify"]] {
        reelward.exits(1, args);
        assert!(!reelward.state_dir().exists());
    }
}

#[test]
fn a_log_that_was_tampered_with_is_told() {
    let (_place, reelward) = place();
    for name in ["admin", "other"] {
        create(&reelward, name, "admin", "securepassword\n");
    }
    assert!(reelward.ok(["audit", "verify"]).starts_with("sound  4 records in one chain, the last is 4 "));
    let catalog = rusqlite::Connection::open(reelward.state_dir().join("catalog.sqlite")).unwrap();
    catalog.execute_batch("DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq > 2;").unwrap();
    drop(catalog);
    let (out, err) = reelward.exits(1, ["audit", "verify"]);
    assert!(out.starts_with("ALTERED  2 records"), "{out}");
    assert!(err.contains("records 3 to 4 are missing at the end"), "{err}");
}
