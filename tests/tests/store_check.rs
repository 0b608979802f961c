//! A store is asked before it is trusted: a start on one that takes a create for a put is refused before anything is touched, and
//! `store-check` tells what it does.

use std::process::Output;

use tidemark_tests::{
    bucket::Bucket,
    server::{Options, Server, binary},
};

const LAKE: &str = "s3://lake/a";

async fn store_check(words: &[&str], variables: Vec<(String, String)>) -> (Output, String) {
    let mut command = tokio::process::Command::new(binary());
    let output = command.arg("store-check").args(words).envs(variables).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, said)
}

#[tokio::test]
async fn a_start_on_a_store_that_takes_creates_for_puts_is_refused() {
    let (home, bucket) = (tempfile::tempdir().unwrap(), Bucket::open().await);
    let options = Options { environment: bucket.variables(), ..Options::default() }.flag("--store").flag(LAKE);
    let said = Server::refusal(home.path(), options).await;
    for words in
        ["no lake can be kept in s3://lake/a", "create_existing", "create_race", "tidemark store-check s3://lake/a"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_eq!(bucket.keys(), [""; 0], "neither of a lake nor of the check");
}

#[tokio::test]
async fn store_check_tells_what_a_store_does() {
    let bucket = Bucket::open().await;
    let (output, said) = store_check(&[LAKE, "--rounds", "3"], bucket.variables()).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "create_existing fails: a create of a name that is taken was told that it succeeded, and it replaced the object",
        "create_race fails: race 1 of 3: 16 of 16 were told that they created the object",
        "s3://lake/a: no lake can be kept here",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_eq!(bucket.keys(), [""; 0], "it cleans up behind itself");

    let (output, said) = store_check(&["memory:///", "--json", "--rounds", "3"], Vec::new()).await;
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!((told["verdict"].as_str(), findings.len()), (Some("fit"), 13), "{told}");
    assert!(findings.iter().all(|finding| finding["outcome"] == "holds" && finding["evidence"].is_null()), "{told}");
}
