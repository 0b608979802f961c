//! `to_timestamp` and its like, with the zone on what they answer.
//!
//! The engine's own (55.2) promise a timestamp in the zone of the session and, of a column of text, answer one without any:
//! the statement then fails for what was promised. The instants are right; only the zone is put on them here.

use std::sync::Arc;

use arrow::{compute::cast, datatypes::DataType};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, registry::FunctionRegistry,
    },
};

/// The engine's functions that lose the zone.
const NAMES: [&str; 5] =
    ["to_timestamp", "to_timestamp_seconds", "to_timestamp_millis", "to_timestamp_micros", "to_timestamp_nanos"];

/// The functions, around those of the engine with its settings.
///
/// # Errors
/// When the engine has no such function.
pub(crate) fn zoned(engine: &dyn FunctionRegistry) -> Result<Vec<ScalarUDF>> {
    NAMES.iter().map(|name| Ok(ScalarUDF::from(Zoned { engine: engine.udf(name)? }))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned {
    engine: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        self.engine.return_type(of)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let promised = Arc::clone(&args.return_field);
        // Around the engine's check of its own promise, which debug builds make.
        match self.engine.inner().invoke_with_args(args)? {
            ColumnarValue::Array(array) if array.data_type() != promised.data_type() => {
                Ok(ColumnarValue::Array(cast(&array, promised.data_type())?))
            }
            right => Ok(right),
        }
    }
}
