//! The cluster as clients see it: one program, so that it is linked once.

mod faulty;
mod objects;
mod support;
mod workloads;
