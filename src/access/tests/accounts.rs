use super::*;

fn change(change: impl FnOnce(&mut UserChange)) -> UserChange {
    let mut new = UserChange::default();
    change(&mut new);
    new
}

#[test]
fn names_are_unique_without_regard_to_case() {
    let rig = Rig::new();
    let user = rig.user("Alice", READONLY);
    let accounts = rig.access.accounts();
    let create = |name: &str, role: &str| accounts.create_user(&Principal::local(), &new_user(name, role));
    assert!(matches!(create("aLICE", ADMIN), Err(AccessError::Taken { .. })));
    assert!(matches!(create("bob", "emperor"), Err(AccessError::Invalid { field: "role", .. })));
    let long = "x".repeat(65);
    for wrong in ["", " ", "a b", "\u{e4}", "-a", "a\n", &long] {
        assert!(
            matches!(create(wrong, ADMIN), Err(AccessError::Invalid { field: "username", .. })),
            "{wrong}"
        );
    }
    assert!(create("ops.team+tape@example.com", OPERATOR).is_ok());
    assert_eq!(accounts.user_by_name("ALICE").unwrap(), user);
    // Ids are not given out again: the audit log names them.
    accounts.delete_user(&Principal::local(), 2).unwrap();
    assert_eq!(create("carol", READONLY).unwrap().id, 3);
}

#[test]
fn the_last_active_admin_stays() {
    let rig = Rig::new();
    let local = Principal::local();
    let accounts = rig.access.accounts();
    let (first, second) = (rig.user("a", ADMIN), rig.user("b", ADMIN));
    accounts.update_user(&local, second.id, &change(|c| c.is_active = Some(false))).unwrap();
    let demote = change(|c| c.role = Some(OPERATOR.into()));
    let deactivate = change(|c| c.is_active = Some(false));
    for wrong in [&demote, &deactivate] {
        assert!(matches!(accounts.update_user(&local, first.id, wrong), Err(AccessError::LastAdmin)));
    }
    assert!(matches!(accounts.delete_user(&local, first.id), Err(AccessError::LastAdmin)));
    assert_eq!(accounts.user(first.id).unwrap(), first);
    accounts.delete_user(&local, second.id).unwrap();
    let third = rig.user("c", ADMIN);
    accounts.update_user(&local, first.id, &demote).unwrap();
    assert!(matches!(accounts.delete_user(&local, third.id), Err(AccessError::LastAdmin)));
}

#[test]
fn of_two_admins_who_demote_each_other_one_stays() {
    let rig = Rig::new();
    let (a, b) = (rig.user("a", ADMIN), rig.user("b", ADMIN));
    let other = rig.other_process();
    let demote = |access: &Access, id| {
        let demote = change(|c| c.role = Some(READONLY.into()));
        usize::from(access.accounts().update_user(&Principal::local(), id, &demote).is_ok())
    };
    let done: usize = std::thread::scope(|scope| {
        let first = scope.spawn(|| demote(&rig.access, a.id));
        let second = scope.spawn(|| demote(&other, b.id));
        first.join().unwrap() + second.join().unwrap()
    });
    assert_eq!(done, 1);
}

#[test]
fn a_changed_user_is_another_principal_at_once() {
    let rig = Rig::new();
    let local = Principal::local();
    rig.user("root", ADMIN);
    let (signed_in, principal) = rig.somebody("a", OPERATOR);
    let id = principal.user_id.unwrap();
    let accounts = rig.access.accounts();
    let now = || rig.principal(&signed_in.access_token);
    accounts.update_user(&local, id, &change(|c| c.role = Some(READONLY.into()))).unwrap();
    assert!(!now().unwrap().may(Resource::Jobs, Level::Operate));
    let other = change(|c| {
        c.email = Some(Some("a@example.com".into()));
        c.full_name = Some(Some("A".into()));
    });
    let user = accounts.update_user(&local, id, &other).unwrap();
    assert_eq!((user.email.as_deref(), user.role.as_str()), (Some("a@example.com"), READONLY));
    let cleared = accounts.update_user(&local, id, &change(|c| c.email = Some(None))).unwrap();
    assert_eq!((cleared.email, cleared.full_name.as_deref()), (None, Some("A")));
    accounts
        .update_user(&local, id, &change(|c| c.password = Some("newpassword".to_owned().into())))
        .unwrap();
    assert_eq!(rejection(now()), Rejection::Ended);
    let again = rig.access.sign_in("a", "newpassword", HERE).unwrap();
    accounts.update_user(&local, id, &change(|c| c.is_active = Some(false))).unwrap();
    assert_eq!(rejection(rig.principal(&again.access_token)), Rejection::Ended);
    assert!(matches!(rig.access.sign_in("a", "newpassword", HERE), Err(AccessError::Refused)));
    accounts.delete_user(&local, id).unwrap();
    assert!(matches!(accounts.user(id), Err(AccessError::NotFound { .. })));
}

