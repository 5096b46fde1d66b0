//! What devices said, recorded, against what our parsers make of it: `tests/data/transcripts/*.txt` and the `.json` beside
//! each. `REELWARD_BLESS=1` writes the latter anew; look at the difference before it is kept.
//!
//! A line of the device suite's file with `record=DIR` makes new recordings of what it names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reelward::changer::Changer;
use reelward::drive::{Drive, MediumOptions};
use reelward::scsi::log::{
    self, DeviceStatistics, ErrorCounters, LogPage, SequentialCounters, VolumeStatistics,
};
use reelward::scsi::mode::{self, Mode};
use reelward::scsi::tape::{self, BlockLimits};
use reelward::scsi::{
    Data, Sense, TapeAlert, Transport, attribute, density, element, encryption, inquiry, opcode,
    opcodes_report, position, rao, reservation,
};
use serde_json::{Value, json};

use crate::support::debug_json::debug_json;
use crate::support::record::{Exchange, Replay, Tape, Transcript};

const LIMIT: Duration = Duration::from_secs(60);

/// What a device is asked that changes nothing, with the room for each answer.
fn questions(drive: bool) -> Vec<(Vec<u8>, usize)> {
    let vital = |page| (inquiry::vital(page, 512).to_vec(), 512);
    // The first takes away what a new session is told.
    let mut list = vec![(tape::test_unit_ready().to_vec(), 0), (inquiry::standard(512).to_vec(), 512)];
    list.extend([0x00, 0x80, 0x83].map(vital));
    list.push((opcodes_report::report(16 << 10).to_vec(), 16 << 10));
    list.push((tape::request_sense(96).to_vec(), 96));
    list.push((vec![0xff, 0, 0, 0, 0, 0], 0)); // nobody has this command
    if drive {
        list.extend([0xb0, 0xb1, 0xb2].map(vital));
        list.push((tape::read_block_limits().to_vec(), 6));
        list.push((mode::sense_10((0x3f, 0xff), 512).to_vec(), 512));
        list.push((position::read_short().to_vec(), 20));
        list.push((position::read_long().to_vec(), 32));
        list.push((position::read_extended().to_vec(), 32));
        list.extend([false, true].map(|medium| (density::report(medium, 1024).to_vec(), 1024)));
        for page in [0x00, 0x02, 0x03, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x17, 0x1b, 0x2e, 0x31] {
            list.push((log::sense(page, 0, 4096).to_vec(), 4096));
        }
        list.push((attribute::read_list(0, 1024).to_vec(), 1024));
        list.push((attribute::read(0, 0, 4096).to_vec(), 4096));
        list.push((encryption::protocol_in(encryption::PAGE_CAPABILITIES, 1024).to_vec(), 1024));
        list.push((encryption::protocol_in(encryption::PAGE_STATUS, 1024).to_vec(), 1024));
    }
    list.push((mode::sense_10((0x3f, 0x00), 512).to_vec(), 512));
    list.push((mode::sense_6((0x3f, 0x00), 252).to_vec(), 252));
    list.push((reservation::read(reservation::Read::Keys, 512).to_vec(), 512));
    list
}

/// Records a drive with a cartridge, and a changer; one file each.
pub fn record(
    directory: &Path,
    origin: &str,
    drive: &dyn Fn() -> Box<dyn Transport>,
    changer: Option<impl Fn() -> Box<dyn Transport>>,
) {
    let tape = Tape::default();
    let mut typed = Drive::open(tape.recorder(drive())).unwrap();
    typed.rewind().unwrap();
    look_at_drive(&mut typed);
    // What a read says at a filemark, at the end of data, and of a record that is longer than the buffer.
    let mut buffer = [0; 8];
    for _ in 0..3 {
        let _ = typed.read(&mut buffer);
    }
    drop(typed);
    ask(&mut *tape.recorder(drive()), true);
    write(directory, "drive", origin, &tape);
    if let Some(changer) = changer {
        Changer::open(tape.recorder(changer())).unwrap().inventory().unwrap();
        ask(&mut *tape.recorder(changer()), false);
        write(directory, "changer", origin, &tape);
    }
}

fn ask(device: &mut dyn Transport, drive: bool) {
    for (cdb, room) in questions(drive) {
        let mut buffer = vec![0; room];
        let data = if room > 0 { Data::In(&mut buffer) } else { Data::None };
        let _ = device.execute(&cdb, data, LIMIT);
    }
}

fn write(directory: &Path, kind: &str, origin: &str, tape: &Tape) {
    let exchanges = tape.take();
    let origin = vec![format!("recorded: {origin}, {kind}")];
    std::fs::create_dir_all(directory).unwrap();
    let name = format!("{}-{kind}.txt", origin_name(&origin[0]));
    std::fs::write(directory.join(name), Transcript { origin, exchanges }.text()).unwrap();
}

