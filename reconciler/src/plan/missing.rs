//! What an object cannot be there without. Pure.

use super::Gvk;

/// What is not there and an object cannot be without: what it waits for may appear by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missing {
    /// Its kind is not served.
    Kind(Gvk),
    /// Its namespace does not exist.
    Namespace(String),
}
