//! Explains why a workload is not healthy.
//!
//! In: [`Facts`], which are the workload and what belongs to it, as the API server gives them, and log tails. Out:
//! [`Why`]s, the worst first. Pure: [`needs()`] and [`further_needs`] tell the caller what to fetch.
//!
//! What is said here may quote logs and events, which may quote secrets: the caller redacts.

mod containers;
mod needs;
mod owned;
mod pods;
#[cfg(test)]
mod tests;
mod workload;

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use needs::{LOG_LIMIT_BYTES, LOG_TAIL_LINES, Need, further_needs, needs};

use super::reduce::shorten;

/// Longest message of a kubelet, scheduler or registry that is quoted, in bytes.
const MESSAGE_LIMIT: usize = 400;
/// Longest log line that is quoted, in bytes.
const LOG_LINE_LIMIT: usize = 300;

/// What is known of a workload. Objects that do not belong to it are left aside.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, Pod or PersistentVolumeClaim itself.
    pub workload: &'a Value,
    /// ReplicaSets of its namespace that match its selector.
    pub replica_sets: &'a [Value],
    /// Pods of its namespace that match its selector.
    pub pods: &'a [Value],
    /// Events about it, its pods and their claims.
    pub events: &'a [Value],
    /// PersistentVolumeClaims that its pods use.
    pub claims: &'a [Value],
    /// Ends of the logs of containers that crashed.
    pub logs: &'a [LogTail],
}

impl<'a> Facts<'a> {
    /// Starts with the workload alone.
    #[must_use]
    pub fn of(workload: &'a Value) -> Self {
        Self {
            workload,
            replica_sets: &[],
            pods: &[],
            events: &[],
            claims: &[],
            logs: &[],
        }
    }
}

/// End of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// The last lines, as the API server gives them.
    pub text: String,
}

/// How long a trouble may last before it counts as hopeless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Restarts after which a crashing container is hopeless, at whatever age. Flux takes the first back-off for a
    /// failure, so a pod that starts before its database does fails the whole Kustomization.
    pub restarts: i64,
    /// Age of a pod from which on a back-off after a crash is hopeless, and a refused image too.
    pub settling: SignedDuration,
}

impl Default for Patience {
    /// Three restarts (about half a minute of a kubelet's back-off), or one minute.
    fn default() -> Self {
        Self {
            restarts: 3,
            settling: SignedDuration::from_secs(60),
        }
    }
}

/// Whether it is worth waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// Only a change in Git, or of something outside, will help.
    Hopeless,
    /// It may come right by itself.
    MayRecover,
}

/// Closed set of causes, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The image cannot be pulled.
    ImagePull,
    /// The container used more memory than its limit.
    OutOfMemory,
    /// The container ends by itself.
    Crash,
    /// The container cannot be created or started: a missing ConfigMap or Secret, a command that does not exist.
    CannotStart,
    /// The Job failed.
    JobFailed,
    /// The API server refuses the pods: quota, pod security, a missing ServiceAccount.
    PodsRefused,
    /// A volume cannot be attached or mounted.
    Mount,
    /// A PersistentVolumeClaim is not bound.
    ClaimPending,
    /// No node takes the pod.
    Unschedulable,
    /// The pod was evicted, or its node refused it.
    Evicted,
    /// The container runs and its probes fail.
    NotReady,
    /// The rollout is paused.
    Paused,
}

impl Reason {
    /// A word for metrics and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImagePull => "ImagePull",
            Self::OutOfMemory => "OutOfMemory",
            Self::Crash => "Crash",
            Self::CannotStart => "CannotStart",
            Self::JobFailed => "JobFailed",
            Self::PodsRefused => "PodsRefused",
            Self::Mount => "Mount",
            Self::ClaimPending => "ClaimPending",
            Self::Unschedulable => "Unschedulable",
            Self::Evicted => "Evicted",
            Self::NotReady => "NotReady",
            Self::Paused => "Paused",
        }
    }
}

