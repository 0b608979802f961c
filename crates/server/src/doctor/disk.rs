//! The data folder and the log in it, as far as they are on this machine's disks.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, major, minor, open, statvfs},
    io::Errno,
};

use super::{Finding, bytes};
use crate::config::Settings;

const FOLDER: &str = "data folder";
const SPACE: &str = "free space";
const SYNC: &str = "sync";
const LOG: &str = "log";
/// Below this part of a medium appends are refused, percent.
const FREE_PERCENT_MIN: u64 = 5;
/// Below this it is time to make room, percent.
const FREE_PERCENT_CALM: u64 = 15;
/// A sync that takes longer holds every acknowledgement up.
const SYNC_CALM: Duration = Duration::from_millis(50);
/// How often it is tried; the median is told.
const SYNCS: usize = 5;

/// The process that holds the directory of the log, by the system's table of locks.
pub(super) fn holder(settings: &Settings) -> Option<u32> {
    let claim = settings.log_directory()?.join("claim");
    let file = fs::metadata(&claim).ok()?;
    let (device, locks) = ((major(file.dev()), minor(file.dev())), fs::read_to_string("/proc/locks").ok()?);
    // The numbers of inodes are those of one file system each: another's holder is a stranger.
    holders_of(file.ino(), &locks).find(|(pid, on)| *on == device || opened(*pid, &claim)).map(|(pid, _on)| pid)
}

/// Whether a process has a file open, where this one may know: some file systems tell locks of another device than files.
fn opened(pid: u32, file: &Path) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let same = |there: PathBuf| fs::canonicalize(file).is_ok_and(|file| file == there);
    open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(same))
}

/// Processes that hold a file of this number, and the devices on which they do.
/// `1: FLOCK  ADVISORY  WRITE 4711 fd:01:12345 0 EOF`
fn holders_of(inode: u64, locks: &str) -> impl Iterator<Item = (u32, (u32, u32))> {
    locks.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = words[..] else { return None };
        let [major, minor, number] = place.split(':').collect::<Vec<_>>()[..] else { return None };
        let hexadecimal = |digits| u32::from_str_radix(digits, 16).ok();
        let holder = (pid.parse().ok()?, (hexadecimal(major)?, hexadecimal(minor)?));
        (number.parse() == Ok(inode) && holder.0 > 0).then_some(holder)
    })
}

/// The folders of this machine that a server writes to.
fn folders(settings: &Settings) -> Vec<PathBuf> {
    let store = settings.store.is_none().then(|| settings.data.join("lake"));
    let mut folders: Vec<PathBuf> = settings.log_directory().into_iter().chain(store).collect();
    folders.dedup();
    folders
}

/// Looks at them.
pub(super) fn examine(settings: &Settings, holder: Option<u32>) -> Vec<Finding> {
    let folders = folders(settings);
    if folders.is_empty() {
        return vec![Finding::ok(FOLDER, "none is needed: log and lake lie in the store")];
    }
    let mut found = Vec::new();
    for folder in folders {
        match nearest(&folder) {
            Some(there) if there == folder => {
                found.push(owned(&folder));
                found.push(space(&folder));
                found.push(synced(&folder));
            }
            Some(above) => {
                let seen = format!(
                    "{} is not there yet; the first start makes it below {}",
                    folder.display(),
                    above.display()
                );
                found.push(Finding::ok(FOLDER, seen));
                found.push(space(&above));
            }
            None => {
                let next = "give another --data, or make it";
                found.push(Finding::failed(FOLDER, format!("nothing of {} is there", folder.display()), next));
            }
        }
    }
    found.extend(settings.log_directory().map(|log| logged(&log, holder)));
    found
}

/// The folder, or the nearest one above it that is there.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    let found = absolute.ancestors().find(|above| above.is_dir())?;
    Some(if found == absolute { folder.to_owned() } else { found.to_owned() })
}

fn owned(folder: &Path) -> Finding {
    let name = folder.display();
    let (of_folder, of_process) = match (fs::metadata(folder), fs::metadata("/proc/self")) {
        (Ok(folder), Ok(process)) => (folder.uid(), process.uid()),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::failed(
                FOLDER,
                format!("{name} cannot be looked at: {error}"),
                "run this as the server's user",
            );
        }
    };
    if of_folder == of_process || of_process == 0 {
        return Finding::ok(FOLDER, format!("{name} is there and belongs to user {of_folder}"));
    }
    let seen = format!("{name} belongs to user {of_folder}, and this runs as user {of_process}");
    Finding::warning(FOLDER, seen, "run this as the server's user; if it is that one: chown -R the folder to it")
}

