//! From a file tree to objects. Pure.
