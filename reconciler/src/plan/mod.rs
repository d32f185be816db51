//! Decides what would be done. Pure.
