//! The queue over the virtual library: leases, operators, pauses, restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reelward::catalog::{DriveId, SetState, TaskFilter, TaskRow, TaskState};
use reelward::engine::{Appliance, DeviceChoice, NamedDevices, Settings};
use reelward::scsi::Generation;
use reelward::tasks::{
    Answer, BackupWork, BatchLabelWork, Events, LabelWork, NewTask, RestoreWork, SelectionWork, Tasks,
    TasksError, TasksOptions, VerifyWork, Work,
};
use reelward::virtual_library::{Layout, VirtualLibrary};

const LONG: Duration = Duration::from_secs(120);

/// A state directory with an embedded library, whose drives are registered.
struct Rig {
    directory: tempfile::TempDir,
}

impl Rig {
    fn new(drives: u16, cartridges: u16, capacity: Option<u64>) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let rig = Rig { directory };
        std::fs::create_dir_all(rig.state()).unwrap();
        let layout = Layout {
            drives,
            slots: cartridges + 2,
            import_export: 1,
            cartridges,
            generation: Generation::Lto9,
            capacity,
            cleaning_cartridge: false,
            discard: false,
        };
        drop(VirtualLibrary::create(&rig.state().join("library"), &layout).unwrap());
        std::fs::create_dir_all(rig.path("tree/sub")).unwrap();
        for number in 0..20u8 {
            std::fs::write(rig.path(&format!("tree/sub/file-{number}")), vec![number; 5000]).unwrap();
        }
        rig
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn state(&self) -> std::path::PathBuf {
        self.path("state")
    }

    fn appliance(&self) -> Appliance {
        let devices = DeviceChoice::embedded();
        let mut appliance = Appliance::open(Settings { state: self.state(), devices }).unwrap();
        appliance.claim().unwrap();
        appliance
    }

    fn start(&self) -> Tasks {
        start(self.appliance())
    }

    /// Drives without a changer: a person changes tapes.
    fn start_by_hand(&self) -> Tasks {
        let appliance = self.appliance();
        register(&appliance);
        let catalog = appliance.catalog();
        for mut drive in catalog.drives().unwrap() {
            drive.library = None;
            catalog.update_drive(&drive).unwrap();
        }
        run(appliance)
    }

    fn library(&self) -> VirtualLibrary {
        VirtualLibrary::open(&self.state().join("library")).unwrap()
    }

    fn backup(&self, name: &str) -> Work {
        backup_of(name, &self.path("tree"))
    }
}

/// The embedded library becomes rows; the machine's own drives, if it has any, are none of a test's business.
fn register(appliance: &Appliance) {
    let embedded = NamedDevices { drives: vec!["virtual".into()], changers: Vec::new() };
    appliance.register_devices(&embedded).unwrap();
}

fn start(appliance: Appliance) -> Tasks {
    register(&appliance);
    run(appliance)
}

fn run(appliance: Appliance) -> Tasks {
    let events = Events::new(appliance.catalog().clone(), 1000);
    Tasks::start(TasksOptions { poll: Duration::from_millis(50), ..TasksOptions::new(appliance, events) })
        .unwrap()
}

fn backup_of(name: &str, tree: &Path) -> Work {
    Work::Backup(BackupWork {
        selection: Some(SelectionWork {
            name: name.into(),
            paths: vec![tree.to_path_buf()],
            checkpoint_bytes: 1 << 20,
            ..SelectionWork::default()
        }),
        ..BackupWork::default()
    })
}

fn submit(tasks: &Tasks, work: Work) -> reelward::catalog::TaskId {
    tasks.submit(NewTask::new(work, "test")).unwrap().id
}

fn finished(tasks: &Tasks, id: reelward::catalog::TaskId) -> TaskRow {
    tasks.wait(id, LONG).unwrap()
}

fn completed(tasks: &Tasks, id: reelward::catalog::TaskId) -> TaskRow {
    let row = finished(tasks, id);
    assert_eq!(row.state, TaskState::Completed, "{row:?}");
    row
}

