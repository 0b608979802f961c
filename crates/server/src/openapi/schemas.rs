//! The shapes of bodies and answers, the parameters, and what every answer has.

use serde_json::{Value, json};
use tidemark_catalog::maintenance::REASON_CHARS_MAX;
use tidemark_model::{
    Kind, Scope,
    name::{EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX},
    retention::{DAILY_MAX, MONTHLY_MAX, WINDOW_S_MAX},
    standing::GRACE_S_MAX,
    token::TOKEN_NAME_CHARS_MAX,
};

/// `components` of the document.
pub(super) fn components() -> Value {
    json!({
        "schemas": schemas(),
        "parameters": parameters(),
        "headers": { "x-request-id": { "description": "Names the request in logs and in the audit trail.", "schema": { "type": "string" } } },
        "responses": { "problem": {
            "description": "What happened, where, and what to do (RFC 9457).",
            "headers": { "retry-after": {
                "description": "Seconds after which the same may succeed; with 429, 503 and 507.",
                "schema": { "type": "integer", "minimum": 0 },
            } },
            "content": { "application/problem+json": { "schema": of("Problem") } },
        } },
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "description": "A token, `tm_…`." },
            "basic": { "type": "http", "scheme": "basic", "description": "A token as the password; the name says nothing." },
        },
    })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list_of(name: &str) -> Value {
    json!({ "type": "array", "items": of(name) })
}

