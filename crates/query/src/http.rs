//! The HTTP door: `POST /v1/query`.
