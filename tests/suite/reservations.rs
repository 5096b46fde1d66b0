//! Drives held against other hosts.

use std::sync::atomic::AtomicBool;

use reelward::drive::{Drive, DriveError};
use reelward::engine::{EngineError, LabelRequest, RebuildRequest, VerifyRequest};
use reelward::pipeline::Progress;
use reelward::scsi::reservation::{self, Read};
use reelward::scsi::{Data, Transport};
use std::time::Duration;

use crate::support::bench::Bench;

const FIRST: &str = "RW0001L9";
const OTHER: u64 = 0x00c0_ffee_0000_0001;

fn bench() -> Bench {
    Bench::new().small_cartridges(2, 64 << 20).few_files()
}

/// The drive as another host has it.
fn other_host(bench: &Bench) -> Drive {
    Drive::open(Box::new(bench.library().drive_of_host(0, 1).unwrap())).unwrap()
}

/// Keys registered, and the holder's.
fn keys(bench: &Bench) -> (Vec<u64>, Option<u64>) {
    let mut transport = bench.library().drive_of_host(0, 9).unwrap();
    let mut ask = |what| {
        let mut reply = vec![0; 256];
        let length = transport
            .execute(&reservation::read(what, 256), Data::In(&mut reply), Duration::from_secs(1))
            .unwrap()
            .transferred;
        reply.truncate(length);
        reply
    };
    let _ = ask(Read::Keys); // the first command of a host may meet a power-on
    (
        reservation::keys(&ask(Read::Keys)).unwrap(),
        reservation::reservation(&ask(Read::Reservation)).map(|held| held.0),
    )
}

#[test]
fn a_task_holds_the_drive_and_lets_go_of_it() {
    let bench = bench();
    bench.backup(|_| {});
    assert_eq!(keys(&bench), (vec![], None));
    assert!(bench.restore(|_| {}).faults.is_empty());
    assert_eq!(keys(&bench), (vec![], None));
    // Every command that fails on the way leaves nothing behind either.
    let library = bench.library();
    for number in 1.. {
        library.faults().drive(0, |faults| faults.fail_at = Some(number));
        let result = bench.open().label(&LabelRequest {
            barcode: Some(FIRST.into()),
            overwrite: true,
            destroy_sets: true,
            ..LabelRequest::default()
        });
        let mut struck = false;
        library.faults().drive(0, |faults| struck = faults.fail_at.take().is_none());
        assert_eq!(keys(&bench), (vec![], None), "command {number}: {result:?}");
        if !struck {
            result.unwrap();
            break;
        }
        assert!(number < 300);
    }
}

#[test]
fn another_host_keeps_its_drive() {
    let bench = bench();
    bench.backup(|_| {});
    let before = bench.cartridge(FIRST);
    let mut other = other_host(&bench);
    assert!(other.reserve(OTHER, false).unwrap());
    let told = |error: EngineError| {
        assert!(matches!(error, EngineError::Reserved { holder: Some(OTHER), .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("00c0ffee00000001") && text.contains("--break-reservation"), "{text}");
    };
    let (progress, cancel) = (Progress::default(), AtomicBool::new(false));
    told(bench.try_backup(|_| {}).unwrap_err());
    told(bench.try_restore(|_| {}).unwrap_err());
    told(bench.open().verify(&VerifyRequest::default(), &progress, &cancel).unwrap_err());
    told(bench.open().rebuild(&RebuildRequest::default(), &progress, &cancel).unwrap_err());
    told(bench.open().label(&LabelRequest::default()).unwrap_err());
    assert!(bench.cartridge(FIRST) == before, "something was written");
    assert_eq!(keys(&bench), (vec![OTHER], Some(OTHER)), "a refused task stays registered");
    // The other one goes on, and then it is our turn.
    other.rewind().unwrap();
    drop(other);
    bench.backup(|_| {});
    assert_eq!(keys(&bench), (vec![], None));
}

#[test]
fn a_dead_host_is_overruled_when_asked_for() {
    let bench = bench();
    bench.backup(|_| {});
    let mut dead = other_host(&bench);
    dead.reserve(OTHER, false).unwrap();
    dead.rewind().unwrap();
    let mut appliance = bench.open();
    appliance.break_reservations(true);
    let request = VerifyRequest::default();
    assert!(appliance.verify(&request, &Progress::default(), &AtomicBool::new(false)).unwrap().is_complete());
    assert_eq!(keys(&bench), (vec![], None));
    // Not so dead after all: it is told that the drive was taken, and must not go on where it thinks it stands.
    let error = dead.write(b"late").unwrap_err();
    assert!(matches!(error, DriveError::ReservationConflict { .. }), "{error}");
    assert!(matches!(dead.write(b"late").unwrap_err(), DriveError::PositionLost { .. }));
    dead.end_reservation().unwrap();
    assert_eq!(keys(&bench), (vec![], None));
}

/// What a task of ours that died left behind, even where the host now comes by another way, does not stop the next.
#[test]
fn a_stale_reservation_of_our_own_is_taken_over() {
    let bench = bench();
    bench.backup(|_| {});
    let own = bench.open().reservation_key();
    for host in [0, 1] {
        let transport = bench.library().drive_of_host(0, host).unwrap();
        let mut killed = Drive::open(Box::new(transport)).unwrap();
        killed.reserve(own, false).unwrap();
        std::mem::forget(killed);
        assert_eq!(keys(&bench).1, Some(own));
        bench.backup(|_| {});
        assert_eq!(keys(&bench), (vec![], None), "host {host}");
    }
}

#[test]
fn a_task_that_loses_its_drive_writes_nothing_more() {
    let bench = bench();
    bench.backup(|_| {});
    let mut ours = bench.other_program();
    ours.reserve(bench.open().reservation_key(), false).unwrap();
    ours.rewind().unwrap();
    ours.space_to_end_of_data().unwrap();
    let mut other = other_host(&bench);
    assert!(matches!(
        other.reserve(OTHER, false),
        Err(DriveError::ReservationConflict { holder: Some(_), .. })
    ));
    other.reserve(OTHER, true).unwrap();
    let before = bench.cartridge(FIRST);
    let error = ours.write(b"too late").unwrap_err();
    assert!(matches!(error, DriveError::ReservationConflict { holder: Some(OTHER), .. }), "{error}");
    drop(ours);
    assert!(bench.cartridge(FIRST) == before);
    assert_eq!(keys(&bench), (vec![OTHER], Some(OTHER)), "the other one's reservation is not ours to end");
}

#[test]
fn a_drive_without_reservations_goes_without() {
    let bench = bench();
    let library = bench.library_of_default_size();
    library.faults().drive(0, |faults| faults.no_reservations = true);
    bench.backup(|_| {});
    assert!(bench.restore(|_| {}).faults.is_empty());
}
