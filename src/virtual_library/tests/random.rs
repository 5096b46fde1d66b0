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