fn space(folder: &Path) -> Finding {
    let name = folder.display();
    let of = match statvfs(folder) {
        Ok(of) => of,
        Err(error) => return Finding::warning(SPACE, format!("{name}: not known: {error}"), "look with df"),
    };
    let (free, all) = (of.f_bavail.saturating_mul(of.f_frsize), of.f_blocks.saturating_mul(of.f_frsize));
    let percent = free.saturating_mul(100).checked_div(all).unwrap_or(100);
    let seen = format!("{name}: {} of {} are free ({percent} %)", bytes(free), bytes(all));
    match percent {
        0..FREE_PERCENT_MIN => Finding::failed(SPACE, seen, "make room: appends are refused with 507 until there is"),
        FREE_PERCENT_MIN..FREE_PERCENT_CALM => {
            Finding::warning(SPACE, seen, format!("make room: below {FREE_PERCENT_MIN} % appends are refused with 507"))
        }
        _ => Finding::ok(SPACE, seen),
    }
}

/// On a file without a name, which is gone when it is closed.
fn synced(folder: &Path) -> Finding {
    let name = folder.display();
    let took = match syncs(folder) {
        Ok(took) => took,
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {
            return Finding::ok(
                SYNC,
                format!("{name}: its file system has no files without a name, so none was tried"),
            );
        }
        Err(error) => {
            let next = "run this as the server's user; if it is that one, look at the disk and at the system's log";
            return Finding::failed(SYNC, format!("{name}: a file could not be written and synced: {error}"), next);
        }
    };
    let seen = format!("{name}: an fdatasync of 4 KiB takes {:.1} ms", took.as_secs_f64() * 1e3);
    if took > SYNC_CALM {
        let next = "every acknowledgement waits for one: use another disk for the log, or look who else writes to it";
        return Finding::warning(SYNC, seen, next);
    }
    Finding::ok(SYNC, seen)
}

fn syncs(folder: &Path) -> io::Result<Duration> {
    let unnamed = open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    let mut file = fs::File::from(unnamed);
    let mut took = Vec::with_capacity(SYNCS);
    for _sync in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[SYNCS / 2])
}

fn logged(log: &Path, holder: Option<u32>) -> Finding {
    let name = log.display();
    let entries = match fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::ok(LOG, format!("{name}: there is none yet"));
        }
        Err(error) => {
            return Finding::failed(LOG, format!("{name} cannot be read: {error}"), "run this as the server's user");
        }
    };
    let segments = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "seg"));
    let sizes: Vec<u64> = segments.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).collect();
    let (count, most) = (sizes.len(), bytes(sizes.iter().sum()));
    match holder {
        Some(pid) => Finding::ok(LOG, format!("{name}: process {pid} writes to it; {count} segments, {most}")),
        None => Finding::ok(
            LOG,
            format!(
                "{name}: no process holds it; {count} segments, {most}: at most that is in no file, and the next start takes it in"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_lock_is_found_by_the_inode() {
        let locks = "1: FLOCK  ADVISORY  WRITE 4711 fd:01:12345 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 9 fd:01:12345 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 3 00:2b:77 0 EOF\n3: FLOCK  ADVISORY  READ 5 00:2b:78 0 EOF\n";
        let found = |inode| holders_of(inode, locks).collect::<Vec<_>>();
        assert_eq!([12345, 77, 78, 1].map(found), [vec![(4711, (0xfd, 1))], vec![], vec![], vec![]]);
    }

    #[test]
    fn a_folder_that_can_be_written_is_synced_and_left_as_it_was() {
        let home = tempfile::tempdir().expect("a directory");
        let finding = synced(home.path());
        assert!(finding.state != super::super::State::Failed, "{finding:?}");
        assert_eq!(fs::read_dir(home.path()).expect("read").count(), 0);
        let gone = synced(&home.path().join("not there"));
        assert_eq!(gone.state, super::super::State::Failed, "{gone:?}");
        assert_eq!(nearest(&home.path().join("a/b")).as_deref(), Some(home.path()));
    }
}
