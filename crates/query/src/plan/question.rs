//! What is asked of a table → instants: expressions folded, the session's defaults filled in, bounds checked.
//!
//! A clause is more specific than the session and wins, on each clock by itself. A version is a number here still;
//! binding looks up which instant it stands for.

use datafusion::execution::SessionState;
use tidemark_catalog::{CollectionManifest, manifest::Outside};
use tidemark_fold::versions::{Keep, Kept};
use tidemark_model::Instant;

use super::{bind::Asked, instant};
use crate::{
    Error,
    scan::{At, Question},
    sql::{
        moment::{Moment, Moments},
        reference::Asks,
    },
};

/// The smallest step of time.
const STEP_US: i64 = 1;

/// One clock of a question with its instants known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Up to here, included. `None` is S on the clock of system time, no bound on the other.
    pub(crate) upto: Option<Instant>,
    /// Of version rows: those that end above it, or do not end. `None` keeps only those that do not end.
    above: Option<Instant>,
}

impl Span {
    const fn at(instant: Instant) -> Self {
        Self { upto: Some(instant), above: None }
    }

    fn kept(span: Option<Self>) -> Kept {
        span.and_then(|span| span.above).map_or(Kept::Open, Kept::Above)
    }
}

/// One clock of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Span(Span),
    Version(u64),
}

/// Both clocks of a question, folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folded {
    system: Option<Clock>,
    valid: Option<Span>,
}

/// Both clocks of a question, fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spans {
    /// System time; `None` is S.
    pub(crate) system: Option<Span>,
    /// Source time; `None` is no bound.
    pub(crate) valid: Option<Span>,
}

impl Folded {
    /// The version that is asked for, if one is.
    pub(crate) const fn version(&self) -> Option<u64> {
        match self.system {
            Some(Clock::Version(number)) => Some(number),
            _ => None,
        }
    }

    /// With the instant that its version stands for.
    pub(crate) fn fixed(self, version: Option<Instant>) -> Spans {
        let system = match self.system {
            Some(Clock::Span(span)) => Some(span),
            Some(Clock::Version(_)) | None => version.map(Span::at),
        };
        Spans { system, valid: self.valid }
    }
}

impl Spans {
    /// The instants of a state, or of the upper bounds.
    pub(crate) fn at(&self, present: Instant) -> At {
        At { system_time: self.system_upto().unwrap_or(present), valid_time: self.valid_upto() }
    }

    /// With the nearest instant of system time before, where a state is asked for whose history was dropped.
    pub(crate) fn nearest(self, asks: &Asks, manifest: &CollectionManifest, present: Instant) -> Self {
        let is_state = matches!(asks, Asks::Rows(moments) if !moments.is_period());
        let At { system_time, valid_time } = self.at(present);
        match manifest.start(system_time, valid_time) {
            Err(Outside { before: Some(before), .. }) if is_state => Self { system: Some(Span::at(before)), ..self },
            _ => self,
        }
    }

    /// The upper bound of system time that was asked for.
    pub(crate) fn system_upto(&self) -> Option<Instant> {
        self.system.and_then(|span| span.upto)
    }

    /// The upper bound of source time that was asked for.
    pub(crate) fn valid_upto(&self) -> Option<Instant> {
        self.valid.and_then(|span| span.upto)
    }
}

