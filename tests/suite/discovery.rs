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

#[test]
fn a_new_machine_is_told_what_it_has() {
    let (_place, reelward) = place();
    let told = reelward.ok(["doctor"]);
    for wanted in ["Devices", "State", "not there yet", "nothing wrong"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(!reelward.state_dir().exists(), "looking makes nothing");
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let (place, reelward) = place();
    std::fs::create_dir(place.path().join("data")).unwrap();
    std::fs::write(place.path().join("data/file"), "content").unwrap();
    reelward.ok(["backup", place.path().join("data").to_str().unwrap(), "--quiet"]);
    let report = reelward.json(["doctor"]);
    assert_eq!((&report["healthy"], &report["wrong"]), (&true.into(), &0.into()), "{report:#}");
    let codes = |report: &serde_json::Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap();
        let told = findings.iter().filter(|finding| finding["severity"] == "wrong");
        told.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    let good = |code: &str| {
        report["findings"].as_array().unwrap().iter().any(|f| f["code"] == code && f["severity"] == "good")
    };
    assert!(good("drive") && good("changer") && good("catalog") && good("clock"), "{report:#}");
    // The probe was kept by the first label.
    let kept = std::fs::read_to_string(reelward.state_dir().join("devices.json")).unwrap();
    assert!(kept.contains("@virtual") && kept.contains("1048576"), "{kept}");

    // A drive that needs cleaning, one that is gone, and a damaged catalog.
    std::fs::write(
        reelward.state_dir().join("library/faults.json"),
        r#"{"drives": {"0": {"cleaning_required": true}, "1": {"hung": true}}}"#,
    )
    .unwrap();
    let catalog = reelward.state_dir().join("catalog.sqlite");
    std::fs::write(&catalog, vec![7; 8192]).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(reelward.state_dir().join(format!("catalog.sqlite{suffix}")));
    }
    let (told, _) = reelward.exits(1, ["doctor"]);
    for wanted in ["WRONG", "cleaning cartridge", "#drive1", "catalog rebuild", "problems"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let (report, _) = reelward.exits(1, ["doctor", "--json"]);
    let codes = codes(&serde_json::from_str(&report).unwrap());
    for wanted in ["needs_cleaning", "catalog_damaged"] {
        assert!(codes.contains(&wanted.to_owned()), "{wanted}: {codes:?}");
    }
}

#[test]
fn the_doctor_looks_at_an_iscsi_target() {
    let Some(tgt) = Tgt::start(1) else { return };
    let (_place, reelward) = place();
    let portal = tgt.url(0);
    let portal = portal.strip_prefix("iscsi://").unwrap().split('/').next().unwrap();
    let report = reelward.json(["doctor", "--iscsi", portal, "--drive", &tgt.url(1)]);
    assert_eq!(
        report["drives"].as_array().unwrap().len(),
        2,
        "a named drive is not counted twice: {report:#}"
    );
    let findings = report["findings"].as_array().unwrap();
    let lacks = findings.iter().filter(|finding| finding["code"] == "lacks").count();
    assert!(lacks >= 4, "{report:#}");
    // Labelling probes and keeps the longest transfer; what the drive does not take is refused before anything is written.
    let devices = ["--drive", &tgt.url(1), "--changer", &tgt.url(3)];
    let label = ["tape", "label", "REEL01L5", "--record-size", "1M"];
    reelward.ok(label.iter().chain(&devices));
    let kept = std::fs::read_to_string(reelward.state_dir().join("devices.json")).unwrap();
    assert!(kept.contains("@iscsi") && kept.contains("1048576"), "{kept}");
    std::fs::write(reelward.state_dir().join("devices.json"), kept.replace("1048576", "131072")).unwrap();
    let label = ["tape", "label", "REEL02L5", "--record-size", "256K"];
    let (_, told) = reelward.exits(1, label.iter().chain(&devices));
    assert!(told.contains("at most 131072 bytes"), "{told}");
    let (told, _) = reelward.exits(1, ["doctor"].iter().chain(&devices));
    assert!(told.contains("128 KiB at most"), "{told}");
    // Without being asked for a size the label makes it fit.
    reelward.ok(["tape", "label", "REEL02L5"].iter().chain(&devices));
    let volume = reelward.json(["tape", "info", "REEL02L5"].iter().chain(&devices));
    assert!(volume.to_string().contains("131072"), "{volume}");
}

#[test]
fn devices_are_named_by_the_environment_too() {
    let (place, reelward) = place();
    let other = place.path().join("other");
    reelward.ok([
        "virtual",
        "create",
        other.to_str().unwrap(),
        "--drives",
        "1",
        "--slots",
        "3",
        "--cartridges",
        "2",
    ]);
    let drive = format!("virtual://{}#drive0", other.canonicalize().unwrap().display());
    let used = |args: &[&str], variable: &str| {
        let output = reelward.command(args).env("REELWARD_DRIVE", variable).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(used(&["drive", "status", "--json"], &drive), drive);
    assert!(!reelward.state_dir().join("library").exists());
    // The option counts more; `virtual` is the state directory's own.
    let own = used(&["drive", "status", "--json", "--drive", "virtual"], &drive);
    assert!(own.ends_with("state/library#drive0"), "{own}");
    assert_eq!(used(&["drive", "status", "--json", "--drive", &drive], "virtual"), drive);
    // An empty variable is none.
    assert_eq!(used(&["drive", "status", "--json"], ""), own);
}
