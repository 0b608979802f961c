//! Errors as gRPC tells them: the code says what to do, the message is for people, `tidemark-code` for programs.

use tidemark_model::Kind;
use tonic::{Code, Status, metadata::MetadataValue};

use crate::Error;

/// Where changes go: SQL only reads.
pub(crate) const INGEST_DOOR: &str = "send them by ADBC's ingest or DoPut, by gRPC to tidemark.v1.Ingest, or POST them to \
                                      /v1/{namespace}/{collection}/changes";

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
        other => Code::from_i32(other.kind().grpc()),
    };
    if error.kind() == Kind::Internal {
        tracing::error!(%error, "a query failed by a defect");
    }
    let message = error.to_string();
    let message = if message.trim().is_empty() { "the query failed without a reason".to_owned() } else { message };
    let mut status = Status::new(code, message);
    status.metadata_mut().insert("tidemark-code", MetadataValue::from_static(error.code()));
    status
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
            (Error::ReadOnly("x".to_owned()), Code::InvalidArgument, "read_only"),
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
            assert!(!status.message().is_empty());
        }
    }
}
