use super::*;
use crate::scsi::opcode;
use proptest::prelude::*;

/// Random CDBs, most of them with an operation code that means something.
fn cdb() -> impl Strategy<Value = Vec<u8>> {
    let codes = prop_oneof![
        3 => prop::sample::select(vec![
            opcode::READ_6, opcode::WRITE_6, opcode::WRITE_FILEMARKS_6, opcode::SPACE_6, opcode::SPACE_16,
            opcode::LOCATE_16, opcode::MODE_SELECT_10, opcode::MODE_SENSE_10, opcode::LOG_SENSE,
            opcode::READ_ATTRIBUTE, opcode::WRITE_ATTRIBUTE, opcode::SECURITY_PROTOCOL_IN,
            opcode::SECURITY_PROTOCOL_OUT, opcode::MAINTENANCE_IN, opcode::MAINTENANCE_OUT,
            opcode::READ_ELEMENT_STATUS, opcode::MOVE_MEDIUM, opcode::READ_POSITION, opcode::LOAD_UNLOAD,
            opcode::PERSISTENT_RESERVE_OUT, opcode::ALLOW_OVERWRITE, opcode::VERIFY_6,
        ]),
        1 => any::<u8>(),
    ];
    // Mostly small numbers: they are met more often.
    let byte = prop_oneof![3 => Just(0u8), 1 => 0u8..4, 1 => any::<u8>()];
    (codes, prop::collection::vec(byte, 0..16)).prop_map(|(code, mut rest)| {
        rest.insert(0, code);
        rest
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_cdb_has_a_valid_status(
        commands in prop::collection::vec((cdb(), 0usize..3, prop::collection::vec(any::<u8>(), 0..300)), 1..60),
    ) {
        let (rig, mut drive) = Rig::loaded(&layout());
        let mut changer = rig.changer();
        drive.wrote(b"something");
        drive.marks(1);
        for (cdb, direction, mut bytes) in commands {
            // A tape of billions of filemarks is sound, but not quick to write.
            if cdb[0] == opcode::WRITE_FILEMARKS_6 && cdb.get(2..4) != Some(&[0, 0]) {
                continue;
            }
            for unit in [&mut drive, &mut changer] {
                let length = bytes.len();
                let reply = match direction {
                    0 => unit.run(&cdb, Data::None),
                    1 => unit.run(&cdb, Data::In(&mut bytes)),
                    _ => unit.run(&cdb, Data::Out(&bytes)),
                };
                prop_assert!(reply.transferred <= length.max(usize::from(direction == 2) * length));
                match reply.status {
                    Status::Good | Status::ReservationConflict => prop_assert!(reply.sense.is_empty()),
                    Status::CheckCondition => prop_assert_eq!(reply.sense.len(), 18),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}

/// What a tape does, as a model: a row of objects and a position.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, usize),
    Marks(u8),
    Immediate(u8),
    Read,
    Locate(u64),
    SpaceMarks(i32),
    SpaceRecords(i32),
    End,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 1usize..5000).prop_map(|(byte, length)| Step::Write(byte, length)),
        2 => (0u8..3).prop_map(Step::Marks),
        1 => (1u8..3).prop_map(Step::Immediate),
        2 => Just(Step::Read),
        2 => (0u64..30).prop_map(Step::Locate),
        1 => (-4i32..5).prop_map(Step::SpaceMarks),
        1 => (-4i32..5).prop_map(Step::SpaceRecords),
        1 => Just(Step::End),
        1 => Just(Step::Kill),
    ]
}

/// Objects on the tape (`None` is a filemark), how many of them are flushed, and the position.
#[derive(Default)]
struct Model {
    objects: Vec<Option<Vec<u8>>>,
    flushed: usize,
    position: usize,
}

impl Model {
    fn put(&mut self, object: Option<Vec<u8>>) {
        self.objects.truncate(self.position);
        self.flushed = self.flushed.min(self.position);
        self.objects.push(object);
        self.position += 1;
    }

    fn flush(&mut self) {
        self.flushed = self.objects.len();
    }

    /// Goes over objects one by one, as SPACE is defined.
    fn space(&mut self, records: bool, count: i32) {
        self.flush();
        let mut left = count.abs();
        while left > 0 {
            let next = if count > 0 { self.position } else { self.position.wrapping_sub(1) };
            let Some(object) = self.objects.get(next) else { return };
            self.position = if count > 0 { next + 1 } else { next };
            match (records, object.is_none()) {
                (true, true) => return,
                (true, false) | (false, true) => left -= 1,
                (false, false) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_drive_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let (mut rig, mut drive) = Rig::loaded(&layout());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Write(byte, length) => {
                    drive.wrote(&vec![byte; length]);
                    model.put(Some(vec![byte; length]));
                }
                Step::Marks(count) => {
                    drive.marks(count);
                    (0..count).for_each(|_| model.put(None));
                    model.flush();
                }
                Step::Immediate(count) => {
                    drive.good(&[0x10, 1, 0, 0, count, 0]);
                    (0..count).for_each(|_| model.put(None));
                }
                Step::Read => {
                    let (reply, bytes) = drive.read(5000);
                    model.flush();
                    match model.objects.get(model.position) {
                        Some(Some(record)) => {
                            prop_assert_eq!(&bytes, record);
                            model.position += 1;
                        }
                        Some(None) => {
                            prop_assert_eq!(key(&reply), (0, 0, 1));
                            model.position += 1;
                        }
                        None => prop_assert_eq!(key(&reply), (8, 0, 5)),
                    }
                }
                Step::Locate(block) => {
                    drive.locate(block);
                    model.flush();
                    model.position = (block as usize).min(model.objects.len());
                }
                Step::SpaceMarks(count) => {
                    drive.none(&space(1, count));
                    model.space(false, count);
                }
                Step::SpaceRecords(count) => {
                    drive.none(&space(0, count));
                    model.space(true, count);
                }
                Step::End => {
                    drive.good(&space(3, 0));
                    model.flush();
                    model.position = model.objects.len();
                }
                Step::Kill => {
                    drop(drive);
                    rig = rig.killed();
                    drive = rig.drive0();
                    model.objects.truncate(model.flushed);
                    model.position = 0;
                }
            }
            prop_assert_eq!(drive.block(), model.position as u64);
        }
    }
}
