//! A sequence of writes, played on both servers. Does I/O.
//!
//! In: random numbers. Out: the first step after which the two do not hold the same object, with the same owners.

use std::fmt;

use serde_json::{Value, json};

use crate::compare::differences;
use crate::content::Schema;
use crate::mask::Masks;
use crate::random::Random;
use crate::side::Side;

const MANAGERS: [&str; 3] = ["one", "two", "three"];
const LONGEST: usize = 7;

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Apply,
    Force,
    Update,
    Patch,
    Strategic,
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    how: How,
    manager: &'static str,
    content: Value,
}

/// Writes to one object.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    schema: Schema,
    pub(crate) steps: Vec<Step>,
}

/// A sequence that ends differently, as short as it can be.
pub(crate) struct Found {
    seed: u64,
    sequence: Sequence,
    /// Where the answers to the last step differ.
    at: Vec<(String, Option<Value>, Option<Value>)>,
}

/// An object on one of the servers.
struct Object<'a> {
    side: &'a Side,
    masks: Masks,
    /// A defined kind has to be updated from a version.
    version: Option<Value>,
}

impl Sequence {
    /// A random one.
    pub(crate) fn random(random: &mut Random) -> Self {
        let schema = *random.one(&Schema::ALL);
        let length = 2 + random.below(LONGEST - 1);
        let step = |random: &mut Random, first: bool| {
            let how = match random.below(100) {
                0..50 => How::Apply,
                50..70 => How::Force,
                70..83 => How::Update,
                83..91 if schema != Schema::Thing => How::Strategic,
                _ => How::Patch,
            };
            let how = if first { How::Apply } else { how };
            let complete = first || how == How::Update || random.percent(60);
            let mut content = schema.content(random, complete);
            if how == How::Strategic
                && let Some(Value::Array(ports)) = content.pointer_mut("/spec/ports")
            {
                // It knows ports by their number alone, and upstream fails by itself where two have the same.
                ports.retain(|port| port["protocol"] != "UDP");
            }
            Step {
                how,
                manager: random.one::<&str>(&MANAGERS),
                content,
            }
        };
        let steps = (0..length).map(|number| step(random, number == 0)).collect();
        Self { schema, steps }
    }

    /// Plays it on both; where the answers to a step differ, and which step it was.
    pub(crate) async fn compare(
        &self,
        upstream: &Side,
        embedded: &Side,
        name: &str,
    ) -> Option<(usize, Vec<(String, Option<Value>, Option<Value>)>)> {
        let object = |side| Object {
            side,
            masks: Masks::default(),
            version: None,
        };
        let (mut left, mut right) = (object(upstream), object(embedded));
        for (number, step) in self.steps.iter().enumerate() {
            let (a, b) = futures::join!(
                left.play(self.schema, step, name),
                right.play(self.schema, step, name)
            );
            let at = differences(&a, &b);
            if !at.is_empty() {
                return Some((number, at));
            }
        }
        None
    }

    /// Without the steps that are not needed for it to differ.
    pub(crate) async fn shrunk(mut self, upstream: &Side, embedded: &Side, seed: u64) -> Found {
        let mut tried = 0;
        let mut found = None;
        loop {
            tried += 1;
            let name = format!("s{seed}-{tried}");
            let Some((number, at)) = self.compare(upstream, embedded, &name).await else {
                // It differed once and not again: as it was played, that is what there is to tell.
                let at = found.unwrap_or_default();
                return Found {
                    seed,
                    sequence: self,
                    at,
                };
            };
            self.steps.truncate(number + 1);
            found = Some(at);
            let mut shorter = None;
            for without in 0..self.steps.len().saturating_sub(1) {
                tried += 1;
                let mut candidate = self.clone();
                candidate.steps.remove(without);
                if candidate
                    .compare(upstream, embedded, &format!("s{seed}-{tried}"))
                    .await
                    .is_some()
                {
                    shorter = Some(candidate);
                    break;
                }
            }
            match shorter {
                Some(shorter) => self = shorter,
                None => {
                    return Found {
                        seed,
                        sequence: self,
                        at: found.unwrap_or_default(),
                    };
                }
            }
        }
    }
}

impl Object<'_> {
    /// Writes, and tells the answer in a form that can be compared.
    async fn play(&mut self, schema: Schema, step: &Step, name: &str) -> Value {
        let (api_version, kind, path) = schema.names();
        let mut body = step.content.clone();
        body["apiVersion"] = api_version.into();
        body["kind"] = kind.into();
        body["metadata"]["name"] = name.into();
        if step.how == How::Update && schema == Schema::Thing {
            body["metadata"]["resourceVersion"] = self.version.clone().unwrap_or("1".into());
        }
        let force = if step.how == How::Force { "&force=true" } else { "" };
        let uri = format!("{path}/{name}?fieldManager={}{force}", step.manager);
        let (method, media) = match step.how {
            How::Apply | How::Force => ("PATCH", "application/apply-patch+yaml"),
            How::Update => ("PUT", "application/json"),
            How::Patch => ("PATCH", "application/merge-patch+json"),
            How::Strategic => ("PATCH", "application/strategic-merge-patch+json"),
        };
        let (code, body) = self.side.ask(method, &uri, media, &body).await;
        if code < 300 {
            self.version = body.pointer("/metadata/resourceVersion").cloned();
            return self.masks.mask(json!({ "code": code, "body": body }));
        }
        let mut causes = body
            .pointer("/details/causes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        // Go tells causes in the order of a map, which is none, and messages with them.
        causes.sort_by_key(Value::to_string);
        self.masks
            .mask(json!({ "code": code, "reason": body["reason"], "causes": causes }))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {:?}:", self.seed, self.sequence.schema)?;
        for step in &self.sequence.steps {
            writeln!(f, "  {:?} by {:?}: {}", step.how, step.manager, step.content)?;
        }
        for (pointer, upstream, other) in self.at.iter().take(4) {
            let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
            writeln!(
                f,
                "  {pointer}\n  - upstream: {}\n  + here:     {}",
                shown(upstream),
                shown(other)
            )?;
        }
        Ok(())
    }
}
