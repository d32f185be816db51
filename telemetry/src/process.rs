//! The `process_*` families that Prometheus clients export, read from `/proc` when they are asked for.
//!
//! In: `/proc/self/{status,stat,fd}` and `/proc/stat`. Out: metric families. Does I/O: reads these files.
//! Where there is no `/proc`, nothing is exported.

use std::collections::HashMap;
use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// Unit of the times in `/proc`: fixed at 100 Hz for user space on every architecture that Linux supports today.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

const RESIDENT: Family = gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
const RESIDENT_PEAK: Family = gauge(
    "process_resident_memory_peak_bytes",
    "Peak resident memory size in bytes.",
);
const VIRTUAL: Family = gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.");
const THREADS: Family = gauge("process_threads", "Number of threads of the process.");
const OPEN_FDS: Family = gauge("process_open_fds", "Number of open file descriptors.");
const START: Family = gauge(
    "process_start_time_seconds",
    "Start time of the process since the Unix epoch in seconds.",
);
const CPU: Family = Family {
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
    kind: MetricType::COUNTER,
};
const ALL: [Family; 7] = [RESIDENT, RESIDENT_PEAK, VIRTUAL, THREADS, OPEN_FDS, START, CPU];

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        kind: MetricType::GAUGE,
    }
}

/// Collects the families of this process.
pub struct ProcessCollector {
    descriptions: Vec<Desc>,
}

impl ProcessCollector {
    /// Makes the collector.
    ///
    /// # Errors
    /// When a family's name is malformed, which the tests of this module rule out.
    pub fn new() -> prometheus::Result<Self> {
        let descriptions = ALL
            .iter()
            .map(|family| Desc::new(family.name.into(), family.help.into(), Vec::new(), HashMap::new()))
            .collect::<prometheus::Result<_>>()?;
        Ok(Self { descriptions })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut samples = memory(&read("/proc/self/status"));
        samples.extend(times(&read("/proc/self/stat"), &read("/proc/stat")));
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // The directory itself is open while it is counted.
            samples.push((OPEN_FDS, descriptors.count().saturating_sub(1) as f64));
        }
        samples
            .into_iter()
            .map(|(family, value)| sample(family, value))
            .collect()
    }
}

/// Peak resident memory of this process in bytes (`VmHWM`), where the system tells it.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    memory(&status)
        .into_iter()
        .find(|(family, _)| family.name == RESIDENT_PEAK.name)
        .map(|(_, value)| value as u64)
}

/// Reads memory and threads from the text of `/proc/self/status`.
fn memory(status: &str) -> Vec<(Family, f64)> {
    let number = |line: &str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
    status
        .lines()
        .filter_map(|line| match line.split(':').next()? {
            "VmRSS" => Some((RESIDENT, number(line)? * 1024.0)),
            "VmHWM" => Some((RESIDENT_PEAK, number(line)? * 1024.0)),
            "VmSize" => Some((VIRTUAL, number(line)? * 1024.0)),
            "Threads" => Some((THREADS, number(line)?)),
            _ => None,
        })
        .collect()
}

/// Reads CPU time and start time from the texts of `/proc/self/stat` and `/proc/stat`.
fn times(stat: &str, system: &str) -> Vec<(Family, f64)> {
    // The second field, the program's name, may hold spaces and parentheses; the third follows its last one.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return Vec::new();
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // proc(5) counts from 1, and the first here is its field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let mut samples = Vec::new();
    if let (Some(user), Some(kernel)) = (field(14), field(15)) {
        samples.push((CPU, (user + kernel) / TICKS_PER_SECOND));
    }
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    if let (Some(boot), Some(started)) = (boot, field(22)) {
        samples.push((START, boot + started / TICKS_PER_SECOND));
    }
    samples
}

fn sample(family: Family, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    match family.kind {
        MetricType::COUNTER => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        _ => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    let mut written = MetricFamily::default();
    written.set_name(family.name.to_owned());
    written.set_help(family.help.to_owned());
    written.set_field_type(family.kind);
    written.set_metric(vec![metric]);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(samples: Vec<(Family, f64)>) -> Vec<(&'static str, f64)> {
        samples
            .into_iter()
            .map(|(family, value)| (family.name, value))
            .collect()
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tcoracle\nVmSize:\t  2048 kB\nVmHWM:\t  64 kB\nVmRSS:\t  32 kB\nThreads:\t3\n";
        assert_eq!(
            values(memory(status)),
            [
                ("process_virtual_memory_bytes", 2_097_152.0),
                ("process_resident_memory_peak_bytes", 65_536.0),
                ("process_resident_memory_bytes", 32_768.0),
                ("process_threads", 3.0),
            ]
        );
    }

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1000 1 1";
        assert_eq!(
            values(times(stat, "cpu 1 2\nbtime 1700000000\n")),
            [
                ("process_cpu_seconds_total", 3.0),
                ("process_start_time_seconds", 1_700_000_010.0)
            ]
        );
    }

    #[test]
    fn unreadable_texts_give_no_samples() {
        assert!(memory("").is_empty() && times("", "").is_empty() && times("1 (x) S", "btime x").is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_size() {
        assert!(peak_resident_bytes().unwrap() > 100_000);
        assert_eq!(ProcessCollector::new().unwrap().collect().len(), ALL.len());
    }
}
