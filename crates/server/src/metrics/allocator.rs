//! The allocator's books: what is in use, and what it has of the system for that. The distance between the two is what
//! stands free or in gaps, which no setting of ours bounds.

use prometheus::{IntGaugeVec, Opts, Registry};
use tikv_jemalloc_ctl::{Result, epoch, stats};

/// What is read of them. jemalloc counts for whoever has made it the allocator of the process, as our binary does; it
/// has nothing to tell in a process that has another one.
#[derive(Debug)]
pub(super) struct Allocator {
    bytes: IntGaugeVec,
}

impl Allocator {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let told = Opts::new(
            "tidemark_allocator_bytes",
            "Bytes of the allocator: allocated, of pages in use (active), resident, and mapped once but given back (retained)",
        );
        let bytes = IntGaugeVec::new(told, &["kind"])?;
        registry.register(Box::new(bytes.clone()))?;
        Ok(Self { bytes })
    }

    /// Reads everything; what cannot be read stays as it was.
    pub(super) fn look(&self) {
        if let Err(error) = self.read() {
            tracing::debug!(%error, "the allocator's books cannot be read");
        }
    }

    fn read(&self) -> Result<()> {
        // Its figures are those of the moment in which this was last called.
        epoch::advance()?;
        let kinds = [
            ("allocated", stats::allocated::read()?),
            ("active", stats::active::read()?),
            ("resident", stats::resident::read()?),
            ("retained", stats::retained::read()?),
            ("metadata", stats::metadata::read()?),
        ];
        for (kind, bytes) in kinds {
            self.bytes.with_label_values(&[kind]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
