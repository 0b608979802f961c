"""Settings under which every job runs many times in minutes, and everything that is kept within bounds reaches them in the warm-up."""

#: A key is `section__name`.
RESTLESS = {
    # As LocalStack wants it: it warns of any other, at every request.
    "object_store__aws_region": "us-east-1",
    # A request to a store in Python takes long: fewer of them, and each of more.
    "object_log__window_ms": 300,
    "ingest__flush_age_s": 10,
    "ingest__compact_after_s": 20,
    "ingest__grace_s": 45,
    "ingest__manifests_max": 32,
    "cdc__delta_age_s": 8,
    "cdc__interval_ms": 1500,
    "cdc__fold_rows_min": 200,
    "cdc__fold_ratio": 0,
    "cdc__grace_s": 45,
    "cdc__external_retention_s": 30,
    "ingest__external_retention_s": 30,
    "cdc__bases_max": 8,
    "cdc__checkpoints_max": 4,
    "cdc__manifests_max": 32,
    "publish__interval_s": 30,
    "query__timeout_s": 20,
    "query__bulk_timeout_s": 20,
    "query__cache_bytes": 1 << 20,
    "query__footers_bytes": 256 << 10,
}
#: For the audit, which reads everything.
PATIENT = {**RESTLESS, "query__timeout_s": 600, "query__bulk_timeout_s": 600, "cdc__grace_s": 1200, "ingest__grace_s": 1200}
