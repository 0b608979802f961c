//! The overlay of one document: its winner among the changes after the base, if that stands.
//!
//! Nothing but the document's own changes is read, and of the base at most its own entry, so that the cost does not grow
//! with the collection. A winner that stands is all there is of the document: the base is not read then. Nothing is
//! cached: another question is about another document.

use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::path::Path;
use tidemark_catalog::manifest::BaseFile;
use tidemark_fold::{
    columns::doc,
    rest::Held,
    shadow::{self, BaseKeys},
};
use tidemark_storage::files::{self, Wanted};

use super::{Building, Keys, Overlay, ScanError, greatest, may_hold};

impl Building<'_> {
    /// The overlay of the document that the source is narrowed to.
    pub(super) async fn of_one(&self, id: &str) -> Result<Arc<Overlay>, ScanError> {
        let held = Held { mark: self.mark(), bound: self.base.and_then(|base| base.bound) };
        let standing = self.standing(self.winners_beyond(held).await?, id).await?;
        let replaces = standing.num_rows() > 0;
        Ok(Arc::new(Overlay { replaces, ..self.overlay(standing, Vec::new())? }))
    }

    /// The winner, if the base holds no greater entry of its document.
    async fn standing(&self, winner: RecordBatch, id: &str) -> Result<RecordBatch, ScanError> {
        let Some(base) = self.base.filter(|_| winner.num_rows() > 0) else { return Ok(winner) };
        let greatest = greatest(base);
        if shadow::are_above(&winner, &greatest)? {
            return Ok(winner);
        }
        let mut entries = Vec::new();
        for file in base.files() {
            if may_hold(file, &winner)? {
                entries.push(self.entry(file, id).await?);
            }
        }
        Ok(shadow::resolve(&winner, Some(&greatest), &entries)?.overlay)
    }

    /// The entry of the document in a file of the base.
    async fn entry(&self, file: &BaseFile, id: &str) -> Result<BaseKeys, ScanError> {
        let columns = Keys::WithOrder.columns().iter().map(|name| (*name).to_owned()).collect();
        let equal = Some((doc::ID.to_owned(), id.to_owned()));
        let wanted = Wanted { columns: Some(columns), equal, ..Wanted::default() };
        let path = Path::from(file.path.as_str());
        Ok(BaseKeys { batches: files::read(self.reader.catalog.store(), &path, &wanted).await? })
    }
}
