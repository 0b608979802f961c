//! `arrow_typeof(expression)`: the type that a column of an answer would have.
//!
//! The engine's own would tell of the views that plans read text through, which nobody outside of a plan ever sees.

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, ScalarValue, utils::take_function_args},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use super::shape;

/// The function.
pub(crate) fn arrow_typeof() -> ScalarUDF {
    ScalarUDF::from(TypeOf { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &'static str {
        "arrow_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name(), args.args)?;
        let of = shape::plain(&value.data_type());
        Ok(ColumnarValue::Scalar(ScalarValue::from(of.to_string())))
    }
}
