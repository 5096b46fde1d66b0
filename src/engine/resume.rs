//! Continuing a set that was interrupted: the same tree, walked in the same order, from behind its last committed member.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::backup::{Compression, absolute};
use super::{Appliance, BackupRequest, EngineError};
use crate::catalog::{BackupSet, Catalog, SetId, SetState};
use crate::format::v1::Kind;
use crate::sources::file_tree::{After, Known, Seen};

/// Level of a set that goes on and whose request names none.
const USUAL_LEVEL: i32 = 3;

/// A set to go on with.
pub(super) struct Resumed {
    /// As it is now.
    pub(super) set: BackupSet,
    /// What is still to be walked.
    pub(super) after: Option<After>,
    /// The request, with what it left to the set filled in.
    pub(super) request: BackupRequest,
    /// The set's roots.
    pub(super) roots: Vec<PathBuf>,
}

impl Appliance {
    /// The set that `name` means, if it can be continued as `request` says.
    ///
    /// # Errors
    /// [`EngineError::NotResumable`] with the reason.
    pub(super) fn resumable(&self, name: &str, request: &BackupRequest) -> Result<Resumed, EngineError> {
        let set = self.set_named(name)?;
        let refuse = |reason: String| EngineError::NotResumable { set: set.uuid.clone(), reason };
        match set.state {
            SetState::Interrupted => {}
            SetState::Open if self.sets_in_use().holds(set.id) => {
                return Err(refuse("it is being written by another task".into()));
            }
            SetState::Open => {}
            SetState::Complete => return Err(refuse("it is complete".into())),
            SetState::Incomplete | SetState::Deleting => {
                return Err(refuse("parts of it are not in the catalog".into()));
            }
        }
        if set.roots.is_empty() {
            return Err(refuse(
                "it was recovered from tape without its index, which held what was to be backed up".into(),
            ));
        }
        if !self.catalog().missing_parts(set.id)?.is_empty() {
            return Err(refuse("parts of it are not in the catalog".into()));
        }
        let request = continued(&set, request).map_err(refuse)?;
        let roots: Vec<PathBuf> =
            set.roots.iter().map(|root| PathBuf::from(std::ffi::OsStr::from_bytes(root))).collect();
        let after = after(self.catalog(), &set)?;
        Ok(Resumed { set, after, request, roots })
    }
}

/// The request with what it leaves open taken from the set; why not, where it says something else.
fn continued(set: &BackupSet, request: &BackupRequest) -> Result<BackupRequest, String> {
    let differs = |what: &str, was: &dyn std::fmt::Debug| {
        Err(format!("its {what} {was:?} and would not be any more; leave them out, or begin a new set"))
    };
    let mut whole = request.clone();
    if request.paths.is_empty() {
        // Nothing named: all as it was.
        if request.exclude.is_empty() {
            whole.exclude.clone_from(&set.exclude);
        }
        whole.one_file_system |= set.one_file_system;
        if request.job == BackupRequest::default().job {
            whole.job.clone_from(&set.job);
        }
        if set.compression != "none" && whole.compression == Compression::None {
            whole.compression = Compression::Zstd(USUAL_LEVEL);
        }
        if request.recipients.is_empty() {
            whole.recipients =
                set.recipients.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(
                    |error: crate::format::age::AgeError| format!("its recipients cannot be read: {error}"),
                )?;
        }
    } else {
        let roots = absolute(&request.paths).map_err(|error| error.to_string())?;
        let roots: Vec<Vec<u8>> = roots.into_iter().map(|root| root.into_os_string().into_vec()).collect();
        if roots != set.roots {
            let was: Vec<_> = set.roots.iter().map(|root| String::from_utf8_lossy(root)).collect();
            return differs("paths were", &was);
        }
    }
    if whole.job != set.job {
        return differs("job was", &set.job);
    }
    let mut patterns = [whole.exclude.clone(), set.exclude.clone()];
    patterns.iter_mut().for_each(|patterns| patterns.sort());
    if patterns[0] != patterns[1] {
        return differs("patterns of what is left out were", &set.exclude);
    }
    if whole.one_file_system != set.one_file_system {
        return differs("limit to one file system was", &set.one_file_system);
    }
    if whole.compression.name() != set.compression {
        return differs("compression was", &set.compression);
    }
    let mut keys = [whole.recipients.iter().map(ToString::to_string).collect(), set.recipients.clone()];
    keys.iter_mut().for_each(|keys: &mut Vec<String>| keys.sort());
    if keys[0] != keys[1] {
        return differs("recipients were", &set.recipients);
    }
    Ok(whole)
}

/// Where the walk goes on; `None` where nothing was committed.
fn after(catalog: &Catalog, set: &BackupSet) -> Result<Option<After>, EngineError> {
    let Some(last) = set.committed.checked_sub(1) else { return Ok(None) };
    let lost = || EngineError::NotResumable {
        set: set.uuid.clone(),
        reason: "the last member that was stored is not in the catalog: run `reelward catalog rebuild`"
            .into(),
    };
    let (_, directory, member) =
        catalog.members(set.id, last..set.committed)?.next().transpose()?.ok_or_else(lost)?;
    let known = Arc::new(Stored { catalog: catalog.clone(), set: set.id });
    let parent = catalog.path_of(directory)?;
    let is_directory = member.kind == Kind::Directory;
    // What is unchanged comes behind the last member too. Only of that one it may be missing that it was seen.
    let seen = is_directory
        || catalog.snapshot(set)?.directory(&parent)?.iter().any(|entry| entry.name == member.name);
    let parts = catalog.parts_of(set.id)?;
    let part = parts.iter().find(|part| part.ordinals().contains(&last)).map_or(1, |part| part.number);
    if seen && let Some((path, name)) = catalog.last_seen(set, part)? {
        let directory = name.is_none();
        let path = name.map_or(path.clone(), |name| [&path[..], b"/", &name].concat());
        return Ok(Some(After { path, directory, known }));
    }
    let path = catalog.paths()?.path_of_member(directory, &member)?;
    Ok(Some(After { path, directory: is_directory, known }))
}

/// What the set has already.
struct Stored {
    catalog: Catalog,
    set: SetId,
}

impl Known for Stored {
    fn first_name(&self, path: &[u8], seen: &Seen) -> Option<Vec<u8>> {
        let (_, member) = self.catalog.lookup(self.set, path).ok()??;
        let (name, first) = match member.kind {
            Kind::HardLink => {
                let (_, first) = self.catalog.lookup(self.set, &member.link).ok()??;
                (member.link, first)
            }
            _ => (path.to_vec(), member),
        };
        let is_same = (first.kind, first.size, first.mtime) == (seen.kind, seen.size, seen.mtime.as_nanos());
        is_same.then_some(name)
    }
}
