//! `reelward find`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::error::CliError;
use super::ls::{kind, member_json};
use super::output::{Output, Tone};
use super::table::{Align, Table};
use super::{Outcome, text};
use crate::catalog::{FindQuery, Found, FoundMember};
use crate::format::v1::Kind;

/// Arguments of `reelward find`.
#[derive(Debug, Args)]
#[command(
    after_help = "Wildcards: * any characters (slashes too), ? one, [abc] one of these. Without a slash the pattern is for the \
    name, with one for the whole path. Quote it, or the shell expands it: reelward find '*.conf'"
)]
pub(super) struct FindArgs {
    /// A name or a wildcard
    #[arg(value_name = "PATTERN")]
    pattern: OsString,
    /// Only in this set: number, identity, or `latest`
    #[arg(long, value_name = "SET", value_parser = super::args::name())]
    set: Option<String>,
    /// Upper and lower case (ASCII) are the same
    #[arg(long, short)]
    ignore_case: bool,
    /// Matches to show at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Only count
    #[arg(long)]
    count: bool,
}

pub(super) fn run(context: &Context, args: &FindArgs) -> Result<Outcome, CliError> {
    let appliance = context.open_existing()?;
    let mut query = FindQuery::new(args.pattern.as_bytes());
    query.ignore_case = args.ignore_case;
    query.limit = if args.count { 0 } else { args.limit };
    if let Some(name) = &args.set {
        query.sets.push(appliance.set_named(name)?.id);
    }
    let found = appliance.catalog().find(&query)?;
    if args.count {
        context.output.answer(&json!({ "total": found.total }), || format!("{}\n", found.total));
        return Ok(Outcome::Done);
    }
    let rows: Vec<Value> = found.rows.iter().map(row_json).collect();
    context
        .output
        .answer(&json!({ "total": found.total, "members": rows }), || describe(context.output, &found));
    Ok(Outcome::Done)
}

fn row_json(row: &FoundMember) -> Value {
    let mut answer = text::json_path(&row.path);
    if let (Value::Object(answer), Value::Object(member)) = (&mut answer, member_json(&row.member)) {
        answer.insert("set_id".into(), row.set.0.into());
        answer.insert("kind".into(), kind(row.member.kind).into());
        answer.extend(member);
    }
    answer
}

fn describe(output: Output, found: &Found) -> String {
    if found.total == 0 {
        return "nothing found\n".to_owned();
    }
    let mut table = Table::new(&[
        ("Set", Align::Right),
        ("Size", Align::Right),
        ("Modified", Align::Left),
        ("Path", Align::Left),
    ]);
    for row in &found.rows {
        let is_directory = row.member.kind == Kind::Directory;
        let size = if is_directory { String::new() } else { text::bytes(row.member.size) };
        let slash = if is_directory { "/" } else { "" };
        let path = format!("{}{slash}", text::path(&row.path));
        table.row([row.set.to_string(), size, text::time(row.member.mtime), path]);
    }
    let mut lines = table.show(output);
    let shown = found.rows.len() as u64;
    let mut total = format!("{} found", text::plural(found.total, "object"));
    if shown < found.total {
        total.push_str(&format!(", {} shown; --limit shows more", text::count(shown)));
    }
    lines.push_str(&output.paint(Tone::Faint, &total));
    lines.push('\n');
    lines
}
