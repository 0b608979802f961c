//! `tidemark token`: makes, lists and revokes tokens. A client of HTTP.

use clap::ValueEnum as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::token::{CreateArgs, ListArgs, RevokeArgs, ScopeArg, TokenCommand},
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of a token.
const SHOWN: [&str; 8] = ["id", "name", "scopes", "namespaces", "standing", "created_at", "expires_at", "last_used_at"];
/// What stands for a token that never expires.
const FOREVER: u64 = 0;

/// Does what was typed.
pub(super) async fn run(command: &TokenCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(args, environment).await,
        TokenCommand::List(args) => list(args, environment).await,
        TokenCommand::Revoke(args) => revoke(args, environment).await,
    }
}

/// The token alone goes to standard output, so that a script can take it.
async fn create(args: &CreateArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let word = |scope: &ScopeArg| scope.to_possible_value().map(|word| word.get_name().to_owned());
    let scopes: Vec<String> = args.scopes.iter().filter_map(word).collect();
    let names: Vec<&str> =
        if args.all_namespaces { vec!["*"] } else { args.namespaces.iter().map(|name| name.as_str()).collect() };
    let mut body = json!({ "name": args.name, "scopes": scopes, "namespaces": names });
    if args.expires_in != FOREVER {
        body["expires_in_s"] = json!(args.expires_in);
    }
    let made = client.manage(Method::POST, "/v1/tokens", Some(&body)).await?;
    let token = made["token"].as_str().ok_or_else(|| Failure::saying("the server answered without a token"))?;
    out(format_args!("{token}\n"))
}

async fn list(args: &ListArgs, environment: &Environment) -> Result<(), Failure> {
    let listed = Client::of(&args.server, environment)?.manage(Method::GET, "/v1/tokens", None).await?;
    let column = |name: &&str| Column { name: (*name).to_owned(), data_type: "Utf8".to_owned() };
    let row = |token: &Value| SHOWN.iter().map(|name| joined(&token[*name])).collect();
    let tokens = listed["tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows: tokens.iter().map(row).collect() };
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}

async fn revoke(args: &RevokeArgs, environment: &Environment) -> Result<(), Failure> {
    let is_id = !args.id.is_empty() && args.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id {
        return Err(Failure::saying(
            "a token is revoked by its id, the middle of tm_ID_SECRET: see tidemark token list",
        ));
    }
    let path = format!("/v1/tokens/{}", args.id);
    Client::of(&args.server, environment)?.manage(Method::DELETE, &path, None).await?;
    out(format_args!("revoked {}\n", args.id))
}

/// A list as one text.
fn joined(value: &Value) -> Value {
    let Some(items) = value.as_array() else { return value.clone() };
    Value::from(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
}
