//! What doors with sessions of their own ask before they ask a statement: its tokens, whether it can be read, which
//! namespaces there are.

use tidemark_model::{Namespace, Principal};

use super::Query;
use crate::{
    Error,
    plan::names::Seen,
    sql::{self, limits, limits::Tokens},
};

impl Query {
    /// A namespace by its name, if somebody can ask it.
    #[must_use]
    pub fn namespace(&self, principal: &Principal, name: &str) -> Option<Namespace> {
        let seen = Seen { catalog: self.room.lake.catalog.clone(), principal: principal.clone() };
        Namespace::parse(name).ok().filter(|namespace| seen.has(namespace))
    }

    /// The tokens of a text, within the limits of one statement.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Invalid`].
    pub(crate) fn tokens(&self, text: &str) -> Result<Tokens, Error> {
        limits::tokens(text, &self.room.caps())
    }

    /// Reads a statement without planning it; tells how many parameters it takes.
    ///
    /// # Errors
    /// What is wrong with the text, and [`Error::ReadOnly`].
    pub(crate) async fn check(&self, text: &str) -> Result<usize, Error> {
        let (caps, text) = (self.room.caps(), text.to_owned());
        self.threads.run(async move { sql::parse(&text, &caps).map(|parsed| parsed.params) }).await
    }
}
