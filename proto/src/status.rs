//! Errors of gRPC: the code says what to do, the message is for people, `tidemark-code` and the details of `google.rpc` are
//! for programs.

use std::{collections::HashMap, time::Duration};

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Problem, problem::RecordError};

/// Whose words the reasons are.
const DOMAIN: &str = "tidemark";
/// The header that carries the word of a problem.
const CODE: &str = "tidemark-code";

/// A problem as a status with a code; by default the code of its kind.
#[must_use]
pub fn of(problem: &Problem, code: Code) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(problem.code, DOMAIN, HashMap::new());
    if let Some(seconds) = problem.retry_after {
        details.set_retry_info(Some(Duration::from_secs(seconds.into())));
    }
    for error in &problem.errors {
        details.add_bad_request_violation(field(error), format!("{}: {}", error.code, error.message));
    }
    if problem.errors.is_empty() && code == Code::InvalidArgument {
        details.add_bad_request_violation("", problem.detail.clone());
    }
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE, MetadataValue::from_static(problem.code));
    Status::with_error_details_and_metadata(code, problem.detail.clone(), details, metadata)
}

/// Where in a request a record is wrong.
fn field(error: &RecordError) -> String {
    format!("records[{}]{}", error.index, error.pointer)
}

#[cfg(test)]
mod tests {
    use tidemark_model::Kind;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_to_programs() {
        let error = RecordError {
            index: 3,
            id: None,
            code: "invalid_ts".to_owned(),
            pointer: "/ts".to_owned(),
            message: "no".to_owned(),
        };
        let problem = Problem::new(Kind::Unprocessable, "invalid_ts", "one is bad").with_errors(vec![error]);
        let status = of(&problem, Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("invalid_ts"));
        let fields = &details.bad_request().expect("a bad request").field_violations;
        assert_eq!((fields.len(), fields[0].field.as_str()), (1, "records[3]/ts"));
        assert!(details.retry_info().is_none());
        let code = status.metadata().get(CODE).expect("a code");
        assert_eq!(code.to_str().expect("text"), "invalid_ts");
    }

    #[test]
    fn pressure_says_when_to_come_back() {
        let status = of(&Problem::new(Kind::TooMany, "back_pressure", "full"), Code::ResourceExhausted);
        let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert_eq!(retry, Some(Duration::from_secs(1)));
    }
}
