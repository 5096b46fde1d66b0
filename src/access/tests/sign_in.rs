use super::*;

fn wait(result: Result<SignedIn>) -> u64 {
    match result {
        Err(AccessError::Locked { retry_after }) => retry_after.as_secs(),
        other => panic!("not locked: {other:?}"),
    }
}

#[test]
fn signing_in_gives_tokens_that_tell_who_it_is() {
    let rig = Rig::new();
    let user = rig.user("Operator1", OPERATOR);
    let signed_in = rig.sign_in("operator1");
    assert_eq!((signed_in.user.id, signed_in.expires_in), (user.id, Duration::from_secs(900)));
    assert_eq!(signed_in.user.last_login, Some(rig.clock.now()));
    let principal = rig.principal(&signed_in.access_token).unwrap();
    assert_eq!((principal.user_id, principal.name.as_str()), (Some(user.id), "Operator1"));
    assert!(principal.may(Resource::Jobs, Level::Operate) && !principal.may(Resource::Users, Level::Read));
    for wrong in ["", "securepassworD", "securepassword "] {
        assert!(matches!(rig.access.sign_in("operator1", wrong, HERE), Err(AccessError::Refused)));
    }
    assert!(matches!(rig.access.sign_in("nobody", PASSWORD, HERE), Err(AccessError::Refused)));
    let (entries, total) = rig.access.accounts().audit().query(&Default::default()).unwrap();
    assert_eq!((entries.len(), total), (0, 5), "a limit of 0 counts only");
}

#[test]
fn an_access_token_ends_with_its_time() {
    let rig = Rig::new();
    let (signed_in, _) = rig.somebody("a", READONLY);
    rig.pass(899);
    assert!(rig.principal(&signed_in.access_token).is_ok());
    rig.pass(1);
    assert_eq!(rejection(rig.principal(&signed_in.access_token)), Rejection::Expired);
    assert!(rig.access.refresh(&signed_in.refresh_token, HERE).is_ok());
}

#[test]
fn a_refresh_token_is_good_once() {
    let rig = Rig::new();
    let (first, principal) = rig.somebody("a", ADMIN);
    let second = rig.access.refresh(&first.refresh_token, HERE).unwrap();
    assert_ne!(first.access_token, second.access_token);
    assert_eq!(rig.principal(&second.access_token).unwrap().kind, principal.kind);
    let third = rig.access.refresh(&second.refresh_token, HERE).unwrap();
    // Somebody comes with a token used before: nobody can tell the thief from the owner.
    assert_eq!(rejection(rig.access.refresh(&first.refresh_token, HERE)), Rejection::Reused);
    assert_eq!(rejection(rig.access.refresh(&third.refresh_token, HERE)), Rejection::Ended);
    for token in [&first.access_token, &third.access_token] {
        assert_eq!(rejection(rig.principal(token)), Rejection::Ended);
    }
    let filter = crate::catalog::AuditFilter { limit: 1, ..Default::default() };
    let (entries, _) = rig.access.accounts().audit().query(&filter).unwrap();
    assert_eq!((entries[0].action.as_str(), entries[0].outcome.as_str()), ("auth.refresh_reuse", "refused"));
}

