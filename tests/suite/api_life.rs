//! A whole life over HTTP alone: set up, log in, scan, pool, source, job, label, run, watch, search, plan, restore, verify,
//! export the tape, import it again.

use std::fs;

use serde_json::json;

use super::support::daemon::{Daemon, eventually};

#[test]
fn a_whole_life_over_http_alone() {
    let state = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let root = data.path().canonicalize().unwrap();
    fs::create_dir(root.join("documents")).unwrap();
    let report = b"figures\n".repeat(5000);
    fs::write(root.join("documents/report.pdf"), &report).unwrap();
    fs::write(root.join("documents/notes.txt"), b"notes").unwrap();
    fs::write(root.join("documents/scratch.tmp"), b"not wanted").unwrap();
    // Set up and log in.
    let (daemon, admin) = Daemon::start(state.path());
    assert_eq!(
        daemon
            .nobody()
            .post("/api/v1/setup", &json!({ "token": "x", "username": "y", "password": "z" }))
            .status,
        409
    );
    // Scan.
    let found = admin.got("/api/v1/drives/scan");
    assert_eq!(found["drives"].as_array().unwrap().len(), 2);
    let drives = admin.got("/api/v1/drives");
    let drive = drives["drives"][0]["id"].as_i64().unwrap();
    let library = admin.got("/api/v1/libraries")[0]["id"].as_i64().unwrap();
    let slots = admin.posted(&format!("/api/v1/libraries/{library}/inventory"), &json!({}));
    let barcode = slots["slots"][0]["barcode"].as_str().unwrap().to_owned();
    // Pool, source, job.
    let pool = admin.posted(
        "/api/v1/pools",
        &json!({ "name": "DAILY", "description": "every day", "retention_days": 7 }),
    );
    let source = admin.posted(
        "/api/v1/sources",
        &json!({ "name": "Home", "source_type": "local", "path": root, "exclude_patterns": ["*.tmp"] }),
    );
    let job = admin.posted(
        "/api/v1/jobs",
        &json!({ "name": "Daily-Home", "source_id": source["id"], "pool_id": pool["id"], "backup_type": "full",
                 "schedule": "0 2 * * *", "enabled": true }),
    );
    assert!(admin.got("/api/v1/jobs")["jobs"][0]["next_run_at"].is_string());
    // Label: the row first, the cartridge after it is loaded.
    let tape = admin.posted(
        "/api/v1/tapes",
        &json!({ "barcode": barcode, "label": "DAILY-001", "pool_id": pool["id"], "notes": "first" }),
    );
    let id = tape["id"].as_i64().unwrap();
    admin.posted(
        &format!("/api/v1/libraries/{library}/load"),
        &json!({ "slot_number": 1, "drive_number": 0 }),
    );
    admin.posted(&format!("/api/v1/tapes/{id}/label"), &json!({}));
    assert_eq!(admin.got(&format!("/api/v1/tapes/{id}/read-label"))["label"], "DAILY-001");
    assert_eq!(admin.got(&format!("/api/v1/drives/{drive}/status"))["ready"], true);
    // Watch, run.
    let mut events = admin.events("/api/v1/events/stream");
    assert_eq!(events.status, 200);
    let job_id = job["id"].as_i64().unwrap();
    let run = admin.posted(&format!("/api/v1/jobs/{job_id}/run"), &json!({ "backup_type": "full" }));
    let set = run["backup_set_id"].as_i64().expect("the set is known when the job runs");
    let kinds: Vec<String> = std::iter::from_fn(|| events.next_event())
        .map(|event| {
            event.into_iter().find(|(name, _)| name == "event").map(|(_, kind)| kind).unwrap_or_default()
        })
        .take_while(|kind| kind != "job.completed")
        .collect();
    assert!(!kinds.contains(&"job.failed".to_owned()), "{kinds:?}");
    let sets = admin.got(&format!("/api/v1/backup-sets?job_id={job_id}"));
    assert_eq!(sets["backup_sets"][0]["status"], "completed");
    assert_eq!(sets["backup_sets"][0]["tape_label"], "DAILY-001");
    let files = admin.got(&format!("/api/v1/backup-sets/{set}/files"));
    assert!(!files.to_string().contains("scratch.tmp"), "{files}");
    // Search, plan, restore with verification.
    let hits = admin.got("/api/v1/catalog/search?q=*.pdf");
    assert_eq!(hits["total"], 1);
    let path = hits["entries"][0]["file_path"].as_str().unwrap().to_owned();
    assert!(path.ends_with("/documents/report.pdf"));
    let plan = admin.posted("/api/v1/restore/plan", &json!({ "file_paths": [path] }));
    assert_eq!(plan["restore_plan"]["required_tapes"][0]["label"], "DAILY-001");
    assert_eq!(plan["restore_plan"]["total_size"], report.len());
    let restore = admin.posted(
        "/api/v1/restore/run",
        &json!({ "backup_set_id": set, "file_paths": [path], "dest_path": target.path(), "destination_type": "local",
                 "overwrite": false, "verify": true }),
    );
    let task = restore["restore_id"].as_i64().unwrap();
    let done = eventually("the restore ends", || {
        let task = admin.got(&format!("/api/v1/tasks/{task}"));
        ["completed", "failed"].contains(&task["status"].as_str().unwrap()).then_some(task)
    });
    assert_eq!(done["status"], "completed", "{done}");
    let mut restored = Vec::new();
    let mut pending = vec![target.path().to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => pending.push(entry.path()),
                false => restored.push(entry.path()),
            }
        }
    }
    assert_eq!(restored.len(), 1, "{restored:?}");
    assert_eq!(fs::read(&restored[0]).unwrap(), report);
    // Export the tape: nothing is written to it; import it again.
    let exported =
        admin.post(&format!("/api/v1/tapes/{id}/export"), &json!({ "offsite_location": "vault 7" }));
    assert_eq!(exported.status, 200, "{}", exported.text());
    assert_eq!(admin.got(&format!("/api/v1/tapes/{id}"))["status"], "exported");
    let imported = admin.post(&format!("/api/v1/tapes/{id}/import"), &json!({}));
    assert_eq!(imported.status, 200, "{}", imported.text());
    assert_eq!(admin.got(&format!("/api/v1/tapes/{id}"))["status"], "active");
    // All of it stands in the audit log.
    let log = admin.got("/api/v1/logs/audit?limit=100");
    for action in ["pools.create", "jobs.run", "restore.run", "tapes.export"] {
        assert!(
            log["logs"].as_array().unwrap().iter().any(|row| row["action"] == action),
            "{action} is not in {log}"
        );
    }
    daemon.stop();
}
