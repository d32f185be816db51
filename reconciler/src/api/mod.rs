//! Flux's objects as types.