/// A file that lasts for a while: the drive of a task that reads it is busy.
fn large(path: &Path, megabytes: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut random = crate::support::random::Random::new(7);
    std::fs::write(path, random.bytes(megabytes << 20)).unwrap();
}

/// A FIFO among the files to back up would not block; a slow drive does: it stops its tape for each wait.
fn until(tasks: &Tasks, id: reelward::catalog::TaskId, wanted: TaskState) -> TaskRow {
    let row = tasks.wait_for(id, LONG, |row| row.state == wanted).unwrap();
    assert_eq!(row.state, wanted, "{row:?}");
    row
}

#[test]
fn a_backup_a_verification_and_a_restore_run_one_after_the_other() {
    let rig = Rig::new(1, 2, None);
    let tasks = rig.start();
    let events = tasks.events().subscribe();
    let backup = submit(&tasks, rig.backup("nightly"));
    let row = completed(&tasks, backup);
    let set = row.set.unwrap();
    assert_eq!(row.result.as_ref().unwrap()["set_id"], set.0);
    assert!(row.started.unwrap() >= row.created && row.finished.unwrap() >= row.started.unwrap());
    assert_eq!(tasks.catalog().set(set).unwrap().state, SetState::Complete);
    let verify =
        submit(&tasks, Work::Verify(VerifyWork { set: Some(set.0.to_string()), ..VerifyWork::default() }));
    let target = rig.path("out");
    let restore =
        submit(&tasks, Work::Restore(RestoreWork { target: target.clone(), ..RestoreWork::default() }));
    completed(&tasks, verify);
    let row = completed(&tasks, restore);
    assert_eq!(row.progress.unwrap()["phase"], "done");
    let tree = rig.path("tree").canonicalize().unwrap();
    let restored = target.join(tree.strip_prefix("/").unwrap()).join("sub/file-7");
    assert_eq!(std::fs::read(restored).unwrap(), vec![7; 5000]);
    let mut kinds = Vec::new();
    while !kinds.iter().any(|kind| kind == "restore.completed") {
        let reelward::tasks::Received::Event(event) = events.next_within(LONG) else { break };
        kinds.push(event.what.kind.clone());
    }
    for kind in ["task.queued", "backup.started", "backup.completed", "verify.completed", "restore.completed"]
    {
        assert!(kinds.iter().any(|found| found == kind), "{kind} in {kinds:?}");
    }
    assert!(tasks.stop(LONG));
}

#[test]
fn what_cannot_be_done_is_refused_or_fails_with_its_reason() {
    let rig = Rig::new(1, 1, None);
    let tasks = rig.start();
    let refused = |work| tasks.submit(NewTask::new(work, "test")).unwrap_err().to_string();
    let restore = RestoreWork { patterns: vec!["/nothing".into()], ..RestoreWork::default() };
    assert!(refused(Work::Restore(restore)).contains("nothing"));
    assert!(refused(Work::Backup(BackupWork { job: Some(9), ..BackupWork::default() })).contains("catalog"));
    assert!(refused(Work::Retension { drive: 99 }).contains("99"));
    let row = finished(&tasks, submit(&tasks, backup_of("none", &rig.path("missing"))));
    assert_eq!(row.state, TaskState::Failed);
    assert!(row.error.as_ref().unwrap().contains("missing"), "{row:?}");
    assert!(matches!(tasks.cancel(row.id), Err(TasksError::State { .. })));
    assert!(matches!(tasks.cancel(reelward::catalog::TaskId(999)), Err(TasksError::NoSuchTask(_))));
    assert!(tasks.stop(LONG));
    assert!(matches!(tasks.submit(NewTask::new(rig.backup("late"), "test")), Err(TasksError::Stopping)));
}