/// `recorded: tgtd 1.0.85 over iSCSI, drive` as a file name: `tgtd-1.0.85-over-iscsi`.
fn origin_name(origin: &str) -> String {
    let name = origin.strip_prefix("recorded: ").unwrap_or(origin);
    let name = name.rsplit_once(',').map_or(name, |(name, _)| name);
    name.to_lowercase().split(|c: char| !(c.is_alphanumeric() || c == '.')).collect::<Vec<_>>().join("-")
}

/// What the typed operations say of a drive that is opened.
fn look_at_drive(drive: &mut Drive) -> Value {
    let loaded = drive.is_loaded().unwrap();
    let medium = drive.prepare_medium(MediumOptions::default()).unwrap();
    json!({
        "identity": debug_json(drive.identity()),
        "loaded": loaded,
        "medium": debug_json(&medium),
        "capacity": debug_json(&drive.capacity().unwrap()),
        "change_reference": drive.volume_change_reference().unwrap(),
        "alerts": debug_json(&drive.tape_alerts().unwrap()),
    })
}

/// What our parsers make of one answer.
fn parsed(exchange: &Exchange) -> Value {
    let (cdb, bytes) = (exchange.cdb.as_slice(), exchange.data.as_slice());
    if exchange.status != Some(0) {
        return Value::Null;
    }
    match exchange.opcode() {
        opcode::INQUIRY if cdb[1] & 1 == 0 => debug_json(&inquiry::Inquiry::parse(bytes)),
        opcode::INQUIRY => match cdb[2] {
            0x00 => debug_json(&inquiry::supported_pages(bytes)),
            0x80 | 0xb1 => debug_json(&inquiry::serial(bytes)),
            0x83 => debug_json(&inquiry::identification(bytes)),
            0xb0 => debug_json(&inquiry::sequential_capabilities(bytes)),
            0xb2 => debug_json(&inquiry::tape_alert_flags(bytes)),
            _ => Value::Null,
        },
        opcode::READ_BLOCK_LIMITS => debug_json(&BlockLimits::parse(bytes)),
        opcode::MODE_SENSE_6 => mode_pages(Mode::parse_6(bytes)),
        opcode::MODE_SENSE_10 => mode_pages(Mode::parse_10(bytes)),
        opcode::LOG_SENSE => LogPage::parse(bytes).map_or(Value::Null, |page| log_page(&page)),
        opcode::READ_ATTRIBUTE if cdb[1] & 0x1f == 1 => debug_json(&attribute::parse_list(bytes)),
        opcode::READ_ATTRIBUTE => {
            let each = |one: attribute::Attribute<'_>| {
                json!({"id": format!("{:04x}", one.id),
                "read_only": one.read_only, "number": one.number(), "text": one.text()})
            };
            attribute::parse(bytes).map(each).collect()
        }
        opcode::READ_ELEMENT_STATUS => debug_json(&element::parse(bytes)),
        opcode::REPORT_DENSITY_SUPPORT => debug_json(&density::parse(bytes)),
        opcode::READ_POSITION => match cdb[1] & 0x1f {
            0x00 => json!([debug_json(&position::parse_short(bytes)), position::buffered_blocks(bytes)]),
            0x06 => debug_json(&position::parse_long(bytes)),
            _ => debug_json(&position::parse_extended(bytes)),
        },
        opcode::PERSISTENT_RESERVE_IN if cdb[1] & 0x1f == 0 => debug_json(&reservation::keys(bytes)),
        opcode::PERSISTENT_RESERVE_IN => debug_json(&reservation::reservation(bytes)),
        opcode::SECURITY_PROTOCOL_IN => match u16::from_be_bytes([cdb[2], cdb[3]]) {
            encryption::PAGE_CAPABILITIES => debug_json(&encryption::capabilities(bytes)),
            encryption::PAGE_STATUS => debug_json(&encryption::status(bytes)),
            _ => debug_json(&encryption::next_block(bytes)),
        },
        opcode::MAINTENANCE_IN if cdb[1] & 0x1f == 0x0c => debug_json(&opcodes_report::parse(bytes)),
        opcode::MAINTENANCE_IN if cdb[1] & 0x80 != 0 => debug_json(&rao::parse_limits(bytes)),
        opcode::MAINTENANCE_IN => debug_json(&rao::parse(bytes)),
        opcode::REQUEST_SENSE => debug_json(&Sense::parse(bytes)),
        _ => Value::Null,
    }
}

fn mode_pages(mode: Option<Mode>) -> Value {
    let Some(mode) = mode else { return Value::Null };
    let page = |page| mode.page(page);
    json!({
        "medium_type": mode.medium_type,
        "write_protected": mode.write_protected,
        "buffered": mode.buffered,
        "block": debug_json(&mode.block),
        "compression": debug_json(&page(mode::DATA_COMPRESSION).map(mode::compression)),
        "protection": debug_json(&page(mode::DATA_PROTECTION).map(mode::protection)),
        "early_warning_zone": page(mode::CONFIGURATION_EXTENSION).map(mode::early_warning_zone),
        "page_1d": debug_json(&page(mode::ELEMENT_ADDRESSES).map(mode::element_assignment)),
        "worm": page(mode::MEDIUM_CONFIGURATION).map(mode::worm),
    })
}

