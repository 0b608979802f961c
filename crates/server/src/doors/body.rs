//! A body that pauses too long is given up, so that a slow sender cannot hold a place for ever.

use std::io;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::StreamExt as _;

use super::{Door, Wire, arriving};

/// Lets the body of a request pause at most as long as the door allows. That of gRPC is a stream of messages: [`arriving`].
pub(super) async fn limit_pauses(State(door): State<Door>, request: Request, next: Next) -> Response {
    if axum::body::HttpBody::is_end_stream(request.body()) {
        return next.run(request).await;
    }
    if door.wire == Wire::Grpc {
        return next.run(request.map(|body| arriving::bounded(body, door.unfinished, door.body_pause_max))).await;
    }
    let pause = door.body_pause_max;
    let timed = |body: Body| {
        let chunks = tokio_stream::StreamExt::timeout(body.into_data_stream(), pause);
        Body::from_stream(chunks.map(move |chunk| match chunk {
            Ok(chunk) => chunk.map_err(io::Error::other),
            Err(_elapsed) => {
                let said = format!("the body paused for more than {} ms", pause.as_millis());
                Err(io::Error::new(io::ErrorKind::TimedOut, said))
            }
        }))
    };
    next.run(request.map(timed)).await
}
