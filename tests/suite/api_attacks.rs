//! What somebody who means harm sends.

use std::net::TcpStream;

use serde_json::json;

use super::support::daemon::{Daemon, eventually};

#[test]
fn silent_connections_do_not_lock_the_owner_out() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, _) = Daemon::start(state.path());
    // More than are served at a time; none says a word.
    let silent: Vec<_> = (0..560).map_while(|_| TcpStream::connect(&daemon.address).ok()).collect();
    assert!(silent.len() > 512, "{}", silent.len());
    for _ in 0..5 {
        assert_eq!(daemon.owner().got("/health")["status"], "ok");
    }
    drop(silent);
    assert_eq!(daemon.nobody().got("/health")["status"], "ok");
}

#[test]
fn a_ticket_opens_an_event_stream_and_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let ticket = admin.posted("/api/v1/auth/ticket", &json!({}))["ticket"].as_str().unwrap().to_owned();
    let nobody = daemon.nobody();
    let made = nobody.post(
        &format!("/api/v1/users?ticket={ticket}"),
        &json!({ "username": "evil", "password": "battery staple horse", "role": "admin" }),
    );
    assert_eq!(made.status, 401, "{}", made.text());
    assert_eq!(nobody.get(&format!("/api/v1/auth/me?ticket={ticket}")).status, 401);
    assert_eq!(admin.got("/api/v1/users")["users"].as_array().unwrap().len(), 1);
    // It was not used up by that.
    assert_eq!(nobody.events(&format!("/api/v1/events/stream?ticket={ticket}")).status, 200);
}

#[test]
fn an_event_stream_ends_with_the_rights_to_it() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let leaver = daemon.user(&admin, "leaver", "readonly");
    let mut signed_out = leaver.events("/api/v1/events/stream");
    admin.posted(
        "/api/v1/roles",
        &json!({ "name": "listener", "description": "", "permissions": { "events": "read" } }),
    );
    let listener = daemon.user(&admin, "listener", "listener");
    let mut demoted = listener.events("/api/v1/events/stream");
    assert_eq!((signed_out.status, demoted.status), (200, 200));
    leaver.posted("/api/v1/auth/logout", &json!({}));
    let changed =
        admin.put("/api/v1/roles/listener", &json!({ "description": "", "permissions": { "jobs": "read" } }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    // The streams end by themselves; one that goes on has a comment every 15 seconds and no end.
    assert_eq!(signed_out.next_event().map(|event| event.len()), Some(1), "the time to come again");
    assert_eq!(signed_out.next_event(), None);
    assert_eq!(demoted.next_event().map(|event| event.len()), Some(1));
    assert_eq!(demoted.next_event(), None);
}

#[test]
fn the_state_directory_is_no_source_and_no_destination() {
    let state = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let operator = daemon.user(&admin, "operator", "operator");
    let own = state.path().canonicalize().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    for (at, path) in
        [own.clone(), own.join("secret.key"), link.clone(), link.join("catalog.sqlite")].iter().enumerate()
    {
        let body = json!({ "name": format!("own {at}"), "source_type": "local", "path": path });
        let answer = operator.post("/api/v1/sources", &body);
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!("path")), "{path:?}");
        assert!(answer.text().contains("state directory"), "{}", answer.text());
    }
    for path in [own.clone(), own.join("not/there/yet"), link.clone(), link.join("new")] {
        for (at, body) in [
            ("/api/v1/restore/run", json!({ "dest_path": path, "file_paths": ["/x"] })),
            ("/api/v1/database-backup/restore", json!({ "dest_path": path, "backup_id": 1 })),
        ] {
            let answer = admin.post(at, &body);
            assert_eq!(
                (answer.status, &answer.json()["error"]["field"]),
                (400, &json!("dest_path")),
                "{path:?}"
            );
        }
    }
    // A source that becomes one later is refused when its job runs.
    let turned = elsewhere.path().join("turned");
    std::fs::create_dir(&turned).unwrap();
    let body = json!({ "name": "turned", "source_type": "local", "path": turned });
    let source = operator.posted("/api/v1/sources", &body);
    let pool = operator.posted("/api/v1/pools", &json!({ "name": "P" }));
    let body =
        json!({ "name": "J", "source_id": source["id"], "pool_id": pool["id"], "backup_type": "full" });
    let job = operator.posted("/api/v1/jobs", &body)["id"].as_i64().unwrap();
    std::fs::remove_dir(&turned).unwrap();
    std::os::unix::fs::symlink(&own, &turned).unwrap();
    let _ = operator.post(&format!("/api/v1/jobs/{job}/run"), &json!({}));
    let failed = eventually("the job fails", || {
        let task = admin.got("/api/v1/tasks")["tasks"][0].clone();
        (task["status"] == "failed").then_some(task)
    });
    assert!(failed["error"].as_str().unwrap().contains("state directory"), "{failed}");
}

#[test]
fn nobody_else_reads_the_catalog() {
    use std::os::unix::fs::PermissionsExt;
    // A directory that was there before, and that everybody may enter.
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    admin.posted("/api/v1/pools", &json!({ "name": "P" }));
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "secret.key", "audit-head"] {
        let mode = std::fs::metadata(state.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    daemon.stop();
}
