//! The bytes of manifests: pinned, round-tripping, refused when they are newer or strange.

use tidemark_model::{CollectionName, DocSchema, Instant, Mark, Positions, Shard};

use super::*;
use crate::manifest::{
    Base, BaseFile, CollectionRows, DeltaFile, EventsFile, Range, Sidecar, Snapshot, SnapshotKind, Taken, Window,
};

fn at(micros: i64) -> Instant {
    Instant::from_micros(micros)
}

fn head() -> Head {
    let put_id = "01J0000000000000000000000A".to_owned();
    Head { format: 1, version: 7, epoch: 2, put_id, committed_at: at(9), orphans_below: 3 }
}

fn events() -> EventsManifest {
    let mut mark = Mark::of(Shard(3), 41);
    mark.raise(Shard(0), 7);
    EventsManifest {
        head: head(),
        mark,
        system_time: at(8),
        files: vec![EventsFile {
            path: "nyc/events/2026/02/02/14/1-A.parquet".into(),
            planned_on: 6,
            rows: 50,
            bytes: 4096,
            sha256: "ab".into(),
            positions: vec![
                Positions { shard: Shard(0), first: 0, last: 7 },
                Positions { shard: Shard(3), first: 0, last: 41 },
            ],
            system_time: Range { min: at(1), max: at(8) },
            ts: Range { min: at(-5), max: at(5) },
            collections: vec![CollectionRows {
                collection: CollectionName::parse("flights").unwrap(),
                rows: 42,
                seq: Range { min: 0, max: 41 },
                schema_id: 1,
            }],
        }],
        sidecars: vec![Sidecar {
            path: "nyc/events/_idempotency/1-A.parquet".into(),
            rows: 2,
            bytes: 99,
            sha256: "cd".into(),
            system_time: Range { min: at(1), max: at(8) },
        }],
        erased: None,
    }
}

fn schema() -> DocSchema {
    serde_json::from_str(r#"{"id":1,"fields":[{"id":1,"name":"origin","kinds":32}]}"#).unwrap()
}

fn file(path: &str) -> BaseFile {
    BaseFile {
        path: path.into(),
        rows: 3,
        bytes: 10,
        sha256: "ef".into(),
        id: Range { min: "a".into(), max: "z".into() },
    }
}

fn collection() -> CollectionManifest {
    CollectionManifest {
        head: head(),
        mark: 41,
        system_time: at(8),
        schema: schema(),
        deltas: vec![DeltaFile {
            number: 1,
            path: "nyc/flights/deltas/000001_x.parquet".into(),
            planned_on: 6,
            rows: 42,
            bytes: 1000,
            sha256: "01".into(),
            seq: Range { min: 0, max: 41 },
            system_time: Range { min: at(1), max: at(8) },
            ts: Range { min: at(-5), max: at(5) },
            id: Range { min: "a".into(), max: "z".into() },
            schema_id: 1,
        }],
        bases: vec![Base {
            planned_on: 6,
            mark: 40,
            system_time: at(7),
            max_ts: at(5),
            max_bookmark: Some("0001".into()),
            rows: 3,
            changes: 41,
            parts: vec![file("nyc/flights/state/000006-0000-A.parquet")],
            tombstones: vec![file("nyc/flights/bases/000006-tombstones-A.parquet")],
            schema: schema(),
            bound: None,
        }],
        checkpoints: Vec::new(),
        snapshots: Vec::new(),
        taken: Taken::default(),
        window: None,
    }
}

fn pinned<M: Manifest + PartialEq + std::fmt::Debug>(manifest: &M, stored: &[u8]) {
    let json = to_json(manifest).unwrap();
    assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(stored.trim_ascii_end()));
    assert_eq!(&decode::<M>("x", stored).unwrap(), manifest);
}

/// With everything that is kept for the past.
fn with_past() -> CollectionManifest {
    let mut manifest = collection();
    let base = manifest.bases[0].clone();
    let snapshot = |name: &str, kind| Snapshot {
        name: name.into(),
        kind,
        instant: at(7),
        taken_at: at(9),
        base: Base { parts: vec![file(&format!("nyc/flights/snapshots/{name}-A.parquet"))], ..base.clone() },
        until: None,
    };
    manifest.snapshots = vec![
        snapshot("1970-01-01", SnapshotKind::Daily),
        snapshot("1970-01", SnapshotKind::Monthly),
        snapshot("before-the-move", SnapshotKind::Named),
    ];
    manifest.taken = Taken { daily: at(7), monthly: at(6) };
    manifest.window = Some(Window { system_time: at(2), valid_time: at(3), mark: 5, bound: at(3) });
    manifest.checkpoints = vec![Base { bound: Some(at(4)), max_ts: at(3), ..base }];
    manifest
}

#[test]
fn bytes_are_pinned() {
    pinned(&with_past(), include_bytes!("../../../fixtures/collection_manifest_v1_past.json"));
    let mut quiet = with_past();
    quiet.snapshots[0].until = Some(at(8));
    pinned(&quiet, include_bytes!("../../../fixtures/collection_manifest_v1_quiet.json"));
    pinned(&events(), include_bytes!("../../../fixtures/events_manifest_v1.json"));
    pinned(&collection(), include_bytes!("../../../fixtures/collection_manifest_v1.json"));
}

#[test]
fn large_manifests_are_compressed_and_read_back() {
    let mut large = events();
    large.files = vec![large.files[0].clone(); 1000];
    let json = to_json(&large).unwrap();
    let stored = compressed(json.clone()).unwrap();
    assert!(stored.len() * 10 < json.len() && stored.starts_with(&ZSTD_MAGIC));
    assert_eq!(decode::<EventsManifest>("x", &stored).unwrap(), large);
    assert!(decode::<EventsManifest>("x", &stored[..stored.len() - 9]).is_err());
    let small = to_json(&events()).unwrap();
    assert_eq!(compressed(small.clone()).unwrap(), small);
}

#[test]
fn strange_and_newer_bytes_are_refused() {
    let json = String::from_utf8(to_json(&collection()).unwrap().to_vec()).unwrap();
    for (from, to) in [
        (r#""mark":41"#, r#""mark":41,"extra":1"#),
        (r#""min":0,"max":41"#, r#""min":0,"max":41,"extra":1"#),
        (r#""format":1"#, r#""format":0"#),
        (r#""deltas""#, r#""detlas""#),
    ] {
        assert!(json.contains(from));
        let refused = decode::<CollectionManifest>("p", json.replacen(from, to, 1).as_bytes());
        assert!(matches!(&refused, Err(CatalogError::Unreadable { path, .. }) if path == "p"), "{to}: {refused:?}");
    }
    let newer = json.replacen(r#""format":1"#, r#""format":2,"new":true"#, 1);
    let refused = decode::<CollectionManifest>("p", newer.as_bytes());
    assert!(matches!(refused, Err(CatalogError::NewerFormat { found: 2, known: 1 })), "{refused:?}");
}
