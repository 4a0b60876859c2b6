//! What is on the disk: the data directory, the room that is left, the store, and the nightly copies.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::finding::Finding;
use crate::clock::Millis;
use crate::store::backup::copies;
use crate::store::{OpenError, Options, Store};
use crate::supervise::Supervisor;

const MIB: u64 = 1 << 20;
const DAY_MS: Millis = 86_400_000;
/// With less room than this writes are about to fail.
const FREE_MIN: u64 = 64 * MIB;
/// With less than this it is time to look for more.
const FREE_WANTED: u64 = 1024 * MIB;

/// What is known of a data directory.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    uid: u32,
    mode: u32,
    is_dir: bool,
}

/// Whether the data directory is there and the server's alone.
pub fn directory(path: &Path) -> Finding {
    let about = fs::metadata(path).map(|about| Directory {
        uid: about.uid(),
        mode: about.mode(),
        is_dir: about.is_dir(),
    });
    judge_directory(path, about.map_err(|error| error.kind()), rustix::process::geteuid().as_raw())
}

fn judge_directory(path: &Path, about: Result<Directory, io::ErrorKind>, who: u32) -> Finding {
    let (check, shown) = ("data directory", path.display());
    match about {
        Err(io::ErrorKind::NotFound) => Finding::warn(
            check,
            format!("{shown} does not exist yet"),
            "`belfry serve` makes it; check storage.path if there should be one",
        ),
        Err(error) => Finding::fail(
            check,
            format!("{shown} cannot be looked at: {error}"),
            "ask as root, or as the user that runs belfry",
        ),
        Ok(Directory { is_dir: false, .. }) => {
            Finding::fail(check, format!("{shown} is not a directory"), "set storage.path to one")
        }
        Ok(Directory { mode, .. }) if mode & 0o077 != 0 => Finding::warn(
            check,
            format!("{shown} is open to others (mode {:o})", mode & 0o777),
            format!("chmod 700 {shown}; the next start does so too"),
        ),
        Ok(Directory { uid, .. }) if uid != who && who != 0 => Finding::warn(
            check,
            format!("{shown} belongs to another user (uid {uid}), and not to you (uid {who})"),
            "if that is the server's own account all is well; if not, the server cannot start: chown it",
        ),
        Ok(Directory { uid, .. }) => Finding::ok(check, format!("{shown}, of uid {uid} alone")),
    }
}

/// Whether there is room left. Looks at the nearest directory that exists.
pub fn space(path: &Path) -> Option<Finding> {
    let there = path.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let about = rustix::fs::statvfs(there).ok()?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    Some(judge_space(free))
}

fn judge_space(free: u64) -> Finding {
    let next = "make room, or lower retention.notifications_days; backup and restore make a store smaller";
    let seen = format!("{} MiB free", free / MIB);
    match free {
        _ if free < FREE_MIN => Finding::fail("disk space", seen, next),
        _ if free < FREE_WANTED => Finding::warn("disk space", seen, next),
        _ => Finding::ok("disk space", seen),
    }
}

/// When the store was last written, as far as the directory tells.
pub fn written_at(path: &Path) -> Option<Millis> {
    millis(Store::written_at(path).ok()?)
}

