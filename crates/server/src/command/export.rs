//! `tidemark export`: a state of a collection as a file.

use std::{
    fs::File,
    io::{BufWriter, IsTerminal as _, Write},
    path::PathBuf,
};

use super::Failure;
use crate::{
    cli::reading::{ExportArgs, FileFormat},
    client::{Client, ClientError},
    config::Environment,
};

/// Ends the name of a file that is not whole yet.
const PART: &str = ".part";

/// Exports to a file or to standard output.
pub(super) async fn run(args: &ExportArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let format = match args.format {
        FileFormat::Ndjson => "ndjson",
        FileFormat::Parquet => "parquet",
    };
    let Some(path) = &args.output else {
        if args.format == FileFormat::Parquet && std::io::stdout().is_terminal() {
            return Err(Failure::saying("a Parquet file is binary: name a file with --output"));
        }
        let answer = asked(args, &client, format).await?;
        return written(answer, &client, std::io::stdout()).await;
    };
    let answer = asked(args, &client, format).await?;
    let part = PathBuf::from(format!("{}{PART}", path.display()));
    let file = BufWriter::new(File::create(&part)?);
    let done = match written(answer, &client, file).await {
        Ok(()) => std::fs::rename(&part, path).map_err(Failure::from),
        failed => failed,
    };
    if done.is_err() {
        // It is not whole, and would be taken for something.
        drop(std::fs::remove_file(&part));
    }
    done
}

async fn asked(args: &ExportArgs, client: &Client, format: &str) -> Result<reqwest::Response, ClientError> {
    let path = format!("/v1/{}/{}/export", args.of.namespace, args.of.collection);
    let named = [
        ("as_of", &args.then.as_of),
        ("valid_as_of", &args.then.valid_as_of),
        ("snapshot", &args.then.snapshot),
        ("where", &args.r#where),
    ];
    let given = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let parameters: Vec<(&str, &str)> = [("format", format)].into_iter().chain(given).collect();
    client.download(&path, &parameters).await
}

async fn written(mut response: reqwest::Response, client: &Client, mut to: impl Write) -> Result<(), Failure> {
    let broken = |error: reqwest::Error| {
        let reason = format!("it ended early, what was written is not all of it ({error})");
        Failure::of(&ClientError::Unreadable { url: client.url().to_owned(), reason })
    };
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        match to.write_all(&chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            done => done?,
        }
    }
    Ok(to.flush()?)
}
