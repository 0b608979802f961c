//! What is read in the moment in which somebody asks, and kept nowhere: rooms and ports know it themselves.

use std::{path::PathBuf, sync::OnceLock};

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry, process_collector::ProcessCollector};
use tidemark_catalog::lease::Lease;
use tidemark_query::Query;

use super::allocator::Allocator;
use crate::{machine, ports::Life, tls::valid_until};

/// Who is asked.
#[derive(Debug)]
pub(crate) struct Sources {
    /// How busy queries are.
    pub query: Query,
    /// Whether the lake is held.
    pub lease: Lease,
    /// The connections of the ports.
    pub life: Life,
    /// Folders by what lies there, for the room on their disks.
    pub folders: Vec<(&'static str, PathBuf)>,
    /// The server's certificate, if it speaks TLS.
    pub certificate: Option<PathBuf>,
}

/// The gauges.
#[derive(Debug)]
pub(super) struct Moment {
    sources: OnceLock<Sources>,
    lease_held: IntGauge,
    connections: IntGaugeVec,
    connections_max: IntGaugeVec,
    disk_free: IntGaugeVec,
    disk_size: IntGaugeVec,
    query_waiting: IntGauge,
    query_memory: IntGauge,
    query_memory_max: IntGauge,
    query_cached: IntGaugeVec,
    allocator: Allocator,
    certificate_end: IntGauge,
}

impl Moment {
    /// Registers them; they stay at 0 until there is somebody to ask.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, says: &str| {
            let gauge = IntGauge::new(name, says)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let gauges = |name: &str, says: &str, label: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, says), &[label])?;
            registry.register(Box::new(gauges.clone()))?;
            prometheus::Result::Ok(gauges)
        };
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let memory =
            gauge("tidemark_memory_limit_bytes", "Memory that the machine or the container has; 0: not known")?;
        memory.set(int(machine::memory_bytes(machine::Of::Myself).unwrap_or(0)));
        Ok(Self {
            sources: OnceLock::new(),
            lease_held: gauge(
                "tidemark_lease_held",
                "1 while nobody else can have taken the lake over, 0 when the lease has run out",
            )?,
            connections: gauges("tidemark_connections", "Connections that a port has", "port")?,
            connections_max: gauges("tidemark_connections_max", "Connections that a port may have at once", "port")?,
            disk_free: gauges("tidemark_disk_free_bytes", "Bytes left for the process on the disk of a folder", "of")?,
            disk_size: gauges("tidemark_disk_size_bytes", "Bytes of the disk of a folder", "of")?,
            query_waiting: gauge("tidemark_query_waiting", "Statements that wait for a place")?,
            query_memory: gauge("tidemark_query_memory_bytes", "Bytes that all statements hold of their pool")?,
            query_memory_max: gauge("tidemark_query_memory_bytes_max", "Bytes of this pool")?,
            query_cached: gauges(
                "tidemark_query_cache_bytes",
                "About how many bytes a cache of queries holds",
                "cache",
            )?,
            allocator: Allocator::register(registry)?,
            certificate_end: gauge(
                "tidemark_tls_certificate_end_timestamp_seconds",
                "Until when the certificate in the file of the settings is valid; 0: no TLS, or not known",
            )?,
        })
    }

    /// Whom to ask from now on.
    pub(super) fn ask(&self, sources: Sources) {
        self.sources.get_or_init(|| sources);
    }

    /// Reads everything.
    pub(super) fn look(&self) {
        self.allocator.look();
        let Some(Sources { query, lease, life, folders, certificate }) = self.sources.get() else { return };
        self.lease_held.set(i64::from(lease.is_held()));
        for (port, open, max) in life.open.ports() {
            self.connections.with_label_values(&[port]).set(int(open));
            self.connections_max.with_label_values(&[port]).set(int(max));
        }
        for (of, folder) in folders {
            // A folder that is away has no room that could be told.
            let Ok(disk) = rustix::fs::statvfs(folder) else {
                for room in [&self.disk_free, &self.disk_size] {
                    // It fails where none was told yet.
                    let _none = room.remove_label_values(&[of]);
                }
                continue;
            };
            let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX);
            self.disk_free.with_label_values(&[of]).set(bytes(disk.f_bavail));
            self.disk_size.with_label_values(&[of]).set(bytes(disk.f_blocks));
        }
        let load = query.load();
        self.query_waiting.set(int(load.waiting));
        self.query_memory.set(int(load.memory_bytes));
        self.query_memory_max.set(int(load.memory_bytes_max));
        for (cache, bytes) in load.cached_bytes {
            self.query_cached.with_label_values(&[cache]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.certificate_end.set(certificate.as_deref().and_then(valid_until).unwrap_or(0));
    }
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
