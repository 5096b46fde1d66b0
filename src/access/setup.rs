//! The first start: a token that only the machine's owner can read makes the first admin.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::gate::Access;
use super::roles::ADMIN;
use super::{AccessError, NewUser, Result, User, secret};

/// The file in the state directory.
const FILE: &str = "setup-token";
/// Letters of a token: no letter that looks like another.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Letters of a token, without the dashes: 125 bits.
const LENGTH: usize = 25;

/// Whoever has it may make the first admin.
#[derive(Clone)]
pub struct SetupToken(Zeroizing<String>);

impl SetupToken {
    /// The token, in groups of five letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SetupToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetupToken(..)")
    }
}

impl Access {
    /// The token of the set-up while there is no user: made at the first call, kept in the file `setup-token` (mode 0600) of the
    /// state directory until it is used.
    ///
    /// # Errors
    /// The catalog or the file fails.
    pub fn setup_token(&self) -> Result<Option<SetupToken>> {
        let state = self.accounts().state();
        if self.accounts().catalog().has_users()? {
            forget(state)?;
            return Ok(None);
        }
        match read(state)? {
            Some(token) => Ok(Some(token)),
            None => make(state).map(Some),
        }
    }

    /// Makes the first admin. Exactly one caller can.
    ///
    /// # Errors
    /// [`AccessError::SetUp`] where there is a user, [`AccessError::SetupToken`] where the token is another, and as for a user.
    pub fn complete_setup(
        &self,
        token: &str,
        username: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<User> {
        self.refuse_locked_address(address)?;
        let known = self.setup_token()?.ok_or(AccessError::SetUp)?;
        if !secret::same(&normal(token), &normal(known.as_str())) {
            self.address_failed(address);
            return Err(AccessError::SetupToken);
        }
        let _place = self.accounts().hasher().queue()?;
        let user = self.accounts().create_first(&NewUser {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            role: ADMIN.to_owned(),
            email: None,
            full_name: None,
        })?;
        forget(self.accounts().state())?;
        Ok(user)
    }
}

/// As typed: without dashes and spaces, upper case.
fn normal(token: &str) -> Zeroizing<String> {
    let letters = token.chars().filter(|c| !c.is_whitespace() && *c != '-').take(2 * LENGTH);
    Zeroizing::new(letters.map(|c| c.to_ascii_uppercase()).collect())
}

fn failed(state: &Path, what: &'static str) -> impl Fn(io::Error) -> AccessError {
    let path = state.join(FILE);
    move |source| AccessError::File { path: path.clone(), what, source }
}

fn read(state: &Path) -> Result<Option<SetupToken>> {
    let failed = failed(state, "the set-up token cannot be read");
    let file = match File::open(state.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(1024).read_to_string(&mut text).map_err(&failed)?;
    let token = normal(&text);
    // Whoever emptied it wants another.
    if token.len() != LENGTH {
        forget(state)?;
        return Ok(None);
    }
    Ok(Some(SetupToken(Zeroizing::new(text.trim().to_owned()))))
}

/// Makes the file whole and durable, or not at all; another process may come first.
fn make(state: &Path) -> Result<SetupToken> {
    let failed = failed(state, "no set-up token can be made");
    let mut token = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / 5));
    for (at, byte) in secret::random::<LENGTH>()?.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            token.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'A');
        token.push(char::from(letter));
    }
    let path = state.join(FILE);
    let draft = state.join(format!("{FILE}.{}", secret::hex(&*secret::random::<8>()?)));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(&failed)?;
    let written = writeln!(file, "{}", *token).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, &path));
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(state)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
        }
        other => {
            other.and(removed).and_then(|()| File::open(state)?.sync_all()).map_err(&failed)?;
            Ok(SetupToken(token))
        }
    }
}

/// Removes the token: it is of no use any more.
pub(super) fn forget(state: &Path) -> Result<()> {
    match std::fs::remove_file(state.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(state, "the used set-up token cannot be removed")(error))
        }
        _ => Ok(()),
    }
}
