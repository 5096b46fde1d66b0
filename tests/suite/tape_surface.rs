//! The tape surface over HTTP: tapes, pools, sources, sets, search, keys, settings, copies of the catalog, pages.

use std::path::Path;

use serde_json::{Value, json};

use super::support::daemon::{Daemon, eventually};
use super::support::http::{Answer, Client};

/// A daemon with its virtual library and an administrator.
struct Rig {
    state: tempfile::TempDir,
    daemon: Daemon,
    admin: Client,
    documented: Vec<Value>,
}

impl Rig {
    fn new() -> Rig {
        let state = tempfile::tempdir().unwrap();
        let (daemon, admin) = Daemon::start(state.path());
        let documented = serde_json::from_str(include_str!("../data/contract/tape.json")).unwrap();
        Rig { state, daemon, admin, documented }
    }

    /// An answer as documented: at least the fields of the document.
    fn check(&self, method: &str, template: &str, answer: &Answer) -> Value {
        assert!(
            (200..300).contains(&answer.status),
            "{method} {template}: {} {}",
            answer.status,
            answer.text()
        );
        let operation = self.documented.iter().find(|o| o["method"] == method && o["path"] == template);
        let operation = operation.unwrap_or_else(|| panic!("{method} {template} is not documented"));
        let value = answer.json();
        for (field, kind) in operation["reply"].as_object().into_iter().flatten() {
            let found =
                value.get(field).unwrap_or_else(|| panic!("{method} {template}: no {field} in {value}"));
            assert!(!kind.is_array() || found.is_array(), "{method} {template}: {field} is {found}");
            let rows = kind.get(0).and_then(Value::as_object).zip(found.get(0));
            for name in rows.iter().flat_map(|(row, _)| row.keys()) {
                assert!(found[0].get(name).is_some(), "{method} {template}: no {name} in {}", found[0]);
            }
        }
        value
    }

    fn get(&self, template: &str, path: &str) -> Value {
        self.check("GET", template, &self.admin.get(path))
    }

    fn post(&self, template: &str, path: &str, body: &Value) -> Value {
        self.check("POST", template, &self.admin.post(path, body))
    }

    fn put(&self, template: &str, path: &str, body: &Value) -> Value {
        self.check("PUT", template, &self.admin.call("PUT", path, body))
    }

    fn delete(&self, template: &str, path: &str) {
        self.check("DELETE", template, &self.admin.delete(path));
    }

    fn pool(&self, name: &str) -> i64 {
        let pool = self.post("/api/v1/pools", "/api/v1/pools", &json!({ "name": name, "retention_days": 7 }));
        pool["id"].as_i64().unwrap()
    }

    fn tape(&self, label: &str, barcode: &str, pool: i64) -> i64 {
        let body = json!({ "label": label, "barcode": barcode, "pool_id": pool, "notes": "n" });
        self.post("/api/v1/tapes", "/api/v1/tapes", &body)["id"].as_i64().unwrap()
    }
}

fn refused(answer: &Answer, status: u16, code: &str, field: Option<&str>) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    if let Some(field) = field {
        assert_eq!(answer.json()["error"]["field"], field, "{}", answer.text());
    }
}

