//! Counters, gauges and histograms of all roles in one process, and the text that `/metrics` answers with.
//!
//! Metrics are named without the prefix `signalbox_` and, for counters, without the ending `_total`; units stand in the
//! name (`delivery_duration_seconds`). Asking for a name a second time gives the same metric, so that roles and
//! connections in one process add up instead of clashing. A labelled metric gives a handle per set of label values;
//! the handle is a shared number without any look-up, so hot paths keep it.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{
        MetricType,
        family::{Family, MetricConstructor},
        gauge::ConstGauge,
    },
    registry::{Metric, Registry},
};

/// Only goes up. `inc()`, `inc_by(n)`, `get()`.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// Goes up and down. `set(x)`, `inc()`, `dec()`, `get()`.
pub type Gauge = prometheus_client::metrics::gauge::Gauge<f64, AtomicU64>;
/// Counts observations by size. `observe(x)`.
pub type Histogram = prometheus_client::metrics::histogram::Histogram;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket bounds in seconds for what takes from half a millisecond to a minute.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0,
];

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of this process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    registry: Registry,
    known: HashMap<&'static str, Box<dyn Any + Send>>,
}

/// A counter for each set of label values.
pub type Counters<const N: usize> = Labelled<N, Counter, fn() -> Counter>;
/// A gauge for each set of label values.
pub type Gauges<const N: usize> = Labelled<N, Gauge, fn() -> Gauge>;
/// A histogram for each set of label values.
pub type Histograms<const N: usize> = Labelled<N, Histogram, Buckets>;

/// One metric for each set of values of `N` labels.
pub struct Labelled<const N: usize, M, C> {
    names: [&'static str; N],
    family: Family<Labels<N>, M, C>,
}

/// Makes histograms with fixed bounds.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// A gauge whose rows are replaced as a whole: what a scan found, such as the oldest waiting age of each integration.
#[derive(Clone)]
pub struct Table<const N: usize> {
    rows: Arc<Rows<N>>,
}

/// Label values, and the number beside them.
type Row<const N: usize> = ([String; N], f64);

struct Rows<const N: usize> {
    name: &'static str,
    help: &'static str,
    names: [&'static str; N],
    rows: Mutex<Vec<Row<N>>>,
}

impl Metrics {
    /// An empty set.
    pub fn new() -> Self {
        let inner = Inner {
            registry: Registry::with_prefix("signalbox"),
            known: HashMap::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// A counter without labels; `name` has no `_total`.
    ///
    /// # Panics
    /// As all of these: where the name is taken by a metric of another kind or with other labels, which is a bug.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.plain(name, help, Counter::default)
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.plain(name, help, Gauge::default)
    }

    /// A histogram without labels, with the given upper bounds of its buckets.
    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &'static [f64]) -> Histogram {
        self.plain(name, help, || Histogram::new(bounds.iter().copied()))
    }

    /// A counter with labels; `name` has no `_total`.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Counters<N> {
        self.labelled(name, help, labels, Counter::default as fn() -> Counter)
    }

    /// A gauge with labels.
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Gauges<N> {
        self.labelled(name, help, labels, Gauge::default as fn() -> Gauge)
    }

    /// A histogram with labels, with the given upper bounds of its buckets.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &'static [f64],
    ) -> Histograms<N> {
        self.labelled(name, help, labels, Buckets(bounds))
    }

    /// A gauge whose rows are replaced as a whole.
    pub fn table<const N: usize>(&self, name: &'static str, help: &'static str, labels: [&'static str; N]) -> Table<N> {
        let table = self.known_or(name, |registry| {
            let rows = Arc::new(Rows {
                name,
                help,
                names: labels,
                rows: Mutex::default(),
            });
            registry.register_collector(Box::new(Arc::clone(&rows)));
            Table { rows }
        });
        assert_eq!(table.rows.names, labels, "metric {name} has other labels elsewhere");
        table
    }

    /// All metrics as OpenMetrics text; see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock().registry).expect("writing to a String does not fail");
        text
    }

    fn plain<M: Metric + Clone>(&self, name: &'static str, help: &'static str, make: impl FnOnce() -> M) -> M {
        self.known_or(name, |registry| {
            let metric = make();
            registry.register(name, help, metric.clone());
            metric
        })
    }

    fn labelled<const N: usize, M, C>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        constructor: C,
    ) -> Labelled<N, M, C>
    where
        M: Clone + Send + 'static,
        C: Clone + Send + 'static,
        Family<Labels<N>, M, C>: Metric,
    {
        let labelled = self.known_or(name, |registry| {
            let family = Family::new_with_constructor(constructor);
            registry.register(name, help, family.clone());
            Labelled { names: labels, family }
        });
        assert_eq!(labelled.names, labels, "metric {name} has other labels elsewhere");
        labelled
    }

    fn known_or<T: Clone + Send + 'static>(&self, name: &'static str, make: impl FnOnce(&mut Registry) -> T) -> T {
        let mut inner = self.lock();
        let Inner { registry, known } = &mut *inner;
        let metric: &Box<dyn Any + Send> = known.entry(name).or_insert_with(|| Box::new(make(registry)));
        match metric.downcast_ref::<T>() {
            Some(metric) => metric.clone(),
            None => panic!("metric {name} is of another kind elsewhere"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic above happens before anything is changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl<const N: usize, M: Clone, C: MetricConstructor<M>> Labelled<N, M, C> {
    /// The metric for these label values, made at the first call. Hot paths call this once and keep what it gives.
    pub fn with(&self, values: [&str; N]) -> M {
        self.family.get_or_create_owned(&self.labels(values))
    }

    /// Forgets these label values. True if they were there. Handles kept elsewhere go on counting unseen.
    pub fn remove(&self, values: [&str; N]) -> bool {
        self.family.remove(&self.labels(values))
    }

    fn labels(&self, values: [&str; N]) -> Labels<N> {
        std::array::from_fn(|index| (self.names[index], values[index].to_owned()))
    }
}

impl<const N: usize, M, C: Clone> Clone for Labelled<N, M, C> {
    fn clone(&self) -> Self {
        Self {
            names: self.names,
            family: self.family.clone(),
        }
    }
}

impl<const N: usize, M, C> fmt::Debug for Labelled<N, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<const N: usize> Table<N> {
    /// Shows these rows from now on, and no others. Each set of label values may stand in one row only.
    pub fn replace(&self, rows: Vec<([String; N], f64)>) {
        *self.rows.lock() = rows;
    }
}

impl<const N: usize> Rows<N> {
    fn lock(&self) -> MutexGuard<'_, Vec<Row<N>>> {
        // Rows are replaced by one assignment, so they are whole even after a panic elsewhere.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize> Collector for Rows<N> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (values, number) in self.lock().iter() {
            let labels: [(&str, &str); N] = std::array::from_fn(|index| (self.names[index], values[index].as_str()));
            ConstGauge::new(*number).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Rows<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<const N: usize> fmt::Debug for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.fmt(f)
    }
}

#[cfg(test)]
mod tests;
