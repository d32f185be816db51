//! The cluster as clients see it: one program, so that it is linked once.

mod apply;
mod faulty;
mod kubectl;
mod objects;
mod support;
mod workloads;