#[test]
fn pools_and_sources() {
    let rig = Rig::new();
    let pool = rig.pool("DAILY");
    let tape = rig.tape("D-1", "XX0001L9", pool);
    refused(&rig.admin.post("/api/v1/pools", &json!({ "name": "DAILY" })), 409, "CONFLICT", None);
    refused(&rig.admin.post("/api/v1/pools", &json!({ "name": " " })), 400, "VALIDATION_ERROR", Some("name"));
    refused(
        &rig.admin.post("/api/v1/pools", &json!({ "name": "X", "retention_days": -1 })),
        400,
        "VALIDATION_ERROR",
        Some("retention_days"),
    );
    assert_eq!(rig.get("/api/v1/pools", "/api/v1/pools")["pools"][0]["tape_count"], 1);
    let path = format!("/api/v1/pools/{pool}");
    let renamed = rig.put("/api/v1/pools/{id}", &path, &json!({ "name": "NIGHTLY", "retention_days": null }));
    assert_eq!((&renamed["name"], &renamed["retention_days"]), (&json!("NIGHTLY"), &Value::Null));
    assert_eq!(rig.admin.got(&format!("/api/v1/tapes/{tape}"))["pool_name"], "NIGHTLY");
    refused(&rig.admin.delete(&path), 409, "CONFLICT", None);
    rig.delete("/api/v1/tapes/{id}", &format!("/api/v1/tapes/{tape}"));
    rig.delete("/api/v1/pools/{id}", &path);
    refused(&rig.admin.get(&path), 404, "NOT_FOUND", None);

    let tree = tempfile::tempdir().unwrap();
    let new = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({ "name": "Home", "source_type": "local", "path": tree.path(), "exclude_patterns": ["*.tmp"] });
        change(&mut body);
        rig.admin.post("/api/v1/sources", &body)
    };
    refused(&new(&|b| b["path"] = json!("/no/such/path")), 400, "VALIDATION_ERROR", Some("path"));
    refused(&new(&|b| b["source_type"] = json!("nfs")), 400, "VALIDATION_ERROR", Some("path"));
    refused(&new(&|b| b["source_type"] = json!("ftp")), 400, "VALIDATION_ERROR", Some("source_type"));
    refused(
        &new(&|b| b["include_patterns"] = json!(["[a"])),
        400,
        "VALIDATION_ERROR",
        Some("include_patterns"),
    );
    let made = rig.check("POST", "/api/v1/sources", &new(&|_| {}));
    refused(&new(&|_| {}), 409, "CONFLICT", None);
    let path = format!("/api/v1/sources/{}", made["id"]);
    let changed = rig.put("/api/v1/sources/{id}", &path, &json!({ "exclude_patterns": ["cache/*"] }));
    assert_eq!((&changed["exclude_patterns"], &changed["name"]), (&json!(["cache/*"]), &json!("Home")));
    assert_eq!(rig.get("/api/v1/sources", "/api/v1/sources")["sources"][0], rig.admin.got(&path));
    rig.delete("/api/v1/sources/{id}", &path);
    rig.daemon.stop();
}

