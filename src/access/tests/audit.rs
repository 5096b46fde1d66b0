use rusqlite::Connection;
use serde_json::json;

use super::*;
use crate::catalog::AuditFilter;

fn action<'a>(name: &'a str, kind: &'a str) -> Action<'a> {
    Action {
        user_id: Some(1),
        username: "admin",
        action: name,
        resource_type: kind,
        resource_id: Some("7"),
        details: json!({ "step": 1 }),
        address: Some(HERE),
        request_id: Some("r1"),
    }
}

/// A log of six records, of which the fourth and the fifth belong together.
fn log() -> Rig {
    let rig = Rig::new();
    let audit = rig.access.accounts().audit();
    for number in 0..3 {
        audit.record(&action(&format!("tape.{number}"), "tape"), Outcome::Done).unwrap();
    }
    let id = audit.begin(&action("job.run", "job")).unwrap();
    audit.finish(id, Outcome::Failed, None, &json!({ "error": "no tape" })).unwrap();
    audit.record(&action("tape.6", "tape"), Outcome::Refused).unwrap();
    assert!(audit.verify().unwrap().sound);
    rig
}

fn verify(rig: &Rig) -> AuditReport {
    rig.access.accounts().audit().verify().unwrap()
}

/// What somebody with the file can do: the triggers are no hindrance.
fn tamper(rig: &Rig, sql: &str) {
    let connection = Connection::open(rig.catalog.path()).unwrap();
    connection.execute_batch("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;").unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn actions_are_told_with_their_end() {
    let rig = log();
    let audit = rig.access.accounts().audit();
    let all = |change: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter { limit: 100, ..AuditFilter::default() };
        change(&mut filter);
        let (entries, total) = audit.query(&filter).unwrap();
        (entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>(), total)
    };
    assert_eq!(all(&|_| {}), (vec![6, 4, 3, 2, 1], 5));
    assert_eq!(all(&|f| (f.limit, f.offset) = (2, 1)), (vec![4, 3], 5));
    assert_eq!(all(&|f| f.resource_type = Some("job".into())), (vec![4], 1));
    assert_eq!(all(&|f| f.action = Some("tape.1".into())), (vec![2], 1));
    assert_eq!(all(&|f| f.user_id = Some(2)), (vec![], 0));
    let now = rig.clock.now();
    assert_eq!(all(&|f| (f.from, f.until) = (Some(now), Some(now + 1))).1, 5);
    assert_eq!(all(&|f| f.until = Some(now)).1, 0);
    assert_eq!(all(&|f| f.from = Some(now + 1)).1, 0);
    rig.pass(5);
    let id = audit.begin(&action("tape.format", "tape")).unwrap();
    let one = |id: i64| {
        let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
        audit.query(&filter).unwrap().0.into_iter().find(|entry| entry.id == id).unwrap()
    };
    assert_eq!((one(id.0).outcome.as_str(), one(id.0).finished), ("started", None));
    rig.pass(5);
    audit.finish(id, Outcome::Done, Some("8"), &json!({ "result": 2 })).unwrap();
    let entry = one(id.0);
    assert_eq!((entry.outcome.as_str(), entry.resource_id.as_deref()), ("done", Some("8")));
    assert_eq!(entry.details, json!({ "step": 1, "result": 2 }));
    assert_eq!(entry.finished, Some(entry.time + 5_000_000_000));
    assert_eq!((entry.address.as_deref(), entry.request_id.as_deref()), (Some("10.0.0.1"), Some("r1")));
    assert!(audit.finish(id, Outcome::Done, None, &json!({})).is_err(), "an action ends once");
    assert!(audit.finish(AuditId(1), Outcome::Done, None, &json!({})).is_err());
    assert!(audit.finish(AuditId(99), Outcome::Done, None, &json!({})).is_err());
    assert!(verify(&rig).sound);
}

