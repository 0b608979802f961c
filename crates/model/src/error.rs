//! The twelve kinds of error, and the one total table to HTTP, gRPC and SQLSTATE.
//!
//! Inside a crate errors are rich; at a door each is told as a [`Kind`], which says what the caller should do.

/// What an error means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be read or asks for something that does not make sense.
    Invalid,
    /// No valid token came with the request.
    Unauthorized,
    /// The token does not allow it.
    Forbidden,
    /// There is no such thing, or not for this token.
    NotFound,
    /// It contradicts what is stored already.
    Conflict,
    /// Larger than a limit.
    TooLarge,
    /// A content type, encoding or feature that is not spoken here.
    Unsupported,
    /// A well-formed record that is refused.
    Unprocessable,
    /// Rate, quota or byte pressure: try again later.
    TooMany,
    /// No space on the medium.
    OutOfSpace,
    /// Draining, in maintenance, or the store is away: try again later.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::TooLarge,
        Self::Unsupported,
        Self::Unprocessable,
        Self::TooMany,
        Self::OutOfSpace,
        Self::Unavailable,
        Self::Internal,
    ];

    /// HTTP status, gRPC code, SQLSTATE.
    const fn row(self) -> (u16, i32, &'static str) {
        match self {
            Self::Invalid => (400, 3, "42601"),
            Self::Unauthorized => (401, 16, "28000"),
            Self::Forbidden => (403, 7, "42501"),
            Self::NotFound => (404, 5, "42P01"),
            Self::Conflict => (409, 6, "23505"),
            Self::TooLarge => (413, 3, "54000"),
            Self::Unsupported => (415, 12, "0A000"),
            Self::Unprocessable => (422, 3, "22000"),
            Self::TooMany => (429, 8, "53400"),
            Self::OutOfSpace => (507, 8, "53100"),
            Self::Unavailable => (503, 14, "57P03"),
            Self::Internal => (500, 13, "XX000"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http(self) -> u16 {
        self.row().0
    }

    /// The gRPC status code, as a number.
    #[must_use]
    pub const fn grpc(self) -> i32 {
        self.row().1
    }

    /// The SQLSTATE.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        self.row().2
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::TooMany | Self::Unavailable | Self::OutOfSpace)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_own() {
        let statuses: HashSet<u16> = Kind::ALL.into_iter().map(Kind::http).collect();
        assert_eq!(statuses.len(), Kind::ALL.len());
        assert!(Kind::ALL.into_iter().all(|kind| kind.sqlstate().len() == 5 && (1..=16).contains(&kind.grpc())));
    }
}
