//! Judges health from what the cluster says. Pure.
