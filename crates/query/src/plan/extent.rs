//! How large a plan may be, and that what multiplies rows lets others work.
//!
//! Few words of SQL can mean a plan without end: a table of twice the table before it, twenty times over. The planner's work grows
//! with it and stops for nobody, so the size is looked at before it begins.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    physical_plan::{
        ExecutionPlan,
        coop::CooperativeExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec},
    },
};

use crate::Error;

/// Most columns of all steps of a plan together, each step counting for one more.
const PLAN_COLUMNS_MAX: usize = 100_000;

/// Refuses a plan that is too large to be looked at any further.
///
/// # Errors
/// [`Error::TooLarge`].
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), Error> {
    let mut columns = 0;
    plan.apply_with_subqueries(|step| {
        columns += 1 + step.schema().fields().len();
        Ok(if columns > PLAN_COLUMNS_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if columns > PLAN_COLUMNS_MAX {
        let said = "the steps of the statement have more than 100,000 columns together: ask for less, or in parts";
        return Err(Error::TooLarge(said.to_owned()));
    }
    Ok(())
}

/// The plan, in which joins give their thread back between batches: they may make so many of one batch that what they read
/// would never ask for it.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|step| {
        let is_join = step.is::<CrossJoinExec>()
            || step.is::<NestedLoopJoinExec>()
            || step.is::<HashJoinExec>()
            || step.is::<SortMergeJoinExec>()
            || step.is::<PiecewiseMergeJoinExec>();
        Ok(if is_join { Transformed::yes(Arc::new(CooperativeExec::new(step)) as _) } else { Transformed::no(step) })
    })?;
    Ok(wrapped.data)
}