/// Folds what is asked of a table.
///
/// # Errors
/// [`Error::Invalid`] for what is no instant, [`Error::Future`].
pub(crate) fn fold(asks: &Asks, asked: Asked<'_>, state: &SessionState) -> Result<Folded, Error> {
    let none = Moments::default();
    let moments = match asks {
        Asks::Rows(moments) | Asks::Changes { upto: moments, .. } | Asks::History { upto: moments, .. } => moments,
        Asks::Versions | Asks::Snapshots | Asks::Files | Asks::Deleted => &none,
    };
    let one = |moment: &Option<Moment>, default: Option<Instant>| match moment {
        Some(moment) => clock(moment, asked, state).map(Some),
        None => Ok(default.map(|at| Clock::Span(Span::at(at)))),
    };
    let system = one(&moments.system, asked.session.as_of)?;
    let valid = match one(&moments.valid, asked.session.valid_as_of)? {
        Some(Clock::Span(span)) => Some(span),
        Some(Clock::Version(_)) | None => None,
    };
    match system {
        Some(Clock::Span(Span { upto: Some(at), .. })) if at > asked.pin.now => {
            Err(Error::Future { asked: at, now: asked.pin.now })
        }
        _ => Ok(Folded { system, valid }),
    }
}

fn clock(moment: &Moment, asked: Asked<'_>, state: &SessionState) -> Result<Clock, Error> {
    let instant = |expr| instant::fold(expr, asked.params, state);
    let before = |expr| instant::fold_before(expr, asked.params, state);
    let offset = |expr| instant::micros(expr, asked.params, state).map(|offset| asked.pin.now.plus_micros(offset));
    let span = match moment {
        Moment::AsOf(at) => Span::at(instant(at)?),
        Moment::Before(at) => Span::at(before(at)?),
        Moment::Offset(seconds) => Span::at(offset(seconds)?),
        Moment::BeforeOffset(seconds) => Span::at(offset(seconds)?.plus_micros(-STEP_US)),
        Moment::Version(number) => {
            return instant::number(number, asked.params, state).map(Clock::Version);
        }
        Moment::Between(from, to) => period(instant(from)?, instant(to)?)?,
        Moment::FromTo(from, to) => period(instant(from)?, before(to)?)?,
        Moment::All => Span { upto: None, above: Some(Instant::MIN) },
    };
    Ok(Clock::Span(span))
}

fn period(from: Instant, upto: Instant) -> Result<Span, Error> {
    if from > upto {
        return Err(Error::Invalid(format!("the period from {from} ends before it begins: swap its bounds")));
    }
    Ok(Span { upto: Some(upto), above: Some(from) })
}

/// What a table is asked, with every instant known; `from` and `id` of those that have one.
///
/// # Errors
/// [`Error::Invalid`] for what is no instant, or no id.
pub(crate) fn question(asks: &Asks, spans: &Spans, asked: Asked<'_>, state: &SessionState) -> Result<Question, Error> {
    let at = spans.at(asked.pin.system_time);
    Ok(match asks {
        Asks::Rows(moments) if moments.is_period() => {
            let keep = Keep { system: Span::kept(spans.system), valid: Span::kept(spans.valid) };
            Question::Versions { upto: at, keep }
        }
        Asks::Rows(_) => Question::State(at),
        Asks::Changes { from, .. } => {
            let from = from.as_ref().map(|from| instant::fold(from, asked.params, state)).transpose()?;
            check_order(from, spans, asked)?;
            Question::Changes { from, upto: at }
        }
        Asks::History { id, .. } => {
            let id = id.as_ref().map(|id| instant::text(id, asked.params, state)).transpose()?;
            Question::History { id, upto: at }
        }
        Asks::Versions => Question::Manifests,
        Asks::Snapshots => Question::Snapshots(asked.pin.now),
        Asks::Files => Question::Files,
        Asks::Deleted => Question::Deleted(At { system_time: asked.pin.system_time, valid_time: None }),
    })
}

/// Changes from now on are none yet; from later on, or from after the end that was named, they make no sense.
fn check_order(from: Option<Instant>, spans: &Spans, asked: Asked<'_>) -> Result<(), Error> {
    match (from, spans.system_upto()) {
        (Some(from), Some(upto)) if from > upto => {
            Err(Error::Invalid(format!("{from} lies after {upto}: name the earlier instant first")))
        }
        (Some(from), _) if from > asked.pin.now => Err(Error::Future { asked: from, now: asked.pin.now }),
        _ => Ok(()),
    }
}
