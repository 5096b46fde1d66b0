//! Which devices there are, by the binary: virtual ones, and those of an iSCSI target that nobody here wrote.

use crate::support::reelward::Reelward;
use crate::support::tgt::Tgt;

fn place() -> (tempfile::TempDir, Reelward) {
    let place = tempfile::tempdir().unwrap();
    let reelward = Reelward::new(place.path().join("state"));
    (place, reelward)
}

#[test]
fn drives_of_the_embedded_library_are_listed() {
    let (_place, reelward) = place();
    let told = reelward.ok(["drive", "list"]);
    assert!(told.contains("no tape drives") || told.contains("/dev/"), "{told}");
    assert!(!reelward.state_dir().exists(), "looking makes nothing");
    reelward.ok(["library", "status"]);
    let found = reelward.json(["drive", "list"]);
    let drives: Vec<_> =
        found["drives"].as_array().unwrap().iter().filter(|drive| drive["is_virtual"] == true).collect();
    assert_eq!(drives.len(), 2);
    assert_eq!(drives[0]["access"], "free");
    assert_eq!(drives[0]["place"]["by_serial"], true);
    let name = drives[0]["name"].as_str().unwrap();
    assert!(name.starts_with("virtual://") && name.ends_with("#drive0"), "{name}");
    let told = reelward.ok(["drive", "scan"]);
    assert!(told.contains("changer") && told.contains("not tape"), "{told}");
    let (_, told) = reelward.exits(2, ["drive", "list", "--iscsi", "me@"]);
    assert!(told.contains("HOST"), "{told}");
}

#[test]
fn the_drive_in_use_says_how_it_stands() {
    let (_place, reelward) = place();
    let empty = reelward.json(["drive", "status"]);
    assert_eq!((&empty["loaded"], empty["cartridge"].is_null()), (&false.into(), true));
    let barcode = reelward.json(["library", "status"])["elements"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|element| element["barcode"].as_str().map(str::to_owned))
        .unwrap();
    reelward.ok(["tape", "label", &barcode, "--label", "first"]);
    let status = reelward.json(["drive", "status"]);
    assert_eq!(status["loaded"], true);
    assert_eq!(status["cartridge"]["barcode"], barcode.as_str());
    assert_eq!(status["cartridge"]["volume"], "first");
    assert_eq!(status["cartridge"]["generation"], "LTO-9");
    assert_eq!(status["position"]["at_beginning"], true);
    assert_eq!((&status["alerts"], &status["lacks"]), (&serde_json::json!([]), &serde_json::json!([])));
    std::fs::write(
        reelward.state_dir().join("library/faults.json"),
        r#"{"drives": {"0": {"cleaning_required": true, "write_protect": true}}}"#,
    )
    .unwrap();
    let told = reelward.ok(["drive", "status"]);
    for wanted in ["write-protected", "alert", "cleaning", "volume first", &barcode] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn an_iscsi_portal_tells_its_drives() {
    let Some(tgt) = Tgt::start(1) else { return };
    let (_place, reelward) = place();
    let portal = tgt.url(0);
    let portal = portal.strip_prefix("iscsi://").unwrap().split('/').next().unwrap();
    let found = reelward.json(["drive", "scan", "--iscsi", portal]);
    let drives = found["drives"].as_array().unwrap();
    let names: Vec<&str> = drives.iter().map(|drive| drive["name"].as_str().unwrap()).collect();
    assert_eq!(names, [tgt.url(1), tgt.url(2)], "{found:#}");
    assert!(drives.iter().all(|drive| drive["vendor"] == "HP" && drive["is_virtual"] == false));
    assert_eq!(found["changers"][0]["name"], tgt.url(3));
    let contents = &found["changers"][0]["contents"];
    assert_eq!((&contents["slots"], &contents["cartridges"]), (&8.into(), &6.into()), "{found:#}");
    // The names open the devices.
    let status = reelward.json(["drive", "status", "--drive", names[0], "--changer", &tgt.url(3)]);
    assert_eq!(status["loaded"], false);
    let lacks = status["lacks"].to_string();
    assert!(lacks.contains("LOCATE") && lacks.contains("log pages"), "{lacks}");
    assert!(!reelward.state_dir().join("library").exists(), "no virtual library beside a named drive");
}

#[test]
fn portals_that_lead_nowhere_or_ask_for_a_secret() {
    let (_place, reelward) = place();
    let found = reelward.json(["drive", "list", "--iscsi", "127.0.0.1:1"]);
    let code = found["problems"][0]["code"].as_str().unwrap();
    assert!(["target_unreachable", "libiscsi_missing"].contains(&code), "{found:#}");
    let Some(tgt) = Tgt::start_with(1, Some("backup:a-secret-of-ours")) else { return };
    let portal = tgt.url(0);
    let portal = portal.strip_prefix("iscsi://").unwrap().split('/').next().unwrap();
    let output = reelward
        .command(["drive", "list", "--json", "--iscsi", &format!("backup@{portal}")])
        .env("REELWARD_ISCSI_SECRET", "a-secret-of-ours")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let found: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(found["drives"].as_array().unwrap().len(), 2, "{told}");
    assert!(found["drives"][0]["name"].as_str().unwrap().contains("backup@"), "{told}");
    assert!(!told.contains("a-secret-of-ours"), "{told}");
}
