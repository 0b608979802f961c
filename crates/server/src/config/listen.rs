//! Where a port that can be left closed listens.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An address, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// The port is opened here.
    At(SocketAddr),
    /// It is not opened.
    Off,
}

impl Listen {
    /// Where PostgreSQL's protocol is served when nobody says where.
    pub const DEFAULT_POSTGRES: Self = Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7072));

    /// The same with a free port, if it is opened.
    #[must_use]
    pub const fn on_a_free_port(mut self) -> Self {
        if let Self::At(address) = &mut self {
            address.set_port(0);
        }
        self
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|e| format!("{e}: give ADDRESS:PORT, or off")),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_off() {
        for (text, is_good) in
            [("127.0.0.1:7072", true), ("[::1]:0", true), ("off", true), ("localhost", false), ("", false)]
        {
            let read: Result<Listen, _> = text.parse();
            assert_eq!(read.is_ok(), is_good, "{text}");
            assert!(read.is_err() || read.is_ok_and(|listen| listen.to_string() == text));
        }
        assert_eq!(
            "127.0.0.1:7".parse::<Listen>().map(|it| it.on_a_free_port().to_string()).as_deref(),
            Ok("127.0.0.1:0")
        );
    }
}
