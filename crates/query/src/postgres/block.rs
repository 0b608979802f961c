//! Transactions. One that is open reads at the instant of its `BEGIN`, as PostgreSQL's REPEATABLE READ does; it writes
//! nothing, so that ending it gives settings back and nothing else.

use std::collections::BTreeMap;

use super::{reply::Status, setting::Settings};
use crate::{Pin, Session};

/// Whether a transaction is open.
#[derive(Debug, Default)]
pub(crate) enum Block {
    /// None is: every statement reads the present.
    #[default]
    Idle,
    /// One is.
    Open(Begun),
    /// One is, and a statement of it failed.
    Failed(Begun),
}

/// A transaction that began.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The instants all its statements read.
    pub(crate) pin: Pin,
    /// What its end gives back when it is undone.
    pub(crate) before: (Session, Settings),
    /// Settings that hold up to its end, and the values they had before.
    pub(crate) locals: BTreeMap<&'static str, String>,
}

impl Block {
    /// As clients are told it.
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Idle => Status::Idle,
            Self::Open(_) => Status::Open,
            Self::Failed(_) => Status::Failed,
        }
    }

    /// The instants that a statement reads, if they are fixed.
    pub(crate) const fn pin(&self) -> Option<Pin> {
        match self {
            Self::Idle => None,
            Self::Open(begun) | Self::Failed(begun) => Some(begun.pin),
        }
    }

    /// A statement failed.
    pub(crate) fn fail(&mut self) {
        *self = match std::mem::take(self) {
            Self::Open(begun) => Self::Failed(begun),
            other => other,
        };
    }

    /// What failed is forgotten.
    pub(crate) fn recover(&mut self) {
        *self = match std::mem::take(self) {
            Self::Failed(begun) => Self::Open(begun),
            other => other,
        };
    }
}
