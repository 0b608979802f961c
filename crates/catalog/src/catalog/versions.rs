//! What a manifest version stood for: looked up in the register of its table while the entry exists, then in what was
//! written down before it was deleted.

use tidemark_model::{CollectionName, Instant, Namespace, Seq, Table};
use tidemark_storage::{paths, register::Register};

use super::{Catalog, CatalogError, past};
use crate::manifest::{
    CollectionManifest, EventsManifest,
    stored::{self, Manifest},
};

/// One version of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// Wall-clock time of the commit; for people only.
    pub committed_at: Instant,
    /// Every change or event with a system time up to here is in its files, and none above.
    pub system_time: Instant,
    /// Of a collection: the last sequence its deltas hold.
    pub mark: Option<Seq>,
    /// Its rows: changes or events.
    pub rows: u64,
    /// Its files.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Catalog {
    /// A version of a table; `None` when no such version was committed, or its entry is no longer kept.
    ///
    /// # Errors
    /// [`CatalogError`] when the register or the entry cannot be read.
    pub async fn version(
        &self,
        namespace: &Namespace,
        table: &Table,
        number: u64,
    ) -> Result<Option<Version>, CatalogError> {
        if number == 0 {
            return Ok(None);
        }
        match table {
            Table::Events => {
                let newest = self.events(namespace);
                if newest.head.version == number {
                    return Ok(Some(newest.version()));
                }
                read::<EventsManifest>(self.register(namespace, table), number).await
            }
            Table::Collection(name) => {
                let newest = self.manifest(namespace, name);
                if newest.head.version == number {
                    return Ok(Some(newest.version()));
                }
                read::<CollectionManifest>(self.register(namespace, table), number).await
            }
        }
    }

    /// The system time that a version of a table stands for, also where its entry is no longer kept; `None` when no such
    /// version was committed, or what it stood for was not written down.
    ///
    /// # Errors
    /// [`CatalogError`] when it cannot be read.
    pub async fn version_instant(
        &self,
        namespace: &Namespace,
        table: &Table,
        number: u64,
    ) -> Result<Option<Instant>, CatalogError> {
        if let Some(version) = self.version(namespace, table, number).await? {
            return Ok(Some(version.system_time));
        }
        let Table::Collection(name) = table else { return Ok(None) };
        match self.any_collection(namespace, name) {
            Some(known) if (1..self.manifest(namespace, name).head.version).contains(&number) => {
                past::find(self.store(), &paths::table(namespace, &known.directory), number).await
            }
            _ => Ok(None),
        }
    }

    /// Writes down what versions of a collection stand for, the last excluded, before their entries are deleted.
    pub(crate) async fn keep_versions(
        &self,
        (namespace, name): (&Namespace, &CollectionName),
        register: &Register,
        range: std::ops::Range<u64>,
    ) -> Result<(), CatalogError> {
        let Some(known) = self.any_collection(namespace, name) else { return Ok(()) };
        past::keep(self.store(), &paths::table(namespace, &known.directory), register, range).await
    }

    /// The number of the newest version of a table; 0 before its first commit.
    #[must_use]
    pub fn newest_version(&self, namespace: &Namespace, table: &Table) -> u64 {
        match table {
            Table::Events => self.events(namespace).head.version,
            Table::Collection(name) => self.manifest(namespace, name).head.version,
        }
    }
}

/// A manifest that can say what it stands for.
trait Versioned: Manifest {
    fn version(&self) -> Version;
}

async fn read<M: Versioned>(register: Option<Register>, number: u64) -> Result<Option<Version>, CatalogError> {
    let Some(register) = register else { return Ok(None) };
    let Some(bytes) = register.committed(number).await? else { return Ok(None) };
    let manifest: M = stored::decode(register.path(number).as_ref(), &bytes)?;
    Ok(Some(manifest.version()))
}

impl Versioned for EventsManifest {
    fn version(&self) -> Version {
        Version {
            number: self.head.version,
            committed_at: self.head.committed_at,
            system_time: self.system_time,
            mark: None,
            rows: self.files.iter().map(|file| file.rows).sum(),
            files: self.files.len() as u64,
            bytes: self.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

impl Versioned for CollectionManifest {
    fn version(&self) -> Version {
        let base_files: usize = self.bases.iter().map(|base| base.parts.len() + base.tombstones.len()).sum();
        let base_bytes: u64 = self.bases.iter().map(crate::Base::bytes).sum();
        Version {
            number: self.head.version,
            committed_at: self.head.committed_at,
            system_time: self.system_time,
            mark: Some(self.mark),
            rows: self.deltas.iter().map(|delta| delta.rows).sum(),
            files: (self.deltas.len() + base_files) as u64,
            bytes: self.deltas.iter().map(|delta| delta.bytes).sum::<u64>() + base_bytes,
        }
    }
}
