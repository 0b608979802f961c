//! What there is: namespaces, collections, schemas, manifests, views — and the seams rooms meet at.
//!
//! 1. [`manifest`]: one numbered commit of a table: its files, mark, schema; events and collections.
//! 2. [`catalog`]: the handle: who exists, the newest manifests, commits that are `Committed` or `Lost`.
//! 3. [`view`]: a table as of one manifest, tail included, read upstream first.
//! 4. [`live`]: the live tail and the bell, [`documents`]: which documents live, [`appends`]: who takes rows: traits of
//!    what rooms share at run time. [`login`]: a password becomes a principal, for doors that are not HTTP.
//!    [`allowance`]: how much a client may do in a minute. [`jobs`]: how the background jobs are doing.
//! 5. [`publish`]: copies of the tables for other engines.
//! 6. [`cleanup`]: files that no manifest names any more, and manifests long past.
//! 7. [`tokens`]: who may ask; [`audit`]: who did what; [`maintenance`]: whether anything is taken in.
//! 8. [`mod@verify`]: looks a lake over without owning it; [`mod@glance`]: the same at once, for who it belongs to.
//! 9. [`lease`]: whose lake it is, and whose turn is next.
//! 10. [`point`]: where tests let a process die.

pub mod allowance;
pub mod appends;
pub mod audit;
pub mod catalog;
pub mod cleanup;
pub mod documents;
pub mod glance;
pub mod jobs;
pub mod lease;
pub mod live;
pub mod login;
pub mod maintenance;
pub mod manifest;
mod metrics;
pub mod point;
pub mod publish;
pub mod tokens;
pub mod verify;
pub mod view;

pub use allowance::Allowance;
pub use audit::Audit;
pub use catalog::{Catalog, CatalogError, Collection, Commit, Held, OwnLogs, Tenure, Version};
pub use jobs::Jobs;
pub use live::{Behind, Bell, LiveTail, NotClosed, Rejects, Tail};
pub use login::{Login, NoLogin};
pub use maintenance::Maintenance;
pub use manifest::{Base, CollectionManifest, EventsManifest};
pub use publish::Publisher;
pub use tokens::Tokens;
pub use view::View;