#[test]
fn the_life_of_a_tape() {
    let rig = Rig::new();
    let pool = rig.pool("DAILY");
    let id = rig.tape("D-1", "RW0001L9", pool);
    let path = format!("/api/v1/tapes/{id}");
    let at = |what: &str| format!("{path}/{what}");
    let row = rig.get("/api/v1/tapes/{id}", &path);
    assert_eq!(
        (&row["status"], &row["labelled"], &row["notes"]),
        (&json!("blank"), &json!(false), &json!("n"))
    );
    refused(&rig.admin.post("/api/v1/tapes", &json!({ "label": "D-1" })), 409, "CONFLICT", None);
    for (field, body) in [
        ("label", json!({ "label": "" })),
        ("label", json!({})),
        ("barcode", json!({ "label": "x", "barcode": "a b" })),
        ("pool_id", json!({ "label": "x", "pool_id": 99 })),
        ("lto_type", json!({ "label": "x", "lto_type": "LTO-3" })),
        ("capacity_bytes", json!({ "label": "x", "capacity_bytes": u64::MAX })),
    ] {
        refused(&rig.admin.post("/api/v1/tapes", &body), 400, "VALIDATION_ERROR", Some(field));
    }
    // Label, read back, format.
    let read = rig.get("/api/v1/tapes/{id}/read-label", &at("read-label"));
    assert_eq!((&read["label"], &read["matches"]), (&Value::Null, &json!(false)));
    let labelled = rig.post("/api/v1/tapes/{id}/label", &at("label"), &json!({}));
    assert_eq!(labelled["status"], "labelled", "{labelled}");
    refused(&rig.admin.post(&at("label"), &json!({})), 409, "CONFLICT", None);
    let read = rig.get("/api/v1/tapes/{id}/read-label", &at("read-label"));
    assert_eq!(
        (&read["label"], &read["barcode"], &read["matches"]),
        (&json!("D-1"), &json!("RW0001L9"), &json!(true))
    );
    let before = rig.admin.got(&path);
    assert_eq!((&before["labelled"], &before["is_virtual"]), (&json!(true), &json!(true)), "{before}");
    rig.post("/api/v1/tapes/{id}/format", &at("format"), &json!({}));
    let after = rig.admin.got(&path);
    assert!(after["uuid"] != before["uuid"] && after["label"] == "D-1" && after["status"] == "blank");
    // Change, export, import.
    let changed =
        rig.put("/api/v1/tapes/{id}", &path, &json!({ "label": "NEW", "pool_id": null, "notes": "m" }));
    assert_eq!(
        (&changed["label"], &changed["pool_id"], &changed["notes"]),
        (&json!("NEW"), &Value::Null, &json!("m"))
    );
    refused(&rig.admin.call("PUT", &path, &json!({ "barcode": "OTHER" })), 409, "CONFLICT", None);
    refused(
        &rig.admin.call("PUT", &path, &json!({ "status": "gone" })),
        400,
        "VALIDATION_ERROR",
        Some("status"),
    );
    refused(&rig.admin.post(&at("import"), &json!({})), 409, "CONFLICT", None);
    let exported =
        rig.post("/api/v1/tapes/{id}/export", &at("export"), &json!({ "offsite_location": "vault 3" }));
    assert_eq!((&exported["status"], &exported["offsite_location"]), (&json!("exported"), &json!("vault 3")));
    refused(&rig.admin.call("PUT", &path, &json!({ "status": "active" })), 409, "CONFLICT", None);
    refused(&rig.admin.post(&at("format"), &json!({})), 409, "CONFLICT", None);
    let imported = rig.post("/api/v1/tapes/{id}/import", &at("import"), &json!({}));
    assert_eq!((&imported["status"], &imported["offsite_location"]), (&json!("blank"), &Value::Null));
    let types = rig.get("/api/v1/tapes/lto-types", "/api/v1/tapes/lto-types");
    let lto8 = types["lto_types"].as_array().unwrap().iter().find(|kind| kind["name"] == "LTO-8").unwrap();
    assert_eq!(lto8["native_capacity_bytes"], 12_000_000_000_000_i64);
    assert_eq!(lto8["compressed_capacity_bytes"], 30_000_000_000_000_i64);
    rig.daemon.stop();
}

