//! The way of what was applied to health, and what each judgement on the way means. Pure.
//!
//! ```text
//!              healthy                in progress
//!   Until ----------------> Healthy ---------------> Again
//!     |                      ^   ^ <----------------- |
//!     | failed, deadline     |   |      healthy       | failed, deadline
//!     +--------> Unhealthy --+   |                    |
//!                    ^    healthy                     |
//!                    +--------------------------------+
//! ```

use jiff::Timestamp;

use super::Health;

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settling {
    /// Nothing is waited for.
    No,
    /// Health is waited for until then.
    Until(Timestamp),
    /// It was healthy.
    Healthy,
    /// It was healthy and is on its way again until then.
    Again(Timestamp),
    /// It was reported unhealthy.
    Unhealthy,
}

/// What a judgement means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is no news.
    None,
    /// It became healthy.
    Healthy,
    /// It failed, and why.
    Unhealthy(String),
}

impl Settling {
    /// Takes a judgement in; what was healthy and is on its way again has until `again` for it.
    pub(super) fn judged(&mut self, health: Health, again: Timestamp) -> Turn {
        let (next, turn) = match (*self, health) {
            (Self::No, _) => (Self::No, Turn::None),
            (Self::Healthy | Self::Again(_), Health::Healthy) => (Self::Healthy, Turn::None),
            (Self::Until(_) | Self::Unhealthy, Health::Healthy) => (Self::Healthy, Turn::Healthy),
            (Self::Healthy, Health::InProgress) => (Self::Again(again), Turn::None),
            (same, Health::InProgress) => (same, Turn::None),
            (Self::Unhealthy, Health::Failed(_)) => (Self::Unhealthy, Turn::None),
            (_, Health::Failed(why)) => (Self::Unhealthy, Turn::Unhealthy(why)),
        };
        *self = next;
        turn
    }

    /// Time passed; gives whether its deadline is over with that.
    pub(super) fn passed(&mut self, now: Timestamp) -> bool {
        let is_over = self.deadline().is_some_and(|deadline| now >= deadline);
        if is_over {
            *self = Self::Unhealthy;
        }
        is_over
    }

    /// Until when it has to be healthy, if it is on its way.
    pub(super) fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::Until(at) | Self::Again(at) => Some(at),
            Self::No | Self::Healthy | Self::Unhealthy => None,
        }
    }
}
