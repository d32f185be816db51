//! The metrics registry, with the two families that Flux's dashboards read.
//!
//! In: numbers and states from the service. Out: the Prometheus text format. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use crate::process::ProcessCollector;

const DURATION: &str = "gotk_reconcile_duration_seconds";
const DURATION_HELP: &str = "The duration in seconds of a GitOps Toolkit resource reconciliation.";
/// Ten bounds from 10 ms to 30 min, evenly spread on a logarithmic scale: what client_golang's
/// `ExponentialBucketsRange(0.01, 1800, 10)`, which Flux uses, gives.
const BOUNDS: [f64; 10] = [
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
    resources: Resources,
}

impl Metrics {
    /// Makes a registry with Flux's families and those of the process.
    ///
    /// # Errors
    /// When two families of one name are registered, which the tests of this module rule out.
    pub fn new() -> prometheus::Result<Self> {
        let resources = Resources::new()?;
        let registry = Registry::new();
        registry.register(Box::new(resources.clone()))?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self { registry, resources })
    }

    /// Registry to add the service's own families to.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Records how long one reconciliation took.
    pub fn observe_reconcile(&self, key: &ResourceKey, took: Duration) {
        self.resources.with(|states| match states.get_mut(key) {
            Some(state) => state.durations.observe(took),
            None => states.entry(key.clone()).or_default().durations.observe(took),
        });
    }

    /// Replaces what `gotk_resource_info` says about an object.
    pub fn set_resource(&self, key: ResourceKey, info: ResourceInfo) {
        self.resources
            .with(|states| states.entry(key).or_default().info = Some(info));
    }

    /// Removes every series of an object that is gone.
    pub fn forget(&self, key: &ResourceKey) {
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

/// Writes the two families when they are asked for: a state that changes leaves no stale series behind, each kind has
/// its own labels, and an object takes a fifth of what a histogram of the library does.
#[derive(Clone)]
struct Resources {
    descriptions: [Desc; 2],
    states: Arc<Mutex<States>>,
}

type States = BTreeMap<ResourceKey, State>;

#[derive(Default)]
struct State {
    info: Option<ResourceInfo>,
    durations: Durations,
}

/// How many reconciliations took up to each of [`BOUNDS`] and no less, and longer than all; and how long all took.
#[derive(Default)]
struct Durations {
    counts: [u32; BOUNDS.len() + 1],
    sum: f64,
}

impl Durations {
    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.sum += seconds;
    }

    fn sample(&self, key: &ResourceKey) -> Option<Metric> {
        let mut total = 0;
        let buckets = BOUNDS.iter().zip(&self.counts).map(|(bound, count)| {
            total += u64::from(*count);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(total);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        total += u64::from(self.counts[BOUNDS.len()]);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(self.sum);
        let labels = [
            ("kind", &key.kind),
            ("name", &key.name),
            ("namespace", &key.namespace),
        ];
        let mut sample = Metric::from_label(
            labels
                .into_iter()
                .map(|(name, value)| label(name, value))
                .collect(),
        );
        sample.set_histogram(histogram);
        (total > 0).then_some(sample)
    }
}

impl Resources {
    fn new() -> prometheus::Result<Self> {
        let describe =
            |name: &str, help: &str| Desc::new(name.into(), help.into(), Vec::new(), HashMap::new());
        let descriptions = [
            describe(DURATION, DURATION_HELP)?,
            describe(RESOURCE_INFO, RESOURCE_INFO_HELP)?,
        ];
        Ok(Self {
            descriptions,
            states: Arc::default(),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut States) -> T) -> T {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        act(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Collector for Resources {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (durations, infos) = self.with(|states| {
            let durations = states
                .iter()
                .filter_map(|(key, state)| state.durations.sample(key))
                .collect();
            let infos = states
                .iter()
                .filter_map(|(key, state)| Some(info_sample(key, state.info.as_ref()?)));
            (durations, infos.collect())
        });
        let families = [
            family(DURATION, DURATION_HELP, MetricType::HISTOGRAM, durations),
            family(RESOURCE_INFO, RESOURCE_INFO_HELP, MetricType::GAUGE, infos),
        ];
        families.into_iter().flatten().collect()
    }
}

/// A family, unless it has no samples.
fn family(name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) -> Option<MetricFamily> {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    (!family.get_metric().is_empty()).then_some(family)
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
        let factor = (1800.0_f64 / 0.01).powf(1.0 / 9.0);
        for (step, bound) in (0_i32..).zip(BOUNDS) {
            let wanted = 0.01 * factor.powi(step);
            assert!((bound / wanted - 1.0).abs() < 1e-9, "{bound} is not {wanted}");
        }
    }

    #[test]
    fn a_duration_counts_in_its_bucket_and_all_larger_ones() {
        let metrics = Metrics::new().unwrap();
        for seconds in [0.01, 0.5, 3600.0] {
            metrics.observe_reconcile(&apps(), Duration::from_secs_f64(seconds));
        }
        let lines = lines(&metrics, DURATION);
        let series = |name: &str, le: &str| {
            format!(r#"{DURATION}_{name}{{kind="Kustomization",name="apps",namespace="flux-system"{le}}}"#)
        };
        let value = |series: String| {
            let line = lines.iter().find_map(|line| line.strip_prefix(&series));
            line.unwrap_or_else(|| panic!("no {series} in {lines:#?}"))
                .trim()
                .to_owned()
        };
        assert_eq!(value(series("bucket", r#",le="0.01""#)), "1");
        assert_eq!(value(series("bucket", r#",le="0.1471764538093883""#)), "1");
        assert_eq!(value(series("bucket", r#",le="0.5646216173286169""#)), "2");
        assert_eq!(value(series("bucket", r#",le="1799.9999999999986""#)), "2");
        assert_eq!(value(series("bucket", r#",le="+Inf""#)), "3");
        assert_eq!(value(series("count", "")), "3");
        assert_eq!(value(series("sum", "")), "3600.51");
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
