//! Sign-in, users, roles, API keys and the audit log as a client meets them.

use serde_json::{Value, json};

use super::support::daemon::{ADMIN, Daemon, eventually};
use super::support::http::{Answer, Client};
use super::support::reelward::Reelward;

/// The body of an answer that went well, with these fields.
fn with(answer: Answer, fields: &[&str]) -> Value {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    let value = answer.json();
    for field in fields {
        assert!(value.pointer(field).is_some(), "{field} in {value}");
    }
    value
}

fn login(daemon: &Daemon, name: &str, password: &str) -> Answer {
    daemon.nobody().post("/api/v1/auth/login", &json!({ "username": name, "password": password }))
}

/// An entry of the audit log with this action, the newest.
fn entry(admin: &Client, action: &str) -> Value {
    let found = admin.got(&format!("/api/v1/logs/audit?action={action}&limit=1"));
    found["logs"][0].clone()
}

#[test]
fn the_first_admin_is_made_with_the_token_and_once() {
    let state = tempfile::tempdir().unwrap();
    let daemon = Daemon::new(state.path());
    let nobody = daemon.nobody();
    assert_eq!(nobody.got("/api/v1/setup"), json!({ "needed": true }));
    let token = daemon.setup_token.clone().unwrap();
    let setup = |token: &str, password: &str| {
        let body = json!({ "token": token, "username": ADMIN.0, "password": password });
        nobody.post("/api/v1/setup", &body)
    };
    assert_eq!((setup("AAAAA", ADMIN.1).status, setup("AAAAA", ADMIN.1).code().as_str()), (403, "FORBIDDEN"));
    let weak = setup(&token, "short");
    assert_eq!((weak.status, weak.json()["error"]["field"].as_str()), (400, Some("password")));
    let made = setup(&token, ADMIN.1);
    assert_eq!((made.status, made.json()["role"].as_str()), (201, Some("admin")));
    assert_eq!(setup(&token, ADMIN.1).status, 409);
    assert_eq!(nobody.got("/api/v1/setup"), json!({ "needed": false }));
    let admin = daemon.sign_in(ADMIN.0, ADMIN.1);
    let done = admin.got("/api/v1/logs/audit?action=setup.complete");
    assert_eq!(done["total"], 5);
    assert!(!done.to_string().contains(&token) && !done.to_string().contains(ADMIN.1));
    daemon.stop();
}

#[test]
fn signing_in_refreshing_and_out() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, _) = Daemon::start(state.path());
    let first =
        with(login(&daemon, "ADMIN", ADMIN.1), &["/token", "/user/id", "/user/username", "/user/role"]);
    assert_eq!((&first["token"], &first["token_type"]), (&first["access_token"], &json!("bearer")));
    assert_eq!(first["user"]["username"], ADMIN.0);
    let client = |tokens: &Value| daemon.nobody().bearer(tokens["access_token"].as_str().unwrap());
    let refresh = |tokens: &Value| {
        daemon.nobody().post("/api/v1/auth/refresh", &json!({ "refresh_token": tokens["refresh_token"] }))
    };
    let me = client(&first).got("/api/v1/auth/me");
    assert_eq!((&me["kind"], &me["permissions"]["users"]), (&json!("session"), &json!("administer")));
    assert_eq!(daemon.owner().got("/api/v1/auth/me")["kind"], "local");
    let second = refresh(&first).json();
    assert_eq!(client(&second).get("/api/v1/auth/me").status, 200);
    // The first refresh token comes again: the session is ended for both.
    assert_eq!(refresh(&first).status, 401);
    assert_eq!(refresh(&second).status, 401);
    assert_eq!(client(&second).get("/api/v1/auth/me").status, 401);
    let third = login(&daemon, ADMIN.0, ADMIN.1).json();
    let fourth = login(&daemon, ADMIN.0, ADMIN.1).json();
    let sessions = client(&third).got("/api/v1/auth/sessions");
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    let other = &sessions[0]["id"];
    assert_eq!(sessions[0]["current"], false, "the newest first");
    let ended = client(&third).delete(&format!("/api/v1/auth/sessions/{}", other.as_str().unwrap()));
    assert_eq!(ended.status, 200);
    assert_eq!(client(&fourth).get("/api/v1/auth/me").status, 401);
    client(&third).posted("/api/v1/auth/logout", &json!({}));
    assert_eq!(client(&third).get("/api/v1/auth/me").status, 401);
    assert_eq!(refresh(&third).status, 401);
    assert_eq!(daemon.owner().post("/api/v1/auth/logout", &json!({})).status, 403);
    daemon.stop();
}

