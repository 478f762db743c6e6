//! Sets up the log of a process: readable lines on a terminal, JSON in a container. It does not
//! know what is logged.

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing_subscriber::EnvFilter;

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

/// Starts logging to standard output, filtered by `RUST_LOG` (default `info`).
/// A second call changes nothing, so that tests may start a service many times in one process.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stdout().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    let _ = match format {
        LogFormat::Text => lines.with_ansi(terminal).try_init(),
        LogFormat::Auto if terminal => lines.try_init(),
        LogFormat::Json | LogFormat::Auto => lines.json().flatten_event(true).try_init(),
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
    fn a_chain_names_every_source() {
        let error = Outer(io::Error::other("the disk is full"));
        assert_eq!(Chain(&error).to_string(), "the page cannot be shown: the disk is full");
    }
}