#[test]
fn two_drives_run_two_backups_and_a_third_waits_and_says_for_what() {
    let rig = Rig::new(2, 6, None);
    let tasks = rig.start();
    assert_eq!(tasks.catalog().drives().unwrap().len(), 2);
    for name in ["a", "b", "c"] {
        large(&rig.path(&format!("{name}/large")), 48);
    }
    let ids: Vec<_> =
        ["a", "b", "c"].iter().map(|name| submit(&tasks, backup_of(name, &rig.path(name)))).collect();
    let rows: Vec<TaskRow> = ids[..2].iter().map(|id| until(&tasks, *id, TaskState::Running)).collect();
    assert_ne!(rows[0].drive, rows[1].drive);
    let third = tasks.wait_for(ids[2], LONG, |row| row.waiting_for.is_some()).unwrap();
    assert_eq!(third.state, TaskState::Queued, "{third:?}");
    let waits = third.waiting_for.unwrap();
    assert!(waits.starts_with("a free drive") && waits.contains(&format!("task {}", ids[0])), "{waits}");
    // A short operation finds the drive busy, and hears by whom.
    let busy = tasks.with_drive(DriveId(rows[0].drive.unwrap()), "rewind", |_| Ok::<_, TasksError>(()));
    assert!(
        matches!(&busy, Err(TasksError::Busy { by, .. }) if by.contains(&format!("task {}", ids[0]))),
        "{busy:?}"
    );
    let sets: Vec<_> = ids.iter().map(|id| completed(&tasks, *id).set.unwrap()).collect();
    // Two volumes at least were written at the same time.
    let volume = |set| tasks.catalog().parts_of(set).unwrap()[0].volume;
    assert_ne!(volume(sets[0]), volume(sets[1]));
    // The drives were given back, and so were the cartridges: any drive reads any of them.
    for drive in rows {
        let status = tasks.with_drive(DriveId(drive.drive.unwrap()), "look", |appliance| {
            appliance.library_status().map_err(TasksError::from)
        });
        let status = status.unwrap();
        let own = status.devices.iter().find_map(|device| device.element);
        assert!(!status.elements.iter().any(|element| Some(element.address) == own && element.full));
    }
    for set in sets {
        let work = VerifyWork { set: Some(set.0.to_string()), ..VerifyWork::default() };
        completed(&tasks, submit(&tasks, Work::Verify(work)));
    }
    assert!(tasks.stop(LONG));
}

#[test]
fn a_backup_is_paused_and_goes_on_as_the_same_set() {
    let rig = Rig::new(1, 3, None);
    for number in 0..150 {
        large(&rig.path(&format!("many/{number:03}")), 1);
    }
    let tasks = rig.start();
    let id = submit(&tasks, backup_of("paused", &rig.path("many")));
    tasks.wait_for(id, LONG, |row| {
        row.progress.as_ref().is_some_and(|progress| progress["files"].as_u64() > Some(2))
    });
    tasks.pause(id).unwrap();
    let row = until(&tasks, id, TaskState::Paused);
    let set = row.set.unwrap();
    assert_eq!(tasks.catalog().set(set).unwrap().state, SetState::Interrupted);
    let resumable = tasks.resumable().unwrap();
    assert!(matches!(resumable.as_slice(), [(row, true)] if row.id == id), "{resumable:?}");
    // The drive is free meanwhile.
    completed(&tasks, submit(&tasks, rig.backup("between")));
    tasks.resume(id).unwrap();
    let row = completed(&tasks, id);
    assert_eq!((row.set, row.attempt), (Some(set), 2));
    let stored = tasks.catalog().set(set).unwrap();
    assert_eq!((stored.state, stored.members), (SetState::Complete, 151));
    assert_eq!(tasks.catalog().sets().unwrap().len(), 2);
    let work = VerifyWork { set: Some(set.0.to_string()), ..VerifyWork::default() };
    completed(&tasks, submit(&tasks, Work::Verify(work)));
    assert!(tasks.stop(LONG));
}

