//! An object that comes in parts: all parts go into one temporary file, which gets its name when it is complete.

use std::{os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{
    blocking,
    staging::Staged,
    writer::{Mode, Writer},
};

/// An upload under way; dropping it drops its bytes.
#[derive(Debug)]
pub(super) struct LocalUpload {
    writer: Arc<Writer>,
    name: PathBuf,
    staged: Option<Arc<Staged>>,
    offset: u64,
}

impl LocalUpload {
    pub(super) fn begin(writer: Arc<Writer>, name: PathBuf) -> Result<Self> {
        let staged = Some(Arc::new(writer.stage()?));
        Ok(Self { writer, name, staged, offset: 0 })
    }
}

fn ended() -> Error {
    Error::Generic { store: "LocalStore", source: "the upload has ended already".into() }
}

fn write_at(staged: &Staged, data: &PutPayload, mut offset: u64) -> Result<()> {
    for bytes in data {
        staged
            .file
            .write_all_at(bytes, offset)
            .map_err(|source| Error::Generic { store: "LocalStore", source: Box::new(source) })?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let Some(staged) = self.staged.clone() else { return std::future::ready(Err(ended())).boxed() };
        blocking(move || write_at(&staged, &data, offset)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(ended)?;
        let (writer, name) = (Arc::clone(&self.writer), self.name.clone());
        blocking(move || writer.publish(&staged, &name, Mode::Overwrite)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged.take().map(drop).ok_or_else(ended)
    }
}
