//! A disk whose power can be cut between any two steps. What was synced stays; of what was not, any part may stay:
//! every sector of every write, every change of a name, on its own.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use tidemark_model::Ids;

use crate::log::disk::{Disk, DiskFile, Space};

const SECTOR: usize = 512;

/// How much of what was not synced survives a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    /// None of it.
    None,
    /// Any part of it.
    Any,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// The power goes at this step.
    pub(super) cut_at: Option<u64>,
    /// This sync of a file fails, and what it should have made durable is lost.
    pub(super) failing_sync: Option<u64>,
    /// Bytes that fit on the disk.
    pub(super) quota: Option<u64>,
    /// Syncs do nothing and say they did.
    pub(super) lies: bool,
}

#[derive(Debug, Clone)]
pub(super) struct SimDisk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    faults: Faults,
    steps: u64,
    syncs: u64,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

impl SimDisk {
    pub(super) fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(Platter { faults, ..Platter::default() })))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no test panics here")
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.platter().faults = faults;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    /// The bytes of a file, as a reader sees them.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let platter = self.platter();
        platter.inodes[platter.names[name]].now.clone()
    }

    /// Overwrites a file behind the log's back, durably.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut platter = self.platter();
        let at = platter.inodes.len();
        platter.inodes.push(Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() });
        platter.names.insert(name.to_owned(), at);
        platter.durable_names.insert(name.to_owned(), at);
    }

    /// Names of segments.
    pub(super) fn segments(&self) -> Vec<String> {
        self.platter().names.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }

    pub(super) fn forget(&self, name: &str) {
        let mut platter = self.platter();
        platter.names.remove(name);
        platter.durable_names.remove(name);
    }

    /// What a machine finds after a power cut at this moment; this disk goes on as if nothing had been.
    pub(super) fn after_cut(&self, luck: Luck, chance: &Ids) -> Self {
        let keep = || luck == Luck::Any && chance.random().is_multiple_of(2);
        let platter = self.platter();
        let inodes = platter.inodes.iter().map(|inode| {
            let mut bytes = inode.durable.clone();
            // Sometimes all of a file or none of it, sometimes a mixture.
            let (all, none) = (keep() && keep(), keep() && keep());
            for change in &inode.pending {
                change.apply(&mut bytes, || luck == Luck::Any && !none && (all || keep()));
            }
            Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() }
        });
        let inodes = inodes.collect();
        let mut names = platter.durable_names.clone();
        platter.pending_names.iter().filter(|_change| keep()).for_each(|change| change.apply(&mut names));
        Self(Arc::new(Mutex::new(Platter { inodes, names: names.clone(), durable_names: names, ..Platter::default() })))
    }
}

impl Platter {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.faults.cut_at {
            Some(cut_at) if self.steps >= cut_at => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|at| self.inodes[*at].now.len() as u64).sum()
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, at) => {
                names.insert(name.clone(), *at);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(at) = names.remove(from) {
                    names.insert(to.clone(), at);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Resize(bytes) => {
                if keep() {
                    to.resize(*bytes, 0);
                }
            }
            Self::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let until = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                    if keep() {
                        to.resize(to.len().max(offset + until), 0);
                        to[offset + at..offset + until].copy_from_slice(&bytes[at..until]);
                    }
                    at = until;
                }
            }
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut platter = self.platter();
        platter.step()?;
        Ok(platter.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.platter();
        platter.step()?;
        if platter.faults.quota.is_some_and(|quota| platter.used() + bytes > quota) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = usize::try_from(bytes).expect("small");
        let inode = platter.inodes.len();
        platter.inodes.push(Inode { now: vec![0; bytes], durable: Vec::new(), pending: vec![Change::Resize(bytes)] });
        platter.change_names(NameChange::Link(name.to_owned(), inode));
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.platter();
        platter.step()?;
        let inode = *platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.platter();
        platter.step()?;
        platter.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut platter = self.platter();
        platter.step()?;
        platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        platter.change_names(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.step()?;
        if !platter.faults.lies {
            platter.durable_names = platter.names.clone();
            platter.pending_names.clear();
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let platter = self.platter();
        let total = platter.faults.quota.unwrap_or(1 << 40);
        Ok(Space { free: total.saturating_sub(platter.used()), total })
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut platter = self.disk.platter();
        // The step at which the power goes may still have reached the disk, those after it have not.
        let is_off = platter.faults.cut_at.is_some_and(|cut_at| platter.steps >= cut_at);
        let outcome = platter.step();
        if is_off {
            return outcome;
        }
        let inode = &mut platter.inodes[self.inode];
        change.apply(&mut inode.now, || true);
        inode.pending.push(change);
        outcome
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.platter().inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let mut platter = self.disk.platter();
        platter.step()?;
        let offset = usize::try_from(offset).expect("small");
        let bytes = platter.inodes[self.inode].now.get(offset..offset + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        self.change(Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::Resize(usize::try_from(bytes).expect("small")))
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = self.disk.platter();
        platter.step()?;
        platter.syncs += 1;
        let (syncs, faults) = (platter.syncs, platter.faults);
        let inode = &mut platter.inodes[self.inode];
        if faults.lies {
            return Ok(());
        }
        let pending = std::mem::take(&mut inode.pending);
        if faults.failing_sync == Some(syncs) {
            // As file systems do: the pages are clean now, a second sync would find nothing to do.
            return Err(io::Error::other("input/output error"));
        }
        let mut durable = std::mem::take(&mut inode.durable);
        pending.iter().for_each(|change| change.apply(&mut durable, || true));
        inode.durable = durable;
        Ok(())
    }
}