/// One cause. Written with [`fmt::Display`], it is a sentence without its final period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The cause by kind.
    pub reason: Reason,
    /// Whether it is worth waiting.
    pub outlook: Outlook,
    /// Pod in which it was seen.
    pub pod: Option<String>,
    /// Pods that have the same trouble besides this one.
    pub other_pods: usize,
    /// Container in which it was seen.
    pub container: Option<String>,
    /// Whether that is an init container.
    pub init: bool,
    /// Image that the container was to run.
    pub image: Option<String>,
    /// Exit code of the last run.
    pub exit_code: Option<i64>,
    /// Restarts so far.
    pub restarts: i64,
    /// Memory limit of the container, as its spec has it.
    pub memory_limit: Option<String>,
    /// Words of the kubelet, the scheduler, the registry or the API server; may be empty.
    pub message: String,
    /// The last line that the container logged.
    pub last_log_line: Option<String>,
}

impl Why {
    /// A cause of which nothing more is known.
    #[must_use]
    pub fn new(reason: Reason, outlook: Outlook) -> Self {
        Self {
            reason,
            outlook,
            pod: None,
            other_pods: 0,
            container: None,
            init: false,
            image: None,
            exit_code: None,
            restarts: 0,
            memory_limit: None,
            message: String::new(),
            last_log_line: None,
        }
    }

    /// Sets what others said about it.
    #[must_use]
    fn saying(mut self, message: &str) -> Self {
        self.message = one_line(message, MESSAGE_LIMIT);
        self
    }
}

/// Finds the causes that keep a workload from being healthy: the worst first, each kind of trouble of a container
/// once. Empty when the facts show none.
#[must_use]
pub fn explain(facts: &Facts<'_>, now: Timestamp, patience: &Patience) -> Vec<Why> {
    let mut whys = workload::troubles(facts);
    for pod in owned::pods_to_look_at(facts) {
        whys.extend(pods::troubles(pod, facts, now, patience));
    }
    for claim in facts.claims {
        whys.extend(workload::claim_trouble(claim, facts.events));
    }
    // A Job that has failed does not wait for its pods any more.
    if whys.iter().any(|why| why.reason == Reason::JobFailed) {
        whys.iter_mut().for_each(|why| why.outlook = Outlook::Hopeless);
    }
    let mut distinct: Vec<Why> = Vec::new();
    for why in whys {
        match distinct.iter_mut().find(|known| same_trouble(known, &why)) {
            Some(known) => known.other_pods += usize::from(known.pod != why.pod),
            None => distinct.push(why),
        }
    }
    distinct.sort_by_key(|why| (why.outlook, why.reason));
    distinct
}

fn same_trouble(one: &Why, other: &Why) -> bool {
    (one.reason, &one.container, one.exit_code, one.pod.is_some())
        == (
            other.reason,
            &other.container,
            other.exit_code,
            other.pod.is_some(),
        )
        && (one.container.is_some() || one.message == other.message)
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pod) = &self.pod {
            write!(formatter, "pod {pod}")?;
            match self.other_pods {
                0 => {}
                1 => formatter.write_str(" and another")?,
                more => write!(formatter, " and {more} others")?,
            }
            formatter.write_str(": ")?;
        }
        self.write_cause(formatter)?;
        if let Some(line) = &self.last_log_line {
            write!(formatter, "; its last log line: {line}")?;
        }
        Ok(())
    }
}