#[test]
fn wrong_passwords_lock() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    daemon.user(&admin, "ops", "operator");
    for name in ["ops", "nobody"] {
        for _ in 0..5 {
            let answer = login(&daemon, name, "wrong password");
            assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"));
        }
        let answer = login(&daemon, name, "battery staple horse");
        assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"), "{name}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((850..=900).contains(&wait), "{wait}");
    }
    let failed = entry(&admin, "auth.login");
    assert_eq!(
        (&failed["outcome"], &failed["username"], &failed["user_id"]),
        (&json!("refused"), &json!(""), &json!(null))
    );
    let id = admin.got("/api/v1/users")["users"][1]["id"].as_i64().unwrap();
    assert!(admin.got(&format!("/api/v1/users/{id}"))["locked_until"].is_string());
    admin.posted(&format!("/api/v1/users/{id}/unlock"), &json!({}));
    daemon.sign_in("ops", "battery staple horse");
    daemon.stop();
}

#[test]
fn users_are_managed_by_admins() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let new = json!({ "username": "operator1", "password": "securepassword", "role": "operator" });
    let made = admin.post("/api/v1/users", &new);
    assert_eq!(made.status, 201);
    assert!(!made.text().contains("password"));
    let path = format!("/api/v1/users/{}", made.json()["id"]);
    let again = admin.post("/api/v1/users", &new);
    assert_eq!((again.status, again.code().as_str()), (409, "CONFLICT"));
    for (field, value) in [("username", "a b"), ("password", "short"), ("role", "emperor")] {
        let mut wrong = json!({ "username": "x", "password": "securepassword", "role": "operator" });
        wrong[field] = value.into();
        let answer = admin.post("/api/v1/users", &wrong);
        assert_eq!((answer.status, answer.json()["error"]["field"].as_str()), (400, Some(field)));
    }
    let users = with(
        admin.get("/api/v1/users"),
        &[
            "/users/0/id",
            "/users/0/username",
            "/users/0/role",
            "/users/0/created_at",
            "/users/0/last_login_at",
        ],
    );
    assert_eq!(users["users"].as_array().unwrap().len(), 2);
    let operator = daemon.sign_in("operator1", "securepassword");
    assert_eq!(operator.get("/api/v1/users").status, 403);
    let changed =
        admin.put(&path, &json!({ "role": "readonly", "email": "o@example.com", "full_name": "O" })).json();
    assert_eq!((&changed["role"], &changed["email"]), (&json!("readonly"), &json!("o@example.com")));
    assert_eq!(operator.got("/api/v1/auth/me")["role"], "readonly");
    assert_eq!(admin.put(&path, &json!({ "email": "" })).json()["email"], Value::Null);
    assert_eq!(admin.put(&path, &json!({ "is_active": false })).json()["is_active"], false);
    assert_eq!(operator.get("/api/v1/auth/me").status, 401);
    assert_eq!(login(&daemon, "operator1", "securepassword").status, 401);
    let own = admin.got("/api/v1/auth/me")["user"]["id"].clone();
    let last = admin.put(&format!("/api/v1/users/{own}"), &json!({ "role": "operator" }));
    assert_eq!((last.status, last.code().as_str()), (409, "CONFLICT"));
    assert_eq!(admin.delete(&format!("/api/v1/users/{own}")).status, 403);
    assert_eq!(admin.delete(&path).status, 200);
    assert_eq!(admin.delete(&path).status, 404);
    let logged = entry(&admin, "users.create");
    assert_eq!((&logged["outcome"], &logged["resource_type"]), (&json!("refused"), &json!("user")));
    let all = admin.got("/api/v1/logs/audit?resource_type=user&limit=1000").to_string();
    assert!(!all.contains("securepassword") && all.contains("\"***\""));
    daemon.stop();
}