#[test]
fn the_table_only_grows() {
    let rig = log();
    let connection = Connection::open(rig.catalog.path()).unwrap();
    for sql in ["UPDATE audit SET username = 'x'", "DELETE FROM audit WHERE seq = 6"] {
        assert!(connection.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn every_edit_is_found() {
    let values = [
        ("begins", "1"),
        ("time", "time + 1"),
        ("user_id", "2"),
        ("user_id", "NULL"),
        ("username", "'other'"),
        ("action", "'x'"),
        ("resource_type", "'x'"),
        ("resource_id", "NULL"),
        ("resource_id", "''"),
        ("details", "'{}'"),
        ("address", "'10.0.0.2'"),
        ("request_id", "NULL"),
        ("outcome", "'done2'"),
        ("outcome", "NULL"),
        ("hash", "zeroblob(32)"),
        ("hash", "x''"),
    ];
    let rig = log();
    tamper(&rig, "CREATE TABLE kept AS SELECT * FROM audit");
    let connection = Connection::open(rig.catalog.path()).unwrap();
    for (column, value) in values {
        for seq in [1, 3, 6] {
            let edit = format!("UPDATE audit SET {column} = {value} WHERE seq = {seq}");
            assert_eq!(connection.execute(&edit, []).unwrap(), 1);
            let report = verify(&rig);
            assert!(!report.sound, "{column} = {value} of record {seq}");
            assert_eq!(report.records, seq - 1, "{:?}", report.faults);
            connection.execute_batch("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").unwrap();
            assert!(verify(&rig).sound);
        }
    }
    // Text moved from one column into the next.
    let rig = log();
    tamper(&rig, "UPDATE audit SET username = 'adm', action = 'in' || action WHERE seq = 2");
    assert!(!verify(&rig).sound);
}

#[test]
fn deletions_are_found() {
    for seq in 1..=6 {
        let rig = log();
        tamper(&rig, &format!("DELETE FROM audit WHERE seq = {seq}"));
        assert!(!verify(&rig).sound, "record {seq}");
        // Also where the numbers are closed up.
        if seq < 6 {
            let connection = Connection::open(rig.catalog.path()).unwrap();
            connection
                .execute_batch(&format!("UPDATE audit SET seq = -seq WHERE seq > {seq}; UPDATE audit SET seq = -seq - 1 WHERE seq < 0;"))
                .unwrap();
            assert!(!verify(&rig).sound, "record {seq}, closed up");
        }
    }
}

#[test]
fn a_changed_order_is_found() {
    let rig = log();
    tamper(
        &rig,
        "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 100;",
    );
    let report = verify(&rig);
    assert_eq!((report.sound, report.records), (false, 1), "{:?}", report.faults);
}

#[test]
fn an_insertion_is_found() {
    let rig = log();
    tamper(
        &rig,
        "INSERT INTO audit SELECT 7, NULL, time, user_id, username, 'x', resource_type, resource_id, details, address, request_id,
           outcome, hash FROM audit WHERE seq = 6",
    );
    assert!(!verify(&rig).sound);
    let rig = log();
    tamper(
        &rig,
        "INSERT INTO audit SELECT 0, NULL, time, user_id, username, 'x', resource_type, resource_id, details, address, request_id,
           outcome, hash FROM audit WHERE seq = 6",
    );
    assert!(!verify(&rig).sound);
}

#[test]
fn a_truncation_is_found_and_stays_found() {
    for keep in [5, 3, 0] {
        let rig = log();
        tamper(&rig, &format!("DELETE FROM audit WHERE seq > {keep}"));
        let report = verify(&rig);
        assert_eq!((report.sound, report.records), (false, keep));
        assert!(report.faults[0].contains("missing at the end"), "{:?}", report.faults);
        // What is appended later, below, at and beyond the old end, does not cover it up.
        for _ in 0..8 {
            rig.access.accounts().audit().record(&action("later", "tape"), Outcome::Done).unwrap();
            assert!(!verify(&rig).sound);
        }
    }
}

#[test]
fn a_chain_written_anew_is_found() {
    let rig = log();
    let other = log();
    other.access.accounts().audit().record(&action("other", "tape"), Outcome::Done).unwrap();
    let path = other.catalog.path().display().to_string();
    // A whole sound chain of other records, longer than ours.
    other.pass(1);
    let anew = Rig::new();
    for _ in 0..8 {
        anew.access.accounts().audit().record(&action("other", "tape"), Outcome::Done).unwrap();
    }
    let source = anew.catalog.path().display().to_string();
    tamper(
        &rig,
        &format!(
            "DELETE FROM audit; ATTACH '{source}' AS anew; INSERT INTO audit SELECT * FROM anew.audit; DETACH anew;"
        ),
    );
    let report = verify(&rig);
    assert_eq!((report.sound, report.records), (false, 8), "{path}");
    assert!(report.faults[0].contains("written anew"), "{:?}", report.faults);
}

#[test]
fn a_missing_or_damaged_head_is_told() {
    let head = |rig: &Rig| rig.state.path().join("audit-head");
    let rig = log();
    std::fs::remove_file(head(&rig)).unwrap();
    assert!(verify(&rig).faults[0].contains("is missing"));
    rig.access.accounts().audit().record(&action("later", "tape"), Outcome::Done).unwrap();
    assert!(verify(&rig).sound, "made anew");
    std::fs::write(head(&rig), "nonsense").unwrap();
    assert!(verify(&rig).faults[0].contains("not what we wrote"));
    // An empty log has no head, and needs none.
    assert!(verify(&Rig::new()).sound);
}

#[test]
fn the_head_may_lag_behind_but_not_lie() {
    let rig = log();
    let head = rig.state.path().join("audit-head");
    let before = std::fs::read(&head).unwrap();
    rig.access.accounts().audit().record(&action("later", "tape"), Outcome::Done).unwrap();
    // The machine died between the record and its head.
    std::fs::write(&head, &before).unwrap();
    assert!(verify(&rig).sound);
    rig.access.accounts().audit().record(&action("later", "tape"), Outcome::Done).unwrap();
    assert!(std::fs::read_to_string(&head).unwrap().starts_with("00000000000000000008 "));
    assert!(verify(&rig).sound);
}

#[test]
fn processes_append_to_one_chain() {
    let rig = Rig::new();
    let other = rig.other_process();
    std::thread::scope(|scope| {
        for access in [&rig.access, &rig.access, &other, &other] {
            scope.spawn(move || {
                for _ in 0..10 {
                    let audit = access.accounts().audit();
                    let id = audit.begin(&action("tape.load", "tape")).unwrap();
                    audit.finish(id, Outcome::Done, None, &json!({})).unwrap();
                }
            });
        }
    });
    let report = verify(&rig);
    assert_eq!((report.sound, report.records, report.last), (true, 80, 80), "{:?}", report.faults);
    let head = std::fs::read_to_string(rig.state.path().join("audit-head")).unwrap();
    assert!(head.starts_with("00000000000000000080 "), "{head}");
}

#[test]
fn where_the_head_cannot_be_kept_nothing_begins() {
    let rig = log();
    let head = rig.state.path().join("audit-head");
    std::fs::remove_file(&head).unwrap();
    std::fs::create_dir(&head).unwrap();
    let audit = rig.access.accounts().audit();
    assert!(matches!(audit.begin(&action("tape.load", "tape")), Err(AccessError::File { .. })));
    assert!(matches!(audit.verify(), Err(AccessError::File { .. })));
    // Whoever signs in is told too: an unwritten sign-in is none.
    rig.user("a", ADMIN);
    assert!(matches!(rig.access.sign_in("a", PASSWORD, HERE), Err(AccessError::File { .. })));
    assert!(rig.access.sessions(None).unwrap().is_empty());
    std::fs::remove_dir(&head).unwrap();
    rig.sign_in("a");
    assert!(verify(&rig).sound);
}
