//! Values by name, in order of appearance: a few names are compared one by one, many are hashed, so that a hundred
//! thousand names cost a hundred thousand steps and the usual dozen costs no hashing.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// Up to so many names are compared one by one.
const COMPARED_MAX: usize = 24;

/// See the module.
#[derive(Debug)]
pub(crate) struct Named<N, V> {
    entries: Vec<(N, V)>,
    /// Places by name; empty until there are more than [`COMPARED_MAX`].
    places: HashMap<N, usize>,
}

impl<N, V> Default for Named<N, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: HashMap::new() }
    }
}

impl<N: Borrow<str> + Clone + Eq + Hash, V> Named<N, V> {
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (N, V)> {
        self.entries.iter()
    }

    /// The entry at a place.
    pub(crate) fn get(&self, place: usize) -> Option<&(N, V)> {
        self.entries.get(place)
    }

    /// The value at a place.
    pub(crate) fn value_mut(&mut self, place: usize) -> Option<&mut V> {
        self.entries.get_mut(place).map(|(_name, value)| value)
    }

    /// The place of a name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        if self.entries.len() > COMPARED_MAX {
            return self.places.get(name).copied();
        }
        self.entries.iter().position(|(known, _value)| known.borrow() == name)
    }

    /// Puts a name that is not there behind the others.
    pub(crate) fn push(&mut self, name: N, value: V) {
        self.entries.push((name, value));
        if self.entries.len() > COMPARED_MAX {
            let first = if self.places.is_empty() { 0 } else { self.entries.len() - 1 };
            let fresh = self.entries.iter().enumerate().skip(first);
            self.places.extend(fresh.map(|(place, (name, _value))| (name.clone(), place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_names_are_found_where_they_stand() {
        for count in [0, 1, COMPARED_MAX, COMPARED_MAX + 1, 1000] {
            let mut named = Named::default();
            for round in 0..2 {
                named.clear();
                (0..count).for_each(|n| named.push(format!("n{n}"), n + round));
                for n in 0..count {
                    let place = named.find(&format!("n{n}"));
                    assert_eq!((place, named.get(n)), (Some(n), Some(&(format!("n{n}"), n + round))), "{n} of {count}");
                }
                assert_eq!((named.find("other"), named.len()), (None, count));
            }
        }
    }
}
