//! Threads of the engine's own, with deep stacks.
//!
//! Parsing, planning and computing happen here and nowhere else: a statement that nests as deep as the caps allow
//! finds the stack it needs, and a heavy one never holds up the doors. A panic ends its statement alone.

use std::{future::Future, num::NonZeroUsize};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinSet,
};

use crate::Error;

/// Stack of one thread; reserved, not used.
const STACK_BYTES: usize = 256 << 20;

/// The threads; they end when this goes.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// [`Error::Internal`] when the machine refuses.
    pub(crate) fn start(count: NonZeroUsize) -> Result<Self, Error> {
        Builder::new_multi_thread()
            .worker_threads(count.get())
            .thread_stack_size(STACK_BYTES)
            .thread_name("tidemark-query")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|e| Error::Internal(format!("threads of the query room cannot be started: {e}")))
    }

    /// Where tasks are spawned.
    ///
    /// # Errors
    /// [`Error::Internal`] while shutting down.
    pub(crate) fn handle(&self) -> Result<&Handle, Error> {
        self.0.as_ref().map(Runtime::handle).ok_or_else(|| Error::Internal("the query room has ended".to_owned()))
    }

    /// Does something there. Dropping the future ends the work.
    ///
    /// # Errors
    /// Whatever the work says; [`Error::Internal`] when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, self.handle()?);
        match tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) if error.is_panic() => Err(panicked()),
            _ => Err(Error::Unavailable("the query room is ending: try again".to_owned())),
        }
    }
}

/// What is told when a statement's task panicked; the panic hook has logged where.
pub(crate) fn panicked() -> Error {
    Error::Internal("the statement met a defect of the engine: the log says more".to_owned())
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_work_alone() {
        let threads = Threads::start(NonZeroUsize::MIN).expect("starts");
        let panics = threads.run(async { if true { panic!("on purpose") } else { Ok(()) } }).await;
        assert!(matches!(panics, Err(Error::Internal(_))));
        assert_eq!(threads.run(async { Ok(7) }).await.expect("goes on"), 7);
    }
}
