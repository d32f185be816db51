//! Every fault that can be built into the embedded cluster is noticed by a row. `make mutants` runs this.

use embedded_cluster::Mutant;
use futures::StreamExt as _;
use kube::Client;
use tests::world::client;

use crate::answers::{AGENT, AT_ONCE, differences_of, embedded, is_accepted};
use crate::compare::Difference;
use crate::golden;
use crate::play::play;
use crate::topics;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_noticed() {
    // What is seen without a fault would be seen with each.
    let sound = embedded().await;
    let found = first_difference(&client(&sound.kubeconfig(), AGENT).await).await;
    assert_eq!(found, None, "there is a difference without a fault");
    let mut unnoticed = Vec::new();
    for mutant in Mutant::ALL {
        mutant.choose();
        let cluster = embedded().await;
        let client = client(&cluster.kubeconfig(), AGENT).await;
        match first_difference(&client).await {
            Some(found) => println!("{mutant:?}, {}: noticed by {:?}", mutant.fault(), found.row),
            None => unnoticed.push(mutant),
        }
    }
    assert!(unnoticed.is_empty(), "no row notices {unnoticed:?}");
}

/// The first difference that is not accepted; the cases after it are not told to the end.
async fn first_difference(client: &Client) -> Option<Difference> {
    let cases = topics::all()
        .into_iter()
        .flat_map(|topic| topic.cases.into_iter().map(move |case| (topic.name, case)));
    let differences = futures::stream::iter(cases)
        .map(|(topic, case)| async move {
            let recorded = golden::read(topic);
            let rows = recorded
                .get(case.name)
                .and_then(|rows| rows.as_array())
                .cloned()
                .unwrap_or_default();
            let answers = play(&case, client).await;
            let found = rows
                .iter()
                .zip(&answers)
                .flat_map(|(row, answer)| differences_of(case.name, row, answer));
            found
                .filter(|difference| !is_accepted(difference))
                .collect::<Vec<_>>()
        })
        .buffer_unordered(AT_ONCE);
    std::pin::pin!(differences.filter_map(|found| async { found.into_iter().next() }))
        .next()
        .await
}