#[test]
fn roles_of_ones_own_making() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let role =
        json!({ "name": "auditor", "description": "Reads the log", "permissions": { "logs": "read" } });
    assert_eq!(admin.post("/api/v1/roles", &role).status, 201);
    assert_eq!(admin.post("/api/v1/roles", &role).status, 409);
    let wrong = json!({ "name": "x", "permissions": { "tape": "read" } });
    assert_eq!(admin.post("/api/v1/roles", &wrong).status, 400);
    let auditor = daemon.user(&admin, "eve", "auditor");
    assert_eq!(auditor.get("/api/v1/logs/audit").status, 200);
    assert_eq!(auditor.get("/api/v1/drives").status, 403);
    let more = json!({ "permissions": { "logs": "read", "drives": "read" } });
    assert_eq!(admin.put("/api/v1/roles/auditor", &more).json()["description"], "Reads the log");
    assert_eq!(auditor.get("/api/v1/drives").status, 200);
    assert_eq!(admin.delete("/api/v1/roles/auditor").status, 409);
    assert_eq!(admin.delete("/api/v1/roles/admin").status, 403);
    assert_eq!(admin.got("/api/v1/roles")["roles"].as_array().unwrap().len(), 4);
    daemon.stop();
}

#[test]
fn a_changed_password_ends_other_sessions() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let other = daemon.sign_in(ADMIN.0, ADMIN.1);
    let change = |current: &str, new: &str| {
        admin.post(
            "/api/v1/auth/change-password",
            &json!({ "current_password": current, "new_password": new }),
        )
    };
    let wrong = change("wrong password", "another password");
    assert_eq!((wrong.status, wrong.json()["error"]["field"].as_str()), (400, Some("current_password")));
    let weak = change(ADMIN.1, "short");
    assert_eq!((weak.status, weak.json()["error"]["field"].as_str()), (400, Some("new_password")));
    assert_eq!(change(ADMIN.1, "another password").status, 200);
    assert_eq!(admin.get("/api/v1/auth/me").status, 200);
    assert_eq!(other.get("/api/v1/auth/me").status, 401);
    assert_eq!(login(&daemon, ADMIN.0, ADMIN.1).status, 401);
    daemon.sign_in(ADMIN.0, "another password");
    daemon.stop();
}

#[test]
fn keys_for_programs() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let made =
        with(admin.post("/api/v1/api-keys", &json!({ "name": "monitoring" })), &["/id", "/name", "/key"]);
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with("rw_") && secret.len() == 46, "{secret}");
    assert_eq!(made["role"], "readonly");
    for client in [daemon.nobody().with("X-API-Key", secret), daemon.nobody().bearer(secret)] {
        let me = client.got("/api/v1/auth/me");
        assert_eq!((&me["kind"], &me["name"]), (&json!("api_key"), &json!("monitoring")));
        assert_eq!(client.get("/api/v1/drives").status, 200);
        assert_eq!(client.post("/api/v1/drives", &json!({ "device_path": "/dev/nst0" })).status, 403);
        assert_eq!(client.post("/api/v1/auth/logout", &json!({})).status, 403);
    }
    let listed = with(
        admin.get("/api/v1/api-keys"),
        &["/api_keys/0/id", "/api_keys/0/name", "/api_keys/0/prefix", "/api_keys/0/created_at"],
    );
    assert_eq!(listed["api_keys"][0]["prefix"], format!("{}...", &secret[..8]));
    assert!(listed["api_keys"][0]["last_used_at"].is_string());
    assert!(!listed.to_string().contains(&secret[8..]));
    let past = json!({ "name": "late", "expires_at": "2001-01-01T00:00:00Z" });
    let refused = admin.post("/api/v1/api-keys", &past);
    assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some("expires_at")));
    let later = json!({ "name": "ends", "role": "operator", "expires_at": "2101-01-01" });
    assert_eq!(admin.posted("/api/v1/api-keys", &later)["expires_at"], "2101-01-01T00:00:00Z");
    assert_eq!(admin.delete(&format!("/api/v1/api-keys/{}", made["id"])).status, 200);
    assert_eq!(daemon.nobody().with("X-API-Key", secret).get("/api/v1/drives").status, 401);
    let log = admin.got("/api/v1/logs/audit?limit=1000").to_string();
    assert!(!log.contains(&secret[8..]));
    daemon.stop();
}

