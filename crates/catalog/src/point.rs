//! Named fail points: the moments between the durable steps of work in the background.
//!
//! A test hangs a hook in and lets the process die at one; a process that serves has none, and passing one costs a
//! look at an `Option`.

use std::{fmt, pin::Pin, sync::Arc};

/// Work that a hook does while a step waits.
pub type Held = Pin<Box<dyn Future<Output = ()> + Send>>;
type Hook = dyn Fn(&str) -> Held + Send + Sync;

/// The hook of a room, if it has one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Points(Option<Arc<Hook>>);

impl Points {
    /// Calls a hook at every point, with its name, and waits for it.
    pub fn hooked(hook: impl Fn(&str) -> Held + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Passes a point.
    pub async fn pass(&self, step: &str, moment: &str) {
        if let Some(hook) = &self.0 {
            hook(&format!("{step}.{moment}")).await;
        }
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "hooked" } else { "none" })
    }
}
