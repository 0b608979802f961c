//! Windows within the memory of their statement.
//!
//! A window whose frames end behind the current row keeps all its rows, copies them into one batch, and asks nobody for the
//! memory. Here what goes into one is counted as it passes, and stays counted until its answer has been read.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        Result, internal_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
        utils::memory::get_record_batch_memory_size,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execution_plan::replace_children_if_necessary,
        stream::RecordBatchStreamAdapter, windows::WindowAggExec,
    },
};
use futures::StreamExt;

/// What a row of one window's answer takes: a number of 16 bytes, or the address of something longer.
const RESULT_BYTES: usize = 16;

/// The plan, in which such windows are counted.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn counted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|step| {
        let Some(window) = step.downcast_ref::<WindowAggExec>() else { return Ok(Transformed::no(step)) };
        let held = Arc::new(Held::default());
        let row = RESULT_BYTES * window.window_expr().len();
        let input = Input { row, input: Arc::clone(window.input()), held: Arc::clone(&held) };
        let window = replace_children_if_necessary(step, vec![Arc::new(input)])?;
        Ok(Transformed::yes(Arc::new(Output { window, held }) as _))
    })?;
    Ok(wrapped.data)
}

/// What a window holds, by partition.
#[derive(Debug, Default)]
struct Held(Mutex<HashMap<usize, MemoryReservation>>);

impl Held {
    fn of(&self) -> MutexGuard<'_, HashMap<usize, MemoryReservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, partition: usize, bytes: usize) -> Result<()> {
        self.of().get_mut(&partition).map_or(Ok(()), |held| held.try_grow(bytes))
    }
}

/// Gives back what a partition held, when its answer is dropped.
#[derive(Debug)]
struct Turn(Arc<Held>, usize);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.of().remove(&self.1);
    }
}

/// The rows that go into a window.
#[derive(Debug)]
struct Input {
    input: Arc<dyn ExecutionPlan>,
    /// Bytes of the answer that one row comes to.
    row: usize,
    held: Arc<Held>,
}

impl Input {
    /// The rows as they came, their copy, and what is answered for them.
    fn bytes(row: usize, rows: &RecordBatch) -> Result<usize> {
        let held = get_record_batch_memory_size(rows);
        let copied = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size());
        let copied = copied.sum::<Result<usize, _>>()?;
        Ok(held + copied + row * rows.num_rows())
    }
}

impl DisplayAs for Input {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowInputExec")
    }
}

impl ExecutionPlan for Input {
    fn name(&self) -> &'static str {
        "WindowInputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, row: self.row, held: Arc::clone(&self.held) })),
            _ => internal_err!("the rows of a window come from one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (held, row) = (Arc::clone(&self.held), self.row);
        let counted = self.input.execute(partition, context)?.map(move |rows| {
            let rows = rows?;
            held.grow(partition, Self::bytes(row, &rows)?)?;
            Ok(rows)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }
}

/// The answer of a window.
#[derive(Debug)]
struct Output {
    window: Arc<dyn ExecutionPlan>,
    held: Arc<Held>,
}

impl DisplayAs for Output {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowOutputExec")
    }
}

impl ExecutionPlan for Output {
    fn name(&self) -> &'static str {
        "WindowOutputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.window]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(window), true) => Ok(Arc::new(Self { window, held: Arc::clone(&self.held) })),
            _ => internal_err!("an answer comes from one window"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new("a window").register(context.memory_pool());
        self.held.of().insert(partition, memory);
        let turn = Turn(Arc::clone(&self.held), partition);
        let rows = self.window.execute(partition, context)?.map(move |rows| {
            let _until_the_last = &turn;
            rows
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
