//! Decides when a run happens and carries it out.
//!
//! ```text
//! watches, sources, timers --> fleet (one task, owns all state) --step--> effects --> runs, status writes
//! ```
//!
//! [`step`] is pure; `fleet` keeps one state for each Kustomization and turns effects into tasks; `run` takes
//! one Kustomization from its files to the cluster; `sources` keeps GitRepositories fetched.

pub mod step;
