//! Jobs, restores, events and tasks over HTTP.

use std::path::Path;

use reelward::catalog::{Catalog, NewPool, NewSource, PoolId, SourceId, SourceKind};
use serde_json::{Value, json};

use super::support::daemon::{Daemon, eventually};
use super::support::http::Client;

/// Pool and source, as an administrator made them.
fn rows(state: &Path, tree: &Path) -> (PoolId, SourceId) {
    let catalog = Catalog::open(&state.join("catalog.sqlite")).unwrap();
    let pool =
        NewPool { name: "DAILY".into(), description: String::new(), retention_days: Some(7), created: 1 };
    let source = NewSource {
        name: "Home".into(),
        kind: SourceKind::Local,
        path: tree.display().to_string(),
        include: Vec::new(),
        exclude: vec!["*.tmp".into()],
        one_file_system: false,
        created: 1,
    };
    (catalog.add_pool(&pool).unwrap(), catalog.add_source(&source).unwrap())
}

struct Rig {
    state: tempfile::TempDir,
    tree: tempfile::TempDir,
    daemon: Daemon,
    admin: Client,
    job: i64,
}

impl Rig {
    fn new() -> Rig {
        let (state, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(tree.path().join("report.pdf"), b"figures\n".repeat(5000)).unwrap();
        std::fs::write(tree.path().join("scratch.tmp"), b"not wanted").unwrap();
        let (pool, source) = rows(state.path(), &tree.path().canonicalize().unwrap());
        let daemon = Daemon::new(state.path());
        let admin = daemon.owner();
        let job = admin.posted(
            "/api/v1/jobs",
            &json!({ "name": "Daily-Home", "source_id": source.0, "pool_id": pool.0, "backup_type": "full",
                     "schedule": "0 2 * * *", "enabled": true }),
        );
        let job = job["id"].as_i64().unwrap();
        Rig { state, tree, daemon, admin, job }
    }

    fn of_job(&self, what: &str) -> String {
        format!("/api/v1/jobs/{}{what}", self.job)
    }

    /// Something that takes a while to back up.
    fn much(&self) {
        let mut random = super::support::random::Random::new(11);
        for number in 0..150 {
            std::fs::write(self.tree.path().join(format!("much-{number:03}")), random.bytes(1 << 20))
                .unwrap();
        }
    }

    fn over(&self, task: i64) -> Value {
        eventually("the task ends", || {
            let row = self.admin.got(&format!("/api/v1/tasks/{task}/wait?timeout=20"));
            ["completed", "failed", "cancelled"].contains(&row["status"].as_str().unwrap()).then_some(row)
        })
    }
}

#[test]
fn jobs_are_kept_as_documented() {
    let rig = Rig::new();
    let admin = &rig.admin;
    let jobs = admin.got("/api/v1/jobs");
    let job = &jobs["jobs"][0];
    assert_eq!((&job["source_name"], &job["pool_name"]), (&json!("Home"), &json!("DAILY")));
    assert!(job["next_run_at"].is_string() && job["last_run_at"].is_null());
    // What is wrong is named.
    let refused = |body: Value, field: &str| {
        let answer = admin.put(&rig.of_job(""), &body);
        assert_eq!(
            (answer.status, answer.json()["error"]["field"].as_str()),
            (400, Some(field)),
            "{}",
            answer.text()
        );
    };
    refused(json!({ "schedule": "never" }), "schedule");
    refused(json!({ "time_zone": "Mars/Olympus" }), "time_zone");
    refused(json!({ "backup_type": "half" }), "backup_type");
    refused(json!({ "pool_id": 99 }), "pool_id");
    refused(json!({ "compression": "rar" }), "compression");
    let again = json!({ "name": "Daily-Home", "source_id": 1, "pool_id": 1 });
    assert_eq!(admin.post("/api/v1/jobs", &again).status, 409);
    let changed = admin.put(&rig.of_job(""), &json!({ "schedule": "0 3 * * *", "enabled": false })).json();
    assert_eq!((changed["schedule"].as_str(), &changed["next_run_at"]), (Some("0 3 * * *"), &Value::Null));
    // Nothing runs, so nothing can be paused, cancelled, resumed or retried.
    for what in ["/pause", "/cancel", "/resume", "/retry"] {
        assert_eq!(admin.post(&rig.of_job(what), &json!({})).status, 409, "{what}");
    }
    let tape = admin.got(&rig.of_job("/recommend-tape"));
    assert!(tape["tape_id"].is_null() && tape["reason"].as_str().unwrap().contains("DAILY"), "{tape}");
    assert_eq!(admin.got("/api/v1/jobs/active"), json!([]));
    assert_eq!(admin.got("/api/v1/jobs/resumable"), json!([]));
    assert_eq!(admin.delete(&rig.of_job("")).json(), json!({ "status": "deleted" }));
    assert_eq!(admin.get(&rig.of_job("")).status, 404);
    rig.daemon.stop();
}

#[test]
fn a_job_runs_pauses_goes_on_and_its_files_come_back() {
    let rig = Rig::new();
    let admin = &rig.admin;
    rig.much();
    let mut events = admin.events("/api/v1/events/stream");
    let run = admin.posted(&rig.of_job("/run"), &json!({ "backup_type": "full" }));
    let (set, task) = (run["backup_set_id"].as_i64().unwrap(), run["task_id"].as_i64().unwrap());
    assert_eq!(
        (run["status"].as_str(), run["message"].as_str()),
        (Some("running"), Some("Backup job started"))
    );
    assert_eq!(admin.post(&rig.of_job("/run"), &json!({})).status, 409, "one run at a time");
    assert_eq!(admin.delete(&rig.of_job("")).status, 409);
    let active = admin.got("/api/v1/jobs/active");
    assert_eq!((&active[0]["id"], &active[0]["job_name"]), (&json!(task), &json!("Daily-Home")));
    let paused = admin.posted(&rig.of_job("/pause"), &json!({}));
    if paused["status"] == "paused" {
        let resumable = admin.got("/api/v1/jobs/resumable");
        assert_eq!((&resumable[0]["can_resume"], &resumable[0]["status"]), (&json!(true), &json!("paused")));
        admin.posted(&rig.of_job("/resume"), &json!({}));
    }
    let row = rig.over(task);
    assert_eq!(
        (row["status"].as_str(), row["backup_set_id"].as_i64()),
        (Some("completed"), Some(set)),
        "{row}"
    );
    // The stream told it, and the list has it.
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "job.completed") {
        let event = events.next_event().unwrap();
        kinds.extend(event.into_iter().find(|(name, _)| name == "event").map(|(_, kind)| kind));
    }
    assert!(kinds.iter().any(|kind| kind == "job.started"), "{kinds:?}");
    let listed = admin.got("/api/v1/events?limit=5");
    let done =
        listed["events"].as_array().unwrap().iter().find(|event| event["type"] == "job.completed").unwrap();
    assert_eq!(done["message"], "Backup job Daily-Home completed");
    // Taken up again behind an event, by ticket: what came after it is told, and a ticket is good once.
    let before = done["id"].as_i64().unwrap() - 1;
    let ticket = admin.posted("/api/v1/events/ticket", &json!({}))["ticket"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/events/stream?last_event_id={before}&ticket={ticket}");
    let mut again = rig.daemon.nobody().events(&path);
    let first = std::iter::from_fn(|| again.next_event())
        .find(|event| event.iter().any(|(name, _)| name == "id"))
        .unwrap();
    assert!(first.contains(&("id".to_owned(), (before + 1).to_string())), "{first:?}");
    assert_eq!(rig.daemon.nobody().get(&path).status, 401);

    // Plan and restore.
    let root = rig.tree.path().canonicalize().unwrap();
    let path = root.join("report.pdf").display().to_string();
    let plan = admin.posted("/api/v1/restore/plan", &json!({ "file_paths": [path] }));
    let plan = &plan["restore_plan"];
    assert_eq!((&plan["files"][0]["path"], &plan["total_size"]), (&json!(path), &json!(40000)));
    assert_eq!(plan["required_tapes"][0]["label"], plan["files"][0]["tape_label"]);
    assert_eq!(plan["required_tapes"][0]["insertion_order"], 1);
    assert_eq!(admin.post("/api/v1/restore/plan", &json!({ "file_paths": ["/nothing"] })).status, 404);
    let out = tempfile::tempdir().unwrap();
    let body = |target: &Path, kind: &str| {
        json!({ "backup_set_id": set, "file_paths": [path], "dest_path": target, "destination_type": kind,
                "overwrite": false, "verify": true })
    };
    assert_eq!(admin.post("/api/v1/restore/run", &body(Path::new("relative"), "local")).status, 400);
    assert_eq!(admin.post("/api/v1/restore/run", &body(out.path(), "tape")).status, 400);
    let restore = admin.posted("/api/v1/restore/run", &body(out.path(), "local"));
    assert!(restore["message"].as_str().unwrap().starts_with("Restore started"), "{restore}");
    assert_eq!(rig.over(restore["restore_id"].as_i64().unwrap())["status"], "completed");
    let restored = out.path().join(root.strip_prefix("/").unwrap()).join("report.pdf");
    assert_eq!(std::fs::read(restored).unwrap(), b"figures\n".repeat(5000));

    // Tasks, filtered.
    let tasks = admin.got("/api/v1/tasks?status=completed&kind=restore");
    assert_eq!(tasks["total"], 1, "{tasks}");
    assert_eq!(admin.get("/api/v1/tasks?status=dancing").status, 400);
    assert_eq!(admin.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).status, 409);
    assert_eq!(
        admin.post(&format!("/api/v1/tasks/{task}/answer"), &json!({ "answer": "maybe" })).status,
        400
    );
    rig.daemon.stop();
}

