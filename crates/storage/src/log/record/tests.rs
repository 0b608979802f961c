//! Pinned bytes, round trips and cuts of the payload.

use tidemark_model::{CollectionName, DocSchema, Ids};

use super::*;
use crate::log::{rows, tests};

fn append(runs: &[(u16, i64, i64)], key: bool, changes: Vec<SchemaChange>) -> Append {
    let positions =
        runs.iter().map(|(shard, first, last)| Positions { shard: Shard(*shard), first: *first, last: *last });
    Append {
        namespace: tests::namespace("nyc"),
        assigned: Assigned { system_time: Instant::from_micros(1_700_000_000_000_001), positions: positions.collect() },
        changes,
        key: key.then(|| KeyRecord { key: 1, body: 2, receipt: Bytes::from_static(b"{}") }),
        rows: tests::rows(0, ""),
        encoded_bytes: 0,
    }
}

fn created() -> Vec<SchemaChange> {
    let collection = CollectionName::parse("flights").expect("a name");
    let schema = DocSchema::default();
    let created_at = Instant::from_micros(5);
    vec![
        SchemaChange::Created {
            collection: collection.clone(),
            directory: "flights".into(),
            shard: Shard(3),
            created_at,
        },
        SchemaChange::Evolved { collection, schema },
    ]
}

fn payload(records: &[(Append, &[u8])]) -> Vec<u8> {
    let mut out = vec![PAYLOAD_VERSION];
    for (append, rows) in records {
        put_append(&mut out, append, rows).expect("encodes");
    }
    out
}

#[test]
fn bytes_are_pinned() {
    let mut bytes = payload(&[(append(&[(2, 7, 9)], true, created()), b"rows")]);
    put_clocks(&mut bytes, Clocks { last: Instant::from_micros(1), horizon: Instant::from_micros(-1) });
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, PINNED);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    assert_eq!(read(&[PAYLOAD_VERSION + 1, 0]).err(), Some(Unread::Newer(u32::from(PAYLOAD_VERSION) + 1)));
    assert!(matches!(read(&[PAYLOAD_VERSION, 0xff]), Err(Unread::Corrupt(_))));
}

#[test]
fn appends_read_back_and_fit_what_was_reserved() {
    for (runs, key, changes, rows) in [
        (&[][..], true, vec![], &b""[..]),
        (&[(0, 0, 0)], false, vec![], b"r"),
        (&[(0, 5, 9), (15, 0, 99_999)], true, created(), b"rows rows rows"),
    ] {
        let append = append(runs, key, changes);
        let bytes = payload(&[(append, rows)]);
        let records = read(&bytes).expect("reads");
        let [Record::Append(head)] = records.as_slice() else { panic!("one append: {records:?}") };
        let expected = self::append(runs, key, head.changes.clone());
        assert_eq!(
            (&head.namespace, &head.assigned, &head.key),
            (&expected.namespace, &expected.assigned, &expected.key)
        );
        assert_eq!(head.rows, rows);
        let reserved = append_bytes(&expected.namespace, runs.len(), expected.key.as_ref(), rows.len());
        assert!(bytes.len() <= 1 + reserved + changes_bytes(&head.changes));
    }
}

#[test]
fn random_payloads_read_back() {
    let ids = Ids::seeded(11);
    let below = |n: u64| ids.random() % n;
    for _case in 0..200 {
        let appends: Vec<(Append, Vec<u8>)> = (0..below(5))
            .map(|_append| {
                let runs: Vec<(u16, i64, i64)> =
                    (0..below(4)).map(|shard| (shard as u16, 10, 10 + below(100) as i64)).collect();
                let changes = if below(2) == 0 { created() } else { vec![] };
                (append(&runs, below(2) == 0, changes), (0..below(300)).map(|n| n as u8).collect())
            })
            .collect();
        let mut bytes = vec![PAYLOAD_VERSION];
        for (append, rows) in &appends {
            put_append(&mut bytes, append, rows).expect("encodes");
        }
        let records = read(&bytes).expect("reads");
        assert_eq!(records.len(), appends.len());
        for (record, (append, rows)) in records.iter().zip(&appends) {
            let Record::Append(head) = record else { panic!("an append") };
            assert_eq!((&head.assigned, &head.key), (&append.assigned, &append.key));
            assert_eq!((&head.changes, head.rows), (&append.changes, rows.as_slice()));
        }
    }
}

#[test]
fn cut_or_foreign_payloads_are_refused_and_never_panic() {
    let bytes = payload(&[(append(&[(2, 7, 9)], true, created()), b"rows")]);
    for cut in 0..bytes.len() {
        assert_eq!(read(&bytes[..cut]).is_err(), cut != 1, "cut {cut}");
    }
    assert!(read(&[2]).is_err());
    let ids = Ids::seeded(5);
    for _case in 0..20_000 {
        let mut noise = bytes.clone();
        for _flip in 0..=(ids.random() % 3) {
            let at = usize::try_from(ids.random()).expect("64 bits") % noise.len();
            noise[at] = ids.random() as u8;
        }
        if let Ok(records) = read(&noise) {
            for record in records {
                if let Record::Append(head) = record {
                    let _ = rows::decode(head.rows);
                }
            }
        }
    }
}

const PINNED: &str = "0101036e796301401e18240a0600010000000200070000000000000003000000010100000000000000000000000000000002\
    000000000000000000000000000000020000007b7da60000005b7b226368616e6765223a2263726561746564222c22636f6c\
    6c656374696f6e223a22666c6967687473222c226469726563746f7279223a22666c6967687473222c227368617264223a33\
    2c22637265617465645f6174223a357d2c7b226368616e6765223a2265766f6c766564222c22636f6c6c656374696f6e223a\
    22666c6967687473222c22736368656d61223a7b226964223a302c226669656c6473223a5b5d7d7d5d04000000726f777302\
    0100000000000000ffffffffffffffff";
