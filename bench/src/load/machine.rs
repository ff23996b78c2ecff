//! What the figures were taken on. A figure without its machine is a rumour.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// Facts of the machine that drives; the appliance's own stand in its `/v1/version`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) threads: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) governor: String,
    /// Processes that wanted to run, before the measurement began: one-minute average.
    pub(crate) load_before: f64,
    pub(crate) build: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
            line.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let kibibytes = after(&text("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kibibytes: u64 = kibibytes.trim_end_matches("kB").trim().parse().unwrap_or_default();
        let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        let load = text("/proc/loadavg");
        Self {
            processor: after(&text("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            threads: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes * 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            governor: Some(governor.trim().to_owned())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(unknown),
            load_before: load
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or_default(),
            build: format!(
                "{} {}, {}",
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                if cfg!(debug_assertions) { "not optimised for release" } else { "release" }
            ),
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}, {} threads, {:.1} GiB, Linux {}, governor {}, load before {:.2}, {}",
            self.processor,
            self.threads,
            self.memory_bytes as f64 / f64::from(1 << 30),
            self.kernel,
            self.governor,
            self.load_before,
            self.build
        )
    }
}