#[test]
fn cancelled_in_every_state() {
    let rig = Rig::new(1, 3, None);
    large(&rig.path("big/large"), 64);
    let tasks = rig.start();
    let running = submit(&tasks, backup_of("running", &rig.path("big")));
    until(&tasks, running, TaskState::Running);
    let queued = submit(&tasks, rig.backup("queued"));
    let paused = submit(&tasks, rig.backup("paused"));
    assert_eq!(tasks.pause(paused).unwrap().state, TaskState::Paused);
    assert_eq!(tasks.cancel(queued).unwrap().state, TaskState::Cancelled);
    assert_eq!(tasks.cancel(paused).unwrap().state, TaskState::Cancelled);
    assert!(matches!(tasks.answer(running, Answer::Done), Err(TasksError::State { .. })));
    tasks.cancel(running).unwrap();
    let row = finished(&tasks, running);
    assert_eq!(row.state, TaskState::Cancelled, "{row:?}");
    // What it wrote is readable, and the volume takes the next backup.
    completed(&tasks, submit(&tasks, rig.backup("after")));
    completed(&tasks, submit(&tasks, Work::Verify(VerifyWork::default())));
    assert!(tasks.active().is_empty());
    assert!(tasks.stop(LONG));
}

#[test]
fn an_operator_is_asked_and_answers_by_loading_the_tape() {
    let rig = Rig::new(1, 2, Some(24 << 20));
    large(&rig.path("big/1"), 14);
    large(&rig.path("big/2"), 14);
    let barcodes = {
        let mut appliance = rig.appliance();
        let status = appliance.library_status().unwrap();
        status.elements.iter().filter_map(|element| element.barcode.clone()).collect::<Vec<_>>()
    };
    let tasks = rig.start_by_hand();
    let mut changer = reelward::changer::Changer::open(Box::new(rig.library().changer())).unwrap();
    let drive =
        changer.inventory().unwrap().of(reelward::changer::ElementKind::Drive).next().unwrap().address;
    let mut exchange = |barcode: &str| {
        let inventory = changer.inventory().unwrap();
        if let Some(loaded) = inventory.at(drive).filter(|element| element.full) {
            changer.move_medium(drive, loaded.source.unwrap()).unwrap();
        }
        let from = changer.inventory().unwrap().find(barcode).unwrap().address;
        changer.move_medium(from, drive).unwrap();
    };
    // Two volumes, labelled by hand: the first is asked for, answered by loading; so is the second.
    let batch = BatchLabelWork { labels: vec!["V1".into(), "V2".into()], ..BatchLabelWork::default() };
    let id = submit(&tasks, Work::BatchLabel(batch));
    let row = until(&tasks, id, TaskState::WaitingForOperator);
    assert_eq!(row.prompt.as_ref().unwrap()["kind"], "insert_to_label", "{row:?}");
    assert!(tasks.submit(NewTask::new(Work::BatchLabel(BatchLabelWork::default()), "x")).unwrap().duplicate);
    exchange(&barcodes[0]);
    let row = tasks.wait_for(id, LONG, |row| {
        row.state == TaskState::WaitingForOperator
            && row.progress.as_ref().is_some_and(|progress| progress["files"] == 1)
    });
    assert_eq!(row.unwrap().state, TaskState::WaitingForOperator);
    exchange(&barcodes[1]);
    completed(&tasks, id);
    assert_eq!(tasks.catalog().volumes().unwrap().len(), 2);

    // A backup that needs both: the one in the drive is the wrong one first.
    let id = submit(&tasks, backup_of("big", &rig.path("big")));
    let row = until(&tasks, id, TaskState::WaitingForOperator);
    let prompt = row.prompt.unwrap();
    assert_eq!(prompt["kind"], "insert", "{prompt}");
    let wanted = prompt["volume"].as_str().unwrap().to_owned();
    let barcode = |label: &str| if label == "V1" { &barcodes[0] } else { &barcodes[1] };
    exchange(barcode(&wanted));
    let other = if wanted == "V1" { "V2" } else { "V1" };
    let asks_for = |label: &str| {
        let row = tasks
            .wait_for(id, LONG, |row| row.prompt.as_ref().is_some_and(|prompt| prompt["volume"] == label));
        let row = row.unwrap();
        assert_eq!(row.state, TaskState::WaitingForOperator, "{row:?}");
    };
    asks_for(other);
    // An answer without the tape is no answer: it is asked again.
    tasks.answer(id, Answer::Done).unwrap();
    asks_for(other);
    exchange(barcode(other));
    let row = completed(&tasks, id);
    assert_eq!(row.result.unwrap()["volumes"], serde_json::json!([wanted, other]));

    // A restore asks for one after the other, in order.
    let out = rig.path("out");
    let id = submit(&tasks, Work::Restore(RestoreWork { target: out.clone(), ..RestoreWork::default() }));
    for label in [&wanted, other] {
        let row = tasks
            .wait_for(id, LONG, |row| row.prompt.as_ref().is_some_and(|prompt| prompt["volume"] == *label));
        assert_eq!(row.unwrap().state, TaskState::WaitingForOperator);
        exchange(barcode(label));
    }
    completed(&tasks, id);
    let tree = rig.path("big").canonicalize().unwrap();
    for file in ["1", "2"] {
        let restored = out.join(tree.strip_prefix("/").unwrap()).join(file);
        assert_eq!(std::fs::read(restored).unwrap(), std::fs::read(tree.join(file)).unwrap());
    }

    // Cancelled while a person is waited for.
    let id = submit(&tasks, Work::Restore(RestoreWork { target: rig.path("no"), ..RestoreWork::default() }));
    until(&tasks, id, TaskState::WaitingForOperator);
    tasks.cancel(id).unwrap();
    assert_eq!(finished(&tasks, id).state, TaskState::Cancelled);
    assert!(tasks.stop(LONG));
}

