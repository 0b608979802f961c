//! The HTTP door of declared schemas: `PUT` declares the next version, `GET` tells the newest or `?version=n`, with the
//! list of all versions.

use axum::{
    body::Body,
    extract::{Path, Query, Request as HttpRequest, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{json, value::RawValue};
use tidemark_model::{
    CollectionName, Denied, Namespace, Principal, Scope,
    declared::{Declared, Strictness},
};
use tidemark_proto::By;

use crate::{
    door,
    error::{Error, shown},
    front::Ingest,
    http::{Parameters, named, parameter, refused},
    request::Target,
    transcode,
};

type Names = Result<Path<(String, String)>, PathRejection>;

/// `PUT /v1/{namespace}/{collection}/schema?strictness=strict|lenient`.
pub(crate) async fn put(
    State(ingest): State<Ingest>,
    path: Names,
    parameters: Parameters,
    request: HttpRequest,
) -> Response {
    match declare(&ingest, path, parameters, request).await {
        Ok(response) => response,
        Err(error) => refused(error),
    }
}

/// `GET /v1/{namespace}/{collection}/schema?version=n`.
pub(crate) async fn get(
    State(ingest): State<Ingest>,
    By(principal): By,
    path: Names,
    parameters: Parameters,
) -> Response {
    read(&ingest, &principal, path, parameters).unwrap_or_else(refused)
}

async fn declare(
    ingest: &Ingest,
    path: Names,
    parameters: Parameters,
    request: HttpRequest,
) -> Result<Response, Error> {
    let (namespace, collection) = names(path)?;
    let By(principal) = By::of(request.extensions()).map_err(|_nobody| Error::Nobody)?;
    principal.check(Scope::Admin, &namespace)?;
    let strictness = strictness(&known(parameters)?)?;
    let (parts, body) = request.into_parts();
    let room = &ingest.room;
    let mut batch = door::read(&parts.headers, body, &room.config, &room.bodies).await?;
    let (text, _format) = transcode::decoded(&mut batch, &Target::Events, &room.config)?;
    let schema = text.text().trim_ascii().to_owned();
    let declared = ingest.declare((&namespace, &collection), strictness, schema).await?;
    Ok(answer(&declared, &room.catalog.declared(&namespace, &collection)))
}

fn read(ingest: &Ingest, principal: &Principal, path: Names, parameters: Parameters) -> Result<Response, Error> {
    let (namespace, collection) = names(path)?;
    // Whoever writes or reads the documents may know what they have to look like.
    if !principal.may_see(&namespace) {
        return Err(Denied::Hidden(namespace).into());
    }
    let parameters = known(parameters)?;
    ingest.room.stands_now(&namespace, [&collection])?;
    let versions = ingest.room.catalog.declared(&namespace, &collection);
    let found = match parameter(&parameters, "version") {
        None => versions.last(),
        Some(text) => {
            let number: u32 = text.parse().map_err(|_other| Error::Parameter {
                what: "version",
                value: shown(text),
                allowed: "use the number of a version, from 1",
            })?;
            versions.iter().find(|known| known.version == number)
        }
    };
    let found = found.ok_or_else(|| Error::NoSchema { collection: collection.to_string() })?;
    Ok(answer(found, &versions))
}

fn names(path: Names) -> Result<(Namespace, CollectionName), Error> {
    let (namespace, collection) = named(path)?;
    Ok((Namespace::parse(&namespace)?, CollectionName::parse(&collection)?))
}

fn known(parameters: Parameters) -> Result<Vec<(String, String)>, Error> {
    parameters.map(|Query(parameters)| parameters).map_err(|rejection| Error::Parameter {
        what: "query string",
        value: shown(&rejection.body_text()),
        allowed: "use strictness=strict|lenient or version=n",
    })
}

fn strictness(parameters: &[(String, String)]) -> Result<Strictness, Error> {
    let Some(text) = parameter(parameters, "strictness") else { return Ok(Strictness::default()) };
    Strictness::parse(text).ok_or_else(|| Error::Parameter {
        what: "strictness",
        value: shown(text),
        allowed: "use strict or lenient",
    })
}

fn answer(declared: &Declared, versions: &[std::sync::Arc<Declared>]) -> Response {
    let short = |known: &Declared| json!({"version": known.version, "declared_at": known.declared_at.to_string(), "strictness": known.strictness});
    let mut body = short(declared);
    let history: Vec<serde_json::Value> = versions.iter().map(|known| short(known)).collect();
    body["versions"] = history.into();
    // The schema stands there as it was sent, digit by digit.
    let schema =
        RawValue::from_string(declared.schema.clone()).map_or_else(|_| "null".to_owned(), |raw| raw.get().to_owned());
    let mut text = body.to_string();
    text.truncate(text.len() - 1);
    text.push_str(&format!(",\"schema\":{schema}}}"));
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response()
}