#[test]
fn nobody_gives_or_takes_more_than_they_have() {
    let rig = Rig::new();
    let local = Principal::local();
    let accounts = rig.access.accounts();
    let root = rig.user("root", ADMIN);
    let manager = Permissions::readonly().with(Resource::Users, Some(Level::Administer));
    accounts.create_role(&local, "manager", "Manages people", &manager).unwrap();
    let (_, by) = rig.somebody("m", "manager");
    let forbidden =
        |result: Result<User>| assert!(matches!(result, Err(AccessError::Forbidden(_))), "{result:?}");
    forbidden(accounts.create_user(&by, &new_user("x", ADMIN)));
    forbidden(accounts.create_user(&by, &new_user("x", OPERATOR)));
    let reader = accounts.create_user(&by, &new_user("x", READONLY)).unwrap();
    forbidden(accounts.update_user(&by, reader.id, &change(|c| c.role = Some(ADMIN.into()))));
    forbidden(accounts.update_user(
        &by,
        root.id,
        &change(|c| c.password = Some("hijacked!".to_owned().into())),
    ));
    forbidden(accounts.delete_user(&by, root.id));
    forbidden(accounts.delete_user(&by, by.user_id.unwrap()));
    assert!(matches!(accounts.unlock_user(&by, root.id), Err(AccessError::Forbidden(_))));
    let more = manager.with(Resource::Tapes, Some(Level::Operate));
    assert!(matches!(accounts.create_role(&by, "r", "", &more), Err(AccessError::Forbidden(_))));
    assert!(matches!(accounts.update_role(&by, "manager", "", &more), Err(AccessError::Forbidden(_))));
    assert!(accounts.create_role(&by, "r", "", &manager).is_ok());
    accounts.delete_user(&by, reader.id).unwrap();
}

#[test]
fn roles_of_ones_own_making() {
    let rig = Rig::new();
    let local = Principal::local();
    let accounts = rig.access.accounts();
    let tapes = Permissions::none().with(Resource::Tapes, Some(Level::Operate));
    for wrong in ["", "Loader", "a b"] {
        let made = accounts.create_role(&local, wrong, "", &tapes);
        assert!(matches!(made, Err(AccessError::Invalid { field: "name", .. })), "{wrong}");
    }
    assert!(matches!(accounts.create_role(&local, ADMIN, "", &tapes), Err(AccessError::Forbidden(_))));
    accounts.create_role(&local, "loader", "Loads tapes", &tapes).unwrap();
    assert!(matches!(accounts.create_role(&local, "loader", "", &tapes), Err(AccessError::Taken { .. })));
    let names: Vec<_> = accounts.roles().unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, [ADMIN, OPERATOR, READONLY, "loader"]);
    let (signed_in, principal) = rig.somebody("l", "loader");
    assert!(principal.may(Resource::Tapes, Level::Read) && !principal.may(Resource::Jobs, Level::Read));
    accounts.update_role(&local, "loader", "", &tapes.with(Resource::Jobs, Some(Level::Read))).unwrap();
    assert!(rig.principal(&signed_in.access_token).unwrap().may(Resource::Jobs, Level::Read));
    assert!(matches!(accounts.delete_role(&local, "loader"), Err(AccessError::InUse { .. })));
    let readonly = change(|c| c.role = Some(READONLY.into()));
    accounts.update_user(&local, principal.user_id.unwrap(), &readonly).unwrap();
    accounts.delete_role(&local, "loader").unwrap();
    assert!(accounts.delete_role(&local, "loader").is_err());
    for built_in in [ADMIN, OPERATOR, READONLY] {
        assert!(matches!(accounts.delete_role(&local, built_in), Err(AccessError::Forbidden(_))));
        assert!(matches!(accounts.update_role(&local, built_in, "", &tapes), Err(AccessError::Forbidden(_))));
    }
}
