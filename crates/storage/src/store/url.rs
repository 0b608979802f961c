//! From a URL and options to a store: which scheme, which root, which settings of S3.

use std::{path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    ClientOptions,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
    prefix::PrefixStore,
};

use super::{Store, StoreError};

/// How many connections to a store are kept open for whoever asks next; a burst may open more, which are closed after it.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// How long one is kept without a request. A connection holds up to 400 KiB of what it read, and every burst finds
/// those of the last: with the client's own 90 s a steady owner kept ever more of them.
const IDLE_CONNECTION_TIME: Duration = Duration::from_secs(20);

/// Opens what the URL names.
pub(super) fn open(url: &str, options: &[(String, String)]) -> Result<Store, StoreError> {
    let refused = |reason: String| StoreError::Url { url: url.to_owned(), reason };
    match url.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => Store::local(PathBuf::from(path)),
        Some(("file", _)) => Err(refused("a file URL needs an absolute path".to_owned())),
        Some(("memory", _)) => Ok(Store::memory()),
        Some(("s3", place)) => s3(url, place, options).map_err(refused),
        Some((scheme, _)) => Err(refused(format!("the scheme {scheme:?} is not known"))),
        None => Err(refused("it has no scheme".to_owned())),
    }
}

fn s3(url: &str, place: &str, options: &[(String, String)]) -> Result<Store, String> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err("it names no bucket".to_owned());
    }
    let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|error| error.to_string())?;
    let bucket = builder(bucket, S3Settings::read(options)?).build().map_err(|error| error.to_string())?;
    Ok(Store::wrapping(Arc::new(PrefixStore::new(bucket, prefix)), url))
}

fn builder(bucket: &str, settings: S3Settings) -> AmazonS3Builder {
    let client = ClientOptions::new()
        .with_pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .with_pool_idle_timeout(IDLE_CONNECTION_TIME);
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_client_options(client);
    // R2 and most servers of this protocol want the bucket in the path, not in the host name, and R2 knows one region.
    if settings.has(AmazonS3ConfigKey::Endpoint) || settings.has(AmazonS3ConfigKey::S3Endpoint) {
        builder = builder.with_virtual_hosted_style_request(false);
        if !settings.has(AmazonS3ConfigKey::Region) && !settings.has(AmazonS3ConfigKey::DefaultRegion) {
            builder = builder.with_region("auto");
        }
    }
    for (key, value) in settings.0 {
        builder = builder.with_config(key, value);
    }
    builder
}

/// Whether a store has an option of this name, in either case.
pub(super) fn knows(name: &str) -> bool {
    name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().is_ok()
}

struct S3Settings(Vec<(AmazonS3ConfigKey, String)>);

impl S3Settings {
    /// A name that S3 does not know is a mistake of the caller, told by name and without its value.
    fn read(options: &[(String, String)]) -> Result<Self, String> {
        let read = |(name, value): &(String, String)| {
            let key = name.to_ascii_lowercase().parse().map_err(|_unknown| format!("option {name:?} is not known"))?;
            Ok((key, value.clone()))
        };
        options.iter().map(read).collect::<Result<_, String>>().map(Self)
    }

    fn has(&self, key: AmazonS3ConfigKey) -> bool {
        self.0.iter().any(|(has, _value)| *has == key)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ClientConfigKey;

    use super::*;

    #[test]
    fn few_connections_rest_unless_settings_say_more() {
        let most = AmazonS3ConfigKey::Client(ClientConfigKey::PoolMaxIdlePerHost);
        let set = [("pool_max_idle_per_host".to_owned(), "3".to_owned())];
        for (options, expected) in [(&[][..], IDLE_CONNECTIONS_MAX.to_string()), (&set, "3".to_owned())] {
            let builder = builder("bucket", S3Settings::read(options).expect("known"));
            assert_eq!(builder.get_config_value(&most), Some(expected));
        }
        assert!(knows("pool_idle_timeout"));
    }

    #[test]
    fn urls_name_stores_or_are_refused_with_a_reason() {
        let endpoint = [("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned())];
        let unknown = [("aws_no_such_thing".to_owned(), "secret".to_owned())];
        for (url, options, expected) in [
            ("memory://", &[][..], Ok(())),
            ("s3://bucket", &endpoint[..], Ok(())),
            ("s3://bucket/a/b/", &endpoint[..], Ok(())),
            ("s3://bucket", &unknown[..], Err("\"aws_no_such_thing\" is not known")),
            ("s3:///x", &[], Err("names no bucket")),
            ("file://relative", &[], Err("absolute path")),
            ("ftp://x", &[], Err("\"ftp\" is not known")),
            ("/tmp/x", &[], Err("no scheme")),
        ] {
            match (open(url, options), expected) {
                (Ok(store), Ok(())) => assert!(store.url().starts_with(url.split("://").next().unwrap())),
                (Err(error), Err(reason)) => {
                    assert!(error.to_string().contains(reason) && !error.to_string().contains("secret"), "{error}");
                }
                (result, _) => panic!("{url}: {result:?}"),
            }
        }
    }
}
