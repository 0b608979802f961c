//! What sorts and windows compute of each row, computed before them.
//!
//! The engine evaluates the keys of a sort, and the keys and arguments of a window, over all rows at once that it holds by then,
//! and asks nobody for the memory: `ORDER BY repeat('x', 1000) || name` would take a gigabyte for a million rows. As columns of
//! the rows they are counted, and spilled, with them. `Sort(f(a))` becomes
//!
//! ```text
//! Projection: a
//!   Sort: __computed_0
//!     Projection: a, f(a) AS __computed_0
//! ```
//!
//! and windows that stand above one another share one such projection, so that they go on sharing their sorts.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, Result, tree_node::Transformed},
    logical_expr::{Expr, LogicalPlan, Projection, Sort, SortExpr, Window},
};

/// The plan with such columns.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn as_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    let moved = plan.transform_down_with_subqueries(|step| match step {
        LogicalPlan::Sort(sort) => sorted(sort),
        LogicalPlan::Window(window) => windowed(window),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(moved.data)
}

fn sorted(sort: Sort) -> Result<Transformed<LogicalPlan>> {
    let mut computed = Computed::over(sort.input.schema());
    let keys = sort.expr.iter().cloned().map(|key| computed.key(key)).collect();
    if computed.columns.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let outer = sort.input.schema().iter().map(Expr::from).collect();
    let input = computed.beside(Arc::clone(&sort.input))?;
    let sort = LogicalPlan::Sort(Sort { expr: keys, input, fetch: sort.fetch });
    Ok(Transformed::yes(project(outer, Arc::new(sort))?))
}

fn windowed(top: Window) -> Result<Transformed<LogicalPlan>> {
    let mut stack = vec![&top];
    while let LogicalPlan::Window(below) = stack[stack.len() - 1].input.as_ref() {
        stack.push(below);
    }
    let input = &stack[stack.len() - 1].input;
    let mut computed = Computed::over(input.schema());
    // From the lowest to the highest, as the columns that they append stand in the answer.
    let windows: Vec<Vec<Expr>> = (stack.iter().rev())
        .map(|window| window.window_expr.iter().cloned().map(|window| computed.window(window)).collect())
        .collect();
    if computed.columns.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(top)));
    }
    let mut outer: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
    let names = &top.schema.fields()[outer.len()..];
    let moved = windows
        .iter()
        .flatten()
        .zip(names)
        .map(|(window, name)| Expr::Column(Column::from_name(window.schema_name().to_string())).alias(name.name()));
    outer.extend(moved);
    let mut plan = computed.beside(Arc::clone(input))?;
    for window in windows {
        plan = Arc::new(LogicalPlan::Window(Window::try_new(window, plan)?));
    }
    Ok(Transformed::yes(project(outer, plan)?))
}

fn project(columns: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(columns, input)?))
}

/// What is computed of the rows of an input.
struct Computed<'a> {
    of: &'a Arc<DFSchema>,
    /// Expressions and the names of their columns.
    columns: Vec<(Expr, Column)>,
}

impl<'a> Computed<'a> {
    const fn over(of: &'a Arc<DFSchema>) -> Self {
        Self { of, columns: Vec::new() }
    }

    /// The input with these columns behind its own.
    fn beside(self, input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let computed = self.columns.into_iter().map(|(of, column)| of.alias(column.name));
        let columns = input.schema().iter().map(Expr::from).chain(computed).collect();
        Ok(Arc::new(project(columns, input)?))
    }

    fn key(&mut self, key: SortExpr) -> SortExpr {
        SortExpr { expr: self.column(key.expr), ..key }
    }

    fn window(&mut self, window: Expr) -> Expr {
        match window {
            Expr::WindowFunction(mut function) => {
                let params = &mut function.params;
                params.args = params.args.drain(..).map(|of| self.column(of)).collect();
                params.partition_by = params.partition_by.drain(..).map(|of| self.column(of)).collect();
                params.order_by = params.order_by.drain(..).map(|key| self.key(key)).collect();
                Expr::WindowFunction(function)
            }
            other => other,
        }
    }

    /// The column of an expression; what is a column, or the same for every row, stays as it is.
    fn column(&mut self, of: Expr) -> Expr {
        if !self.is_computed(&of) {
            return of;
        }
        // Two of the same that are not the same each time remain two.
        let known = self.columns.iter().find(|(known, _)| *known == of && !of.is_volatile());
        if let Some((_, column)) = known {
            return Expr::Column(column.clone());
        }
        let column = Column::from_name(self.free_name());
        self.columns.push((of, column.clone()));
        Expr::Column(column)
    }

    fn is_computed(&self, of: &Expr) -> bool {
        let columns = of.column_refs();
        !matches!(of.clone().unalias(), Expr::Column(_))
            && !columns.is_empty()
            && !of.contains_outer()
            && columns.into_iter().all(|column| self.of.has_column(column))
    }

    /// A name that no column of the input has.
    fn free_name(&self) -> String {
        let mut name = format!("__computed_{}", self.columns.len());
        while self.of.has_column_with_unqualified_name(&name) {
            name.insert(0, '_');
        }
        name
    }
}
