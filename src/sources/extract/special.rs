//! Everything that has no content: directories, links, FIFOs, devices.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::format::v1::entry::{Entry, Kind};

use super::Inner;
use super::attributes::{Attributes, Before, Subject};
use super::error::{ExtractError, to_path};
use super::options::{Outcome, Overwrite, SkipReason};
use super::place::{Named, Verdict, blocked, judge, settle, time_of, under_temporary_name};
use super::resolve::{Dir, lock, split};

impl Inner {
    /// Makes a directory or takes the one that is there; its attributes wait for the end.
    pub(super) fn directory(&self, entry: &Entry, path: &[u8]) -> Result<Outcome, ExtractError> {
        let (parent, name) = split(path);
        let dir = self.resolver.directory(parent, true)?;
        let outcome = if self.resolver.make(&dir, name, path, Mode::RWXU)? {
            Outcome::Created
        } else {
            self.existing_directory(&dir, entry, path)?
        };
        if !matches!(outcome, Outcome::Skipped(_)) {
            lock(&self.resolver.ledger).book_attributes(path, entry);
        }
        Ok(outcome)
    }

    fn existing_directory(&self, dir: &Dir, entry: &Entry, path: &[u8]) -> Result<Outcome, ExtractError> {
        let (_, name) = split(path);
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| ExtractError::system("look at", path, errno))?;
        let rule = self.options.overwrite;
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            if rule != Overwrite::Always {
                return Err(blocked(path, stat.st_mode));
            }
            fs::unlinkat(dir, name, AtFlags::empty()).map_err(|e| ExtractError::system("remove", path, e))?;
            return match self.resolver.make(dir, name, path, Mode::RWXU)? {
                true => Ok(Outcome::Replaced),
                false => Err(ExtractError::system("make directory", path, Errno::EXIST)),
            };
        }
        let ours = lock(&self.resolver.ledger).made(path);
        let outcome = match rule {
            _ if ours => Outcome::Created,
            Overwrite::Never | Overwrite::Rename => return Ok(Outcome::Skipped(SkipReason::Exists)),
            Overwrite::Older if time_of(&stat) >= entry.mtime => {
                return Ok(Outcome::Skipped(SkipReason::NewerExists));
            }
            Overwrite::Older | Overwrite::Always => Outcome::Replaced,
        };
        // While the restore runs its owner can work in it, and others see no more than before.
        let wanted = if ours { 0o700 } else { stat.st_mode & 0o7777 | 0o700 };
        if stat.st_mode & 0o7777 != wanted {
            self.open_for_owner(dir, name, wanted)
                .unwrap_or_else(|errno| self.warn(ExtractError::system("set the mode of", path, errno)));
        }
        Ok(outcome)
    }

    fn open_for_owner(&self, dir: &Dir, name: &[u8], mode: u32) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = fs::openat(dir, name, flags, Mode::empty())?;
        super::attributes::chmod(Subject::Place(place.as_fd()), mode)
    }

    /// Sets the attributes of one directory.
    pub(super) fn finish_directory(&self, wanted: &Attributes<'_>, path: &[u8]) -> Result<(), ExtractError> {
        let dir = self.resolver.open(path, false)?;
        let stat = fs::fstat(&dir).map_err(|errno| ExtractError::system("look at", path, errno))?;
        let before = Before { uid: stat.st_uid, gid: stat.st_gid, mode: None, inherited_acl: true };
        self.policy.apply(Subject::Open(dir.as_fd()), wanted, before, path, &mut |w| self.warn(w));
        Ok(())
    }

    /// A symbolic link, FIFO or device: made under a temporary name, given its attributes, put in place.
    pub(super) fn node(
        &self,
        entry: &Entry,
        path: &[u8],
        dir: Arc<Dir>,
        verdict: Verdict,
    ) -> Result<Outcome, ExtractError> {
        let private = Mode::RUSR | Mode::WUSR;
        let device = || fs::makedev(entry.device.0, entry.device.1);
        let made = under_temporary_name(&mut |name| match entry.kind {
            Kind::Symlink => fs::symlinkat(entry.link.as_slice(), &dir, name),
            Kind::CharDevice => fs::mknodat(&dir, name, FileType::CharacterDevice, private, device()),
            Kind::BlockDevice => fs::mknodat(&dir, name, FileType::BlockDevice, private, device()),
            _ => fs::mknodat(&dir, name, FileType::Fifo, private, 0),
        });
        let name = match made {
            Ok((name, ())) => name,
            Err(Errno::PERM | Errno::ACCESS) if is_device(entry.kind) => {
                return Ok(Outcome::Skipped(SkipReason::DeviceNotPermitted));
            }
            Err(errno) => return Err(ExtractError::system("create", path, errno)),
        };
        let mut named = Named::new(Arc::clone(&dir), name.clone());
        self.describe_node(entry, path, &dir, &name)?;
        settle(self.options.overwrite, &dir, path, entry, verdict, &mut |name, replace| {
            named.put(name, replace)
        })
    }

    fn describe_node(&self, entry: &Entry, path: &[u8], dir: &Dir, name: &str) -> Result<(), ExtractError> {
        let failed = |errno| ExtractError::system("look at", path, errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = fs::openat(dir, name, flags, Mode::empty()).map_err(failed)?;
        let stat = fs::fstat(&place).map_err(failed)?;
        // In a directory that others may write, the name could be somebody else's file by now.
        let kind = match entry.kind {
            Kind::Symlink => FileType::Symlink,
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_nlink != 1 {
            return Err(blocked(path, stat.st_mode));
        }
        let before =
            Before { uid: stat.st_uid, gid: stat.st_gid, mode: None, inherited_acl: dir.inherits_acl };
        let subject = match entry.kind {
            Kind::Symlink => Subject::Link(place.as_fd()),
            _ => Subject::Place(place.as_fd()),
        };
        self.policy.apply(subject, &Attributes::of(entry), before, path, &mut |w| self.warn(w));
        Ok(())
    }

    /// A further name of a file or symbolic link that was restored before. Its attributes are that file's and stay as they are.
    pub(super) fn hard_link(
        &self,
        entry: &Entry,
        path: &[u8],
        dir: Arc<Dir>,
        verdict: Verdict,
        link: &[u8],
    ) -> Result<Outcome, ExtractError> {
        let renamed = lock(&self.renamed).get(link).cloned();
        let target = renamed.as_deref().unwrap_or(link);
        let (above, target_name) = split(target);
        let missing = || ExtractError::LinkTargetMissing { path: to_path(path), link: to_path(link) };
        let from = match self.resolver.directory(above, false) {
            Err(ExtractError::System { source, .. })
                if source.raw_os_error() == Some(Errno::NOENT.raw_os_error()) =>
            {
                return Err(missing());
            }
            other => other?,
        };
        let stat = match fs::statat(&from, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(ExtractError::system("look at", target, errno)),
        };
        // A symbolic link gets a further name itself; linkat without AT_SYMLINK_FOLLOW never looks through it.
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_file() && !kind.is_symlink() {
            return Err(ExtractError::LinkTargetKind { path: to_path(path), link: to_path(target) });
        }
        if self.was_skipped(link) && time_of(&stat) != entry.mtime {
            return Ok(Outcome::Skipped(SkipReason::LinkTargetSkipped));
        }
        let (_, name) = split(path);
        if let Ok(there) = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
            && (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)
        {
            return Ok(Outcome::Unchanged);
        }
        settle(self.options.overwrite, &dir, path, entry, verdict, &mut |name, replace| {
            if !replace {
                return fs::linkat(&from, target_name, &dir, name, AtFlags::empty());
            }
            let (temporary, ()) = under_temporary_name(&mut |temporary| {
                fs::linkat(&from, target_name, &dir, temporary, AtFlags::empty())
            })?;
            Named::new(Arc::clone(&dir), temporary).put(name, true)
        })
    }

    /// What the rule says about a name, before any work is done for it.
    pub(super) fn verdict(&self, dir: &Dir, path: &[u8], entry: &Entry) -> Result<Verdict, ExtractError> {
        if dir.fresh { Ok(Verdict::Create) } else { judge(self.options.overwrite, dir, path, entry) }
    }
}

/// Whether it is a device node.
pub(super) fn is_device(kind: Kind) -> bool {
    matches!(kind, Kind::CharDevice | Kind::BlockDevice)
}
