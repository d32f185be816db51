//! The cluster as clients see it: one program, so that it is linked once.

mod apply;
mod decode;
mod faulty;
mod kubectl;
mod malformed;
mod objects;
mod protobuf;
mod support;
mod workloads;