#[test]
fn a_backup_without_a_volume_frees_its_drive_and_goes_on_when_there_is_one() {
    let rig = Rig::new(1, 2, None);
    let tasks = rig.start();
    let catalog = tasks.catalog();
    let mut work = rig.backup("pooled");
    if let Work::Backup(BackupWork { selection: Some(selection), .. }) = &mut work {
        selection.pool = Some("WEEKLY".into());
    }
    // All cartridges are volumes of no pool, so none will do.
    let status = tasks.appliance().sibling(DeviceChoice::embedded()).library_status().unwrap();
    let barcodes: Vec<String> =
        status.elements.iter().filter_map(|element| element.barcode.clone()).collect();
    let label = |barcode: &str, pool: Option<&str>, overwrite| {
        let work = LabelWork {
            barcode: Some(barcode.into()),
            pool: pool.map(str::to_owned),
            overwrite,
            ..LabelWork::default()
        };
        completed(&tasks, submit(&tasks, Work::LabelTape(work)));
    };
    label(&barcodes[0], None, false);
    label(&barcodes[1], None, false);
    let id = submit(&tasks, work);
    let row = until(&tasks, id, TaskState::WaitingForOperator);
    assert_eq!(row.prompt.unwrap()["kind"], "need_volume");
    // The drive is free for the label that helps, and nobody has to say so.
    label(&barcodes[1], Some("WEEKLY"), true);
    let row = completed(&tasks, id);
    let part = catalog.parts_of(row.set.unwrap()).unwrap().remove(0);
    assert_eq!(catalog.volume(part.volume).unwrap().pool.as_deref(), Some("WEEKLY"));
    assert_eq!(catalog.sets().unwrap().len(), 1);
    assert!(tasks.stop(LONG));
}

#[test]
fn two_hundred_queued_tasks_drain() {
    let rig = Rig::new(2, 3, None);
    let tasks = rig.start();
    let file = rig.path("tree/sub/file-1");
    let ids: Vec<_> =
        (0..200).map(|number| submit(&tasks, backup_of(&format!("job-{number}"), &file))).collect();
    let listed = tasks.list(&TaskFilter { limit: 50, ..TaskFilter::default() }).unwrap();
    assert_eq!(listed.len(), 50);
    for id in &ids {
        completed(&tasks, *id);
    }
    assert!(tasks.active().is_empty());
    assert_eq!(tasks.catalog().sets().unwrap().len(), 200);
    let done = TaskFilter { states: vec![TaskState::Completed], ..TaskFilter::default() };
    assert_eq!(tasks.catalog().count_tasks(&done).unwrap(), 200);
    assert!(tasks.stop(LONG));
}

