//! Asks all rows of one cluster and compares its answers with the recorded ones. Does I/O.

use std::collections::HashSet;

use embedded_cluster::Config;
use futures::StreamExt as _;
use kube::Client;
use serde_json::{Map, Value};
use tests::cluster::WHICH;
use tests::control_plane::ControlPlane;
use tests::world::client;

use crate::accepted::ACCEPTED;
use crate::case::Case;
use crate::compare::{Difference, differences, fits};
use crate::golden;
use crate::play::{Answer, play};
use crate::topics::{self, Topic};

/// Cases that are told at the same time.
pub(crate) const AT_ONCE: usize = 8;
/// Names the field manager where a row does not.
pub(crate) const AGENT: &str = "matrix";
/// Records what upstream answers, instead of comparing: `make matrix-goldens` sets it.
const RECORD: &str = "CORACLE_MATRIX_RECORD";

/// Starts an embedded cluster that only answers requests.
pub(crate) async fn embedded() -> embedded_cluster::Cluster {
    let config = Config {
        workloads: false,
        ..Config::default()
    };
    let cluster = embedded_cluster::Cluster::start(config).await.unwrap();
    // Upstream compacts its history every few seconds: what was before the first row is gone.
    cluster.faults().compact();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_as_upstream_answers_it() {
    let is_upstream = std::env::var(WHICH).is_ok_and(|which| which == "upstream");
    if !is_upstream {
        let cluster = embedded().await;
        let client = client(&cluster.kubeconfig(), AGENT).await;
        let found = compare(&all(&client).await);
        return assert_accepted(&found);
    }
    let upstream = ControlPlane::without_workloads().await;
    let answers = all(&client(&upstream.kubeconfig(), AGENT).await).await;
    if std::env::var_os(RECORD).is_some() {
        return record(&answers);
    }
    let found = compare(&answers);
    assert!(
        found.is_empty(),
        "upstream does not answer as recorded (`make matrix-goldens` records):\n{}",
        shown(&found)
    );
}

/// A case with its answers.
type Told = (&'static str, Case, Vec<Answer>);

async fn all(client: &Client) -> Vec<Told> {
    let only = std::env::var("CORACLE_MATRIX_ONLY").ok();
    let topics = topics::all();
    assert_named_once(&topics);
    let cases = topics
        .into_iter()
        .filter(|topic| only.as_deref().is_none_or(|only| topic.name == only))
        .flat_map(|topic| topic.cases.into_iter().map(move |case| (topic.name, case)));
    futures::stream::iter(cases)
        .map(|(topic, case)| async move {
            let answers = play(&case, client).await;
            (topic, case, answers)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// The list of what is accepted names rows by their sentences.
fn assert_named_once(topics: &[Topic]) {
    let mut seen = HashSet::new();
    for row in topics
        .iter()
        .flat_map(|topic| &topic.cases)
        .flat_map(|case| &case.rows)
    {
        assert!(seen.insert(row.name), "two rows say {:?}", row.name);
    }
}

fn record(told: &[Told]) {
    for (_, case, answers) in told {
        for answer in answers {
            let in_vain = answer
                .answer
                .as_object()
                .is_some_and(|fields| fields.keys().any(|key| key.starts_with("waited in vain")));
            assert!(!in_vain, "{:?}, {:?}: {:#}", case.name, answer.row, answer.answer);
        }
    }
    let topics: HashSet<&str> = told.iter().map(|(topic, _, _)| *topic).collect();
    for topic in topics {
        let of_topic = told.iter().filter(|(name, _, _)| *name == topic);
        let cases: Vec<(&str, Vec<Answer>)> = of_topic
            .map(|(_, case, answers)| (case.name, answers.clone()))
            .collect();
        golden::write(topic, &cases);
    }
}

/// Where answers are not the recorded ones.
pub(crate) fn compare(told: &[Told]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut recorded: Map<String, Value> = Map::new();
    let mut topic = "";
    for (name, case, answers) in told {
        if *name != topic {
            topic = name;
            recorded = golden::read(topic);
        }
        let rows = recorded
            .get(case.name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        assert!(
            rows.len() == answers.len(),
            "{:?} has {} rows, and {} are recorded: run `make matrix-goldens`",
            case.name,
            answers.len(),
            rows.len()
        );
        for (recorded, answer) in rows.iter().zip(answers) {
            found.extend(differences_of(case.name, recorded, answer));
        }
    }
    found
}

/// Where an answer is not the recorded one.
pub(crate) fn differences_of(case: &str, recorded: &Value, answer: &Answer) -> Vec<Difference> {
    let is_same_row =
        recorded["row"] == answer.row.as_str() && recorded["request"] == answer.request.as_str();
    assert!(
        is_same_row,
        "{case:?}, {:?} is not what is recorded: run `make matrix-goldens`",
        answer.row
    );
    let found = if recorded["answer"]["code"] == answer.answer["code"] {
        differences(&recorded["answer"], &answer.answer)
    } else {
        // Then nothing else is the same either, and one difference says it all.
        vec![(
            String::new(),
            Some(recorded["answer"].clone()),
            Some(answer.answer.clone()),
        )]
    };
    found
        .into_iter()
        .map(|(pointer, upstream, other)| Difference {
            case: case.to_owned(),
            row: answer.row.clone(),
            request: answer.request.clone(),
            pointer,
            upstream,
            other,
        })
        .collect()
}

/// Whether a difference is listed.
pub(crate) fn is_accepted(difference: &Difference) -> bool {
    ACCEPTED.iter().any(|accepted| {
        let fits = |pointer: &&str| fits(pointer, &difference.pointer);
        accepted.rows.contains(&difference.row.as_str()) && accepted.pointers.iter().any(fits)
    })
}

fn assert_accepted(found: &[Difference]) {
    let unlisted: Vec<Difference> = found
        .iter()
        .filter(|difference| !is_accepted(difference))
        .cloned()
        .collect();
    assert!(
        unlisted.is_empty(),
        "{} differences are not accepted:\n{}",
        unlisted.len(),
        shown(&unlisted)
    );
    if std::env::var_os("CORACLE_MATRIX_ONLY").is_some() {
        return;
    }
    for accepted in ACCEPTED {
        for (row, pointer) in accepted
            .rows
            .iter()
            .flat_map(|row| accepted.pointers.iter().map(move |pointer| (row, pointer)))
        {
            let is_it =
                |difference: &Difference| difference.row == *row && fits(pointer, &difference.pointer);
            assert!(
                found.iter().any(is_it),
                "{row:?} differs no longer at {pointer:?}: take it from the list"
            );
        }
    }
}

fn shown(found: &[Difference]) -> String {
    let lines: Vec<String> = found.iter().map(Difference::to_string).collect();
    lines.join("\n")
}