impl Why {
    fn write_cause(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.init { "init container" } else { "container" };
        let name = self.container.as_deref().unwrap_or("?");
        match self.reason {
            Reason::ImagePull => {
                match &self.image {
                    Some(image) => {
                        write!(formatter, "image {image:?} of {kind} {name:?} cannot be pulled")?;
                    }
                    None => write!(formatter, "the image of {kind} {name:?} cannot be pulled")?,
                }
                self.write_message(formatter)
            }
            Reason::OutOfMemory => {
                write!(
                    formatter,
                    "{kind} {name:?} was killed for using more memory than "
                )?;
                match &self.memory_limit {
                    Some(limit) => write!(formatter, "its limit of {limit}")?,
                    None => formatter.write_str("its node has")?,
                }
                self.write_restarts(formatter)
            }
            Reason::Crash => {
                write!(formatter, "{kind} {name:?} exited")?;
                if let Some(code) = self.exit_code {
                    write!(formatter, " with code {code}")?;
                    if let Some(meaning) = containers::meaning_of(code) {
                        write!(formatter, " ({meaning})")?;
                    }
                }
                self.write_restarts(formatter)?;
                self.write_message(formatter)
            }
            Reason::CannotStart => {
                write!(formatter, "{kind} {name:?} cannot start")?;
                self.write_message(formatter)
            }
            Reason::NotReady => {
                write!(formatter, "{kind} {name:?} runs but is not ready")?;
                self.write_restarts(formatter)?;
                self.write_message(formatter)
            }
            Reason::JobFailed => self.write_phrase(formatter, "the job failed"),
            Reason::PodsRefused => self.write_phrase(formatter, "pods cannot be created"),
            Reason::Mount => self.write_phrase(formatter, "its volumes cannot be mounted"),
            Reason::ClaimPending => self.write_phrase(formatter, "a volume claim is not bound"),
            Reason::Unschedulable => self.write_phrase(formatter, "no node takes it"),
            Reason::Evicted => self.write_phrase(formatter, "it was evicted"),
            Reason::Paused => formatter.write_str("the rollout is paused by spec.paused"),
        }
    }

    fn write_phrase(&self, formatter: &mut fmt::Formatter<'_>, phrase: &str) -> fmt::Result {
        formatter.write_str(phrase)?;
        self.write_message(formatter)
    }

    fn write_message(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.message)
    }

    fn write_restarts(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.restarts {
            0 => Ok(()),
            1 => formatter.write_str(", restarted once"),
            times => write!(formatter, ", restarted {times} times"),
        }
    }
}

/// Makes one line of a text that others wrote: colours are left out, control characters and runs of spaces become
/// one space.
fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let plain = without_colours(text);
    for word in plain.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > limit {
            return shorten(&line, limit).into_owned();
        }
    }
    line
}

/// Removes ANSI control sequences: `ESC [`, parameters, one final byte (ECMA-48, 5.4).
fn without_colours(text: &str) -> Cow<'_, str> {
    const OPENING: &str = "\u{1b}[";
    if !text.contains(OPENING) {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split(OPENING);
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|character: char| ('@'..='~').contains(&character));
        plain.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    Cow::Owned(plain)
}

/// Text of a field, or an empty one.
fn text<'a>(parent: &'a Value, name: &str) -> &'a str {
    parent[name].as_str().unwrap_or_default()
}

/// Entries of a list, or none.
fn entries<'a>(parent: &'a Value, name: &str) -> &'a [Value] {
    parent[name].as_array().map_or(&[], Vec::as_slice)
}

/// Messages of events about the object of this uid with one of these reasons, the newest first.
fn event_messages<'a>(events: &'a [Value], uid: &str, reasons: &[&str]) -> Vec<&'a str> {
    let mut found: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| text(&event["involvedObject"], "uid") == uid && !uid.is_empty())
        .filter(|event| reasons.contains(&text(event, "reason")))
        .map(|event| (event_time(event), text(event, "message")))
        .collect();
    found.sort_by(|one, other| other.0.cmp(one.0));
    found.into_iter().map(|(_, message)| message).collect()
}

/// When an event happened last; RFC 3339 in UTC sorts as text.
fn event_time(event: &Value) -> &str {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
    ];
    times.into_iter().find_map(Value::as_str).unwrap_or_default()
}
