//! What the developer sees: the lines of every process with its name, our own messages, and the
//! table of addresses and logins.

use std::fmt::{self, Write as _};

use dev_stack::{LogLine, Stack, samples};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// The widest name of a process.
const NAME_WIDTH: usize = 15;

/// The colours of names, by the process.
const COLOURS: [(&str, u8); 5] = [
    ("records-service", 36),
    ("records-audit", 35),
    ("auth-frontend", 32),
    ("provision", 33),
    ("dev-stack", 34),
];

/// Sends our own messages to the error output, in the look of the processes' lines.
pub(crate) fn init() {
    let filter = std::env::var("DEV_STACK_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| {
        Targets::new()
            .with_default(Level::WARN)
            .with_target("dev_stack", Level::INFO)
            // The emulators warn of every request that they answer with an error, as AWS would.
            .with_targets([("awsim_core", Level::ERROR), ("dynoxide", Level::ERROR)])
    });
    let colour = is_colourful(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .event_format(OwnLine { colour })
        .finish()
        .with(filter)
        .init();
}

/// Prints a line of a process.
pub(crate) fn print(line: &LogLine) {
    let colour = is_colourful(&std::io::stdout());
    println!("{} {}", prefix(line.process, colour), line.text);
}

/// The table of addresses and logins.
pub(crate) fn welcome(stack: &Stack, data: &std::path::Path) -> String {
    let organizations = samples::organizations();
    let memberships = samples::memberships();
    let mut text = format!("\n  Org Records is ready: {}\n\n", stack.app_url());
    let _ = writeln!(text, "  {:<14}{:<15}{:<20}May", "Organization", "Username", "Name");
    for user in samples::users() {
        let mut theirs = memberships.iter().filter(|one| one.username == user.username).peekable();
        if theirs.peek().is_none() {
            let line = ("-", "nothing until invited, at the Auth0 controls");
            let _ =
                writeln!(text, "  {:<14}{:<15}{:<20}{}", line.0, user.username, user.name, line.1);
        }
        for membership in theirs {
            let known = organizations.iter().find(|one| one.id == membership.organization);
            let organization = known.map_or("", |one| one.name.as_str());
            let may = summary(&membership.permissions);
            let _ =
                writeln!(text, "  {organization:<14}{:<15}{:<20}{may}", user.username, user.name);
        }
    }
    let _ = write!(
        text,
        "\n  Password of each: {}\n\n  Auth0 controls  {}local\n  gRPC            {}\n  \
         DynamoDB        {}\n  SQS             {}\n  Data            {} (delete it to start anew)\n\n  \
         Ctrl-C stops everything.\n",
        samples::PASSWORD,
        stack.auth0().issuer(),
        stack.grpc_url(),
        stack.dynamodb().url(),
        stack.sqs().url(),
        data.display(),
    );
    text
}

/// The line that sets a variable in a POSIX shell.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'", value.replace('\'', r"'\''"))
}

fn summary(permissions: &[String]) -> String {
    if permissions.len() == samples::PERMISSIONS.len() {
        return "everything".to_owned();
    }
    let verbs: Vec<_> = permissions
        .iter()
        .map(|permission| permission.strip_prefix("records:").unwrap_or(permission))
        .collect();
    verbs.join(", ")
}

fn prefix(process: &str, colour: bool) -> String {
    let number =
        COLOURS.iter().find(|(known, _)| *known == process).map_or(0, |(_, number)| *number);
    if colour {
        format!("\x1b[{number}m{process:<NAME_WIDTH$} |\x1b[0m")
    } else {
        format!("{process:<NAME_WIDTH$} |")
    }
}

/// See <https://no-color.org>.
fn is_colourful(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct OwnLine {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for OwnLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        write!(writer, "{} ", prefix("dev-stack", self.colour))?;
        if level <= Level::WARN {
            write!(writer, "{level} ")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_value_survives_the_shell() {
        assert_eq!(export("A", "it's $HOME"), r"export A='it'\''s $HOME'");
    }
}
