//! The history of drives and cartridges.

use proptest::prelude::*;

use super::tests::Rig;
use super::*;

const DAY: i64 = 24 * 3600 * 1_000_000_000;
/// A day on which both a day and a span of 30 days begin.
const NOW: i64 = 30 * 700 * DAY;

fn seen(serial: Option<&str>, barcode: Option<&str>, volume: Option<&str>) -> CartridgeSeen {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    CartridgeSeen { serial: owned(serial), barcode: owned(barcode), volume: owned(volume) }
}

fn sample(taken: i64, event: HealthEvent, drive: &str, cartridge: CartridgeId, written: u64) -> NewSample {
    let readings =
        Readings { written: Some(written), write_corrected: Some(written / 10), ..Readings::default() };
    NewSample { taken, event, drive: drive.into(), cartridge: Some(cartridge), readings }
}

#[test]
fn a_cartridge_is_known_again() {
    let rig = Rig::new();
    let see = |serial, barcode, volume, now| {
        rig.catalog.cartridge_seen(&seen(serial, barcode, volume), now).unwrap()
    };
    let first = see(None, Some("A00001L9"), None, 1);
    assert_eq!(see(Some("S1"), Some("A00001L9"), Some("v1"), 2), first, "the serial number is learnt");
    assert_eq!(see(Some("S1"), None, None, 3), first);
    assert_eq!(see(None, Some("A00001L9"), None, 4), first, "a drive without cartridge memory");
    // The label on another cartridge.
    let other = see(Some("S2"), Some("A00001L9"), Some("v2"), 5);
    assert_ne!(other, first);
    // Without anything but the volume.
    assert_eq!(see(None, None, Some("v2"), 6), other);
    let third = see(None, None, Some("v3"), 7);
    assert_ne!(third, first);
    let all = rig.catalog.cartridges().unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].first_seen, all[0].last_seen), (1, 4));
    assert_eq!(all[0].seen, seen(Some("S1"), Some("A00001L9"), Some("v1")));
    assert_eq!(rig.catalog.cartridge_of(&seen(None, None, Some("nothing"))).unwrap(), None);
}

#[test]
fn cleanings_are_counted() {
    let rig = Rig::new();
    let id = rig.catalog.cartridge_seen(&seen(None, Some("CLN001CU"), None), 1).unwrap();
    assert_eq!(rig.catalog.count_cleaning(id).unwrap(), 1);
    assert_eq!(rig.catalog.count_cleaning(id).unwrap(), 2);
    rig.catalog.expire_cleaning(id, 8).unwrap();
    rig.catalog.expire_cleaning(id, 9).unwrap();
    let found = rig.catalog.cartridge_of(&seen(None, Some("CLN001CU"), None)).unwrap().unwrap();
    assert_eq!((found.cleanings, found.expired), (2, Some(8)));
}

#[test]
fn what_happened_is_the_rise_within_a_mount() {
    use HealthEvent::*;
    let rig = Rig::new();
    let a = rig.catalog.cartridge_seen(&seen(Some("A"), None, None), 1).unwrap();
    let b = rig.catalog.cartridge_seen(&seen(Some("B"), None, None), 1).unwrap();
    let add = |taken, event, drive: &str, cartridge, written| {
        rig.catalog.add_sample(&sample(taken, event, drive, cartridge, written)).unwrap().written
    };
    assert_eq!(add(1, Found, "d1", a, 700), 0, "nothing is known of the time before");
    assert_eq!(add(2, Backup, "d1", a, 1700), 1000);
    assert_eq!(add(3, Backup, "d1", a, 200), 200, "the counter was set back");
    assert_eq!(add(4, Mount, "d1", b, 900), 0, "another cartridge");
    assert_eq!(add(5, Backup, "d2", b, 5), 0, "another drive");
    assert_eq!(add(6, Dismount, "d1", b, 1000), 100);
    assert_eq!(add(7, Mount, "d1", b, 2000), 0, "a new mount, whatever the counter says");
    let totals = rig.catalog.drive_totals("d1").unwrap();
    assert_eq!((totals.mounts, totals.written, totals.write_corrected), (2, 1300, 100 + 20 + 10));
    let pairs = rig.catalog.pair_trends(0).unwrap();
    let told: Vec<_> = pairs.iter().map(|p| (p.drive.as_str(), p.cartridge, p.happened.written)).collect();
    assert_eq!(told, [("d1", a, 1200), ("d1", b, 100), ("d2", b, 0)]);
    assert_eq!(rig.catalog.pair_trends(4).unwrap().len(), 2);
    assert_eq!(rig.catalog.last_sample("d1").unwrap().unwrap().sample.taken, 7);
    assert_eq!(rig.catalog.last_sample_with(a).unwrap().unwrap().sample.readings.written, Some(200));
    assert_eq!(rig.catalog.last_sample("none").unwrap(), None);
}

