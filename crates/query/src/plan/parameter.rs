//! The types of parameters, told before anything is bound: drivers bind by them.
//!
//! The engine knows the type of a parameter that something is compared or computed with. One that is cast is taken for what
//! it becomes, one that limits rows for a number; where nothing tells it is text. One that stands in several places has
//! the type of the first that tells, and is converted in the others.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Cast, Expr, Limit, LogicalPlan, TryCast},
};

use super::shape;

/// One field per parameter, by position.
///
/// # Errors
/// What the engine says about a plan that cannot be walked.
pub(crate) fn fields(plan: &LogicalPlan, count: usize) -> Result<SchemaRef> {
    let known = known(plan)?;
    let field = |number: usize| {
        let name = format!("${number}");
        let of = known.get(&name).map_or(DataType::Utf8, shape::plain);
        Field::new(name, if of.is_null() { DataType::Utf8 } else { of }, true)
    };
    Ok(Arc::new(Schema::new((1..=count).map(field).collect::<Vec<_>>())))
}

/// The types that places tell, by the names of parameters.
fn known(plan: &LogicalPlan) -> Result<HashMap<String, DataType>> {
    let mut known = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(Limit { skip, fetch, .. }) = node {
            let places = [skip, fetch].into_iter().flatten();
            places.for_each(|place| learn(&mut known, place, Some(&DataType::Int64)));
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                        learn(&mut known, expr, Some(field.data_type()));
                    }
                    _ => learn(&mut known, expr, None),
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(known)
}

/// Takes the type of a parameter: its own, else the one of its place.
fn learn(known: &mut HashMap<String, DataType>, expr: &Expr, place: Option<&DataType>) {
    let Expr::Placeholder(parameter) = expr else { return };
    let own = parameter.field.as_ref().map(|field| field.data_type()).filter(|own| !own.is_null());
    if let Some(of) = own.or(place) {
        known.entry(parameter.id.clone()).or_insert_with(|| of.clone());
    }
}
