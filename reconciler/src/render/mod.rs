//! From a file tree to objects. Pure.

pub mod substitute;