#[test]
fn many_tapes_at_once() {
    let rig = Rig::new();
    let pool = rig.pool("WEEKLY");
    let idle = rig.get("/api/v1/tapes/batch-label/status", "/api/v1/tapes/batch-label/status");
    assert_eq!((&idle["running"], &idle["total"]), (&json!(false), &json!(0)));
    let cancel = "/api/v1/tapes/batch-label/cancel";
    refused(&rig.admin.post(cancel, &json!({})), 409, "CONFLICT", None);
    let batch = json!({ "prefix": "W-", "start_number": 1, "count": 3, "digits": 3, "pool_id": pool });
    for (field, value) in
        [("count", json!(0)), ("digits", json!(12)), ("pool_id", json!(99)), ("drive_id", json!(99))]
    {
        let mut wrong = batch.clone();
        wrong[field] = value;
        refused(&rig.admin.post("/api/v1/tapes/batch-label", &wrong), 400, "VALIDATION_ERROR", Some(field));
    }
    let started = rig.post("/api/v1/tapes/batch-label", "/api/v1/tapes/batch-label", &batch);
    assert_eq!(started["message"], "Batch labelling started: W-001 through W-003");
    let done = eventually("the batch ends", || {
        let status = rig.admin.got("/api/v1/tapes/batch-label/status");
        (status["running"] == false).then_some(status)
    });
    assert_eq!(
        (&done["completed"], &done["failed"], &done["total"]),
        (&json!(3), &json!(0), &json!(3)),
        "{done}"
    );
    refused(&rig.admin.post("/api/v1/tapes/batch-label", &batch), 409, "CONFLICT", None);

    let tapes =
        rig.get("/api/v1/tapes", &format!("/api/v1/tapes?pool_id={pool}&status=blank&limit=2&offset=1"));
    assert_eq!((tapes["total"].as_u64(), tapes["tapes"].as_array().unwrap().len()), (Some(3), 2));
    refused(&rig.admin.get("/api/v1/tapes?limit=0"), 400, "VALIDATION_ERROR", Some("limit"));
    refused(&rig.admin.get("/api/v1/tapes?nonsense=1"), 400, "VALIDATION_ERROR", Some("nonsense"));
    let ids: Vec<i64> = rig.admin.got("/api/v1/tapes")["tapes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tape| tape["id"].as_i64().unwrap())
        .collect();
    let other = rig.pool("OTHER");
    rig.post("/api/v1/tapes/{id}/export", &format!("/api/v1/tapes/{}/export", ids[0]), &json!({}));
    let body = json!({ "tape_ids": [ids[0], ids[1], ids[2], 999], "status": "retired", "pool_id": other });
    let changed = rig.post("/api/v1/tapes/batch-update", "/api/v1/tapes/batch-update", &body);
    assert_eq!((&changed["updated"], &changed["skipped"]), (&json!(2), &json!(2)), "{changed}");
    assert!(changed["reasons"][0]["reason"].as_str().unwrap().contains("import"), "{changed}");
    let row = rig.admin.got(&format!("/api/v1/tapes/{}", ids[1]));
    assert_eq!((&row["status"], &row["pool_name"]), (&json!("retired"), &json!("OTHER")));
    refused(
        &rig.admin.post("/api/v1/tapes/batch-update", &json!({ "tape_ids": [1] })),
        400,
        "VALIDATION_ERROR",
        Some("status"),
    );
    rig.daemon.stop();
}

#[test]
fn keys_and_their_sheet() {
    let rig = Rig::new();
    let key = rig.post("/api/v1/encryption-keys", "/api/v1/encryption-keys", &json!({ "name": "default" }));
    assert!(key["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    assert!(!key.to_string().contains("SECRET"));
    refused(&rig.admin.post("/api/v1/encryption-keys", &json!({ "name": "default" })), 409, "CONFLICT", None);
    let listed = rig.get("/api/v1/encryption-keys", "/api/v1/encryption-keys");
    assert_eq!(listed["keys"][0], key);
    let page = rig.admin.get("/api/v1/encryption-keys/keysheet");
    assert!(page.header("content-type").unwrap().starts_with("text/html") && page.text().contains("<svg"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let text = rig.admin.get("/api/v1/encryption-keys/keysheet/text").text();
    let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    // The sheet alone makes the same key elsewhere.
    let identity: reelward::format::age::Identity = secret.parse().unwrap();
    assert_eq!(identity.recipient().to_string(), key["recipient"].as_str().unwrap());
    let operator = rig.daemon.user(&rig.admin, "op", "operator");
    refused(&operator.get("/api/v1/encryption-keys/keysheet"), 403, "FORBIDDEN", None);
    let import = "/api/v1/encryption-keys/import";
    refused(&rig.admin.post(import, &json!({ "name": "x", "key_data": secret })), 409, "CONFLICT", None);
    let wrong = rig.admin.post(import, &json!({ "name": "x", "key_data": "AGE-SECRET-KEY-1WRONG" }));
    refused(&wrong, 400, "VALIDATION_ERROR", Some("key_data"));
    assert!(!wrong.text().contains("1WRONG"));
    rig.delete("/api/v1/encryption-keys/{id}", &format!("/api/v1/encryption-keys/{}", key["id"]));
    let again = rig.post(import, import, &json!({ "name": "x", "key_data": secret }));
    assert_eq!(again["fingerprint"], key["fingerprint"]);
    rig.daemon.stop();
}

#[test]
fn settings_keep_their_secrets() {
    let rig = Rig::new();
    let path = "/api/v1/settings";
    let test = "/api/v1/settings/telegram/test";
    refused(&rig.admin.post(test, &json!({})), 400, "VALIDATION_ERROR", Some("telegram_bot_token"));
    let token = "123456:ABCDEFGHIJKLMNOP";
    let set =
        json!({ "telegram_bot_token": token, "telegram_chat_id": "123456", "notifications_enabled": true });
    rig.put(path, path, &set);
    let seen = rig.get(path, path);
    assert_eq!(
        seen,
        json!({ "telegram_bot_token": "***", "telegram_chat_id": "123456", "notifications_enabled": true })
    );
    // What was read can be written back.
    rig.put(path, path, &seen);
    for (field, value) in [("telegram_bot_token", json!("../x")), ("telegram_chat_id", json!("a b"))] {
        refused(&rig.admin.call("PUT", path, &json!({ field: value })), 400, "VALIDATION_ERROR", Some(field));
    }
    let on_disk = |name: &str| std::fs::read(rig.state.path().join(name)).unwrap_or_default();
    for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
        let bytes = on_disk(name);
        assert!(
            !bytes.windows(token.len()).any(|window| window == token.as_bytes()),
            "{name} holds the token"
        );
    }
    let forgotten = rig.put(path, path, &json!({ "telegram_bot_token": null }));
    assert_eq!(forgotten["telegram_bot_token"], "");
    refused(&rig.admin.post(test, &json!({})), 400, "VALIDATION_ERROR", Some("telegram_bot_token"));
    rig.daemon.stop();
}

#[test]
fn pages_the_dashboard_and_what_is_not_there_yet() {
    let rig = Rig::new();
    let listed = rig.get("/api/v1/docs", "/api/v1/docs");
    for page in listed["docs"].as_array().unwrap() {
        let id = page["id"].as_str().unwrap();
        let page = rig.get("/api/v1/docs/{id}", &format!("/api/v1/docs/{id}"));
        assert!(page["content"].as_str().unwrap().len() > 200, "{id}");
    }
    let reference = rig.admin.got("/api/v1/docs/api");
    assert!(reference["content"].as_str().unwrap().contains("`GET /api/v1/tapes/{id}`"));
    refused(&rig.admin.get("/api/v1/docs/..%2fsecret"), 404, "NOT_FOUND", None);
    let dashboard = rig.get("/api/v1/dashboard", "/api/v1/dashboard");
    assert_eq!(dashboard["drives"].as_array().unwrap().len(), 2);
    assert!(dashboard["alerts"].to_string().contains("virtual library"), "{dashboard}");
    for (method, path) in [
        ("GET", "/api/v1/proxmox/nodes"),
        ("POST", "/api/v1/proxmox/backups"),
        ("DELETE", "/api/v1/proxmox/jobs/1"),
    ] {
        refused(&rig.admin.call(method, path, &json!({})), 501, "NOT_IMPLEMENTED", None);
    }
    rig.daemon.stop();
}

#[test]
fn copies_of_the_catalog() {
    let rig = Rig::new();
    let pool = rig.pool("DAILY");
    let tape = rig.tape("D-1", "RW0001L9", pool);
    let path = "/api/v1/database-backup";
    assert_eq!(rig.get(path, path)["backups"], json!([]));
    refused(
        &rig.admin.post("/api/v1/database-backup/backup", &json!({ "tape_id": 99 })),
        400,
        "VALIDATION_ERROR",
        Some("tape_id"),
    );
    rig.admin.posted("/api/v1/encryption-keys", &json!({ "name": "default" }));
    let backup = "/api/v1/database-backup/backup";
    let started = rig.post(backup, backup, &json!({ "tape_id": tape }));
    let row = eventually("the copy is written", || {
        let row = rig.admin.got(path)["backups"][0].clone();
        (row["status"] != "running").then_some(row)
    });
    assert_eq!(
        (&row["status"], &row["tape_label"], &row["id"]),
        (&json!("completed"), &json!("D-1"), &started["id"]),
        "{row}"
    );
    assert!(row["checksum"].as_str().unwrap().starts_with("sha256:"));
    rig.get(path, path);
    // It is a set like any other, encrypted for every key.
    let sets = rig.get("/api/v1/backup-sets", &format!("/api/v1/backup-sets?tape_id={tape}"));
    let set = &sets["backup_sets"][0];
    assert_eq!(
        (&set["status"], &set["encrypted"], &set["tape_label"]),
        (&json!("completed"), &json!(true), &json!("D-1"))
    );
    let drive = rig.admin.got("/api/v1/drives")["drives"][0]["id"].as_i64().unwrap();
    let scan = format!("/api/v1/drives/{drive}/scan-for-db-backup");
    let loaded = eventually("the tape is in the drive", || {
        rig.admin.post("/api/v1/libraries/1/load", &json!({ "slot_number": 1, "drive_number": 0 }));
        let answer = rig.admin.get(&scan);
        (answer.status == 200).then_some(answer)
    });
    let found = rig.check("GET", "/api/v1/drives/{id}/scan-for-db-backup", &loaded);
    assert_eq!(found["backups"][0]["id"], started["id"], "{found}");
    let to = tempfile::tempdir().unwrap();
    let restore = "/api/v1/database-backup/restore";
    let body = json!({ "backup_id": started["id"], "dest_path": to.path().join("here") });
    let restored = rig.post(restore, restore, &body);
    assert_eq!(restored["status"], "restored", "{restored}");
    let catalog =
        reelward::catalog::Catalog::open(Path::new(restored["dest_path"].as_str().unwrap())).unwrap();
    assert_eq!(catalog.volumes().unwrap()[0].label, "D-1");
    refused(&rig.admin.post(restore, &body), 409, "CONFLICT", None);
    refused(
        &rig.admin.post(restore, &json!({ "backup_id": 99, "dest_path": "/tmp/x" })),
        400,
        "VALIDATION_ERROR",
        Some("backup_id"),
    );
    refused(
        &rig.admin.post(restore, &json!({ "backup_id": started["id"], "dest_path": "../x" })),
        400,
        "VALIDATION_ERROR",
        Some("dest_path"),
    );
    // Search and browse, over the set that there is.
    let hits = rig.get("/api/v1/catalog/search", "/api/v1/catalog/search?q=*.sqlite");
    assert_eq!(hits["total"], 1);
    let hit = &hits["entries"][0];
    assert_eq!(
        (&hit["tape_label"], &hit["backup_set_id"], &hit["checksum"]),
        (&json!("D-1"), &set["id"], &row["checksum"])
    );
    assert!(hit["block_offset"].as_u64().unwrap() >= 2);
    let set = set["id"].as_i64().unwrap();
    let listing =
        rig.get("/api/v1/catalog/browse/{backupSetId}", &format!("/api/v1/catalog/browse/{set}?prefix=/"));
    assert_eq!(listing["entries"][0]["type"], "directory");
    let details = rig.get("/api/v1/backup-sets/{id}", &format!("/api/v1/backup-sets/{set}"));
    assert_eq!((&details["spanning"], &details["parts"][0]["tape_label"]), (&json!(false), &json!("D-1")));
    let files = rig.get("/api/v1/backup-sets/{id}/files", &format!("/api/v1/backup-sets/{set}/files"));
    assert_eq!((&files["total"], &files["files"][0]["path"]), (&json!(1), &hit["file_path"]));
    refused(&rig.admin.get("/api/v1/catalog/search?q="), 400, "VALIDATION_ERROR", Some("q"));
    refused(&rig.admin.get("/api/v1/catalog/search"), 400, "VALIDATION_ERROR", Some("q"));
    // A tape and a key with a set stay; a set that is deleted sets them free.
    refused(&rig.admin.delete(&format!("/api/v1/tapes/{tape}")), 409, "CONFLICT", None);
    refused(&rig.admin.post(&format!("/api/v1/tapes/{tape}/format"), &json!({})), 409, "CONFLICT", None);
    refused(&rig.admin.delete("/api/v1/encryption-keys/1"), 409, "CONFLICT", None);
    rig.delete("/api/v1/backup-sets/{id}", &format!("/api/v1/backup-sets/{set}"));
    refused(&rig.admin.get(&format!("/api/v1/backup-sets/{set}")), 404, "NOT_FOUND", None);
    rig.admin.posted(&format!("/api/v1/tapes/{tape}/format"), &json!({}));
    rig.daemon.stop();
}
