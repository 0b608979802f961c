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
        let input = Input { input: Arc::clone(input), keeps, answers, held: Arc::clone(&held) };
        let window = replace_children_if_necessary(step, vec![Arc::new(input)])?;
        Ok(Transformed::yes(Arc::new(Output { window, held }) as _))
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

/// The rows that go into windows.
#[derive(Debug)]
struct Input {
    input: Arc<dyn ExecutionPlan>,
    keeps: Keeps,
    answers: Vec<Answers>,
    held: Arc<Held>,
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
            (Some(input), true) => {
                let (answers, held) = (self.answers.clone(), Arc::clone(&self.held));
                Ok(Arc::new(Self { input, keeps: self.keeps, answers, held }))
            }
            _ => internal_err!("the rows of a window come from one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (held, keeps, mut answers) = (Arc::clone(&self.held), self.keeps, self.answers.clone());
        let counted = self.input.execute(partition, context)?.map(move |rows| {
            let rows = rows?;
            held.count(partition, bytes(&mut answers, &rows, keeps)?, keeps)?;
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
