//! What each route is for, what it takes and what it answers: one table, beside [`crate::access::TABLE`].

/// What a route is about, for people.
#[derive(Debug)]
pub(super) struct Operation {
    /// The name of a generated client's method.
    pub(super) id: &'static str,
    /// One of [`TAGS`].
    pub(super) tag: &'static str,
    /// One sentence.
    pub(super) summary: &'static str,
    /// Besides the names in the path: keys of `components.parameters`.
    pub(super) parameters: &'static [&'static str],
    pub(super) body: Body,
    pub(super) answer: Answer,
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// JSON of a shape.
    Json(&'static str),
    /// The same; an empty body is `{}`.
    Optional(&'static str),
    /// A statement.
    Sql,
    /// Records, in all types of content that the doors of ingest read.
    Records(&'static str),
}

/// What is answered when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// JSON of a shape.
    Json(&'static str),
    /// 201 with JSON of a shape.
    Created(&'static str),
    /// 204.
    Nothing,
    /// Text.
    Text,
    /// Rows, as `Accept` says.
    Rows,
    /// Documents or columns, as `format` says.
    File,
    /// JSON of a shape, or lines of progress and that.
    Report(&'static str),
    /// Server-Sent Events, without an end.
    Stream,
}

/// What operations are sorted by.
pub(super) const TAGS: [(&str, &str); 7] = [
    ("sending", "Events and changes go in."),
    ("asking", "SQL, exports and what comes in now."),
    ("schemas", "What documents have to look like."),
    ("past", "Snapshots, restores, and how long the past is kept."),
    ("tables", "Dropping, published tables and compaction."),
    ("access", "Tokens, and who did what."),
    ("process", "How it is going."),
];

/// What is told of a route, if it is in the table.
pub(super) fn of(method: &str, pattern: &str) -> Option<&'static Operation> {
    TABLE.iter().find(|row| (row.0, row.1) == (method, pattern)).map(|(.., about)| about)
}

const fn about(tag: &'static str, id: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation { id, tag, summary, parameters: &[], body: Body::None, answer }
}

impl Operation {
    const fn taking(self, body: Body) -> Self {
        Self { body, ..self }
    }

    const fn told(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }
}

const SENT: &[&str] = &["on_error", "durability", "key", "tombstones", "idempotency_key"];
const ASKED: &[&str] = &["x_namespace", "x_as_of", "x_valid_as_of", "x_nearest", "x_schema", "x_tidemark_after"];
const EXPORTED: &[&str] = &["as_of", "valid_as_of", "snapshot", "where", "format"];

/// Method, pattern, what it is about.
pub(super) const TABLE: &[(&str, &str, Operation)] = &[
    ("GET", "/health", about("process", "health", "Whether the process is alive.", Answer::Json("Health"))),
    ("GET", "/ready", about("process", "ready", "Whether it takes work.", Answer::Json("Ready"))),
    ("GET", "/version", about("process", "version", "Which version runs.", Answer::Json("Version"))),
    ("GET", "/openapi.json", about("process", "openapi", "This description.", Answer::Json("Object"))),
    ("GET", "/metrics", about("process", "metrics", "Measurements, as Prometheus reads them.", Answer::Text)),
    (
        "POST",
        "/ingest",
        about("sending", "ingest", "Sends events to the only namespace of the token.", Answer::Json("Receipt"))
            .taking(Body::Records("Events"))
            .told(SENT),
    ),
    (
        "POST",
        "/e",
        about("sending", "e", "The same as `/ingest`.", Answer::Json("Receipt"))
            .taking(Body::Records("Events"))
            .told(SENT),
    ),
    (
        "POST",
        "/v1/{namespace}/events",
        about("sending", "sendEvents", "Sends events.", Answer::Json("Receipt"))
            .taking(Body::Records("Events"))
            .told(SENT),
    ),
    (
        "POST",
        "/v1/{namespace}/{collection}/changes",
        about("sending", "sendChanges", "Sends changes of documents.", Answer::Json("Receipt"))
            .taking(Body::Records("Changes"))
            .told(SENT),
    ),
    (
        "POST",
        "/v1/query",
        about("asking", "query", "Asks SQL about the present or an instant of the past.", Answer::Rows)
            .taking(Body::Sql)
            .told(ASKED),
    ),
    (
        "GET",
        "/v1/{namespace}/events/tail",
        about("asking", "tail", "Follows events as they become durable.", Answer::Stream).told(&[
            "type",
            "after",
            "last_event_id",
        ]),
    ),
    (
        "GET",
        "/v1/{namespace}/{collection}/export",
        about("asking", "export", "A state of a collection as one file.", Answer::File).told(EXPORTED),
    ),
    (
        "GET",
        "/v1/{namespace}/{collection}/schema",
        about("schemas", "schema", "A declared schema and its versions.", Answer::Json("Declared")).told(&["version"]),
    ),
    (
        "PUT",
        "/v1/{namespace}/{collection}/schema",
        about("schemas", "declareSchema", "Declares the next version.", Answer::Json("Declared"))
            .taking(Body::Json("JsonSchema"))
            .told(&["strictness"]),
    ),
    (
        "GET",
        "/v1/{namespace}/{collection}/snapshots",
        about("past", "snapshots", "Lists snapshots.", Answer::Json("Snapshots")),
    ),
    (
        "POST",
        "/v1/{namespace}/{collection}/snapshots",
        about("past", "takeSnapshot", "Takes one, exactly as of an instant.", Answer::Json("Snapshot"))
            .taking(Body::Optional("SnapshotWanted")),
    ),
    (
        "DELETE",
        "/v1/{namespace}/{collection}/snapshots/{name}",
        about("past", "dropSnapshot", "Drops one.", Answer::Nothing),
    ),
    (
        "POST",
        "/v1/{namespace}/{collection}/restore",
        about("past", "restore", "Goes back to an instant or a snapshot, by changes.", Answer::Report("Restored"))
            .taking(Body::Optional("RestoreWanted")),
    ),
    (
        "GET",
        "/v1/{namespace}/retention",
        about("past", "retentionOfNamespace", "How long the past of a namespace is kept.", Answer::Json("Kept")),
    ),
    (
        "PUT",
        "/v1/{namespace}/retention",
        about("past", "setRetentionOfNamespace", "Says how long.", Answer::Json("Kept"))
            .taking(Body::Json("Retention")),
    ),
    (
        "DELETE",
        "/v1/{namespace}/retention",
        about("past", "resetRetentionOfNamespace", "Takes back what was said.", Answer::Json("Kept")),
    ),
    (
        "GET",
        "/v1/{namespace}/{collection}/retention",
        about("past", "retention", "How long the past of a collection is kept.", Answer::Json("Kept")),
    ),
    (
        "PUT",
        "/v1/{namespace}/{collection}/retention",
        about("past", "setRetention", "Says how long.", Answer::Json("Kept")).taking(Body::Json("Retention")),
    ),
    (
        "DELETE",
        "/v1/{namespace}/{collection}/retention",
        about("past", "resetRetention", "Takes back what was said.", Answer::Json("Kept")),
    ),
    (
        "POST",
        "/v1/{namespace}/{collection}/clean-up",
        about("past", "cleanUp", "Drops now what need not be kept.", Answer::Json("CleanedUp"))
            .taking(Body::Optional("CleanUpWanted")),
    ),
    (
        "GET",
        "/v1/dropped",
        about("tables", "dropped", "Lists what was dropped and can be brought back.", Answer::Json("DroppedList")),
    ),
    (
        "POST",
        "/v1/{namespace}/drop",
        about("tables", "dropNamespace", "Drops a namespace with all that is in it.", Answer::Json("Dropped"))
            .taking(Body::Optional("DropWanted")),
    ),
    ("POST", "/v1/{namespace}/undrop", about("tables", "undropNamespace", "Brings a namespace back.", Answer::Nothing)),
    (
        "POST",
        "/v1/{namespace}/{collection}/drop",
        about("tables", "dropCollection", "Drops a collection.", Answer::Json("Dropped"))
            .taking(Body::Optional("DropWanted")),
    ),
    (
        "POST",
        "/v1/{namespace}/{collection}/undrop",
        about("tables", "undropCollection", "Brings a collection back.", Answer::Nothing),
    ),
    (
        "POST",
        "/v1/publish",
        about("tables", "publish", "Publishes tables for other engines now.", Answer::Json("Published"))
            .taking(Body::Optional("PublishWanted")),
    ),
    (
        "POST",
        "/v1/compact",
        about("tables", "compact", "Makes few files of many now.", Answer::Json("Compacted"))
            .taking(Body::Optional("CompactWanted")),
    ),
    (
        "GET",
        "/v1/maintenance",
        about(
            "process",
            "maintenance",
            "Whether ingest is switched off, since when and why.",
            Answer::Json("Maintenance"),
        ),
    ),
    (
        "PUT",
        "/v1/maintenance",
        about("process", "beginMaintenance", "Switches ingest off; all else goes on.", Answer::Json("Maintenance"))
            .taking(Body::Optional("MaintenanceWanted")),
    ),
    (
        "DELETE",
        "/v1/maintenance",
        about("process", "endMaintenance", "Switches ingest on again.", Answer::Json("Maintenance")),
    ),
    (
        "POST",
        "/v1/reload",
        about("process", "reload", "Reads the settings anew, for the root token alone.", Answer::Json("Reloaded")),
    ),
    ("GET", "/v1/tokens", about("access", "tokens", "Lists tokens, without secrets.", Answer::Json("Tokens"))),
    (
        "POST",
        "/v1/tokens",
        about("access", "createToken", "Makes one; its secret is in this answer alone.", Answer::Created("NewToken"))
            .taking(Body::Json("TokenWanted")),
    ),
    ("DELETE", "/v1/tokens/{id}", about("access", "revokeToken", "Revokes one.", Answer::Nothing)),
    (
        "GET",
        "/v1/audit",
        about("access", "audit", "Who did what, the newest first.", Answer::Json("Audit")).told(&["limit"]),
    ),
];
