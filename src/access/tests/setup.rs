use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn the_token_makes_the_first_admin_and_is_gone() {
    let rig = Rig::new();
    let token = rig.access.setup_token().unwrap().unwrap();
    assert_eq!(token.as_str().len(), 29);
    assert_eq!(rig.access.setup_token().unwrap().unwrap().as_str(), token.as_str());
    assert_eq!(rig.other_process().setup_token().unwrap().unwrap().as_str(), token.as_str());
    assert!(!format!("{token:?}").contains(&token.as_str()[..5]));
    let path = rig.state.path().join("setup-token");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), token.as_str());
    let setup = |token: &str, password: &str| rig.access.complete_setup(token, "root", password, HERE);
    for wrong in ["", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA", &token.as_str()[..28]] {
        assert!(matches!(setup(wrong, PASSWORD), Err(AccessError::SetupToken)), "{wrong}");
    }
    assert!(matches!(setup(token.as_str(), "short"), Err(AccessError::Invalid { .. })));
    let typed = token.as_str().to_ascii_lowercase().replace('-', " ");
    let user = setup(&typed, PASSWORD).unwrap();
    assert_eq!((user.username.as_str(), user.role.as_str()), ("root", ADMIN));
    assert!(!path.exists());
    assert!(rig.access.setup_token().unwrap().is_none());
    assert!(matches!(setup(token.as_str(), PASSWORD), Err(AccessError::SetUp)));
    rig.sign_in("root");
}

#[test]
fn of_many_set_ups_at_once_one_makes_the_admin() {
    let rig = Rig::new();
    let token = rig.access.setup_token().unwrap().unwrap();
    let others: Vec<_> = (0..4).map(|_| rig.other_process()).collect();
    let won: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = others
            .iter()
            .enumerate()
            .map(|(at, access)| {
                let token = token.clone();
                scope.spawn(move || {
                    access.complete_setup(token.as_str(), &format!("admin{at}"), PASSWORD, HERE)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(won.iter().all(|result| matches!(result, Ok(_) | Err(AccessError::SetUp))), "{won:?}");
    assert_eq!(rig.access.accounts().users().unwrap().len(), 1);
}

#[test]
fn many_first_starts_agree_on_one_token() {
    let rig = Rig::new();
    let token = || rig.access.setup_token().unwrap().unwrap().as_str().to_owned();
    let tokens: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(token)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(
        std::fs::read_dir(rig.state.path())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with("setup-token.") })
    );
}

#[test]
fn a_user_made_on_the_command_line_ends_the_set_up() {
    let rig = Rig::new();
    let token = rig.access.setup_token().unwrap().unwrap();
    let cli = rig.other_process();
    cli.accounts().create_user(&Principal::local(), &new_user("a", ADMIN)).unwrap();
    assert!(!rig.state.path().join("setup-token").exists());
    let late = rig.access.complete_setup(token.as_str(), "b", PASSWORD, HERE);
    assert!(matches!(late, Err(AccessError::SetUp)));
    assert!(rig.access.setup_token().unwrap().is_none());
}

#[test]
fn an_emptied_token_file_gives_a_new_token_and_guessing_locks() {
    let rig = Rig::new();
    let token = rig.access.setup_token().unwrap().unwrap();
    std::fs::write(rig.state.path().join("setup-token"), "\n").unwrap();
    let new = rig.access.setup_token().unwrap().unwrap();
    assert_ne!(token.as_str(), new.as_str());
    for _ in 0..20 {
        let guess = rig.access.complete_setup("guess", "root", PASSWORD, HERE);
        assert!(matches!(guess, Err(AccessError::SetupToken)));
    }
    let locked = rig.access.complete_setup(new.as_str(), "root", PASSWORD, HERE);
    assert!(matches!(locked, Err(AccessError::Locked { .. })));
}

#[test]
fn a_token_that_a_crash_left_behind_is_worth_nothing() {
    let rig = Rig::new();
    let token = rig.access.setup_token().unwrap().unwrap();
    let path = rig.state.path().join("setup-token");
    let left = std::fs::read(&path).unwrap();
    rig.access.complete_setup(token.as_str(), "root", PASSWORD, HERE).unwrap();
    // The machine died before the file was removed.
    std::fs::write(&path, left).unwrap();
    let again = rig.other_process();
    assert!(matches!(again.complete_setup(token.as_str(), "b", PASSWORD, HERE), Err(AccessError::SetUp)));
    assert!(again.setup_token().unwrap().is_none() && !path.exists());
}

#[test]
fn a_token_that_cannot_be_kept_is_not_handed_out() {
    let rig = Rig::new();
    std::fs::create_dir(rig.state.path().join("setup-token")).unwrap();
    assert!(matches!(rig.access.setup_token(), Err(AccessError::File { .. })));
}