#[test]
fn a_cancelled_run_is_retried_where_it_was_or_from_scratch() {
    let rig = Rig::new();
    let admin = &rig.admin;
    rig.much();
    let run = admin.posted(&rig.of_job("/run"), &json!({}));
    let cancelled = admin.posted(&rig.of_job("/cancel"), &json!({}));
    assert!(["cancelled", "cancelling"].contains(&cancelled["status"].as_str().unwrap()), "{cancelled}");
    let row = rig.over(run["task_id"].as_i64().unwrap());
    assert_eq!(row["status"], "cancelled", "{row}");
    let resumable = admin.got("/api/v1/jobs/resumable");
    assert_eq!(resumable[0]["job_id"], rig.job, "{resumable}");
    let retried = admin
        .posted(&rig.of_job("/retry"), &json!({ "tape_id": 0, "use_pool": true, "from_scratch": false }));
    assert_eq!(
        (&retried["resume"], &retried["backup_set_id"]),
        (&json!(true), &run["backup_set_id"]),
        "{retried}"
    );
    assert!(retried["tape_label"].is_string(), "{retried}");
    let row = rig.over(retried["task_id"].as_i64().unwrap());
    assert_eq!((row["status"].as_str(), row["attempt"].as_i64()), (Some("completed"), Some(2)));
    // One that is done cannot be retried.
    assert_eq!(admin.post(&rig.of_job("/retry"), &json!({})).status, 409);
    // Nobody else does anything.
    assert_eq!(rig.daemon.nobody().get("/api/v1/tasks").status, 401);
    assert_eq!(rig.daemon.nobody().post(&rig.of_job("/run"), &json!({})).status, 401);
    assert!(rig.state.path().join("catalog.sqlite").exists());
    rig.daemon.stop();
}
