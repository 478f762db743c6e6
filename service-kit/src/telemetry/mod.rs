//! Sets up what a process tells while it runs: its log, readable lines on a terminal and JSON in a
//! container, and the export of its traces. It does not know what is logged or traced.

mod exporter;
mod lines;

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

pub use exporter::Exporter;
pub use lines::Lines;

use crate::config::Environment;

const DEFAULT_LEVEL: Level = Level::INFO;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `json` where standard output is not a terminal, else `text`.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("expected json, text or auto"),
        }
    }
}

/// How and what a process logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    format: LogFormat,
    filter: Targets,
}

impl LogSettings {
    /// Reads `LOG_FORMAT` (default `auto`) and `RUST_LOG` (default `info`). A mistake in them is
    /// recorded, and the default goes before it, so that there is a log to say so.
    pub fn from_environment(env: &mut Environment) -> Self {
        let format = env.or("LOG_FORMAT", "auto").unwrap_or(LogFormat::Auto);
        let default = Targets::new().with_default(DEFAULT_LEVEL);
        let filter = env.optional("RUST_LOG").map(|filter| (filter.parse(), filter.to_owned()));
        let filter = match filter {
            None => default,
            Some((Ok(filter), _)) => filter,
            Some((Err(error), filter)) => {
                env.mistake("RUST_LOG", format!("{filter:?} is not valid: {error}"));
                default
            }
        };
        Self { format, filter }
    }
}

/// Starts logging to standard output. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    let filter = settings.filter.clone();
    let terminal = io::stdout().is_terminal();
    // What is written is for the filter alone to say.
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(terminal).finish().with(filter).try_init(),
        LogFormat::Auto if terminal => lines.finish().with(filter).try_init(),
        LogFormat::Json | LogFormat::Auto => {
            lines.json().flatten_event(true).finish().with(filter).try_init()
        }
    };
}

/// Displays an error with all its sources, as `this: because of that: because of something else`,
/// for a field of a log line.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page cannot be shown")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_filter_that_is_none_is_a_mistake() {
        let mut env = Environment::from_pairs([
            ("RUST_LOG", "info,records_service=loud"),
            ("LOG_FORMAT", "xml"),
        ]);

        let settings = LogSettings::from_environment(&mut env);
        let mistakes = env.finish(Some(())).unwrap_err().to_string();

        assert_eq!(settings.format, LogFormat::Auto);
        assert_eq!(settings.filter.default_level(), Some(LevelFilter::INFO));
        assert!(mistakes.contains("RUST_LOG: ") && mistakes.contains("LOG_FORMAT: "), "{mistakes}");
    }

    #[test]
    fn a_chain_names_every_source() {
        let error = Outer(io::Error::other("the disk is full"));
        assert_eq!(Chain(&error).to_string(), "the page cannot be shown: the disk is full");
    }
}
