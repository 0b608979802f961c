//! What is there, as messages.

use tidemark_catalog::{Collection, manifest::Snapshot};
use tidemark_model::{
    CollectionName, DocSchema, Instant, Namespace, Retention,
    declared::{Declared, Strictness},
    schema::FieldType,
};
use tidemark_proto::v1::{
    self, CollectionInfo, Column, ColumnsVersion, DeclaredSchema, DroppedInfo, ListFilesResponse,
    ListSchemaVersionsResponse, NamespaceInfo, RetentionInfo, SnapshotInfo, file::Kind,
};

use crate::administration::{Administration, Dropped, File, FileKind, Files, Kept};

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A namespace as it is now.
pub(super) fn namespace(administration: &Administration, namespace: &Namespace) -> NamespaceInfo {
    let events = administration.catalog.events(namespace);
    NamespaceInfo {
        namespace: namespace.to_string(),
        collections: small(administration.catalog.collections(namespace).len()),
        version: events.head.version,
        system_time_us: (events.head.version > 0).then(|| events.system_time.micros()),
        rows: events.files.iter().map(|file| file.rows).sum(),
        files: events.files.len() as u64,
        bytes: events.files.iter().map(|file| file.bytes).sum(),
        retention: Some(kept(administration.kept(namespace, None))),
    }
}

/// A collection as it is now.
pub(super) fn collection(administration: &Administration, namespace: &Namespace, known: &Collection) -> CollectionInfo {
    let catalog = &administration.catalog;
    let manifest = catalog.manifest(namespace, &known.name);
    let state = manifest.bases.last();
    let deltas = manifest.deltas.iter();
    CollectionInfo {
        namespace: namespace.to_string(),
        collection: known.name.to_string(),
        shard: u32::from(known.shard.0),
        created_at_us: known.created_at.micros(),
        columns: columns(&known.schema),
        schema_id: known.schema.id,
        version: manifest.head.version,
        system_time_us: (manifest.head.version > 0).then(|| manifest.system_time.micros()),
        documents: state.map_or(0, |state| state.rows),
        changes: deltas.clone().map(|delta| delta.rows).sum(),
        files: manifest.files().count() as u64,
        bytes: manifest.files().map(|file| file.bytes).sum(),
        retention: Some(kept(administration.kept(namespace, Some(&known.name)))),
        declared_version: catalog.declared(namespace, &known.name).last().map_or(0, |newest| newest.version),
    }
}

fn columns(schema: &DocSchema) -> Vec<Column> {
    let of = |of: FieldType| match of {
        FieldType::Boolean => "Boolean",
        FieldType::Int64 => "Int64",
        FieldType::Float64 => "Float64",
        FieldType::Utf8 | FieldType::Json | FieldType::InstantText => "Utf8",
        FieldType::Timestamp => "Timestamp(µs, \"UTC\")",
    };
    let column = |field: &tidemark_model::schema::Field| Column {
        name: field.name.clone(),
        r#type: of(field.column_type()).to_owned(),
    };
    schema.fields.iter().map(column).collect()
}

fn retention(kept: Retention) -> v1::Retention {
    let Retention { history_window_s, daily, monthly } = kept;
    v1::Retention { history_window_s, daily, monthly }
}

/// How long the past is kept.
pub(super) fn kept(kept: Kept) -> RetentionInfo {
    RetentionInfo { said: Some(retention(kept.said)), in_force: Some(retention(kept.in_force)) }
}

/// What was dropped.
pub(super) fn dropped(dropped: Dropped) -> DroppedInfo {
    let Dropped { namespace, collection, at, until } = dropped;
    let collection = collection.map_or_else(String::new, |name| name.to_string());
    let (dropped_at_us, until_us) = (at.micros(), until.micros());
    DroppedInfo { namespace: namespace.to_string(), collection, dropped_at_us, until_us }
}

/// A declared version.
pub(super) fn declared(declared: &Declared) -> DeclaredSchema {
    DeclaredSchema {
        version: declared.version,
        declared_at_us: declared.declared_at.micros(),
        lenient: declared.strictness == Strictness::Lenient,
        schema: declared.schema.clone(),
    }
}

/// What was declared, and what changes brought.
pub(super) fn schema_versions(
    administration: &Administration,
    namespace: &Namespace,
    name: &CollectionName,
) -> ListSchemaVersionsResponse {
    let catalog = &administration.catalog;
    let told = catalog.declared(namespace, name).iter().map(|version| declared(version)).collect();
    let steps = catalog.collection(namespace, name).map(|known| known.steps.clone()).unwrap_or_default();
    let mut schema = DocSchema::default();
    let stepped = steps.as_slice().iter().map(|step| {
        schema = std::mem::take(&mut schema).stepped(step);
        ColumnsVersion { schema_id: step.id, from_us: step.since.micros(), columns: columns(&schema) }
    });
    ListSchemaVersionsResponse { declared: told, columns: stepped.collect() }
}

/// A stored snapshot.
pub(super) fn snapshot(snapshot: &Snapshot) -> SnapshotInfo {
    let part = |kind| {
        move |file: &tidemark_catalog::manifest::BaseFile| {
            let (path, sha256) = (file.path.clone(), file.sha256.clone());
            message(File { kind, path, rows: file.rows, bytes: file.bytes, sha256, system_time: None })
        }
    };
    let parts = snapshot.base.parts.iter().map(part(FileKind::State));
    SnapshotInfo {
        name: snapshot.name.clone(),
        kind: snapshot.kind.as_str().to_owned(),
        system_time_us: snapshot.instant.micros(),
        taken_at_us: snapshot.taken_at.micros(),
        rows: snapshot.base.rows,
        bytes: snapshot.base.bytes(),
        files: parts.chain(snapshot.base.tombstones.iter().map(part(FileKind::Tombstones))).collect(),
    }
}

/// The files of a table.
pub(super) fn files(files: Files) -> ListFilesResponse {
    ListFilesResponse {
        version: files.version,
        complete_up_to_us: files.complete_up_to.map(Instant::micros),
        files: files.files.into_iter().map(message).collect(),
    }
}

fn message(file: File) -> v1::File {
    let kind = match file.kind {
        FileKind::Events => Kind::Events,
        FileKind::State => Kind::State,
        FileKind::Tombstones => Kind::Tombstones,
        FileKind::Delta => Kind::Delta,
    };
    v1::File {
        kind: kind.into(),
        path: file.path,
        rows: file.rows,
        bytes: file.bytes,
        sha256: file.sha256,
        system_time_min_us: file.system_time.map(|(min, _)| min.micros()),
        system_time_max_us: file.system_time.map(|(_, max)| max.micros()),
    }
}