#[test]
fn a_ticket_is_good_once() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let ticket = admin.posted("/api/v1/auth/ticket", &json!({}));
    let path = format!("/api/v1/events/stream?ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(daemon.nobody().events(&path).status, 200);
    assert_eq!(daemon.nobody().get(&path).status, 401);
    daemon.stop();
}

#[test]
fn the_audit_log_is_read_filtered_and_saved() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let reader = daemon.user(&admin, "reader", "readonly");
    for path in ["/api/v1/logs/audit", "/api/v1/logs/export", "/api/v1/logs/verify"] {
        assert_eq!(reader.get(path).status, 403);
    }
    let made = entry(&admin, "users.create");
    assert_eq!((&made["username"], &made["ip_address"]), (&json!(ADMIN.0), &json!("127.0.0.1")));
    assert_eq!((&made["resource_id"], &made["outcome"]), (&json!(2), &json!("done")));
    assert_eq!(made["details"]["password"], "***");
    let logs = with(
        admin.get("/api/v1/logs/audit?limit=2"),
        &["/logs/0/id", "/logs/0/timestamp", "/logs/0/details"],
    );
    assert_eq!(logs["logs"].as_array().unwrap().len(), 2);
    let total = logs["total"].as_u64().unwrap();
    assert!(total >= 4, "set-up, two sign-ins, one user: {total}");
    let count = |query: &str| admin.got(&format!("/api/v1/logs/audit?{query}"))["total"].as_u64().unwrap();
    assert_eq!(count("resource_type=user&user_id=1&action=users.create"), 1);
    assert_eq!(count("start_date=2001-01-01&end_date=2001-12-31"), 0);
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    assert!(count(&format!("start_date=2024-01-15&end_date={today}")) >= total);
    let wrong = admin.get("/api/v1/logs/audit?start_date=yesterday");
    assert_eq!((wrong.status, wrong.json()["error"]["field"].as_str()), (400, Some("start_date")));
    assert_eq!(admin.get("/api/v1/logs/export?format=xml").status, 400);
    // More than is read at once.
    for _ in 0..1100 {
        assert_eq!(daemon.owner().delete("/api/v1/users/999999").status, 404);
    }
    let saved = admin.get("/api/v1/logs/export");
    assert_eq!(saved.header("content-type"), Some("application/json"));
    let name = saved.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"audit-") && name.ends_with(".json\""), "{name}");
    let saved = saved.json();
    let ids: Vec<i64> =
        saved["logs"].as_array().unwrap().iter().map(|log| log["id"].as_i64().unwrap()).collect();
    assert!(ids.len() > 1100 && ids.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(saved["total"], ids.len());
    let csv = admin.get("/api/v1/logs/export?format=csv");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = csv.text();
    assert!(text.starts_with("id,timestamp,user_id,username,action,"));
    // The export before and this one are in the log too.
    assert_eq!(text.lines().count(), ids.len() + 2);
    let verified = admin.got("/api/v1/logs/verify");
    assert_eq!(verified["sound"], true, "{verified}");
    daemon.stop();
}

#[test]
fn what_the_command_line_changes_holds_for_a_running_daemon() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let ops = daemon.user(&admin, "ops", "operator");
    let reelward = Reelward::new(state.path());
    assert_eq!(ops.get("/api/v1/auth/me").status, 200);
    reelward.ok(["user", "delete", "ops"]);
    eventually("the end of the session", || (ops.get("/api/v1/auth/me").status == 401).then_some(()));
    assert_eq!(entry(&admin, "users.delete")["username"], "local");
    let report = reelward.json(["audit", "verify"]);
    assert_eq!(report["sound"], true, "{report}");
    daemon.stop();
}
