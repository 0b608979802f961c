//! The collections that a request would make. They count from the moment it is read until it is over, so that requests which
//! come together cannot pass the limit together.

use std::{collections::HashMap, sync::Arc};

use tidemark_model::{CollectionName, Namespace};

use super::Admission;
use crate::{dedup::lock, error::Error};

/// Names that count until this is dropped; none where a request makes nothing new.
#[derive(Debug, Default)]
pub(crate) struct Proposal(#[expect(dead_code, reason = "gives the names back when it is dropped")] Option<Coming>);

#[derive(Debug)]
struct Coming {
    admission: Arc<Admission>,
    namespace: Namespace,
    names: Vec<CollectionName>,
}

impl Admission {
    /// Counts the names among these, each given once, that are not there yet. A request that names only what is there
    /// passes, also where there are more than `limit`.
    ///
    /// # Errors
    /// [`Error::TooManyCollections`]: with them the namespace would have more than `limit`. [`Error::Pressure`]: it would
    /// with those of other requests under way, which may come to nothing.
    pub(crate) fn propose(
        self: &Arc<Self>,
        namespace: &Namespace,
        names: &[CollectionName],
        limit: usize,
    ) -> Result<Proposal, Error> {
        let namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace);
        let is_there =
            |name: &CollectionName| known.and_then(|known| known.get(name)).is_some_and(|admitted| !admitted.is_erased);
        let fresh: Vec<CollectionName> = names.iter().filter(|name| !is_there(name)).cloned().collect();
        if fresh.is_empty() {
            return Ok(Proposal::default());
        }
        let there = known.into_iter().flat_map(HashMap::values).filter(|admitted| !admitted.is_erased).count();
        let mut proposed = lock(&self.proposed);
        let others = proposed.get(namespace);
        let of_others = others.into_iter().flat_map(HashMap::keys).filter(|name| !is_there(name)).count();
        let own = fresh.iter().filter(|name| others.is_none_or(|others| !others.contains_key(*name))).count();
        if there + fresh.len() > limit {
            return Err(Error::TooManyCollections { limit });
        }
        if there + of_others + own > limit {
            return Err(Error::Pressure { what: "the collections that requests under way would make", limit });
        }
        let counts = proposed.entry(namespace.clone()).or_default();
        fresh.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
        let coming = Coming { admission: Arc::clone(self), namespace: namespace.clone(), names: fresh };
        Ok(Proposal(Some(coming)))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut proposed = lock(&self.admission.proposed);
        let Some(counts) = proposed.get_mut(&self.namespace) else { return };
        for name in &self.names {
            if let Some(count) = counts.get_mut(name) {
                *count -= 1;
            }
        }
        counts.retain(|_name, count| *count > 0);
        if counts.is_empty() {
            proposed.remove(&self.namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::{Instant, Shard};

    use super::*;
    use crate::observe::Touched;

    #[test]
    fn requests_that_come_together_do_not_pass_the_limit_together() {
        let admission = Arc::new(Admission::default());
        let namespace = Namespace::parse("shop").expect("a name");
        let name = |text| CollectionName::parse(text).expect("a name");
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let propose = |names: &[&CollectionName], limit| {
            let names: Vec<_> = names.iter().copied().cloned().collect();
            admission.propose(&namespace, &names, limit)
        };
        let waits = |names: &[&CollectionName]| matches!(propose(names, 2), Err(Error::Pressure { limit: 2, .. }));

        let first = propose(&[&a], 2).expect("room for two");
        let same = propose(&[&a, &b], 2).expect("the same name counts once");
        assert!(waits(&[&c]));
        drop(first);
        assert!(waits(&[&c]), "the second request still brings both");

        let touched = |name: &CollectionName| Touched {
            collection: name.clone(),
            shard: Shard(0),
            observed: tidemark_model::schema::Observed::default(),
        };
        admission.admit(&namespace, &[touched(&a)], Instant::from_micros(1));
        assert!(waits(&[&c]), "what is there and still proposed counts once, and there are two");
        drop(same);
        let second = propose(&[&c], 2).expect("b never came");
        admission.admit(&namespace, &[touched(&c)], Instant::from_micros(2));
        drop(second);
        assert!(matches!(propose(&[&b], 2), Err(Error::TooManyCollections { limit: 2 })));
        assert!(propose(&[&a, &c], 1).is_ok(), "a limit that was lowered stops nothing that is there");
        assert!(lock(&admission.proposed).is_empty());
    }
}
