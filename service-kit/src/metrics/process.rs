//! What the operating system knows of this process, read when it is asked for. The names are those
//! of every Prometheus client library.

use std::fmt;

use procfs::{ProcResult, process};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process;

struct Reading {
    started: f64,
    cpu: f64,
    resident: f64,
    open_files: f64,
    max_files: Option<f64>,
}

impl Reading {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, which bytes of memory and ticks since the start stay below"
    )]
    fn take() -> ProcResult<Self> {
        let myself = process::Process::myself()?;
        let stat = myself.stat()?;
        let second = procfs::ticks_per_second() as f64;
        let max_files = match myself.limits()?.max_open_files.soft_limit {
            process::LimitValue::Unlimited => None,
            process::LimitValue::Value(files) => Some(files as f64),
        };
        Ok(Self {
            started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / second,
            cpu: (stat.utime + stat.stime) as f64 / second,
            resident: (stat.rss * procfs::page_size()) as f64,
            open_files: myself.fd_count()? as f64,
            max_files,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // Without a readable /proc the other metrics are still worth an answer.
        let Ok(reading) = Reading::take() else { return Ok(()) };
        let cpu = ConstCounter::new(reading.cpu);
        let help = "Processor time in user and system mode";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            help,
            None,
            cpu.metric_type(),
        )?)?;
        let gauges = [
            ("process_start_time_seconds", "When the process started", Some(reading.started)),
            ("process_resident_memory_bytes", "Resident memory", Some(reading.resident)),
            ("process_open_fds", "Open file descriptors", Some(reading.open_files)),
            ("process_max_fds", "How many may be open", reading.max_files),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(
                    name,
                    help,
                    None,
                    gauge.metric_type(),
                )?)?;
            }
        }
        Ok(())
    }
}
