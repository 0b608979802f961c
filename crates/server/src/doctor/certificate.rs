//! TLS: whether the files can be used, and until when the certificate is valid.

use super::Finding;
use crate::{
    config,
    tls::{Speaks, Tls, valid_until},
};

const CHECK: &str = "TLS";
/// Certificates that end within this time are told of, seconds: two weeks.
const SOON_S: i64 = 14 * 86_400;

/// Looks at the files.
pub(super) fn examine(tls: &config::Tls, now_s: i64) -> Vec<Finding> {
    let Some(certificate) = &tls.certificate else { return Vec::new() };
    if let Err(error) = Tls::of(tls, Speaks::Http) {
        let next = "correct it: a server does not start with it, and one that runs goes on with what it read before";
        return vec![Finding::failed(CHECK, error.to_string(), next)];
    }
    let file = certificate.display();
    let Some(end_s) = valid_until(certificate) else {
        return vec![Finding::warning(
            CHECK,
            format!("{file} does not tell until when it is valid"),
            "look with openssl x509 -enddate",
        )];
    };
    let (end, days) = (tidemark_model::Instant::from_micros(end_s * 1_000_000), (end_s - now_s) / 86_400);
    let next = "put a new certificate and key in their place: they are read again within seconds, without a restart";
    vec![match end_s - now_s {
        ..=0 => Finding::failed(CHECK, format!("{file} was valid until {end}: clients refuse it"), next),
        1..SOON_S => Finding::warning(CHECK, format!("{file} is valid until {end}, for {days} days more"), next),
        _ => Finding::ok(CHECK, format!("{file} is valid until {end}")),
    }]
}