fn log_page(page: &LogPage<'_>) -> Value {
    let alerts = |flags| debug_json(&TapeAlert::from_flags(flags));
    match page.page {
        log::SUPPORTED => page.supported().into(),
        log::WRITE_ERRORS | log::READ_ERRORS => debug_json(&ErrorCounters::from_page(page)),
        log::SEQUENTIAL_ACCESS => debug_json(&SequentialCounters::from_page(page)),
        log::TEMPERATURE => debug_json(&log::temperature(page)),
        log::DEVICE_STATUS => debug_json(&log::device_status(page)),
        log::TAPE_ALERT_RESPONSE => log::tape_alert_response(page).map_or(Value::Null, alerts),
        log::TAPE_ALERT => alerts(log::tape_alert_flags(page)),
        log::DEVICE_STATISTICS => debug_json(&DeviceStatistics::from_page(page)),
        log::VOLUME_STATISTICS => debug_json(&VolumeStatistics::from_page(page)),
        log::DATA_COMPRESSION => debug_json(&log::compression_ratios(page)),
        log::TAPE_CAPACITY => debug_json(&log::tape_capacity(page)),
        _ => Value::Null,
    }
}

/// One exchange: the command, what the parser made of the data, and the sense.
fn understood(exchange: &Exchange) -> Value {
    let hex: Vec<String> = exchange.cdb.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut value = json!({"command": opcode::name(exchange.opcode()), "cdb": hex.join(" ")});
    if let Some(sense) = Sense::parse(&exchange.sense) {
        value["sense"] = debug_json(&sense);
        value["said"] = sense.to_string().into();
    } else if exchange.status != Some(0) {
        value["status"] = exchange.status.into();
    }
    match parsed(exchange) {
        Value::Null => {}
        answer => value["answer"] = answer,
    }
    value
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts")
}

/// Every transcript with its name, sorted.
fn transcripts() -> Vec<(String, Transcript)> {
    let names = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    names.sort();
    let read = |path: &PathBuf| Transcript::parse(&std::fs::read_to_string(path).unwrap());
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    names.iter().map(|path| (name(path), read(path))).collect()
}

#[test]
fn every_transcript_is_understood_as_before() {
    let found = transcripts();
    assert!(found.len() >= 6, "recordings and constructed answers: {}", found.len());
    for (name, transcript) in found {
        let origin = transcript.origin.first().expect("a transcript says where it is from");
        assert!(origin.starts_with("recorded: ") || origin.starts_with("constructed "), "{name}: {origin}");
        let mut value = json!({"exchanges": transcript.exchanges.iter().map(understood).collect::<Vec<_>>()});
        if origin.starts_with("recorded: ") && name.ends_with("drive") {
            let mut drive = Drive::open(Replay::new(&transcript, &name)).unwrap();
            drive.rewind().unwrap();
            value["drive"] = look_at_drive(&mut drive);
        }
        if origin.starts_with("recorded: ") && name.ends_with("changer") {
            let mut changer = Changer::open(Replay::new(&transcript, &name)).unwrap();
            value["changer"] = debug_json(changer.identity());
            value["inventory"] = debug_json(&changer.inventory().unwrap());
        }
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        let golden = directory().join(format!("{name}.json"));
        if std::env::var_os("REELWARD_BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        let first = text.lines().zip(expected.lines()).find(|(is, must)| is != must);
        assert!(text == expected, "{name}: not as in {}: {first:?}", golden.display());
    }
}

/// Each parser has an answer that it finds something in.
#[test]
fn every_parser_has_an_answer() {
    let seen: Vec<(u8, Vec<u8>)> = transcripts()
        .iter()
        .flat_map(|(_, transcript)| &transcript.exchanges)
        .filter(|exchange| parsed(exchange) != Value::Null)
        .map(|exchange| (exchange.opcode(), exchange.cdb.clone()))
        .collect();
    for code in [
        opcode::INQUIRY,
        opcode::READ_BLOCK_LIMITS,
        opcode::MODE_SENSE_6,
        opcode::MODE_SENSE_10,
        opcode::LOG_SENSE,
        opcode::READ_ATTRIBUTE,
        opcode::READ_ELEMENT_STATUS,
        opcode::REPORT_DENSITY_SUPPORT,
        opcode::READ_POSITION,
        opcode::PERSISTENT_RESERVE_IN,
        opcode::SECURITY_PROTOCOL_IN,
        opcode::REQUEST_SENSE,
        opcode::MAINTENANCE_IN,
    ] {
        assert!(seen.iter().any(|(opcode, _)| *opcode == code), "{code:02x}h");
    }
    for page in [0x02, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x17, 0x1b, 0x2e, 0x31] {
        let asked = |cdb: &[u8]| cdb[0] == opcode::LOG_SENSE && cdb[2] & 0x3f == page;
        assert!(seen.iter().any(|(_, cdb)| asked(cdb)), "log page {page:02x}h");
    }
}
