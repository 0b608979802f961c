//! What is typed, and what is said of it.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_suggests() {
    for (line, words) in [
        ("tidemark srve", "serve"),
        ("tidemark serve --htp 1", "--http"),
        ("tidemark sql --format tabel x", "table"),
        ("tidemark ingest x --namespace ../x", "beginning with a letter"),
        ("tidemark ingest x --namespace a --batch 0", "1..=10000"),
        ("tidemark snapshot orders", "shop.orders"),
        ("tidemark snapshot shop.orders --drop", "--name"),
        ("tidemark retention ../x", "beginning with a letter"),
        ("tidemark retention shop --history-window 90", "such as 90d"),
        ("tidemark retention shop --reset --daily 1", "cannot be used with"),
        ("tidemark clean-up shop", "shop.orders"),
        ("tidemark compact Shop!", "beginning with a letter"),
        ("tidemark token create --scope query", "--namespace"),
        ("tidemark token create --namespace shop", "--scope"),
        ("tidemark token create --scope all --namespace shop", "ingest"),
        ("tidemark token create --scope query --namespace a --all-namespaces", "cannot be used with"),
        ("tidemark store-check s3://a --rounds 0", "1..=100000"),
        ("tidemark store-check s3://a --store s3://b", "cannot be used with"),
        ("tidemark restore shop.orders", "--as-of"),
        ("tidemark restore shop.orders --as-of x --snapshot y", "cannot be used with"),
    ] {
        let said = Cli::try_parse_from(line.split(' ')).expect_err(line).to_string();
        assert!(said.contains(words), "{line}: {said}");
    }
}