#[test]
fn a_fault_of_the_program_fails_its_task_and_no_other() {
    let rig = Rig::new(1, 2, None);
    let appliance = rig.appliance();
    register(&appliance);
    let events = Events::new(appliance.catalog().clone(), 1000);
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let identities: reelward::tasks::Identities = Arc::new(move || {
        assert!(!is_broken.load(Ordering::Relaxed), "the keys are broken");
        Ok(Vec::new())
    });
    let tasks = Tasks::start(TasksOptions { identities, ..TasksOptions::new(appliance, events) }).unwrap();
    completed(&tasks, submit(&tasks, rig.backup("first")));
    let verify = || submit(&tasks, Work::Verify(VerifyWork::default()));
    let row = finished(&tasks, verify());
    assert_eq!(row.state, TaskState::Failed);
    assert!(row.error.unwrap().contains("the keys are broken"));
    broken.store(false, Ordering::Relaxed);
    completed(&tasks, verify());
    let (row, goes_on) = tasks.retry(row.id, false, None).unwrap();
    assert!(!goes_on);
    completed(&tasks, row.id);
    assert!(tasks.stop(LONG));
}

/// Names the state directory of the process that [`the_process_that_is_killed`] is.
const CHILD: &str = "REELWARD_TEST_TASKS_CHILD";

