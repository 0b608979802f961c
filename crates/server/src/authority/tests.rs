//! Tokens and what they open.

use std::{collections::BTreeSet, time::Duration};

use tidemark_model::{Ids, Namespace, Scope, Token, clock::ManualClock};
use tidemark_storage::Store;

use super::*;
use crate::{config::Secret, tokens::secret::mint};

struct House {
    authority: Arc<Authority>,
    tokens: Tokens,
    clock: Arc<ManualClock>,
}

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

impl House {
    fn new(root: Option<&str>) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(1 << 50)));
        let tokens = Tokens::of(&Store::memory(), clock.clone(), Arc::new(Ids::seeded(1)));
        let auth = Auth { token: root.map(Secret::from), ..Auth::default() };
        let refused = IntCounter::new("refused", "for tests").expect("a counter");
        let authority = Authority::new(&auth, tokens.clone(), clock.clone(), refused);
        Self { authority, tokens, clock }
    }

    async fn token(&self, expires_after: Option<i64>) -> (String, String) {
        let ids = Ids::seeded(u128::from(self.tokens.list().len() as u64) + 5);
        let chance = |bytes: &mut [u8]| {
            bytes.iter_mut().for_each(|byte| *byte = ids.random().to_le_bytes()[7]);
            Ok(())
        };
        let (id, text) = mint(&chance).expect("minted");
        let token = Token {
            id: id.clone(),
            name: "of a test".to_owned(),
            sha256: digest(&text),
            scopes: BTreeSet::from([Scope::Query]),
            namespaces: Some(BTreeSet::from([Namespace::parse("shop").expect("a name")])),
            created_at: self.clock.now(),
            created_by: "root".to_owned(),
            expires_at: expires_after.map(|us| self.clock.now().plus_micros(us)),
            revoked_at: None,
            last_used_at: None,
        };
        self.tokens.add(token).await.expect("added");
        (id, text)
    }

    async fn login(&self, password: &str) -> Result<String, NoLogin> {
        self.authority.login(Some(password), FROM).await.map(|principal| principal.id().to_owned())
    }
}

#[tokio::test]
async fn a_token_opens_until_it_is_revoked_or_expires() {
    let house = House::new(None);
    assert!(!house.authority.asks());
    assert_eq!(house.login("anything").await.as_deref(), Ok("anonymous"));
    let (id, text) = house.token(None).await;
    let (short_id, short) = house.token(Some(1_000_000)).await;
    assert!(house.authority.asks());
    assert_eq!(house.login(&text).await, Ok(id.clone()));
    assert_eq!(house.login(&short).await, Ok(short_id));
    house.clock.step(1_000_000);
    assert_eq!(house.login(&short).await, Err(NoLogin::Expired));
    house.tokens.revoke(&id).await.expect("revoked");
    assert_eq!(house.login(&text).await, Err(NoLogin::WrongToken));
    assert!(house.authority.asks(), "also when the last one is gone");
    assert_eq!(house.authority.refused.get(), 2, "the expired and the revoked one were");
}

/// A wrong secret behind a right id is told as an unknown id is.
#[tokio::test]
async fn what_is_wrong_is_told_the_same() {
    let (house, other) = (House::new(Some("s3cret")), House::new(None));
    let (_, text) = house.token(None).await;
    other.token(None).await;
    let (_, foreign) = other.token(None).await;
    for wrong in ["", "x", "s3cre", "s3cret ", &text[1..], &foreign] {
        let expected = if wrong.is_empty() { NoLogin::NoToken } else { NoLogin::WrongToken };
        assert_eq!(house.login(wrong).await, Err(expected), "{wrong}");
    }
    assert_eq!(house.login("s3cret").await.as_deref(), Ok("root"));
}

#[tokio::test]
async fn whoever_guesses_is_told_to_wait_and_others_are_not() {
    let house = House::new(Some("s3cret"));
    for _guess in 0..WRONG_MAX {
        assert_eq!(house.login("guess").await, Err(NoLogin::WrongToken));
    }
    assert_eq!(house.login("guess").await, Err(NoLogin::TooMany));
    assert_eq!(house.login("s3cret").await.as_deref(), Ok("root"));
    let elsewhere = house.authority.login(Some("guess"), IpAddr::from([10, 0, 0, 1])).await;
    assert_eq!(elsewhere.unwrap_err(), NoLogin::WrongToken);
    house.clock.step(i64::try_from(Duration::from_secs(60).as_micros()).expect("fits"));
    assert_eq!(house.login("guess").await, Err(NoLogin::WrongToken));
}

/// Also a session of Flight SQL hangs behind a token of the lake.
#[tokio::test]
async fn the_first_text_that_is_a_token_counts() {
    let house = House::new(None);
    let (id, text) = house.token(None).await;
    let bearer = format!("{text}~21ab");
    let found = house.authority.known([bearer.as_str(), text.as_str()], FROM).await.expect("known");
    assert_eq!((found.0, found.1.id()), (text.as_str(), id.as_str()));
}

#[tokio::test]
async fn another_root_token_opens_and_the_one_before_no_longer() {
    let house = House::new(Some("s3cret"));
    house.authority.set_root(Some(&Secret::from("n3w")));
    assert_eq!(house.login("n3w").await.as_deref(), Ok("root"));
    assert_eq!(house.login("s3cret").await, Err(NoLogin::WrongToken));
    let open = House::new(None);
    open.authority.set_root(Some(&Secret::from("n3w")));
    assert!(open.authority.asks() && open.authority.has_root());
}