/// An object with these members and no others: all of them, but for those whose name ends in `?`.
fn object(members: &[(&str, Value)]) -> Value {
    let name = |text: &str| text.trim_end_matches('?').to_owned();
    let required: Vec<String> =
        members.iter().filter(|(text, _)| !text.ends_with('?')).map(|(text, _)| name(text)).collect();
    let properties: serde_json::Map<String, Value> =
        members.iter().map(|(text, shape)| (name(text), shape.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn maybe(mut shape: Value) -> Value {
    shape["type"] = json!([shape["type"], "null"]);
    shape
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn instant() -> Value {
    json!({ "type": "string", "format": "date-time", "examples": ["2026-11-23T10:00:00.000123Z"] })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A name; collections may have dots.
fn name_of(what: &str) -> Value {
    let dot = if what == "collection" { "." } else { "" };
    json!({ "type": "string", "pattern": format!("^[a-z0-9][a-z0-9_{dot}-]*$"), "maxLength": NAME_BYTES_MAX })
}

/// A shape with a value to begin with: what the demo has.
fn example(mut shape: Value, value: &str) -> Value {
    shape["examples"] = json!([value]);
    shape
}

/// A number that a retention may say.
fn kept(max: u64) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": max })
}

fn retention() -> [(&'static str, Value); 3] {
    let says = |max| maybe(kept(max));
    [("history_window_s?", says(WINDOW_S_MAX)), ("daily?", says(DAILY_MAX)), ("monthly?", says(MONTHLY_MAX))]
}

fn schemas() -> Value {
    let mut all = json!({ "Object": { "type": "object" }, "JsonSchema": { "type": "object" } });
    let groups = [problems(), records(), answers(), past(), declarations(), tables(), access(), process()];
    for (name, shape) in groups.into_iter().flatten() {
        all[name] = shape;
    }
    all
}

type Shapes = Vec<(&'static str, Value)>;

fn problems() -> Shapes {
    let statuses: Vec<u16> = Kind::ALL.into_iter().map(Kind::http).chain([405]).collect();
    let record_error = object(&[
        ("index", count()),
        ("id?", text()),
        ("code", text()),
        ("pointer", json!({ "type": "string", "description": "JSON pointer to the field." })),
        ("message", text()),
    ]);
    let problem = object(&[
        ("type", json!({ "type": "string", "format": "uri-reference" })),
        ("title", text()),
        ("status", json!({ "type": "integer", "enum": statuses })),
        ("code", json!({ "type": "string", "pattern": "^[a-z0-9_]+$", "description": "A stable word for programs." })),
        ("detail", json!({ "type": "string", "description": "What happened, where, and what to do." })),
        ("errors?", list_of("RecordError")),
    ]);
    vec![("Problem", problem), ("RecordError", record_error)]
}

fn records() -> Shapes {
    let kind = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": EVENT_TYPE_BYTES_MAX });
    let when = json!({ "anyOf": [instant(), { "type": "integer", "description": "Epoch milliseconds." }] });
    let event = json!({
        "type": "object",
        "description": "An event, a change that names its collection, or another envelope that is recognised. Fields that are not \
                        listed go into `data`.",
        "properties": { "type": kind, "ts": when, "id": text(), "data": {}, "meta": {}, "source": text(), "subject": text(), "actor": text() },
    });
    let change = json!({
        "type": "object",
        "description": "A change of a document, or another envelope that is recognised, such as Debezium's.",
        "properties": {
            "op": one_of(&["insert", "update", "delete"]),
            "id": text(),
            "doc": { "type": "object" },
            "ts": when,
            "bookmark": text(),
            "event_id": text(),
            "prev": { "type": "object" },
            "actor": text(),
        },
    });
    let batch = |of_one: &str| {
        let many = object(&[("events", list_of(of_one)), ("batchId?", text())]);
        json!({ "anyOf": [of(of_one), list_of(of_one), many] })
    };
    let cloud = json!({
        "type": "object",
        "description": "With `on_error=partial` one that lacks an attribute is left out of what is stored.",
        "properties": { "specversion": {}, "id": {}, "source": {}, "type": {}, "data": {} },
    });
    let run = object(&[("shard", count()), ("first", count()), ("last", count())]);
    let producer = object(&[("id", text()), ("epoch", count()), ("sequence", count())]);
    let receipt = object(&[
        ("accepted", count()),
        ("duplicates", count()),
        ("rejected", count()),
        ("durability", one_of(&["local", "object"])),
        ("system_time", instant()),
        ("positions", list_of("Run")),
        ("errors", list_of("RecordError")),
        ("duplicate?", truth()),
        ("producer?", producer),
    ]);
    vec![
        ("Event", event),
        ("Change", change),
        ("CloudEvent", cloud),
        ("Events", batch("Event")),
        ("Changes", batch("Change")),
        ("Run", run),
        ("Receipt", receipt),
    ]
}

fn answers() -> Shapes {
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    let at = json!({ "anyOf": [text(), { "type": "integer" }, { "type": "null" }], "description": "RFC 3339 with a zone, or epoch milliseconds." });
    let query = object(&[
        ("sql", json!({ "type": "string", "examples": ["SELECT 1"] })),
        ("params?", json!({ "type": "array", "items": scalar })),
        ("namespace?", maybe(text())),
        ("as_of?", at.clone()),
        ("valid_as_of?", at),
        ("nearest?", maybe(truth())),
        ("schema?", maybe(one_of(&["as_of", "newest"]))),
    ]);
    let column = object(&[
        ("name", text()),
        ("type", json!({ "type": "string", "description": "As `arrow_typeof` spells it." })),
    ]);
    let broken = object(&[("code", text()), ("detail", text())]);
    let answer = object(&[
        ("columns", list_of("Column")),
        ("rows", json!({ "type": "array", "items": { "type": "array" } })),
        ("as_of?", object(&[("system_time", instant()), ("valid_time?", instant())])),
        ("error?", broken),
    ]);
    vec![("Query", query), ("Column", column), ("Answer", answer)]
}

fn past() -> Shapes {
    let file = object(&[("path", text()), ("rows", count()), ("bytes", count()), ("sha256", text())]);
    let snapshot = object(&[
        ("name", text()),
        ("kind", text()),
        ("instant", instant()),
        ("taken_at", instant()),
        ("rows", count()),
        ("bytes", count()),
        ("schema_id", count()),
        ("derived_from?", text()),
        ("files", list_of("File")),
    ]);
    let restored = object(&[
        ("dry_run", truth()),
        ("as_of?", instant()),
        ("valid_as_of?", instant()),
        ("added", count()),
        ("changed", count()),
        ("removed", count()),
        ("unchanged", count()),
        ("appended", count()),
        ("system_time?", instant()),
        ("ids", json!({ "type": "array", "items": text() })),
    ]);
    let restore = object(&[
        ("as_of?", maybe(instant())),
        ("valid_as_of?", maybe(instant())),
        ("snapshot?", maybe(text())),
        (
            "into?",
            json!({ "type": ["string", "null"], "description": "`namespace.collection`; without it the same one." }),
        ),
        ("where?", maybe(text())),
        ("dry_run?", truth()),
        ("actor?", maybe(text())),
    ]);
    let cleaned = object(&[
        ("dry_run", truth()),
        ("exact_from?", instant()),
        ("snapshots", json!({ "type": "array", "items": text() })),
        ("changes", count()),
        ("files", count()),
        ("bytes", count()),
        ("deleted", count()),
        ("waiting", count()),
    ]);
    let [window, daily, monthly] = retention();
    let clean_up = object(&[window, daily, monthly, ("dry_run?", truth())]);
    vec![
        ("File", file),
        ("Snapshot", snapshot),
        ("Snapshots", object(&[("snapshots", list_of("Snapshot"))])),
        ("SnapshotWanted", object(&[("name?", maybe(text())), ("as_of?", maybe(instant()))])),
        ("Restored", restored),
        ("RestoreWanted", restore),
        ("Retention", object(&retention())),
        ("Kept", object(&[("said", of("Retention")), ("in_force", of("Retention"))])),
        ("CleanedUp", cleaned),
        ("CleanUpWanted", clean_up),
    ]
}

fn declarations() -> Shapes {
    let version = object(&[("version", count()), ("declared_at", instant()), ("strictness", of("Strictness"))]);
    let declared = object(&[
        ("version", count()),
        ("declared_at", instant()),
        ("strictness", of("Strictness")),
        ("versions", list_of("SchemaVersion")),
        ("schema", of("JsonSchema")),
    ]);
    vec![("Strictness", one_of(&["strict", "lenient"])), ("SchemaVersion", version), ("Declared", declared)]
}

fn tables() -> Shapes {
    let dropped =
        object(&[("namespace", text()), ("collection?", text()), ("dropped_at", instant()), ("until", instant())]);
    let grace = json!({
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": GRACE_S_MAX,
        "description": "How long it can be brought back, seconds; 0 erases it at once. Without it a week.",
    });
    let published = object(&[
        ("table", text()),
        ("root", text()),
        ("version", count()),
        ("manifest", count()),
        ("files", count()),
        ("added", count()),
        ("removed", count()),
    ]);
    let compacted = object(&[
        ("table", text()),
        ("commits", count()),
        ("files_before", count()),
        ("files_after", count()),
        ("bytes_before", count()),
        ("bytes_after", count()),
    ]);
    let publish = object(&[("namespace?", maybe(text())), ("table?", maybe(text())), ("rebuild?", truth())]);
    vec![
        ("Dropped", dropped),
        ("DroppedList", object(&[("dropped", list_of("Dropped"))])),
        ("DropWanted", object(&[("grace_s?", grace)])),
        ("Publication", published),
        ("Published", object(&[("tables", list_of("Publication"))])),
        ("PublishWanted", publish),
        ("Compaction", compacted),
        ("Compacted", object(&[("tables", list_of("Compaction"))])),
        ("CompactWanted", object(&[("namespace?", maybe(text())), ("collection?", maybe(text()))])),
    ]
}

fn access() -> Shapes {
    let scopes = json!({ "type": "array", "items": one_of(&Scope::ALL.map(Scope::as_str)) });
    let names =
        json!({ "type": "array", "items": text(), "minItems": 1, "description": "Names, or `*` alone for all." });
    let token = || {
        vec![
            ("id", text()),
            ("name", text()),
            ("scopes", scopes.clone()),
            ("namespaces", names.clone()),
            ("standing", text()),
            ("created_at", instant()),
            ("created_by", text()),
            ("expires_at", maybe(instant())),
            ("revoked_at", maybe(instant())),
            ("last_used_at", maybe(instant())),
        ]
    };
    let mut new = token();
    new.push(("token", text()));
    let wanted = object(&[
        ("name?", json!({ "type": "string", "maxLength": TOKEN_NAME_CHARS_MAX })),
        ("scopes", scopes.clone()),
        ("namespaces", names.clone()),
        ("expires_in_s?", json!({ "type": ["integer", "null"], "minimum": 1 })),
    ]);
    let record = object(&[
        ("at", instant()),
        ("who", text()),
        ("action", text()),
        ("namespace", maybe(text())),
        ("object", maybe(text())),
        ("door", text()),
        ("request", maybe(text())),
        ("outcome", text()),
    ]);
    vec![
        ("Token", object(&token())),
        ("NewToken", object(&new)),
        ("Tokens", object(&[("tokens", list_of("Token"))])),
        ("TokenWanted", wanted),
        ("Record", record),
        ("Audit", object(&[("records", list_of("Record"))])),
    ]
}

fn process() -> Shapes {
    let health =
        object(&[("status", text()), ("service", text()), ("ts", instant()), ("env", text()), ("version", text())]);
    let maintenance = object(&[
        ("maintenance", truth()),
        ("since", maybe(instant())),
        ("by", maybe(text())),
        ("reason", maybe(text())),
        ("unflushed_bytes", count()),
    ]);
    let reason = json!({ "type": "string", "maxLength": REASON_CHARS_MAX });
    vec![
        ("Health", health),
        ("Maintenance", maintenance),
        ("MaintenanceWanted", object(&[("reason?", reason)])),
        ("Reloaded", object(&[("changed", list_of("SettingChange"))])),
        ("SettingChange", object(&[("key", text()), ("old", text()), ("new", text())])),
        ("Ready", object(&[("status", text()), ("maintenance", truth())])),
        ("Version", object(&[("service", text()), ("version", text())])),
    ]
}

fn parameters() -> Value {
    let mut all = json!({});
    for (key, name, place, shape, says) in [
        ("path_namespace", "namespace", "path", example(name_of("namespace"), "nyc"), "The namespace."),
        ("path_collection", "collection", "path", example(name_of("collection"), "flights"), "The collection."),
        ("path_name", "name", "path", text(), "The name of a snapshot."),
        ("path_id", "id", "path", text(), "The id of a token: what stands between `tm_` and the secret."),
        ("on_error", "on_error", "query", one_of(&["reject", "partial"]), "What happens when some records are bad."),
        ("durability", "durability", "query", one_of(&["local", "object"]), "What the acknowledgement promises."),
        ("key", "key", "query", text(), "The fields that are the key of documents, separated by commas."),
        ("tombstones", "tombstones", "query", one_of(&["keep", "delete"]), "What a message without a value does."),
        (
            "idempotency_key",
            "idempotency-key",
            "header",
            text(),
            "The same request again is answered with the first receipt.",
        ),
        ("x_namespace", "x-namespace", "header", text(), "The namespace of tables without one."),
        ("x_as_of", "x-as-of", "header", text(), "The system time that is asked about."),
        ("x_valid_as_of", "x-valid-as-of", "header", text(), "The source time that is asked about."),
        ("x_nearest", "x-nearest", "header", text(), "Whether the nearest instant that is kept will do."),
        ("x_schema", "x-schema", "header", text(), "Whose columns are shown: `as_of` or `newest`."),
        (
            "x_tidemark_after",
            "x-tidemark-after",
            "header",
            text(),
            "Positions of a receipt, which the answer waits for.",
        ),
        ("type", "type", "query", text(), "A glob on the types of events."),
        ("after", "after", "query", text(), "The id of an event, or `start`."),
        ("last_event_id", "last-event-id", "header", text(), "The id of the last event that came."),
        ("as_of", "as_of", "query", text(), "The system time of the state."),
        ("valid_as_of", "valid_as_of", "query", text(), "The source time of the state."),
        ("snapshot", "snapshot", "query", text(), "The snapshot that is wanted."),
        ("where", "where", "query", text(), "A condition on columns."),
        ("format", "format", "query", one_of(&["ndjson", "parquet"]), "What the file holds."),
        ("version", "version", "query", json!({ "type": "integer", "minimum": 1 }), "A version of the schema."),
        ("strictness", "strictness", "query", of("Strictness"), "Whether fields that it does not tell are refused."),
        ("limit", "limit", "query", count(), "How many are told at most."),
    ] {
        all[key] =
            json!({ "name": name, "in": place, "required": place == "path", "schema": shape, "description": says });
    }
    all
}
