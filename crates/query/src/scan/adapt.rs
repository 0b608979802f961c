//! Columns written under an older schema, as the newer one wants them.
//!
//! A column that did not exist reads NULL, by the engine's own rule. One that was widened is cast by the rule of
//! `fold::conform`, not by the engine's: the text of 5.0 is `5` here. An expression over such a column is none the
//! engine can prune by, so statistics of the narrower type never decide about the wider one.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    error::DataFusionError,
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use tidemark_fold::conform;

use crate::plan::shape;

/// Makes adapters that widen by our rule.
#[derive(Debug)]
pub(crate) struct Widen;

impl PhysicalExprAdapterFactory for Widen {
    fn create(&self, wanted: SchemaRef, written: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let engine = DefaultPhysicalExprAdapter::new(Arc::clone(&wanted), Arc::clone(&written));
        Ok(Arc::new(Widening { wanted, written, engine }))
    }
}

#[derive(Debug)]
struct Widening {
    wanted: SchemaRef,
    written: SchemaRef,
    engine: DefaultPhysicalExprAdapter,
}

impl PhysicalExprAdapter for Widening {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(expr.transform(|expr| self.column(expr))?.data)
    }
}

impl Widening {
    fn column(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let (Ok(wanted), Ok(at)) = (self.wanted.field_with_name(column.name()), self.written.index_of(column.name()))
        else {
            return Ok(Transformed::yes(self.engine.rewrite(expr)?));
        };
        if shape::plain(self.written.field(at).data_type()) == shape::plain(wanted.data_type()) {
            return Ok(Transformed::yes(self.engine.rewrite(expr)?));
        }
        let narrow: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), at));
        Ok(Transformed::yes(Arc::new(Widened { narrow, field: Arc::new(wanted.clone().with_nullable(true)) })))
    }
}

/// A column of a file, widened.
#[derive(Debug, Clone, Eq)]
struct Widened {
    narrow: Arc<dyn PhysicalExpr>,
    field: Arc<Field>,
}

impl PartialEq for Widened {
    fn eq(&self, other: &Self) -> bool {
        self.narrow.eq(&other.narrow) && self.field == other.field
    }
}

impl Hash for Widened {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.narrow.hash(state);
        self.field.hash(state);
    }
}

impl fmt::Display for Widened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "widen({} AS {})", self.narrow, self.field.data_type())
    }
}

impl PhysicalExpr for Widened {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let narrow = self.narrow.evaluate(batch)?.into_array(batch.num_rows())?;
        let from = Field::new(self.field.name(), narrow.data_type().clone(), true);
        let one = RecordBatch::try_new(Arc::new(Schema::new(vec![from])), vec![narrow])?;
        let wanted = Arc::new(Schema::new(vec![Arc::clone(&self.field)]));
        let plain = Field::new(self.field.name(), shape::plain(self.field.data_type()), true);
        let wide = conform::to_schema(&one, &Arc::new(Schema::new(vec![plain])));
        let wide = shape::stamp(&wide.map_err(|e| DataFusionError::External(Box::new(e)))?, &wanted)?;
        Ok(ColumnarValue::Array(Arc::clone(wide.column(0))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.narrow]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([narrow]) => Ok(Arc::new(Self { narrow, field: Arc::clone(&self.field) })),
            Err(children) => internal_err!("a widened column has one child, not {}", children.len()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.narrow.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    #[test]
    fn widened_columns_read_as_if_derived_anew_and_absent_ones_null() {
        let written = Arc::new(Schema::new(vec![Field::new("b", DataType::Float64, true)]));
        let wanted = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
        ]));
        let adapter = Widen.create(Arc::clone(&wanted), Arc::clone(&written)).expect("an adapter");
        let batch = RecordBatch::try_new(written, vec![Arc::new(Float64Array::from(vec![Some(5.0), None, Some(0.5)]))])
            .expect("a batch");
        let value = |name: &str| {
            let expr = adapter.rewrite(col(name, &wanted).expect("a column")).expect("rewrites");
            expr.evaluate(&batch).expect("evaluates").into_array(3).expect("an array")
        };
        let text: Vec<Option<String>> =
            value("b").as_string_view().iter().map(|text| text.map(str::to_owned)).collect();
        assert_eq!(text, [Some("5".to_owned()), None, Some("0.5".to_owned())]);
        assert_eq!(value("a").null_count(), 3);
    }
}