#[test]
fn of_two_who_refresh_at_once_one_succeeds() {
    let rig = Rig::new();
    let (signed_in, _) = rig.somebody("a", ADMIN);
    let refresh = || rig.access.refresh(&signed_in.refresh_token, HERE).is_ok();
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(refresh)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_session_ends_unused() {
    let rig = Rig::new();
    let (signed_in, _) = rig.somebody("a", ADMIN);
    rig.pass(30 * 24 * 3600);
    assert_eq!(rejection(rig.access.refresh(&signed_in.refresh_token, HERE)), Rejection::Ended);
    assert!(rig.access.sessions(None).unwrap().is_empty());
    rig.access.tend().unwrap();
    assert!(rig.catalog.sessions(None).unwrap().is_empty());
}

#[test]
fn who_signed_out_or_was_put_out_is_unknown_at_once() {
    let rig = Rig::new();
    let (first, principal) = rig.somebody("a", ADMIN);
    let (second, _) = rig.somebody("b", READONLY);
    assert_eq!(rig.access.sessions(None).unwrap().len(), 2);
    rig.access.sign_out(&principal).unwrap();
    assert_eq!(rejection(rig.principal(&first.access_token)), Rejection::Ended);
    assert_eq!(rejection(rig.access.refresh(&first.refresh_token, HERE)), Rejection::Ended);
    assert!(matches!(rig.access.sign_out(&principal), Err(AccessError::NotFound { .. })));
    let sessions = rig.access.sessions(Some(second.user.id)).unwrap();
    assert_eq!(sessions.len(), 1);
    rig.access.revoke_session(&sessions[0].id).unwrap();
    assert_eq!(rejection(rig.principal(&second.access_token)), Rejection::Ended);
}

#[test]
fn what_another_process_does_is_seen_within_a_second() {
    let rig = Rig::new();
    let (signed_in, principal) = rig.somebody("a", ADMIN);
    let (cli, _) = (rig.other_process(), ());
    cli.revoke_session(principal.session().unwrap()).unwrap();
    rig.pass(1);
    assert_eq!(rejection(rig.principal(&signed_in.access_token)), Rejection::Ended);
}

#[test]
fn uses_are_told_and_written_down() {
    let rig = Rig::new();
    let (signed_in, principal) = rig.somebody("a", ADMIN);
    rig.pass(60);
    let other: IpAddr = "::ffff:10.9.9.9".parse().unwrap();
    rig.access.authenticate(&Credential::Bearer(&signed_in.access_token), other).unwrap();
    let seen = |access: &Access| {
        let session = access.sessions(principal.user_id).unwrap().remove(0);
        (session.last_seen, session.address)
    };
    let expected = (rig.clock.now(), Some("10.9.9.9".to_owned()));
    assert_eq!(seen(&rig.access), expected);
    assert_ne!(seen(&rig.other_process()), expected);
    rig.access.tend().unwrap();
    assert_eq!(seen(&rig.other_process()), expected);
}

#[test]
fn the_oldest_session_of_too_many_ends() {
    let rig = Rig::with(|options| options.sessions_per_user = 3);
    rig.user("a", ADMIN);
    let tokens: Vec<_> = (0..5)
        .map(|_| {
            rig.pass(1);
            rig.sign_in("a").access_token
        })
        .collect();
    let live: Vec<_> = tokens.iter().map(|token| rig.principal(token).is_ok()).collect();
    assert_eq!(live, [false, false, true, true, true]);
}

#[test]
fn wrong_passwords_lock_a_user_for_a_while() {
    let rig = Rig::new();
    rig.user("a", ADMIN);
    let wrong = || rig.access.sign_in("A", "wrong-password", HERE);
    for _ in 0..5 {
        assert!(matches!(wrong(), Err(AccessError::Refused)));
    }
    assert_eq!(wait(rig.access.sign_in("a", PASSWORD, HERE)), 900);
    assert_eq!(
        rig.access.accounts().users().unwrap()[0].locked_until,
        Some(rig.clock.now() + 900_000_000_000)
    );
    // A restart does not help.
    assert_eq!(wait(rig.other_process().sign_in("a", PASSWORD, HERE)), 900);
    rig.pass(899);
    assert_eq!(wait(rig.access.sign_in("a", PASSWORD, HERE)), 1);
    rig.pass(1);
    rig.sign_in("a");
    // Success forgets.
    for _ in 0..4 {
        assert!(wrong().is_err());
    }
    rig.sign_in("a");
    for _ in 0..4 {
        assert!(matches!(wrong(), Err(AccessError::Refused)));
    }
    rig.sign_in("a");
}

#[test]
fn an_unlock_ends_a_lock() {
    let rig = Rig::new();
    let user = rig.user("a", ADMIN);
    for _ in 0..5 {
        assert!(rig.access.sign_in("a", "wrong-password", HERE).is_err());
    }
    rig.other_process().accounts().unlock_user(&Principal::local(), user.id).unwrap();
    rig.sign_in("a");
}

#[test]
fn a_name_that_nobody_has_is_locked_in_the_same_way() {
    let rig = Rig::new();
    rig.user("known", ADMIN);
    let tries = |name: &str| -> Vec<Option<u64>> {
        let once = |_| match rig.access.sign_in(name, "wrong-password", HERE) {
            Err(AccessError::Refused) => None,
            Err(AccessError::Locked { retry_after }) => Some(retry_after.as_secs()),
            other => panic!("{other:?}"),
        };
        (0..7).map(once).collect()
    };
    let known = tries("known");
    assert_eq!(known, tries("Unknown"));
    assert_eq!(known[4..], [None, Some(900), Some(900)]);
}

#[test]
fn an_address_with_many_failures_is_locked() {
    let rig = Rig::with(|options| options.address_fail_limit = 6);
    rig.user("a", ADMIN);
    for at in 0..6 {
        assert!(matches!(rig.access.sign_in(&format!("x{at}"), PASSWORD, HERE), Err(AccessError::Refused)));
    }
    assert_eq!(wait(rig.access.sign_in("a", PASSWORD, HERE)), 900);
    let elsewhere: IpAddr = [10, 0, 0, 2].into();
    assert!(rig.access.sign_in("a", PASSWORD, elsewhere).is_ok());
    rig.pass(900);
    rig.sign_in("a");
}

#[test]
fn many_guesses_at_once_do_not_overtake_the_lock() {
    let rig = Rig::new();
    rig.user("a", ADMIN);
    let refused: usize = std::thread::scope(|scope| {
        let guess = || matches!(rig.access.sign_in("a", "wrong-password", HERE), Err(AccessError::Refused));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(guess)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(refused, 5, "only so many passwords were looked at");
}

#[test]
fn changing_the_password_ends_the_other_sessions() {
    let rig = Rig::new();
    let (first, principal) = rig.somebody("a", OPERATOR);
    let second = rig.sign_in("a");
    let change = |current: &str, new: &str| rig.access.change_password(&principal, current, new, HERE);
    assert!(matches!(change("wrong-password", "newpassword"), Err(AccessError::Refused)));
    assert!(matches!(change(PASSWORD, "short"), Err(AccessError::Invalid { field: "password", .. })));
    change(PASSWORD, "newpassword").unwrap();
    assert!(rig.principal(&first.access_token).is_ok());
    assert!(rig.access.refresh(&first.refresh_token, HERE).is_ok());
    assert_eq!(rejection(rig.principal(&second.access_token)), Rejection::Ended);
    assert!(matches!(rig.access.sign_in("a", PASSWORD, HERE), Err(AccessError::Refused)));
    assert!(rig.access.sign_in("a", "newpassword", HERE).is_ok());
    let local = rig.access.change_password(&Principal::local(), PASSWORD, "newpassword", HERE);
    assert!(matches!(local, Err(AccessError::Forbidden(_))));
    // Guessing the present password with a stolen token locks like a sign-in.
    for _ in 0..5 {
        assert!(matches!(change("wrong-password", "otherpassword"), Err(AccessError::Refused)));
    }
    assert!(matches!(change("newpassword", "otherpassword"), Err(AccessError::Locked { .. })));
}
