//! Windows within the memory of their statement.
//!
//! A window whose frames end behind the current row keeps all its rows, copies them into one batch, and asks nobody for the
//! memory; neither does any window for answers that are texts or lists. Here what goes into a window is counted as it
//! passes, with what it will be [answered](answers), and stays counted until the answer has been read.

mod answers;

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
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::replace_children_if_necessary,
        stream::RecordBatchStreamAdapter,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::StreamExt;

use self::answers::Answers;

/// The plan, in which windows are counted.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn counted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|step| {
        let (windows, input, keeps) = if let Some(window) = step.downcast_ref::<WindowAggExec>() {
            (window.window_expr(), window.input(), Keeps::Everything)
        } else if let Some(window) = step.downcast_ref::<BoundedWindowAggExec>() {
            (window.window_expr(), window.input(), Keeps::OneBatch)
        } else {
            return Ok(Transformed::no(step));
        };
        let answers = windows.iter().map(|window| Answers::of(window.as_ref())).collect::<Result<Vec<_>>>()?;
        if keeps == Keeps::OneBatch && answers.iter().all(Answers::is_fixed) {
            return Ok(Transformed::no(step));
        }
        let held = Arc::new(Held::default());
        let side = Side::Input { keeps, answers };
        let input = Counted { child: Arc::clone(input), side, held: Arc::clone(&held) };
        let child = replace_children_if_necessary(step, vec![Arc::new(input)])?;
        Ok(Transformed::yes(Arc::new(Counted { child, side: Side::Output, held }) as _))
    })?;
    Ok(wrapped.data)
}

/// What a window has in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// All its rows, their copy and their answers.
    Everything,
    /// The answers of the rows that came last.
    OneBatch,
}

/// What windows hold, by partition of the plan.
#[derive(Debug, Default)]
struct Held(Mutex<HashMap<usize, MemoryReservation>>);

impl Held {
    fn of(&self) -> MutexGuard<'_, HashMap<usize, MemoryReservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts these bytes, besides those before or in their place.
    fn count(&self, partition: usize, bytes: usize, keeps: Keeps) -> Result<()> {
        let mut of = self.of();
        let Some(held) = of.get_mut(&partition) else { return Ok(()) };
        match keeps {
            Keeps::Everything => held.try_grow(bytes),
            Keeps::OneBatch => held.try_resize(bytes),
        }
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

/// What is counted for some rows.
fn bytes(answers: &mut [Answers], rows: &RecordBatch, keeps: Keeps) -> Result<usize> {
    let of_rows = match keeps {
        Keeps::Everything => {
            let copied = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size());
            get_record_batch_memory_size(rows) + copied.sum::<Result<usize, _>>()?
        }
        Keeps::OneBatch => 0,
    };
    answers.iter_mut().try_fold(of_rows, |bytes, answers| {
        let answered = match keeps {
            Keeps::Everything => answers.grown(rows)?,
            Keeps::OneBatch => answers.alone(rows)?,
        };
        Ok(bytes.saturating_add(answered))
    })
}

/// What stands on either side of windows.
#[derive(Debug, Clone)]
enum Side {
    /// The rows that go in are counted.
    Input { keeps: Keeps, answers: Vec<Answers> },
    /// When the answer is dropped, all is given back.
    Output,
}

/// One side of windows.
#[derive(Debug)]
struct Counted {
    child: Arc<dyn ExecutionPlan>,
    side: Side,
    held: Arc<Held>,
}

impl DisplayAs for Counted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Counted {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Input { .. } => "WindowInputExec",
            Side::Output => "WindowOutputExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.child.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.child]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(child), true) => Ok(Arc::new(Self { child, side: self.side.clone(), held: Arc::clone(&self.held) })),
            _ => internal_err!("a side of windows has one child"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let held = Arc::clone(&self.held);
        let rows = match self.side.clone() {
            Side::Input { keeps, mut answers } => {
                let counted = self.child.execute(partition, context)?.map(move |rows| {
                    let rows = rows?;
                    held.count(partition, bytes(&mut answers, &rows, keeps)?, keeps)?;
                    Ok(rows)
                });
                counted.boxed()
            }
            Side::Output => {
                let memory = MemoryConsumer::new("a window").register(context.memory_pool());
                held.of().insert(partition, memory);
                let turn = Turn(held, partition);
                let answer = self.child.execute(partition, context)?.map(move |rows| {
                    let _until_the_last = &turn;
                    rows
                });
                answer.boxed()
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
