//! The metrics registry, with the two families that Flux's dashboards read.
//!
//! In: numbers and states from the service. Out: the Prometheus text format. No I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};

use crate::process::ProcessCollector;

const RESOURCE_INFO: &str = "gotk_resource_info";
const RESOURCE_INFO_HELP: &str = "The current state of a GitOps Toolkit resource.";

/// Which object a number is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceKey {
    /// Kind, such as `Kustomization`.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// Status of an object's Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The object is ready.
    True,
    /// The object is not ready.
    False,
    /// It is being worked on.
    Unknown,
}

impl Ready {
    fn label(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// State of one object, as the labels of `gotk_resource_info`.
///
/// The names are those of the kube-state-metrics configuration that Flux publishes
/// (`fluxcd/flux2-monitoring-example`), so that dashboards made for it work without kube-state-metrics.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// API group, such as `kustomize.toolkit.fluxcd.io`.
    pub group: &'static str,
    /// API version, such as `v1`.
    pub version: &'static str,
    /// State of the Ready condition.
    pub ready: Ready,
    /// Whether reconciliation is suspended.
    pub suspended: bool,
    /// Labels of this kind only: `revision` and `source_name` for a Kustomization, `revision` and `url` for a
    /// GitRepository. Empty values are left out.
    pub details: Vec<(&'static str, String)>,
}

/// Registry of a service, shared by cloning.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    durations: HistogramVec,
    resources: Resources,
}

impl Metrics {
    /// Makes a registry with Flux's families and those of the process.
    ///
    /// # Errors
    /// When two families of one name are registered, which the tests of this module rule out.
    pub fn new() -> prometheus::Result<Self> {
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "gotk_reconcile_duration_seconds",
                "The duration in seconds of a GitOps Toolkit resource reconciliation.",
            )
            .buckets(duration_buckets()),
            &["kind", "name", "namespace"],
        )?;
        let resources = Resources::new()?;
        let registry = Registry::new();
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(resources.clone()))?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self {
            registry,
            durations,
            resources,
        })
    }

    /// Registry to add the service's own families to.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Records how long one reconciliation took.
    pub fn observe_reconcile(&self, key: &ResourceKey, took: Duration) {
        self.durations
            .with_label_values(&[&key.kind, &key.name, &key.namespace])
            .observe(took.as_secs_f64());
    }

    /// Replaces what `gotk_resource_info` says about an object.
    pub fn set_resource(&self, key: ResourceKey, info: ResourceInfo) {
        self.resources.with(|states| states.insert(key, info));
    }

    /// Removes every series of an object that is gone.
    pub fn forget(&self, key: &ResourceKey) {
        // An object that was deleted before it was ever reconciled has no duration to remove.
        let _ = self
            .durations
            .remove_label_values(&[&key.kind, &key.name, &key.namespace]);
        self.resources.with(|states| states.remove(key));
    }

    /// Writes all families in the Prometheus text format.
    ///
    /// # Errors
    /// When a family is malformed (it has no samples or no name).
    pub fn encode(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Writes `gotk_resource_info` when it is asked for: a state that changes leaves no stale series behind, and
/// each kind has its own labels.
#[derive(Clone)]
struct Resources {
    desc: Desc,
    states: Arc<Mutex<BTreeMap<ResourceKey, ResourceInfo>>>,
}

impl Resources {
    fn new() -> prometheus::Result<Self> {
        let desc = Desc::new(
            RESOURCE_INFO.to_owned(),
            RESOURCE_INFO_HELP.to_owned(),
            Vec::new(),
            std::collections::HashMap::new(),
        )?;
        Ok(Self {
            desc,
            states: Arc::default(),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<ResourceKey, ResourceInfo>) -> T) -> T {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        act(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Collector for Resources {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let samples: Vec<Metric> =
            self.with(|states| states.iter().map(|(key, info)| info_sample(key, info)).collect());
        if samples.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(RESOURCE_INFO.to_owned());
        family.set_help(RESOURCE_INFO_HELP.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(samples);
        vec![family]
    }
}

/// Ten bounds from 10 ms to 30 min, evenly spread on a logarithmic scale: client_golang's
/// `ExponentialBucketsRange(0.01, 1800, 10)`, which Flux uses.
fn duration_buckets() -> Vec<f64> {
    const FIRST: f64 = 0.01;
    const LAST: f64 = 1800.0;
    let factor = (LAST / FIRST).powf(1.0 / 9.0);
    (0..10).map(|step| FIRST * factor.powf(f64::from(step))).collect()
}

fn info_sample(key: &ResourceKey, info: &ResourceInfo) -> Metric {
    let suspended = if info.suspended { "true" } else { "false" };
    let common = [
        ("customresource_group", info.group),
        ("customresource_kind", &key.kind),
        ("customresource_version", info.version),
        ("exported_namespace", &key.namespace),
        ("name", &key.name),
        ("ready", info.ready.label()),
        ("suspended", suspended),
    ];
    let details = info.details.iter().map(|(name, value)| (*name, value.as_str()));
    let mut labels: Vec<LabelPair> = common
        .into_iter()
        .chain(details)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| label(name, value))
        .collect();
    labels.sort_by(|a, b| a.name().cmp(b.name()));
    let mut sample = Metric::from_label(labels);
    let mut one = Gauge::default();
    one.set_value(1.0);
    sample.set_gauge(one);
    sample
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> ResourceKey {
        ResourceKey {
            kind: "Kustomization".into(),
            namespace: "flux-system".into(),
            name: "apps".into(),
        }
    }

    fn info(ready: Ready) -> ResourceInfo {
        ResourceInfo {
            group: "kustomize.toolkit.fluxcd.io",
            version: "v1",
            ready,
            suspended: false,
            details: vec![
                ("revision", "main@sha1:abc".into()),
                ("source_name", "apps".into()),
            ],
        }
    }

    fn lines(metrics: &Metrics, family: &str) -> Vec<String> {
        metrics
            .encode()
            .unwrap()
            .lines()
            .filter(|line| line.starts_with(family))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_changed_state_replaces_the_series_instead_of_adding_one() {
        let metrics = Metrics::new().unwrap();
        metrics.set_resource(apps(), info(Ready::Unknown));
        metrics.set_resource(apps(), info(Ready::True));
        assert_eq!(
            lines(&metrics, RESOURCE_INFO),
            [concat!(
                r#"gotk_resource_info{customresource_group="kustomize.toolkit.fluxcd.io","#,
                r#"customresource_kind="Kustomization",customresource_version="v1","#,
                r#"exported_namespace="flux-system",name="apps",ready="True","#,
                r#"revision="main@sha1:abc",source_name="apps",suspended="false"} 1"#
            )]
        );
    }

    #[test]
    fn durations_have_the_buckets_that_flux_has() {
        let metrics = Metrics::new().unwrap();
        metrics.observe_reconcile(&apps(), Duration::from_millis(20));
        let lines = lines(&metrics, "gotk_reconcile_duration_seconds");
        let bounds: Vec<f64> = lines
            .iter()
            .filter_map(|line| line.split_once("le=\"")?.1.split_once('"')?.0.parse().ok())
            .filter(|bound: &f64| bound.is_finite())
            .collect();
        // As client_golang prints them.
        let wanted = [
            0.01,
            0.038363583488692544,
            0.1471764538093883,
            0.5646216173286169,
            2.166090855590701,
            8.309900738254731,
            31.879757075478317,
            122.30217221643493,
            469.19495946736544,
            1799.9999999999986,
        ];
        assert_eq!(bounds.len(), wanted.len());
        for (bound, wanted) in bounds.iter().zip(wanted) {
            assert!((bound / wanted - 1.0).abs() < 1e-12, "{bound} is not {wanted}");
        }
        assert!(lines.contains(
            &r#"gotk_reconcile_duration_seconds_count{kind="Kustomization",name="apps",namespace="flux-system"} 1"#
                .to_owned()
        ));
    }

    #[test]
    fn a_forgotten_object_leaves_no_series() {
        let metrics = Metrics::new().unwrap();
        metrics.observe_reconcile(&apps(), Duration::from_secs(1));
        metrics.set_resource(apps(), info(Ready::True));
        metrics.forget(&apps());
        assert_eq!(lines(&metrics, "gotk_"), Vec::<String>::new());
    }
}
