//! The demonstration: a cluster, a Git server and a controller on this machine, and a story told with them.
//!
//! ```text
//! project's files --repository--> bare repository <--push-- story
//!                                      | crate::git_server (HTTP)
//!                                      v
//!                    controller (a process) --HTTPS--> embedded cluster (a process) <--look-- story
//! ```

mod edits;
pub mod processes;
pub mod pushes;
pub mod repository;
pub mod stage;
pub mod story;
pub mod teller;
pub mod world;
