//! The planner of relations: an internal name → a scan of the bound table, under the name as written.
//!
//! The scan keeps the written name, so that `nyc.flights.carrier` finds its column also behind a time clause.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference, internal_err, plan_err},
    datasource::provider_as_source,
    logical_expr::{
        LogicalPlanBuilder,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
};
use sqlparser::ast::TableFactor;

use super::names;
use crate::{
    Error,
    sql::reference::{INTERNAL, Reference},
};

/// Every table of a statement by its internal name.
#[derive(Debug, Default)]
pub(crate) struct Relations(HashMap<String, (TableReference, Arc<dyn TableProvider>)>);

impl Relations {
    /// Puts what a reference reads under its internal name.
    ///
    /// # Errors
    /// [`Error::UnknownTable`] when it was not written as a name.
    pub(crate) fn put(
        &mut self,
        reference: &Reference,
        provider: Arc<dyn TableProvider>,
    ) -> std::result::Result<(), Error> {
        self.0.insert(reference.internal.clone(), (names::qualifier(&reference.written)?, provider));
        Ok(())
    }
}

impl RelationPlanner for Relations {
    fn plan_relation(&self, relation: TableFactor, _: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, version, sample, args: None, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if version.is_some() || sample.is_some() {
            return plan_err!("a clause behind {name} was not handled");
        }
        let internal = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.as_str()).filter(|value| value.starts_with(INTERNAL)),
            _ => None,
        };
        let Some(internal) = internal else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let Some((written, provider)) = self.0.get(internal) else {
            return internal_err!("table {internal} of the statement was not bound");
        };
        let plan =
            LogicalPlanBuilder::scan(written.clone(), provider_as_source(Arc::clone(provider)), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}
