//! Errors as gRPC tells them: the code says what to do, the message is for people, `tidemark-code` and the details of
//! `google.rpc` are for programs.

use tidemark_model::Kind;
use tidemark_proto::Problem;
use tonic::{Code, Status};

use crate::Error;

/// Where changes go: SQL only reads.
pub(crate) const INGEST_DOOR: &str = "send them by ADBC's ingest or DoPut, by gRPC to tidemark.v1.Ingest, or POST them to \
                                      /v1/{namespace}/{collection}/changes";

/// The longest message of an error. It travels in trailers, three times, and clients refuse trailers of more than 8 KiB.
const MESSAGE_CHARS_MAX: usize = 800;

/// A request that makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

/// A defect of ours.
pub(crate) fn defect(what: &str, error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "{what}");
    Status::internal(format!("{what}: {error}"))
}

/// An error of the room.
pub(crate) fn of(error: &Error) -> Status {
    let code = match error {
        Error::TimedOut(_) => Code::DeadlineExceeded,
        Error::Unsupported(_) => Code::Unimplemented,
        other => Code::from_i32(other.kind().grpc()),
    };
    if error.kind() == Kind::Internal {
        tracing::error!(%error, "a query failed by a defect");
    }
    let message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
    let message = if message.trim().is_empty() { "the query failed without a reason".to_owned() } else { message };
    let mut problem = Problem::new(error.kind(), error.code(), message);
    if code == Code::DeadlineExceeded {
        // Asked again it would take as long again.
        problem.retry_after = None;
    }
    tidemark_proto::status::of(&problem, code)
}

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;

    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let engine = |e: DataFusionError| Error::Engine("x".to_owned(), Box::new(e));
        for (error, code, word) in [
            (Error::Invalid("x".to_owned()), Code::InvalidArgument, "invalid_sql"),
            (Error::ReadOnly("x".repeat(10_000)), Code::InvalidArgument, "read_only"),
            (Error::Unsupported("x".to_owned()), Code::Unimplemented, "unsupported_sql"),
            (Error::UnknownTable("a.b".to_owned()), Code::NotFound, "unknown_table"),
            (Error::Memory("x".to_owned()), Code::ResourceExhausted, "memory_exceeded"),
            (Error::TooMany, Code::ResourceExhausted, "too_many_queries"),
            (Error::TimedOut(1), Code::DeadlineExceeded, "timed_out"),
            (Error::Unavailable(String::new()), Code::Unavailable, "unavailable"),
            (Error::Internal("x".to_owned()), Code::Internal, "internal"),
            (engine(DataFusionError::Execution("y".to_owned())), Code::InvalidArgument, "engine"),
        ] {
            let status = of(&error);
            assert_eq!(
                (status.code(), status.metadata().get("tidemark-code").map(|word| word.as_bytes())),
                (code, Some(word.as_bytes())),
                "{error}"
            );
            assert!((1..=MESSAGE_CHARS_MAX).contains(&status.message().len()));
            assert!(status.details().len() < 3000);
        }
    }
}
