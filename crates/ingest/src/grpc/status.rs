//! Errors as gRPC tells them.

use tidemark_model::Kind;
use tidemark_proto::{Problem, v1};
use tonic::{Code, Status};

use super::message;
use crate::error::Error;

/// The code of an error: that of its kind, but for producers, whose clients act on codes.
fn code(error: &Error) -> Code {
    match error {
        Error::SequenceGap { .. } => Code::OutOfRange,
        Error::Fenced { .. } | Error::SequenceMismatch { .. } => Code::FailedPrecondition,
        other => Code::from_i32(other.kind().grpc()),
    }
}

/// An error that ends a call.
pub(super) fn of(error: Error) -> Status {
    if error.kind() == Kind::Internal {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
    }
    let code = code(&error);
    tidemark_proto::status::of(&Problem::from(error), code)
}

/// An error of one batch, after which its stream goes on.
pub(super) fn refusal(error: Error) -> v1::Refusal {
    let status = i32::from(code(&error));
    let problem = Problem::from(error);
    let errors = problem.errors.into_iter().map(message::record_error).collect();
    v1::Refusal { status, code: problem.code.to_owned(), message: problem.detail, errors }
}

/// Whether a stream goes on after an error: it is about the batch, not about the server or the producer.
pub(super) fn is_of_batch(error: &Error) -> bool {
    let is_of_server = matches!(error.kind(), Kind::Internal | Kind::Unavailable | Kind::TooMany | Kind::OutOfSpace);
    !is_of_server && !matches!(error, Error::Fenced { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let (id, what, value, allowed) = (String::new, "x", String::new(), "y");
        for (error, code, goes_on) in [
            (Error::SequenceGap { id: id(), sent: 3, expected: 2 }, Code::OutOfRange, true),
            (Error::Fenced { id: id(), sent: 1, epoch: 2 }, Code::FailedPrecondition, false),
            (Error::SequenceMismatch { id: id(), sequence: 1 }, Code::FailedPrecondition, true),
            (Error::Pressure { what, limit: 1 }, Code::ResourceExhausted, false),
            (Error::Parameter { what, value, allowed }, Code::InvalidArgument, true),
            (Error::Draining, Code::Unavailable, false),
            (Error::Maintenance("".into()), Code::Unavailable, false),
        ] {
            assert_eq!(is_of_batch(&error), goes_on, "{error}");
            assert_eq!(of(error).code(), code);
        }
    }
}
