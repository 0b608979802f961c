//! Namespaces and tables with OIDs: the same for the same names as long as the lake stands, whoever asks.
//!
//! An OID is a checksum of the name, above those that PostgreSQL keeps for itself; of two names with one checksum the later
//! one moves on, so that within what somebody sees OIDs are unique.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_model::Namespace;

use super::SCHEMA;
use crate::plan::{
    metadata,
    names::{self, Seen},
};

/// OIDs below are PostgreSQL's own.
const FIRST: u32 = 16_384;

/// The OID of `pg_catalog`, as everywhere.
pub(crate) const PG_CATALOG: u32 = 11;
/// The OID of `information_schema`.
pub(crate) const INFORMATION_SCHEMA: u32 = 13_000;

/// Catalog tables whose OIDs clients know by heart.
pub(crate) const KNOWN: [(u32, &str); 10] = [
    (1247, "pg_type"),
    (1249, "pg_attribute"),
    (1255, "pg_proc"),
    (1259, "pg_class"),
    (1262, "pg_database"),
    (2606, "pg_constraint"),
    (2610, "pg_index"),
    (2615, "pg_namespace"),
    (2620, "pg_trigger"),
    (3079, "pg_extension"),
];

/// What somebody sees.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// Namespaces by OID, those of the catalogs aside.
    pub(crate) namespaces: BTreeMap<u32, Namespace>,
    /// Tables by OID: the OID of the namespace, its name, the table's.
    pub(crate) tables: BTreeMap<u32, (u32, Namespace, String)>,
}

/// A relation by its OID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Its schema's name.
    pub(crate) schema: String,
    /// Its own.
    pub(crate) name: String,
}

impl Objects {
    /// Gathers it.
    pub(crate) fn of(seen: &Seen) -> Self {
        let (mut objects, mut taken) = (Self::default(), BTreeSet::new());
        for namespace in seen.namespaces() {
            let schema = free(namespace.as_str(), &mut taken);
            for table in metadata::tables_of(&seen.catalog, &namespace) {
                let oid = free(&format!("{namespace}.{table}"), &mut taken);
                objects.tables.insert(oid, (schema, namespace.clone(), table));
            }
            objects.namespaces.insert(schema, namespace);
        }
        objects
    }

    /// The relation with an OID.
    pub(crate) fn relation(&self, oid: u32) -> Option<Relation> {
        let known = || {
            let (_, name) = KNOWN.iter().find(|(known, _)| *known == oid)?;
            Some(Relation { schema: SCHEMA.to_owned(), name: (*name).to_owned() })
        };
        let own = |(_, namespace, name): &(u32, Namespace, String)| Relation {
            schema: namespace.as_str().to_owned(),
            name: name.clone(),
        };
        self.tables.get(&oid).map(own).or_else(known)
    }

    /// The OID of a table that is named as in SQL, in a namespace by default.
    pub(crate) fn oid(&self, text: &str, default: &str) -> Option<u32> {
        let words = parts(text)?;
        let (schema, name) = match words.as_slice() {
            [name] => (None, name),
            [schema, name] => (Some(schema.as_str()), name),
            [of, schema, name] if of == names::CATALOG => (Some(schema.as_str()), name),
            _ => return None,
        };
        let known = KNOWN.iter().find(|(_, known)| known == name && schema.is_none_or(|schema| schema == SCHEMA));
        if let Some((oid, _)) = known {
            return Some(*oid);
        }
        let schema = schema.unwrap_or(default);
        let is_it = |(_, of, own): &(u32, Namespace, String)| of.as_str() == schema && own == name;
        self.tables.iter().find(|(_, table)| is_it(table)).map(|(oid, _)| *oid)
    }

    /// The name of a schema by its OID.
    pub(crate) fn schema(&self, oid: u32) -> Option<&str> {
        match oid {
            PG_CATALOG => Some(SCHEMA),
            INFORMATION_SCHEMA => Some("information_schema"),
            oid => self.namespaces.get(&oid).map(Namespace::as_str),
        }
    }
}

fn free(name: &str, taken: &mut BTreeSet<u32>) -> u32 {
    let mut oid = crc32c::crc32c(name.as_bytes()) % (u32::MAX / 2 - FIRST) + FIRST;
    while !taken.insert(oid) {
        oid = oid.checked_add(1).unwrap_or(FIRST);
    }
    oid
}

/// The parts of a name as SQL reads it: in lower case unless they stand in quotes.
pub(crate) fn parts(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut letters) = (vec![String::new()], text.trim().chars().peekable());
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        let last = parts.last_mut()?;
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => last.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            letter if is_quoted => last.push(letter),
            letter => last.extend(letter.to_lowercase()),
        }
    }
    (!is_quoted && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_parts() {
        for (text, expected) in [
            ("Shop.Orders", Some(vec!["shop", "orders"])),
            ("\"Sh.op\".\"o\"\"x\"", Some(vec!["Sh.op", "o\"x"])),
            ("a..b", None),
            ("\"a", None),
            ("", None),
        ] {
            let expected = expected.map(|parts| parts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn two_names_never_share_an_oid() {
        let mut taken = BTreeSet::new();
        let oids: BTreeSet<u32> = (0..100_000).map(|n| free(&format!("ns.t{n}"), &mut taken)).collect();
        assert_eq!(oids.len(), 100_000);
        assert!(oids.first().is_some_and(|oid| *oid >= FIRST));
    }
}