fn millis(at: SystemTime) -> Option<Millis> {
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// How the store stands.
#[derive(Debug)]
pub enum Standing {
    /// There is none.
    None,
    /// A process has it open.
    Held,
    /// It was opened and is whole, as far as opening tells.
    Opens,
    /// It was left alone: it is another user's, and opening it would make files that are not theirs.
    Foreign,
    /// It does not open.
    Refused(OpenError),
    /// It cannot be looked at.
    Hidden(io::Error),
}

/// How the store stands. Opens it where nobody has it open, as a start would.
pub fn store(path: &Path, cache_bytes: u64) -> Standing {
    if !Store::is_at(path) {
        return Standing::None;
    }
    match Store::is_held(path) {
        Err(error) => return Standing::Hidden(error),
        Ok(true) => return Standing::Held,
        Ok(false) => {}
    }
    let owner = fs::metadata(path).map(|about| about.uid());
    if owner.ok() != Some(rustix::process::geteuid().as_raw()) {
        return Standing::Foreign;
    }
    match Store::open(&Options { path: path.to_owned(), cache_bytes }, &Supervisor::new()) {
        Ok(_) => Standing::Opens,
        Err(OpenError::InUse(_)) => Standing::Held,
        Err(error) => Standing::Refused(error),
    }
}

impl Standing {
    /// What that means.
    pub fn finding(&self, path: &Path) -> Finding {
        let (check, shown) = ("store", path.display());
        match self {
            Standing::None => Finding::ok(check, format!("{shown} has none yet; the first start makes one")),
            Standing::Held => Finding::ok(check, format!("{shown} is open in a running server")),
            Standing::Opens => Finding::ok(check, format!("{shown} opens; `belfry verify` reads all of it")),
            Standing::Foreign => Finding::warn(
                check,
                format!("{shown} belongs to another user, so it was not opened"),
                "ask as that user: sudo -u belfry belfry doctor",
            ),
            Standing::Refused(error) => {
                Finding::fail(check, error.to_string(), "`belfry restore` puts a backup back")
            }
            Standing::Hidden(error) => Finding::warn(
                check,
                format!("{shown} cannot be looked at: {error}"),
                "ask as root, or as the user that runs belfry",
            ),
        }
    }
}

/// Whether the nightly copies are made.
pub fn backups(dir: Option<&Path>, now: Millis) -> Finding {
    let Some(dir) = dir else {
        return Finding::warn(
            "backups",
            "none are made by themselves",
            "set backup.dir, best to another disk",
        );
    };
    let newest = copies(dir).map(|copies| {
        copies.iter().filter_map(|copy| millis(fs::metadata(copy).ok()?.modified().ok()?)).max()
    });
    judge_backups(dir, newest.map_err(|error| error.kind()), now)
}

fn judge_backups(dir: &Path, newest: Result<Option<Millis>, io::ErrorKind>, now: Millis) -> Finding {
    let (check, shown) = ("backups", dir.display());
    let next = "the server's log and /readyz say why; `belfry backup` makes one now";
    match newest {
        Ok(Some(at)) if now - at <= 2 * DAY_MS => {
            Finding::ok(check, format!("the newest in {shown} is from the last two days"))
        }
        Ok(Some(at)) => {
            Finding::fail(check, format!("the newest in {shown} is {} days old", (now - at) / DAY_MS), next)
        }
        Ok(None) | Err(io::ErrorKind::NotFound) => {
            Finding::warn(check, format!("{shown} has none yet"), next)
        }
        Err(error) => Finding::warn(
            check,
            format!("{shown} cannot be looked at: {error}"),
            "ask as the user that runs belfry",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_data_directory_is_the_servers_own_alone() {
        let of = |uid, mode, is_dir| Ok(Directory { uid, mode, is_dir });
        for (about, who, level) in [
            (of(7, 0o40_700, true), 7, Level::Ok),
            (of(7, 0o40_700, true), 0, Level::Ok),
            (of(7, 0o40_700, true), 8, Level::Warn),
            (of(7, 0o40_755, true), 7, Level::Warn),
            (of(7, 0o100_600, false), 7, Level::Fail),
            (Err(io::ErrorKind::NotFound), 7, Level::Warn),
            (Err(io::ErrorKind::PermissionDenied), 7, Level::Fail),
        ] {
            assert_eq!(judge_directory(Path::new("/d"), about, who).level, level, "{about:?} {who}");
        }
    }

    #[test]
    fn little_room_is_a_warning_and_next_to_none_a_failure() {
        let level = |mib| judge_space(mib * MIB).level;
        assert_eq!((level(63), level(64), level(1_024)), (Level::Fail, Level::Warn, Level::Ok));
    }

    #[test]
    fn copies_that_are_no_longer_made_are_a_failure() {
        let level = |newest| judge_backups(Path::new("/b"), newest, 100 * DAY_MS).level;
        assert_eq!(level(Ok(Some(99 * DAY_MS))), Level::Ok);
        assert_eq!(level(Ok(Some(90 * DAY_MS))), Level::Fail);
        assert_eq!(
            (level(Ok(None)), level(Err(io::ErrorKind::PermissionDenied))),
            (Level::Warn, Level::Warn)
        );
    }
}
