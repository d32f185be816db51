//! Writes what was planned and recorded.
