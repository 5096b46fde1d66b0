//! What somebody who means harm sends.

use std::net::TcpStream;

use serde_json::json;

use super::support::daemon::Daemon;

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
    let changed = admin.put(
        "/api/v1/roles/listener",
        &json!({ "description": "", "permissions": { "jobs": "read" } }),
    );
    assert_eq!(changed.status, 200, "{}", changed.text());
    // The streams end by themselves; one that goes on has a comment every 15 seconds and no end.
    assert_eq!(signed_out.next_event().map(|event| event.len()), Some(1), "the time to come again");
    assert_eq!(signed_out.next_event(), None);
    assert_eq!(demoted.next_event().map(|event| event.len()), Some(1));
    assert_eq!(demoted.next_event(), None);
}
