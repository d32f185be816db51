//! Watches what surrounds the objects of Kustomizations: definitions of kinds, the configuration of admission, and
//! namespaces. Does I/O; what counts as a change is decided in `sights`, when it is told in `timing`.
//!
//! Three things follow from what is seen. A changed definition or admission has those whose objects it concerns
//! checked (rule 12), once for a burst of changes. A definition that appears or goes has discovery look anew. A kind
//! or a namespace that appears runs those that failed without it. Of everything only metadata is asked for.

mod sights;
mod timing;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use tokio::sync::mpsc;

use self::sights::{Sight, Sights, What};
use self::timing::{Burst, Looks};
use super::context::Context;
use super::fleet::Message;
use crate::cluster::Kind;
use crate::plan::Gvk;

/// Metadata of objects that are listed at once: that of a definition can be large, by its managed fields.
const PAGE: u32 = 20;
const NEWS: usize = 256;

/// What changed of that which admits objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Objects of any kind may be admitted otherwise.
    pub(crate) everything: bool,
    /// So may objects of these kinds, by group and kind.
    pub(crate) kinds: BTreeSet<(String, String)>,
}

impl Changes {
    /// Of the server itself, or of its admission.
    pub(crate) fn of_everything() -> Self {
        Self {
            everything: true,
            kinds: BTreeSet::new(),
        }
    }
}

/// What an object that is watched means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Definitions,
    Admission,
    Namespaces,
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const WATCHED: [(&str, &str, Part); 8] = [
    ("", "Namespace", Part::Namespaces),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        Part::Definitions,
    ),
    (ADMISSION, "ValidatingWebhookConfiguration", Part::Admission),
    (ADMISSION, "MutatingWebhookConfiguration", Part::Admission),
    (ADMISSION, "ValidatingAdmissionPolicy", Part::Admission),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", Part::Admission),
    (ADMISSION, "MutatingAdmissionPolicy", Part::Admission),
    (ADMISSION, "MutatingAdmissionPolicyBinding", Part::Admission),
];

/// Something was seen by one of the watches.
struct News {
    part: Part,
    name: String,
    what: What,
}

struct Surroundings {
    cx: Arc<Context>,
    news: mpsc::Sender<News>,
    watched: HashSet<&'static str>,
    burst: Burst,
    looks: Looks,
}

/// Tells the fleet of what changes; ends when it is dropped, and its watches with it.
pub(crate) async fn follow(cx: Arc<Context>) {
    let (news, mut inbox) = mpsc::channel(NEWS);
    let clock = &cx.config.clock;
    let mut known = cx.discovery.changes();
    let mut this = Surroundings {
        burst: Burst::new(cx.config.debounce),
        cx: cx.clone(),
        news,
        watched: HashSet::new(),
        looks: Looks::default(),
    };
    let mut watches = tokio::task::JoinSet::new();
    this.watch_what_is_served(&mut watches);
    loop {
        let next = [this.burst.due(), this.looks.due()].into_iter().flatten().min();
        tokio::select! {
            Some(news) = inbox.recv() => this.take(news, clock.now()).await,
            Ok(()) = known.changed() => {
                this.watch_what_is_served(&mut watches);
                this.tell(Message::Discovered).await;
            }
            () = cx.discovery.forgotten() => this.looks.doubt(clock.now()),
            () = clock.until(next.unwrap_or_default()), if next.is_some() => this.fire(clock.now()).await,
        }
    }
}

impl Surroundings {
    /// A server serves policies only from some version on, and may be upgraded.
    fn watch_what_is_served(&mut self, watches: &mut tokio::task::JoinSet<()>) {
        for (group, kind, part) in WATCHED {
            if self.watched.contains(kind) {
                continue;
            }
            let gvk = Gvk {
                group: group.to_owned(),
                version: "v1".to_owned(),
                kind: kind.to_owned(),
            };
            let Some(kind_served) = self.cx.discovery.known_in_any_version(&gvk) else {
                continue;
            };
            self.watched.insert(kind);
            let (client, news) = (self.cx.api.client().clone(), self.news.clone());
            watches.spawn(watch(client, kind_served, part, news));
        }
    }

    async fn take(&mut self, News { part, name, what }: News, now: Timestamp) {
        match (part, what) {
            (Part::Namespaces, What::Listed | What::Appeared) => {
                self.tell(Message::NamespaceAppeared(name)).await;
            }
            (Part::Namespaces, What::Gone) => self.tell(Message::NamespaceGone(name)).await,
            (Part::Admission, What::Appeared | What::Changed | What::Gone) => {
                self.burst.add(Changes::of_everything(), now);
            }
            (Part::Definitions, what) => self.definition(name, what, now),
            _ => {}
        }
    }

    fn definition(&mut self, name: String, what: What, now: Timestamp) {
        let discovery = &self.cx.discovery;
        match what {
            What::Appeared => {
                discovery.definition_goes(&name, false);
                self.looks.wait_for(name, now);
            }
            // Its status moves when it is established.
            What::Listed | What::Stirred if discovery.defined_by(&name).is_empty() => {
                self.looks.wait_for(name, now);
            }
            What::Listed | What::Stirred => {}
            What::Changed => {
                let kinds = discovery.defined_by(&name).into_iter();
                let changes = Changes {
                    everything: false,
                    kinds: kinds.map(|gvk| (gvk.group, gvk.kind)).collect(),
                };
                self.looks.doubt(now);
                self.burst.add(changes, now);
            }
            What::Going => discovery.definition_goes(&name, true),
            What::Gone => {
                discovery.definition_goes(&name, false);
                self.looks.doubt(now);
            }
        }
    }

    async fn fire(&mut self, now: Timestamp) {
        if let Some(changes) = self.burst.take(now) {
            tracing::info!(
                ?changes,
                "what admits objects changed: those concerned are checked"
            );
            self.tell(Message::SurroundingsChanged(changes)).await;
        }
        if self.looks.due().is_some_and(|at| now >= at) {
            if let Err(error) = self.cx.discovery.refresh(&self.cx.api, Duration::ZERO).await {
                tracing::warn!(%error, "what the API server serves could not be read");
                self.looks.failed(now);
                return;
            }
            let discovery = &self.cx.discovery;
            self.looks
                .looked(now, |name| !discovery.defined_by(name).is_empty());
        }
    }

    async fn tell(&self, message: Message) {
        // The fleet ends only when the controller does.
        let _ = self.cx.messages.send(message).await;
    }
}

async fn watch(client: kube::Client, kind: Kind, part: Part, news: mpsc::Sender<News>) {
    let resource = ApiResource {
        group: kind.gvk.group.clone(),
        version: kind.gvk.version.clone(),
        api_version: kind.gvk.api_version(),
        kind: kind.gvk.kind.clone(),
        plural: kind.plural.clone(),
    };
    let objects = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &resource);
    let config = watcher::Config::default().page_size(PAGE);
    let mut stream = watcher::watcher(objects, config).default_backoff().boxed();
    let mut sights = Sights::default();
    while let Some(answer) = stream.next().await {
        let seen = match answer {
            Ok(watcher::Event::Init) => {
                sights.list_begins();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                sights.saw(Sight::of(&object.metadata))
            }
            Ok(watcher::Event::InitDone) => sights.list_ends(),
            Ok(watcher::Event::Delete(object)) => sights.gone(&object.metadata.name.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(kind = %kind.gvk, %error, "a watch broke and is opened again");
                Vec::new()
            }
        };
        for (name, what) in seen {
            if news.send(News { part, name, what }).await.is_err() {
                return;
            }
        }
    }
}
