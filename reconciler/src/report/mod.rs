//! Status, Events and metrics from one ChangeSet and Verdict.

pub mod redact;
