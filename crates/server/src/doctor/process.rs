//! What the system lets the server have: of the process that holds the log, if it runs here, else of one started like this.

use super::{Finding, bytes};
use crate::{
    config::Settings,
    machine::{self, Of},
};

const FILES: &str = "open files";
const MEMORY: &str = "memory";
/// What the log, the store and spilled files need besides connections.
const FILES_BESIDES: u64 = 256;
/// Below this queries are refused that others answer.
const MEMORY_CALM: usize = 512 << 20;

/// Looks at the limits.
pub(super) fn examine(settings: &Settings, holder: Option<u32>) -> Vec<Finding> {
    let (of, who) = match holder {
        Some(pid) => (Of::Process(pid), format!("process {pid}")),
        None => (Of::Myself, "a process started like this".to_owned()),
    };
    vec![files(settings, of, &who), memory(settings, of, &who)]
}

fn files(settings: &Settings, of: Of, who: &str) -> Finding {
    let Some(most) = machine::open_files_max(of) else { return Finding::ok(FILES, "this system does not tell") };
    let wanted = (settings.connections.max as u64).saturating_mul(3).saturating_add(FILES_BESIDES);
    let open = machine::open_files(of).map(|open| format!(", {open} are open")).unwrap_or_default();
    let seen = format!("{who} may open {most} files{open}");
    if (most as u64) < wanted {
        let next = format!(
            "raise it to {wanted} or more (ulimit -n, LimitNOFILE=): until then fewer connections are taken than connections.max"
        );
        return Finding::warning(FILES, seen, next);
    }
    Finding::ok(FILES, seen)
}

fn memory(settings: &Settings, of: Of, who: &str) -> Finding {
    let Some(most) = machine::memory_bytes(of) else { return Finding::ok(MEMORY, "this system does not tell") };
    let pool = settings.query.pool_memory_bytes.min(most / 2);
    // Messages of gRPC that are not whole yet have as much room as bodies.
    let bodies = settings.ingest.bodies_bytes_max.saturating_mul(2);
    let held = settings.ingest.unflushed_bytes_max.saturating_add(bodies);
    let said = |count: usize| bytes(count as u64);
    let seen = format!(
        "{who} may use {}; queries take at most {} of it, what arrives, or is acknowledged and in no file, {}",
        said(most),
        said(pool),
        said(held)
    );
    if pool.saturating_add(held) > most {
        let next = "give it more memory, or lower query.pool_memory_bytes, ingest.unflushed_bytes_max and ingest.bodies_bytes_max";
        return Finding::warning(MEMORY, seen, next);
    }
    if most < MEMORY_CALM {
        return Finding::warning(MEMORY, seen, format!("give it {} or more", said(MEMORY_CALM)));
    }
    Finding::ok(MEMORY, seen)
}
