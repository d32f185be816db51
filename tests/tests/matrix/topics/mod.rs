//! What the matrix asks, by topic. No I/O.

mod applied_workloads;
mod applies;
mod checking;
mod completing;
mod custom;
mod custom_parts;
mod decoding;
mod defaults;
mod definitions;
mod deleting;
mod found;
mod lists;
mod namespaces;
mod naming;
mod patches;
mod selecting;
mod serving;
pub(crate) mod shapes;
mod subresources;
mod verbs;
mod watching;

use crate::case::Case;

/// Cases about one thing. Its name is that of the file of recorded answers.
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// All topics.
pub(crate) fn all() -> Vec<Topic> {
    let topic = |name, cases| Topic { name, cases };
    vec![
        topic("verbs", verbs::cases()),
        topic("decoding", decoding::cases()),
        topic("checking", checking::cases()),
        topic("defaults", defaults::cases()),
        topic("completing", completing::cases()),
        topic("naming", naming::cases()),
        topic("subresources", subresources::cases()),
        topic("patches", patches::cases()),
        topic("applies", applies::cases()),
        topic("applied_workloads", applied_workloads::cases()),
        topic("lists", lists::cases()),
        topic("selecting", selecting::cases()),
        topic("watching", watching::cases()),
        topic("deleting", deleting::cases()),
        topic("namespaces", namespaces::cases()),
        topic("definitions", definitions::cases()),
        topic("custom", custom::cases()),
        topic("custom_parts", custom_parts::cases()),
        topic("serving", serving::cases()),
        topic("found", found::cases()),
    ]
}
