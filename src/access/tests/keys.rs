use super::*;

#[test]
fn a_key_is_shown_once_and_kept_hashed() {
    let rig = Rig::new();
    let (_, principal) = rig.somebody("a", ADMIN);
    let made = rig.access.create_api_key(&principal, " monitoring ", READONLY, None).unwrap();
    assert_eq!((made.secret.len(), &made.secret[..3]), (46, "rw_"));
    assert_eq!(made.key.prefix, format!("{}...", &made.secret[..8]));
    assert_eq!(rig.access.api_keys().unwrap(), std::slice::from_ref(&made.key));
    assert!(!format!("{made:?}").contains(&made.secret[8..]));
    let bytes = std::fs::read(rig.catalog.path()).unwrap();
    let wal = std::fs::read(rig.state.path().join("catalog.sqlite-wal")).unwrap_or_default();
    for file in [bytes, wal] {
        assert!(!file.windows(40).any(|window| window == &made.secret.as_bytes()[3..43]));
    }
    for credential in [Credential::Bearer(&made.secret), Credential::ApiKey(&made.secret)] {
        let known = rig.access.authenticate(&credential, HERE).unwrap();
        assert_eq!(known.kind, PrincipalKind::ApiKey(made.key.id));
        assert_eq!((known.name.as_str(), known.user_id), ("monitoring", principal.user_id));
        assert!(known.may(Resource::Tapes, Level::Read) && !known.may(Resource::Tapes, Level::Operate));
        assert!(rig.access.sign_out(&known).is_err());
        assert!(rig.access.change_password(&known, PASSWORD, "newpassword", HERE).is_err());
    }
    rig.access.tend().unwrap();
    assert_eq!(rig.other_process().api_keys().unwrap()[0].last_used, Some(rig.clock.now()));
    rig.access.delete_api_key(&principal, made.key.id).unwrap();
    assert_eq!(rejection(rig.principal(&made.secret)), Rejection::Invalid);
    assert!(matches!(rig.access.delete_api_key(&principal, 1), Err(AccessError::NotFound { .. })));
}

#[test]
fn a_key_ends_with_its_time() {
    let rig = Rig::new();
    let local = Principal::local();
    let at = |seconds: i64| Some(rig.clock.now() + seconds * 1_000_000_000);
    let key = rig.access.create_api_key(&local, "k", OPERATOR, at(60)).unwrap();
    assert!(matches!(
        rig.access.create_api_key(&local, "k", OPERATOR, at(0)),
        Err(AccessError::Invalid { field: "expires_at", .. })
    ));
    for wrong in ["", "  ", "a\nb"] {
        assert!(rig.access.create_api_key(&local, wrong, OPERATOR, None).is_err());
    }
    assert!(rig.access.create_api_key(&local, "k", "emperor", None).is_err());
    rig.pass(59);
    assert!(rig.principal(&key.secret).is_ok());
    rig.pass(1);
    assert_eq!(rejection(rig.principal(&key.secret)), Rejection::Expired);
}

#[test]
fn a_key_never_allows_more_than_who_made_it() {
    let rig = Rig::new();
    let local = Principal::local();
    rig.user("root", ADMIN);
    let (_, operator) = rig.somebody("o", OPERATOR);
    let forbidden = rig.access.create_api_key(&operator, "k", ADMIN, None);
    assert!(matches!(forbidden, Err(AccessError::Forbidden(_))));
    let key = rig.access.create_api_key(&operator, "k", OPERATOR, None).unwrap();
    let id = operator.user_id.unwrap();
    let known = || rig.principal(&key.secret);
    assert!(known().unwrap().may(Resource::Jobs, Level::Operate));
    let update = |change: UserChange| rig.access.accounts().update_user(&local, id, &change).unwrap();
    update(UserChange { role: Some(READONLY.into()), ..UserChange::default() });
    assert!(!known().unwrap().may(Resource::Jobs, Level::Operate), "demoted with who made it");
    assert!(known().unwrap().may(Resource::Jobs, Level::Read));
    update(UserChange { is_active: Some(false), ..UserChange::default() });
    assert_eq!(rejection(known()), Rejection::Invalid);
    update(UserChange { is_active: Some(true), ..UserChange::default() });
    assert!(known().is_ok());
    let admins = rig.access.create_api_key(&local, "root's", ADMIN, None).unwrap();
    let (_, reader) = rig.somebody("r", READONLY);
    let deleted = rig.access.delete_api_key(&reader, admins.key.id);
    assert!(matches!(deleted, Err(AccessError::Forbidden(_))));
    rig.access.accounts().delete_user(&local, id).unwrap();
    assert_eq!(rejection(known()), Rejection::Invalid, "gone with who made it");
    assert_eq!(rig.access.api_keys().unwrap().len(), 1);
}
