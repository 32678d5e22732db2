//! The process as its system sees it, under the names that every dashboard has.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! - Where the system does not tell (it is Linux that does), these metrics are absent.

use std::fmt;

use prometheus_client::metrics::MetricType;

use super::Text;

/// What the system tells.
#[derive(Debug, Default)]
pub(super) struct Process {
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

impl Process {
    /// Looks now. The files of `/proc` are answered from memory.
    pub(super) fn look() -> Self {
        let status = read("/proc/self/status").unwrap_or_default();
        let stat = read("/proc/self/stat").unwrap_or_default();
        let limits = read("/proc/self/limits").unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&status),
            cpu_seconds: cpu_seconds(&stat),
            open_files: open_files(),
            open_files_max: open_files_max(&limits),
        }
    }

    pub(super) fn tell(&self, text: &mut Text<'_>) -> fmt::Result {
        if let Some(bytes) = self.resident_bytes {
            let help = "Resident memory of the process";
            text.gauge("process_resident_memory_bytes", help, bytes)?;
        }
        if let Some(seconds) = self.cpu_seconds {
            let help = "Time of processors that the process has used";
            text.family("process_cpu_seconds", help, MetricType::Counter, |family| {
                family.encode_counter::<prometheus_client::encoding::NoLabelSet, _, u64>(
                    &seconds, None,
                )
            })?;
        }
        if let Some(count) = self.open_files {
            let help = "Files and sockets that the process has open";
            text.gauge("process_open_fds", help, count)?;
        }
        if let Some(count) = self.open_files_max {
            let help = "Files and sockets that it may have open";
            text.gauge("process_max_fds", help, count)?;
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the system tells of the process is no file of the log"
)]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn open_files() -> Option<u64> {
    let files = std::fs::read_dir("/proc/self/fd").ok()?;
    // One of them is the look itself.
    Some((files.count() as u64).saturating_sub(1))
}

/// Of `/proc/self/status`: `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// Of `/proc/self/stat`: the 14th and 15th field. The second, the name, may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// Of `/proc/self/limits`: the soft limit; nothing if there is none.
fn open_files_max(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `USER_HZ`, which is part of the interface of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_understood() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmRSS:\t    2 kB\n";
        assert_eq!(resident_bytes(status), Some(2048));
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 250 0 0 20 0 3";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(open_files_max(limits), Some(1024));
        assert_eq!(
            open_files_max("Max open files  unlimited  unlimited  files"),
            None
        );
    }
}
