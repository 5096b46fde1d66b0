//! `reelward user`: who may sign in. Works with a daemon and without; a running daemon sees a change within a second.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use super::table::{Align, Table};
use super::{Outcome, text};
use crate::access::{self, AccessError, Accounts, Action, NewUser, Principal, User, UserChange};

/// Bytes of the longest line that is read as a password.
const LONGEST: u64 = 4096;

/// Commands of `reelward user`.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user
    Create {
        /// How they sign in
        #[arg(value_name = "NAME", value_parser = super::args::name())]
        name: String,
        /// What they may do: admin, operator, readonly, or a role of your own making
        #[arg(long, value_name = "ROLE", value_parser = super::args::name())]
        role: String,
        /// Where mail goes
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// For people
        #[arg(long, value_name = "NAME")]
        full_name: Option<String>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List users
    List,
    /// Delete a user with their sessions and API keys
    Delete {
        /// The user
        #[arg(value_name = "NAME", value_parser = super::args::name())]
        name: String,
    },
    /// Give a user another password; their sessions end
    Passwd {
        /// The user
        #[arg(value_name = "NAME", value_parser = super::args::name())]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Let a user sign in again after too many wrong passwords
    Unlock {
        /// The user
        #[arg(value_name = "NAME", value_parser = super::args::name())]
        name: String,
    },
}

/// Where the password comes from: never from the arguments, which everybody on the machine can read.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from the first line of standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

pub(super) fn run(context: &Context, command: UserCommand) -> Result<Outcome, CliError> {
    let output = context.output;
    match command {
        UserCommand::Create { name, role, email, full_name, password: _ } => {
            let new = NewUser { username: name, password: password()?, role, email, full_name };
            let appliance = context.open()?;
            let accounts = Accounts::open(appliance.catalog().clone(), appliance.state())?;
            let details = json!({ "username": new.username, "role": new.role });
            let user = recorded(&accounts, "users.create", None, details, || {
                accounts.create_user(&Principal::local(), &new)
            })?;
            output
                .answer(&as_json(&user), || format!("{} made, role {}\n", shown(&user.username), user.role));
        }
        UserCommand::List => {
            let users = existing(context)?.users()?;
            let answer = json!({ "users": users.iter().map(as_json).collect::<Vec<_>>() });
            output.answer(&answer, || table(output, &users));
        }
        UserCommand::Delete { name } => {
            let accounts = existing(context)?;
            let id = accounts.user_by_name(&name)?.id;
            let user = recorded(&accounts, "users.delete", Some(id), json!({ "username": name }), || {
                accounts.delete_user(&Principal::local(), id)
            })?;
            output.answer(&as_json(&user), || format!("{} deleted\n", shown(&user.username)));
        }
        UserCommand::Passwd { name, password: _ } => {
            let change = UserChange { password: Some(password()?), ..UserChange::default() };
            let accounts = existing(context)?;
            let id = accounts.user_by_name(&name)?.id;
            let user = recorded(&accounts, "users.passwd", Some(id), json!({ "username": name }), || {
                accounts.update_user(&Principal::local(), id, &change)
            })?;
            output.answer(&as_json(&user), || format!("{} has another password\n", shown(&user.username)));
        }
        UserCommand::Unlock { name } => {
            let accounts = existing(context)?;
            let id = accounts.user_by_name(&name)?.id;
            let user = recorded(&accounts, "users.unlock", Some(id), json!({ "username": name }), || {
                accounts.unlock_user(&Principal::local(), id)?;
                accounts.user(id)
            })?;
            output.answer(&as_json(&user), || format!("{} can sign in again\n", shown(&user.username)));
        }
    }
    Ok(Outcome::Done)
}

/// Users of a state directory that is there.
pub(super) fn existing(context: &Context) -> Result<Accounts, CliError> {
    let appliance = context.open_existing()?;
    Ok(Accounts::open(appliance.catalog().clone(), appliance.state())?)
}

/// Does something with its beginning and its end in the audit log.
fn recorded(
    accounts: &Accounts,
    action: &str,
    id: Option<i64>,
    mut details: Value,
    work: impl FnOnce() -> Result<User, AccessError>,
) -> Result<User, AccessError> {
    if let Some(details) = details.as_object_mut() {
        details.insert("os_user".into(), os_user().into());
    }
    let id = id.map(|id| id.to_string());
    let audit = accounts.audit();
    let begun = audit.begin(&Action {
        user_id: None,
        username: &Principal::local().name,
        action,
        resource_type: "user",
        resource_id: id.as_deref(),
        details,
        address: None,
        request_id: None,
    })?;
    let done = work();
    let (outcome, made, details) = match &done {
        Ok(user) => (access::Outcome::Done, Some(user.id.to_string()), json!({})),
        Err(error) => (access::Outcome::Refused, None, json!({ "error": error.to_string() })),
    };
    audit.finish(begun, outcome, made.as_deref(), &details)?;
    done
}

/// Who runs this, as the system knows them.
fn os_user() -> String {
    let uid = nix::unistd::getuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The first line of standard input.
fn password() -> Result<Zeroizing<String>, CliError> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    let unreadable = |source| CliError::File {
        path: PathBuf::from("standard input"),
        what: "the password cannot be read",
        source,
    };
    std::io::stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(CliError::Usage("no password came on standard input".to_owned()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

fn shown(name: &str) -> String {
    text::name(name.as_bytes())
}

fn as_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "email": user.email,
        "full_name": user.full_name,
        "is_active": user.is_active,
        "created_at": text::rfc3339(user.created),
        "last_login_at": user.last_login.and_then(text::rfc3339),
        "locked_until": user.locked_until.and_then(text::rfc3339),
    })
}

fn table(output: Output, users: &[User]) -> String {
    let mut table = Table::new(&[
        ("Name", Align::Left),
        ("Role", Align::Left),
        ("State", Align::Left),
        ("Made", Align::Left),
        ("Last sign-in", Align::Left),
    ]);
    let now = jiff::Timestamp::now().as_nanosecond();
    for user in users {
        let locked = user.locked_until.filter(|until| i128::from(*until) > now);
        let state = match (user.is_active, locked) {
            (false, _) => "inactive".to_owned(),
            (true, Some(until)) => format!("locked until {}", text::time(until)),
            (true, None) => "active".to_owned(),
        };
        table.row([
            shown(&user.username),
            user.role.clone(),
            state,
            text::time(user.created),
            user.last_login.map_or_else(|| "-".to_owned(), text::time),
        ]);
    }
    table.show(output)
}
