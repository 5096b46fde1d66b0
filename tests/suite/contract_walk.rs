//! Every operation of the tape document, called in an order that gives each something real to answer from.

use std::fs;

use serde_json::{Value, json};

use super::contract::Contract;
use super::support::daemon::{ADMIN, Daemon, eventually};
use super::support::http::{Answer, Client};

/// Calls operations by their documented templates and holds the answers against the document.
struct Walk {
    contract: Contract,
    client: Client,
}

impl Walk {
    /// The path with the parameters filled in, in order.
    fn address(path: &str, parameters: &[&str]) -> String {
        let mut left = parameters.iter();
        let fill = |part: &str| match part.starts_with('{') {
            true => (*left.next().expect("a parameter for each")).to_owned(),
            false => part.to_owned(),
        };
        path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    fn get(&self, path: &str, parameters: &[&str]) -> Value {
        self.asked(path, parameters, "")
    }

    fn asked(&self, path: &str, parameters: &[&str], query: &str) -> Value {
        let address = Walk::address(path, parameters);
        self.contract.check("GET", path, &self.client.get(&format!("{address}{query}")))
    }

    fn send(&self, method: &str, path: &str, parameters: &[&str], body: &Value) -> Value {
        let answer = self.client.call(method, &Walk::address(path, parameters), body);
        self.contract.check(method, path, &answer);
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    fn post(&self, path: &str, parameters: &[&str], body: Value) -> Value {
        self.send("POST", path, parameters, &body)
    }

    fn put(&self, path: &str, parameters: &[&str], body: Value) -> Value {
        self.send("PUT", path, parameters, &body)
    }

    fn delete(&self, path: &str, parameters: &[&str]) -> Value {
        self.send("DELETE", path, parameters, &json!({}))
    }

    /// Waits until a task is over.
    fn task(&self, id: &Value) -> Value {
        eventually("the task ends", || {
            let task = self.client.got(&format!("/api/v1/tasks/{id}"));
            let over = ["completed", "failed", "cancelled"].contains(&task["status"].as_str().unwrap());
            over.then_some(task)
        })
    }
}

fn id(value: &Value) -> String {
    value["id"].as_i64().unwrap_or_else(|| panic!("no id in {value}")).to_string()
}

#[test]
fn all_of_the_document_is_answered_from_real_state() {
    let state = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let root = data.path().canonicalize().unwrap();
    fs::create_dir(root.join("documents")).unwrap();
    fs::write(root.join("documents/report.pdf"), b"figures\n".repeat(3000)).unwrap();
    fs::write(root.join("documents/notes.txt"), b"notes").unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let walk = Walk { contract: Contract::tape(), client: admin };
    // Open to all.
    walk.get("/health", &[]);
    walk.get("/api/v1/health", &[]);
    let body = json!({ "username": ADMIN.0, "password": ADMIN.1 });
    walk.contract.check("POST", "/api/v1/auth/login", &daemon.nobody().post("/api/v1/auth/login", &body));
    people(&walk);
    let (drive, library) = devices(&walk);
    let pool =
        walk.post("/api/v1/pools", &[], json!({ "name": "DAILY", "description": "d", "retention_days": 7 }));
    let pool = id(&pool);
    let source = walk.post(
        "/api/v1/sources",
        &[],
        json!({ "name": "Home", "source_type": "local", "path": root, "include_patterns": [], "exclude_patterns": ["*.tmp"] }),
    );
    let source = id(&source);
    let tape = tapes(&walk, &pool, &drive, &library);
    let set = jobs(&walk, &pool, &source, &tape, &root);
    sets_and_restores(&walk, &set, &tape, target.path());
    copies_of_the_catalog(&walk, &drive, &tape, target.path());
    keys(&walk);
    rest(&walk, &pool, &source, &tape, &set, &library);
    proxmox(&walk);
    // The last one ends the daemon and starts it again.
    let log = daemon.errors.clone();
    walk.post("/api/v1/settings/restart", &[], json!({}));
    let missing = walk.contract.missing();
    assert!(missing.is_empty(), "{} not answered: {missing:#?}\n{}", missing.len(), log.lock().unwrap());
    eventually("it answers again", || {
        let stream = std::os::unix::net::UnixStream::connect(state.path().join("daemon.sock"));
        stream.ok().map(drop)
    });
}

fn people(walk: &Walk) {
    walk.get("/api/v1/users", &[]);
    let user = walk.post(
        "/api/v1/users",
        &[],
        json!({ "username": "operator1", "password": "secure password", "role": "operator" }),
    );
    walk.delete("/api/v1/users/{id}", &[&id(&user)]);
    let key = walk.post("/api/v1/api-keys", &[], json!({ "name": "monitoring" }));
    walk.get("/api/v1/api-keys", &[]);
    walk.delete("/api/v1/api-keys/{id}", &[&id(&key)]);
    walk.post(
        "/api/v1/auth/change-password",
        &[],
        json!({ "current_password": ADMIN.1, "new_password": "another good password" }),
    );
}

/// The first drive and its library; others are added and forgotten.
fn devices(walk: &Walk) -> (String, String) {
    const D: &str = "/api/v1/drives/{id}";
    walk.get("/api/v1/drives/scan", &[]);
    let drives = walk.get("/api/v1/drives", &[]);
    let drive = id(&drives["drives"][0]);
    let other = walk.post(
        "/api/v1/drives",
        &[],
        json!({ "device_path": "/dev/nst9", "display_name": "Second", "serial_number": "D", "model": "LTO-6" }),
    );
    walk.put(D, &[&id(&other)], json!({ "display_name": "Renamed", "enabled": false }));
    walk.delete(D, &[&id(&other)]);
    walk.post("/api/v1/drives/{id}/select", &[&drive], json!({}));
    walk.get("/api/v1/libraries/scan", &[]);
    let libraries = walk.get("/api/v1/libraries", &[]);
    let library = id(&libraries[0]);
    let other = walk.post(
        "/api/v1/libraries",
        &[],
        json!({ "name": "Other", "device_path": "/dev/sg9", "vendor": "V", "model": "M", "serial_number": "S" }),
    );
    walk.put("/api/v1/libraries/{id}", &[&id(&other)], json!({ "name": "Renamed", "enabled": false }));
    walk.get("/api/v1/libraries/{id}", &[&id(&other)]);
    walk.delete("/api/v1/libraries/{id}", &[&id(&other)]);
    walk.post("/api/v1/libraries/{id}/inventory", &[&library], json!({}));
    walk.get("/api/v1/libraries/{id}/slots", &[&library]);
    (drive, library)
}

/// Tapes are entered, labelled in every way, formatted; the one that is left loaded is for the job.
fn tapes(walk: &Walk, pool: &str, drive: &str, library: &str) -> String {
    const T: &str = "/api/v1/tapes/{id}";
    let pool: i64 = pool.parse().unwrap();
    walk.get("/api/v1/tapes/lto-types", &[]);
    let slots = walk.get("/api/v1/libraries/{id}/slots", &[library]);
    let barcode = |at: usize| slots["slots"][at]["barcode"].as_str().unwrap().to_owned();
    let enter = |at: usize, label: &str| {
        let body = json!({ "barcode": barcode(at), "label": label, "pool_id": pool, "capacity_bytes": 18_000_000_000_000_u64, "notes": "n" });
        id(&walk.post("/api/v1/tapes", &[], body))
    };
    let tape = enter(0, "DAILY-001");
    let slot = json!({ "slot_number": 1, "drive_number": 0 });
    walk.post("/api/v1/libraries/{id}/load", &[library], slot.clone());
    walk.get("/api/v1/drives/{id}/status", &[drive]);
    walk.get("/api/v1/drives/{id}/detect-tape", &[drive]);
    walk.post("/api/v1/tapes/{id}/label", &[&tape], json!({}));
    walk.get("/api/v1/tapes/{id}/read-label", &[&tape]);
    walk.get("/api/v1/drives/{id}/inspect-tape", &[drive]);
    walk.post("/api/v1/drives/{id}/rewind", &[drive], json!({}));
    walk.post("/api/v1/drives/{id}/retension", &[drive], json!({}));
    walk.post("/api/v1/tapes/{id}/format", &[&tape], json!({}));
    walk.post("/api/v1/drives/{id}/format-tape", &[drive], json!({}));
    walk.put(T, &[&tape], json!({ "label": "DAILY-001", "pool_id": pool, "notes": "updated" }));
    walk.get(T, &[&tape]);
    walk.asked("/api/v1/tapes", &[], &format!("?pool_id={pool}&status=blank&limit=10&offset=0"));
    // A second one, labelled by the drive's batch, then changed in a batch, then forgotten.
    let second = enter(1, "DAILY-002");
    walk.post("/api/v1/libraries/{id}/unload", &[library], slot.clone());
    let batch = walk.post(
        "/api/v1/drives/{id}/batch-label",
        &[drive],
        json!({ "tape_ids": [second.parse::<i64>().unwrap()] }),
    );
    assert_eq!(walk.task(&batch["task_id"])["status"], "completed");
    walk.post(
        "/api/v1/tapes/batch-update",
        &[],
        json!({ "tape_ids": [second.parse::<i64>().unwrap()], "status": "retired" }),
    );
    walk.delete(T, &[&second]);
    // A batch of new ones, cancelled or done.
    walk.post(
        "/api/v1/tapes/batch-label",
        &[],
        json!({ "drive_id": drive.parse::<i64>().unwrap(), "prefix": "WEEKLY-", "start_number": 1, "count": 2, "digits": 3, "pool_id": pool }),
    );
    walk.get("/api/v1/tapes/batch-label/status", &[]);
    let cancelled = walk.client.post("/api/v1/tapes/batch-label/cancel", &json!({}));
    match cancelled.status {
        // It was faster.
        409 => walk.contract.refused("POST", "/api/v1/tapes/batch-label/cancel", &cancelled, 409),
        _ => drop(walk.contract.check("POST", "/api/v1/tapes/batch-label/cancel", &cancelled)),
    }
    eventually("the batch ends", || {
        (walk.get("/api/v1/tapes/batch-label/status", &[])["running"] == false).then_some(())
    });
    eventually("the drive is free", || {
        (walk.client.got(&format!("/api/v1/drives/{drive}"))["status"] != "busy").then_some(())
    });
    walk.post("/api/v1/libraries/{id}/inventory", &[library], json!({}));
    let slots = walk.get("/api/v1/libraries/{id}/slots", &[library]);
    let all = slots["slots"].as_array().unwrap();
    let free = |slot: &&Value| slot["is_empty"] == true && slot["slot_type"] == "storage";
    let (from, to) = (
        all.iter().find(|slot| slot["is_empty"] == false && slot["slot_type"] == "storage"),
        all.iter().rev().find(free),
    );
    let transfer =
        json!({ "source_slot": from.unwrap()["slot_number"], "dest_slot": to.unwrap()["slot_number"] });
    walk.post("/api/v1/libraries/{id}/transfer", &[library], transfer);
    tape
}

/// A job runs, is paused, resumed, retried, cancelled; its finished set.
fn jobs(walk: &Walk, pool: &str, source: &str, tape: &str, root: &std::path::Path) -> String {
    const J: &str = "/api/v1/jobs/{id}";
    let (pool, source): (i64, i64) = (pool.parse().unwrap(), source.parse().unwrap());
    let job = walk.post(
        "/api/v1/jobs",
        &[],
        json!({ "name": "Daily-Home", "source_id": source, "pool_id": pool, "backup_type": "incremental",
                "schedule": "0 2 * * *", "enabled": true }),
    );
    let job = id(&job);
    walk.get(J, &[&job]);
    walk.put(J, &[&job], json!({ "schedule": "0 3 * * *", "enabled": true }));
    walk.get("/api/v1/jobs/{id}/recommend-tape", &[&job]);
    let run = walk.post("/api/v1/jobs/{id}/run", &[&job], json!({ "backup_type": "full" }));
    let set = run["backup_set_id"].as_i64().expect("the set is known").to_string();
    walk.get("/api/v1/jobs/active", &[]);
    let idle = || {
        let active = walk.get("/api/v1/jobs/active", &[]);
        let all =
            active.as_array().cloned().or_else(|| active["jobs"].as_array().cloned()).unwrap_or_default();
        all.is_empty().then_some(())
    };
    eventually("the job ends", idle);
    walk.get("/api/v1/jobs", &[]);
    // Something long enough to be paused in the middle.
    let large = fs::File::create(root.join("documents/large")).unwrap();
    large.set_len(1).unwrap();
    for at in 0..400 {
        fs::write(root.join(format!("documents/bulk-{at}")), vec![7; 1 << 20]).unwrap();
    }
    walk.post("/api/v1/jobs/{id}/run", &[&job], json!({ "backup_type": "full" }));
    let either = |path: &str, answer: &Answer| match answer.status {
        409 => walk.contract.refused("POST", path, answer, 409), // it was faster
        _ => drop(walk.contract.check("POST", path, answer)),
    };
    let post = |what: &str| walk.client.post(&format!("/api/v1/jobs/{job}/{what}"), &json!({}));
    either("/api/v1/jobs/{id}/pause", &post("pause"));
    walk.get("/api/v1/jobs/resumable", &[]);
    either("/api/v1/jobs/{id}/resume", &post("resume"));
    either("/api/v1/jobs/{id}/cancel", &post("cancel"));
    eventually("the job ends", idle);
    let resumable = walk.get("/api/v1/jobs/resumable", &[]);
    let body =
        json!({ "tape_id": 0, "use_pool": true, "from_scratch": resumable.as_array().unwrap().is_empty() });
    let retry = walk.client.post(&format!("/api/v1/jobs/{job}/retry"), &body);
    either("/api/v1/jobs/{id}/retry", &retry);
    eventually("the job ends", idle);
    let _ = tape;
    let other = walk.post(
        "/api/v1/jobs",
        &[],
        json!({ "name": "Other", "source_id": source, "pool_id": pool, "backup_type": "full", "enabled": false }),
    );
    walk.delete(J, &[&id(&other)]);
    set
}

fn sets_and_restores(walk: &Walk, set: &str, tape: &str, target: &std::path::Path) {
    walk.asked("/api/v1/backup-sets", &[], &format!("?tape_id={tape}&status=completed&limit=5"));
    walk.get("/api/v1/backup-sets/{id}", &[set]);
    walk.get("/api/v1/backup-sets/{id}/files", &[set]);
    let found = walk.asked("/api/v1/catalog/search", &[], "?q=*.pdf&limit=10");
    let path = found["entries"][0]["file_path"].as_str().unwrap().to_owned();
    walk.asked("/api/v1/catalog/browse/{backupSetId}", &[set], "?prefix=/");
    walk.post("/api/v1/restore/plan", &[], json!({ "file_paths": [path] }));
    let run = walk.post(
        "/api/v1/restore/run",
        &[],
        json!({ "backup_set_id": set.parse::<i64>().unwrap(), "file_paths": [path], "dest_path": target,
                "destination_type": "local", "overwrite": false, "verify": true }),
    );
    assert_eq!(walk.task(&run["restore_id"])["status"], "completed");
    walk.get("/api/v1/dashboard", &[]);
}

fn copies_of_the_catalog(walk: &Walk, drive: &str, tape: &str, target: &std::path::Path) {
    let copy =
        walk.post("/api/v1/database-backup/backup", &[], json!({ "tape_id": tape.parse::<i64>().unwrap() }));
    let copy = copy["id"].as_i64().unwrap();
    eventually("the copy is on tape", || {
        let all = walk.get("/api/v1/database-backup", &[]);
        let done = all["backups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == copy && row["status"] == "completed");
        done.then_some(())
    });
    let dest = target.join("copy");
    fs::create_dir(&dest).unwrap();
    let restored =
        walk.post("/api/v1/database-backup/restore", &[], json!({ "backup_id": copy, "dest_path": dest }));
    let file = restored["dest_path"].as_str().unwrap();
    assert_eq!(&fs::read(file).unwrap()[..15], b"SQLite format 3");
    // The tape is in a drive, or is put there, to be scanned.
    eventually("the drive is free", || {
        (walk.client.got(&format!("/api/v1/drives/{drive}"))["status"] != "busy").then_some(())
    });
    if walk.client.got(&format!("/api/v1/drives/{drive}"))["status"] != "ready" {
        let slots = walk.client.got("/api/v1/libraries/1/slots");
        let is_it = |slot: &&Value| slot["tape_id"].as_i64() == tape.parse().ok();
        let slot = slots["slots"].as_array().unwrap().iter().find(is_it).expect("the tape is in the library");
        let body = json!({ "slot_number": slot["slot_number"], "drive_number": 0 });
        walk.client.posted("/api/v1/libraries/1/load", &body);
    }
    walk.get("/api/v1/drives/{id}/scan-for-db-backup", &[drive]);
    walk.get("/api/v1/drives/{id}/statistics", &[drive]);
    walk.get("/api/v1/drives/{id}/alerts", &[drive]);
    walk.post("/api/v1/drives/{id}/eject", &[drive], json!({}));
    walk.post("/api/v1/drives/{id}/clean", &[drive], json!({}));
}

fn keys(walk: &Walk) {
    let made = walk.post("/api/v1/encryption-keys", &[], json!({ "name": "my-key" }));
    walk.get("/api/v1/encryption-keys", &[]);
    assert!(walk.client.get("/api/v1/encryption-keys/keysheet").text().contains("<svg"));
    walk.contract.check(
        "GET",
        "/api/v1/encryption-keys/keysheet",
        &walk.client.get("/api/v1/encryption-keys/keysheet"),
    );
    let sheet = walk.client.get("/api/v1/encryption-keys/keysheet/text");
    walk.contract.check("GET", "/api/v1/encryption-keys/keysheet/text", &sheet);
    let text = sheet.text();
    let secret =
        text.split_whitespace().find(|word| word.starts_with("AGE-SECRET-KEY-1")).expect("the key itself");
    walk.delete("/api/v1/encryption-keys/{id}", &[&id(&made)]);
    walk.post("/api/v1/encryption-keys/import", &[], json!({ "name": "imported-key", "key_data": secret }));
}

fn rest(walk: &Walk, pool: &str, source: &str, tape: &str, set: &str, _library: &str) {
    walk.get("/api/v1/pools", &[]);
    walk.get("/api/v1/pools/{id}", &[pool]);
    walk.put("/api/v1/pools/{id}", &[pool], json!({ "name": "RENAMED", "retention_days": 365 }));
    let other = walk.post("/api/v1/pools", &[], json!({ "name": "OTHER" }));
    walk.delete("/api/v1/pools/{id}", &[&id(&other)]);
    walk.get("/api/v1/sources", &[]);
    walk.get("/api/v1/sources/{id}", &[source]);
    walk.put(
        "/api/v1/sources/{id}",
        &[source],
        json!({ "name": "Renamed", "exclude_patterns": ["*.tmp", "cache/*"] }),
    );
    let other =
        walk.post("/api/v1/sources", &[], json!({ "name": "Other", "source_type": "local", "path": "/etc" }));
    walk.delete("/api/v1/sources/{id}", &[&id(&other)]);
    walk.post("/api/v1/tapes/{id}/export", &[tape], json!({}));
    walk.post("/api/v1/tapes/{id}/import", &[tape], json!({}));
    walk.delete("/api/v1/backup-sets/{id}", &[set]);
    let docs = walk.get("/api/v1/docs", &[]);
    for document in docs["docs"].as_array().unwrap() {
        walk.get("/api/v1/docs/{id}", &[document["id"].as_str().unwrap()]);
    }
    walk.asked("/api/v1/logs/audit", &[], "?start_date=2020-01-01&resource_type=pool&limit=5");
    let csv = walk.client.get("/api/v1/logs/export?format=csv");
    walk.contract.check("GET", "/api/v1/logs/export", &csv);
    assert!(csv.header("content-disposition").is_some_and(|value| value.contains("attachment")));
    walk.get("/api/v1/settings", &[]);
    walk.put(
        "/api/v1/settings",
        &[],
        json!({ "telegram_bot_token": "bot123:ABC", "telegram_chat_id": "123456", "notifications_enabled": false }),
    );
    assert_eq!(walk.get("/api/v1/settings", &[])["telegram_bot_token"], "***");
    // No network here: what matters is that the failure is told in the documented shape.
    let tested = walk.client.post("/api/v1/settings/telegram/test", &json!({}));
    assert!([200, 502, 503].contains(&tested.status), "{}", tested.text());
    match tested.status {
        200 => drop(walk.contract.check("POST", "/api/v1/settings/telegram/test", &tested)),
        status => walk.contract.refused("POST", "/api/v1/settings/telegram/test", &tested, status),
    }
    walk.get("/api/v1/events", &[]);
    let stream = walk.client.events("/api/v1/events/stream");
    let answer = Answer { status: stream.status, headers: stream.headers.clone(), body: Vec::new() };
    walk.contract.check("GET", "/api/v1/events/stream", &answer);
}

/// Declared, and refused in the documented way until they are made.
fn proxmox(walk: &Walk) {
    for operation in walk.contract.missing().iter().filter(|operation| operation.contains("/proxmox/")) {
        let (method, path) = operation.split_once(' ').unwrap();
        let address = path.replace("{id}", "1").replace("{vmid}", "100");
        let body = match path {
            "/api/v1/proxmox/backups" => json!({ "vmid": 100, "node": "pve1" }),
            "/api/v1/proxmox/jobs" => json!({ "name": "n", "schedule": "0 3 * * *", "vmids": [100] }),
            "/api/v1/proxmox/jobs/{id}" => json!({ "schedule": "0 4 * * *", "enabled": true }),
            "/api/v1/proxmox/restores" => json!({ "backup_id": 1, "target_node": "pve1" }),
            "/api/v1/proxmox/restores/plan" => json!({ "backup_id": 1 }),
            _ => json!({}),
        };
        let answer = walk.client.call(method, &address, &body);
        walk.contract.refused(method, path, &answer, 501);
    }
}