/// Not a test by itself: runs the queue in a process of its own until it is killed.
#[test]
fn the_process_that_is_killed() {
    let Some(directory) = std::env::var_os(CHILD).map(std::path::PathBuf::from) else { return };
    let devices = DeviceChoice::default();
    let mut appliance = Appliance::open(Settings { state: directory.join("state"), devices }).unwrap();
    appliance.claim().unwrap();
    let tasks = start(appliance);
    submit(&tasks, backup_of("killed", &directory.join("many")));
    let queued = submit(&tasks, backup_of("queued", &directory.join("tree")));
    tasks.pause(queued).unwrap();
    submit(&tasks, backup_of("behind", &directory.join("tree")));
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn a_killed_process_leaves_tasks_that_go_on_as_the_same_sets() {
    let rig = Rig::new(1, 3, None);
    for number in 0..150 {
        large(&rig.path(&format!("many/{number:03}")), 1);
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tasks::the_process_that_is_killed", "--nocapture"])
        .env(CHILD, rig.directory.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Killed when some of it is committed and some is not.
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < LONG, "nothing was ever committed");
        std::thread::sleep(Duration::from_millis(5));
        let catalog = rig.state().join("catalog.sqlite");
        if !catalog.exists() {
            continue;
        }
        let Ok(catalog) = reelward::catalog::Catalog::open(&catalog) else { continue };
        if catalog.sets().unwrap().iter().any(|set| set.members > 20) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let tasks = rig.start();
    let rows = tasks.list(&TaskFilter::default()).unwrap();
    let [behind, paused, killed] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((killed.attempt, paused.state), (2, TaskState::Paused), "{rows:?}");
    let row = completed(&tasks, killed.id);
    let set = tasks.catalog().set(row.set.unwrap()).unwrap();
    assert_eq!((set.state, set.members), (SetState::Complete, 151));
    assert!(row.result.unwrap()["resumed_behind"].as_u64().unwrap() > 20);
    completed(&tasks, behind.id);
    tasks.resume(paused.id).unwrap();
    completed(&tasks, paused.id);
    assert_eq!(tasks.catalog().sets().unwrap().len(), 3);
    let kinds: Vec<String> =
        tasks.events().newest(100, None).unwrap().into_iter().map(|event| event.what.kind).collect();
    assert!(kinds.iter().any(|kind| kind == "task.requeued"), "{kinds:?}");
    // Nothing is lost: every file restores as it is.
    let out = rig.path("out");
    let work = RestoreWork { set: Some(set.id.0.to_string()), target: out.clone(), ..RestoreWork::default() };
    completed(&tasks, submit(&tasks, Work::Restore(work)));
    let tree = rig.path("many").canonicalize().unwrap();
    for number in 0..150 {
        let name = format!("{number:03}");
        let restored = std::fs::read(out.join(tree.strip_prefix("/").unwrap()).join(&name)).unwrap();
        assert!(restored == std::fs::read(tree.join(&name)).unwrap(), "{name}");
    }
    assert!(tasks.stop(LONG));
}

#[test]
fn a_queue_that_is_ended_stops_its_backup_and_goes_on_at_the_next_start() {
    let rig = Rig::new(1, 3, None);
    for number in 0..150 {
        large(&rig.path(&format!("many/{number:03}")), 1);
    }
    let tasks = rig.start();
    let id = submit(&tasks, backup_of("stopped", &rig.path("many")));
    tasks.wait_for(id, LONG, |row| {
        row.progress.as_ref().is_some_and(|progress| progress["files"].as_u64() > Some(2))
    });
    assert!(tasks.stop(LONG));
    let row = tasks.get(id).unwrap();
    assert_eq!(row.state, TaskState::Queued, "{row:?}");
    drop(tasks);
    let tasks = rig.start();
    let row = completed(&tasks, id);
    assert_eq!(row.attempt, 2);
    assert_eq!(tasks.catalog().sets().unwrap().len(), 1);
    assert_eq!(tasks.catalog().set(row.set.unwrap()).unwrap().state, SetState::Complete);
    // A row whose task died in the middle of what cannot simply be done again.
    assert!(tasks.stop(LONG));
    let label = {
        let catalog = tasks.catalog();
        let new = reelward::catalog::NewTaskRow {
            kind: "label_tape".into(),
            title: "Label X".into(),
            work: serde_json::to_value(Work::LabelTape(LabelWork::default())).unwrap(),
            origin: "test".into(),
            priority: 0,
            dedupe: None,
            job: None,
            created: 1,
        };
        let id = catalog.add_task(&new).unwrap();
        let row = TaskRow { state: TaskState::Running, ..catalog.task(id).unwrap().unwrap() };
        catalog.update_task(&row).unwrap();
        id
    };
    drop(tasks);
    let tasks = rig.start();
    let row = tasks.get(label).unwrap();
    assert_eq!(row.state, TaskState::Failed);
    assert!(row.error.unwrap().contains("the daemon ended"));
    assert!(tasks.stop(LONG));
}

#[test]
fn a_job_runs_by_its_schedule_and_is_not_queued_twice() {
    let rig = Rig::new(1, 3, None);
    let tasks = rig.start();
    let catalog = tasks.catalog();
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let pool = catalog
        .add_pool(&reelward::catalog::NewPool {
            name: "DAILY".into(),
            description: String::new(),
            retention_days: Some(7),
            created: now,
        })
        .unwrap();
    let source = catalog
        .add_source(&reelward::catalog::NewSource {
            name: "home".into(),
            kind: reelward::catalog::SourceKind::Local,
            path: rig.path("tree").display().to_string(),
            include: Vec::new(),
            exclude: vec!["file-1*".into()],
            one_file_system: false,
            created: now,
        })
        .unwrap();
    let job = catalog
        .add_job(&reelward::catalog::NewJob {
            name: "every second".into(),
            source,
            pool,
            backup_type: reelward::catalog::BackupType::Full,
            schedule: Some("* * * * * *".into()),
            time_zone: Some("UTC".into()),
            enabled: true,
            compression: "zstd".into(),
            encryption_key: None,
            retries: 0,
            created: now,
        })
        .unwrap();
    tasks.start_schedule().unwrap();
    let began = std::time::Instant::now();
    let of_job = TaskFilter { job: Some(job.0), ..TaskFilter::default() };
    while catalog.tasks(&of_job).unwrap().is_empty() {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = catalog.tasks(&of_job).unwrap().pop().unwrap();
    assert_eq!((first.origin.as_str(), first.title.as_str()), ("schedule", "Backup job every second"));
    let set = tasks.wait_for_set(first.id, LONG).unwrap();
    let row = completed(&tasks, first.id);
    assert_eq!(row.set, Some(set));
    let mut stored = catalog.job(job).unwrap();
    assert!(stored.last_run.unwrap() >= now);
    stored.enabled = false;
    stored.updated = now;
    catalog.update_job(&stored).unwrap();
    let set = catalog.set(set).unwrap();
    // tree, sub, file-0, file-2 to file-9.
    assert_eq!((set.job.as_str(), set.compression.as_str(), set.members), ("every second", "zstd", 11));
    // Run by hand, twice: one run.
    let run = || {
        let work = Work::Backup(BackupWork { job: Some(job.0), ..BackupWork::default() });
        tasks.submit(NewTask::new(work, "admin")).unwrap()
    };
    for row in tasks.active() {
        completed(&tasks, row.id);
    }
    large(&rig.path("tree/large"), 32);
    let (first, second) = (run(), run());
    assert_eq!((first.duplicate, second.duplicate, first.id), (false, true, second.id));
    assert_eq!(tasks.active_of_job(job.0).unwrap().id, first.id);
    let row = completed(&tasks, first.id);
    let set = row.set.unwrap().0;
    let told = loop {
        assert!(began.elapsed() < LONG);
        let events = tasks.events().newest(10, None).unwrap();
        let of_set = |event: &reelward::tasks::Event| {
            event.what.kind == "job.completed" && event.what.data["backup_set_id"] == set
        };
        match events.into_iter().find(of_set) {
            Some(event) => break event,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert_eq!(told.what.message, "Backup job every second completed");
    assert!(tasks.stop(LONG));
}

#[test]
fn tasks_wait_for_volumes_that_others_have() {
    let rig = Rig::new(1, 2, None);
    let tasks = rig.start();
    let row = completed(&tasks, submit(&tasks, rig.backup("first")));
    let set = row.set.unwrap();
    let volume = tasks.catalog().parts_of(set).unwrap()[0].volume;
    let held = tasks.appliance().volumes_in_use().hold(volume).unwrap();
    // What names the volume waits for it; what names none leaves it out, and says so.
    let out = RestoreWork { target: rig.path("out"), ..RestoreWork::default() };
    let restore = submit(&tasks, Work::Restore(out));
    let waits = tasks.wait_for(restore, LONG, |row| row.waiting_for.is_some()).unwrap();
    assert_eq!(waits.state, TaskState::Queued);
    assert!(waits.waiting_for.as_ref().unwrap().ends_with("another task uses it"), "{waits:?}");
    let row = completed(&tasks, submit(&tasks, Work::Verify(VerifyWork::default())));
    assert!(row.error.as_ref().unwrap().contains("another task uses it"), "{row:?}");
    // A backup meanwhile takes another volume.
    let other = completed(&tasks, submit(&tasks, rig.backup("second"))).set.unwrap();
    assert_ne!(tasks.catalog().parts_of(other).unwrap()[0].volume, volume);
    drop(held);
    completed(&tasks, restore);
    assert!(tasks.stop(LONG));
}

#[test]
fn a_task_whose_keys_were_in_memory_only_fails_at_the_next_start() {
    let rig = Rig::new(1, 1, None);
    let appliance = rig.appliance();
    let work = Work::Verify(VerifyWork { own_keys: true, ..VerifyWork::default() });
    let id = appliance
        .catalog()
        .add_task(&reelward::catalog::NewTaskRow {
            kind: work.kind().into(),
            title: work.title(None),
            work: serde_json::to_value(&work).unwrap(),
            origin: "test".into(),
            priority: 0,
            dedupe: None,
            job: None,
            created: 1,
        })
        .unwrap();
    let tasks = start(appliance);
    let row = tasks.get(id).unwrap();
    assert_eq!(row.state, TaskState::Failed);
    assert!(row.error.as_deref().unwrap().contains("held in memory only"), "{row:?}");
    // Keys that are announced must come along, and only those.
    assert!(matches!(tasks.submit(NewTask::new(work, "test")), Err(TasksError::Request(_))));
    let key = reelward::format::age::Identity::generate().unwrap();
    let verify = Work::Verify(VerifyWork::default());
    let unannounced = NewTask { keys: vec![key], ..NewTask::new(verify, "test") };
    assert!(!format!("{unannounced:?}").contains("AGE-SECRET"));
    assert!(matches!(tasks.submit(unannounced), Err(TasksError::Request(_))));
}
