//! Drives and libraries over HTTP: health, alerts, cleaning, and what is refused. What each endpoint answers when all is
//! well stands in `contract_walk.rs`.

use serde_json::{Value, json};

use super::support::bench::Bench;
use super::support::daemon::Daemon;
use super::support::http::{Answer, Client};

struct Rig {
    _bench: Bench,
    daemon: Daemon,
    admin: Client,
    /// `/api/v1/drives/ID` of the first drive.
    drive: String,
}

/// A daemon on the embedded library, with a backup in its first drive and these faults.
fn rig(faults: &Value) -> Rig {
    let bench = Bench::new().few_files();
    drop(bench.library_of_default_size());
    bench.backup(|_| {});
    std::fs::write(bench.path("state/library/faults.json"), faults.to_string()).unwrap();
    let (daemon, admin) = Daemon::start(&bench.path("state"));
    let drives = admin.got("/api/v1/drives");
    let drive = format!("/api/v1/drives/{}", drives["drives"][0]["id"]);
    Rig { _bench: bench, daemon, admin, drive }
}

impl Rig {
    fn of_drive(&self, what: &str) -> String {
        format!("{}{what}", self.drive)
    }

    fn alerts(&self) -> Vec<Value> {
        self.admin.got(&self.of_drive("/alerts")).as_array().unwrap().clone()
    }
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
}

#[test]
fn numbers_alerts_and_cleaning() {
    let rig = rig(&json!({ "drives": { "0": { "cleaning_required": true, "temperature": 41 } } }));
    let told = rig.admin.got(&rig.of_drive("/statistics"));
    assert!(told["total_bytes_written"].as_u64().unwrap() > 100_000, "{told}");
    assert_eq!(
        (&told["cleaning_required"], &told["temperature_c"], &told["write_errors"]),
        (&json!(true), &json!(41), &json!(0))
    );
    assert!(told["total_load_count"].as_u64().unwrap() >= 1, "{told}");
    let before = rig.alerts();
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!((&before[0]["category"], &before[0]["severity"]), (&json!("cleaning"), &json!("critical")));
    assert_eq!((&before[0]["resolved"], &before[0]["resolved_at"]), (&json!(false), &Value::Null));
    let cleaned = rig.admin.post(&rig.of_drive("/clean"), &json!({}));
    assert_eq!((cleaned.status, cleaned.json()), (200, json!({ "status": "cleaned" })));
    let after = rig.alerts();
    assert_eq!((&after[0]["id"], &after[0]["resolved"]), (&before[0]["id"], &json!(true)));
    assert!(after[0]["resolved_at"].is_string() && after.len() == 1, "{after:?}");
    assert_eq!(rig.admin.got(&rig.of_drive("/statistics"))["cleaning_required"], false);
    // The drive is empty: its cartridge and the cleaning cartridge are in their slots.
    for what in ["/eject", "/rewind", "/retension", "/format-tape"] {
        refused(&rig.admin.post(&rig.of_drive(what), &json!({})), 400, "NO_TAPE_LOADED");
    }
    refused(&rig.admin.get(&rig.of_drive("/inspect-tape")), 400, "NO_TAPE_LOADED");
    rig.daemon.stop();
}

#[test]
fn who_may_and_what_is_not_there() {
    let rig = rig(&json!({}));
    for what in ["/statistics", "/alerts"] {
        refused(&rig.admin.get(&format!("/api/v1/drives/99{what}")), 404, "NOT_FOUND");
        assert_eq!(rig.daemon.nobody().get(&rig.of_drive(what)).status, 401);
    }
    refused(&rig.admin.post("/api/v1/drives/99/clean", &json!({})), 404, "NOT_FOUND");
    let reader = rig.daemon.user(&rig.admin, "reader", "readonly");
    assert_eq!(reader.get(&rig.of_drive("/alerts")).json(), json!([]));
    assert_eq!(reader.get(&rig.of_drive("/statistics")).status, 200);
    for what in ["/clean", "/eject", "/rewind", "/retension", "/select"] {
        assert_eq!(reader.post(&rig.of_drive(what), &json!({})).status, 403, "{what}");
    }
    let slots = rig.admin.posted("/api/v1/libraries/1/inventory", &json!({}));
    let slots = slots["slots"].as_array().unwrap().clone();
    let number = |found: &dyn Fn(&Value) -> bool| {
        slots.iter().find(|slot| found(slot)).unwrap()["slot_number"].clone()
    };
    let full = number(&|slot| slot["slot_type"] == "storage" && slot["is_empty"] == false);
    let empty = number(&|slot| slot["slot_type"] == "storage" && slot["is_empty"] == true);
    let library = |what: &str, body: Value| rig.admin.post(&format!("/api/v1/libraries/1/{what}"), &body);
    // What holds a tape takes none; what holds none gives none.
    assert_eq!(library("transfer", json!({ "source_slot": empty, "dest_slot": full })).status, 409);
    assert_eq!(library("load", json!({ "slot_number": empty, "drive_number": 1 })).status, 409);
    assert_eq!(library("load", json!({ "slot_number": 9999, "drive_number": 0 })).status, 400);
    assert_eq!(library("unload", json!({ "slot_number": full, "drive_number": 77 })).status, 400);
    refused(&rig.admin.post("/api/v1/libraries/99/inventory", &json!({})), 404, "NOT_FOUND");
    assert_eq!(reader.post("/api/v1/libraries/1/inventory", &json!({})).status, 403);
    rig.daemon.stop();
}
