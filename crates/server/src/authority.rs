//! The one authoriser behind every door: a token becomes a principal.
//!
//! The root token (`AUTH_TOKEN`) may everything. Digests are compared, all bytes of them, so that neither the time nor
//! the length of an answer tells anything.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tidemark_catalog::{Login, NoLogin};
use tidemark_model::Principal;

use crate::config::Auth;

/// Who knows tokens. One per process.
#[derive(Debug)]
pub struct Authority {
    root: Option<[u8; 32]>,
}

impl Authority {
    /// One that knows the root token of the settings.
    #[must_use]
    pub fn new(auth: &Auth) -> Arc<Self> {
        Arc::new(Self { root: auth.token.as_ref().map(|token| digest(token.expose())) })
    }

    /// Whether tokens are asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.root.is_some()
    }

    /// The first of some texts that is a token, and who comes with it.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub(crate) async fn known<'t>(
        &self,
        candidates: impl Iterator<Item = &'t str>,
        _from: IpAddr,
    ) -> Result<(&'t str, Principal), NoLogin> {
        for candidate in candidates {
            if self.root.is_some_and(|root| same(&root, &digest(candidate))) {
                return Ok((candidate, Principal::of_everything(Principal::ROOT)));
            }
        }
        Err(NoLogin::WrongToken)
    }
}

#[async_trait]
impl Login for Authority {
    fn asks(&self) -> bool {
        Self::asks(self)
    }

    async fn login(&self, password: Option<&str>, from: IpAddr) -> Result<Principal, NoLogin> {
        if !self.asks() {
            return Ok(Principal::of_everything(Principal::ANONYMOUS));
        }
        let password = password.filter(|password| !password.is_empty()).ok_or(NoLogin::NoToken)?;
        self.known([password].into_iter(), from).await.map(|(_, principal)| principal)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares all bytes, whatever they are, so that the time tells nothing; of digests, so that lengths tell nothing.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}