#[test]
fn numbers_beyond_reason_are_kept_within() {
    let rig = Rig::new();
    let a = rig.catalog.cartridge_seen(&seen(Some("A"), None, None), 1).unwrap();
    rig.catalog.add_sample(&sample(1, HealthEvent::Found, "d", a, 0)).unwrap();
    rig.catalog.add_sample(&sample(2, HealthEvent::Backup, "d", a, u64::MAX)).unwrap();
    assert_eq!(rig.catalog.drive_totals("d").unwrap().written, i64::MAX as u64);
    assert_eq!(rig.catalog.last_sample("d").unwrap().unwrap().sample.readings.written, Some(u64::MAX));
}

#[test]
fn years_of_samples_are_thinned_and_sums_stay() {
    let rig = Rig::new();
    let a = rig.catalog.cartridge_seen(&seen(Some("A"), None, None), 1).unwrap();
    let mut count = 0;
    // Four samples a day for 500 days; the counter rises by 10 each, mounted every fifth day.
    for day in 0..500 {
        for part in 0..4 {
            let event = match (day % 5, part) {
                (0, 0) => HealthEvent::Mount,
                _ => HealthEvent::Backup,
            };
            let taken = NOW + day * DAY + part * DAY / 4;
            count += 1;
            rig.catalog.add_sample(&sample(taken, event, "d", a, count * 10)).unwrap();
        }
    }
    let totals = rig.catalog.drive_totals("d").unwrap();
    assert_eq!((totals.mounts, totals.written), (100, (2000 - 100) * 10));
    let left = rig.catalog.samples("d", 0).unwrap();
    let older = |days: i64| left.iter().filter(|s| s.sample.taken < NOW + (499 - days) * DAY).count();
    assert!(left.len() < 500, "{}", left.len());
    assert!(older(365) <= 7, "{}", older(365));
    assert!((330..350).contains(&(older(30) - older(365))), "{}", older(30) - older(365));
    assert_eq!(rig.catalog.samples("d", NOW + 480 * DAY).unwrap().len(), 80, "all of the last days");
    assert!(left.windows(2).all(|pair| pair[0].sample.taken < pair[1].sample.taken));
}

fn complaint(flag: u8, category: &'static str, of_cartridge: bool) -> Complaint {
    let message = format!("flag {flag}");
    Complaint { flag, severity: AlertSeverity::Warning, category, message, of_cartridge }
}

#[test]
fn an_alert_is_told_once_until_it_is_over() {
    let rig = Rig::new();
    let a = rig.catalog.cartridge_seen(&seen(Some("A"), None, None), 1).unwrap();
    let b = rig.catalog.cartridge_seen(&seen(Some("B"), None, None), 1).unwrap();
    let raise = |drive: &str, cartridge, flag, category, of_cartridge, now| {
        let told = complaint(flag, category, of_cartridge);
        rig.catalog.raise_alert(drive, cartridge, &told, now).unwrap().is_some()
    };
    assert!(raise("d", Some(a), 4, "media", true, 1));
    assert!(!raise("d", Some(a), 4, "media", true, 2));
    assert!(!raise("e", Some(a), 4, "media", true, 3), "the same cartridge in another drive");
    assert!(raise("d", Some(b), 4, "media", true, 4));
    assert!(raise("d", Some(b), 20, "cleaning", false, 5));
    assert!(!raise("d", Some(a), 20, "cleaning", false, 6), "the drive's, whatever is in it");
    assert!(raise("e", None, 20, "cleaning", false, 6), "another drive");
    let bits = |flags: &[u8]| flags.iter().fold(0u64, |all, flag| all | 1 << (flag - 1));
    // Cartridge b is in the drive and still complained of; the drive is clean.
    assert_eq!(rig.catalog.resolve_cleared("d", Some(b), bits(&[4]), 7).unwrap(), 1);
    // Nothing in the drive: alerts of cartridges stay.
    assert_eq!(rig.catalog.resolve_cleared("d", None, 0, 8).unwrap(), 0);
    assert_eq!(rig.catalog.resolve_cleared("e", Some(a), bits(&[20]), 9).unwrap(), 1);
    let open: Vec<_> = rig.catalog.open_alerts().unwrap().iter().map(|x| (x.flag, x.cartridge)).collect();
    assert_eq!(open, [(20, None), (4, Some(b))]);
    assert!(raise("d", Some(a), 4, "media", true, 10), "again, after it was over");
    let of_d = rig.catalog.alerts("d", 50).unwrap();
    assert_eq!(of_d.iter().map(|alert| alert.created).collect::<Vec<_>>(), [10, 5, 4, 1]);
    assert_eq!((of_d[3].last_seen, of_d[3].resolved), (3, Some(9)));
    assert_eq!(rig.catalog.alerts("d", 2).unwrap().len(), 2);
    assert!(raise("d", None, 21, "cleaning", false, 11));
    assert_eq!(rig.catalog.resolve_category("d", "cleaning", 12).unwrap(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_rise_is_never_more_than_the_counter(old: Option<u64>, new: Option<u64>) {
        let readings = |written| Readings { written, ..Readings::default() };
        let rise = Happened::between(&readings(old), &readings(new)).written;
        prop_assert!(rise <= new.unwrap_or(0));
    }
}
