//! Random sequences of writes by three managers, on upstream's API server and on the embedded cluster, which have to
//! answer alike after each. `make conformance` runs a few hundred, the same ones each time.
//!
//! `CORACLE_SEQUENCES` says how many, `CORACLE_SEED` from which random number on. A sequence that differs is cut down
//! to the steps that are needed, and told as one; it then belongs into the matrix, as rows of the topic `found`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a comparison that cannot be set up fails"
)]

#[path = "../matrix/compare.rs"]
#[allow(dead_code, reason = "the matrix uses more of it")]
mod compare;
#[path = "../matrix/mask.rs"]
mod mask;

mod content;
mod random;
mod sequence;
mod side;

use futures::StreamExt as _;
use tests::control_plane::ControlPlane;
use tests::world::client;

use random::Random;
use sequence::{Found, Sequence};
use side::Side;

/// Sequences that are played at the same time.
const AT_ONCE: usize = 12;
/// Names the manager where nothing else does.
const AGENT: &str = "differential";
/// Sequences that are shown in full.
const SHOWN: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_random_sequence_is_answered_alike() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.map_or(default, |given| given.parse().unwrap())
    };
    let (seed, count) = (number("CORACLE_SEED", 1), number("CORACLE_SEQUENCES", 300));
    let control_plane = ControlPlane::without_workloads().await;
    let config = embedded_cluster::Config {
        workloads: false,
        ..embedded_cluster::Config::default()
    };
    let cluster = embedded_cluster::Cluster::start(config).await.unwrap();
    let upstream = Side::new(client(&control_plane.kubeconfig(), AGENT).await).await;
    let embedded = Side::new(client(&cluster.kubeconfig(), AGENT).await).await;

    let mut steps = 0;
    let mut found: Vec<Found> = Vec::new();
    let played = futures::stream::iter(seed..seed + count)
        .map(|seed| {
            let (upstream, embedded) = (&upstream, &embedded);
            async move {
                let sequence = Sequence::random(&mut Random::new(seed));
                let steps = sequence.steps.len();
                (
                    steps,
                    sequence
                        .compare(upstream, embedded, &format!("s{seed}"))
                        .await
                        .map(|_| (seed, sequence)),
                )
            }
        })
        .buffer_unordered(AT_ONCE);
    let mut played = std::pin::pin!(played);
    while let Some((played, different)) = played.next().await {
        steps += played;
        if let Some((seed, sequence)) = different {
            found.push(sequence.shrunk(&upstream, &embedded, seed).await);
        }
    }
    println!(
        "{count} sequences from {seed} on, {steps} steps, {} differ",
        found.len()
    );
    let shown: Vec<String> = found.iter().take(SHOWN).map(Found::to_string).collect();
    assert!(
        found.is_empty(),
        "{} of {count} sequences differ:\n{}",
        found.len(),
        shown.join("\n")
    );
}
