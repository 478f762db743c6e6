//! Checks what a process needs of the world around it, before it runs: findings, the table that
//! shows them, and the checks that both services share. No check changes anything. It does not know
//! which tables, queues and services there are.

pub mod aws;
mod clock;
pub mod provider;
pub mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    time::Duration,
};

use serde::Serialize;

/// How long one check may take. It is longer than what a check's calls may take one after another,
/// each of which says for itself that it was not answered.
const PATIENCE: Duration = Duration::from_secs(13);

/// How it is with one thing that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it must be.
    Ok,
    /// The process runs, but somebody should look.
    Warning,
    /// It is there, but not as it must be.
    Wrong,
    /// It is not there.
    Missing,
    /// We may not do it.
    Denied,
    /// It did not answer.
    Unreachable,
    /// It could not be looked at, for a reason that is said.
    Unchecked,
}

impl State {
    /// What stands in the table.
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Unchecked => "unchecked",
        }
    }

    /// Whether the process cannot do its work like this.
    fn is_bad(self) -> bool {
        matches!(self, Self::Wrong | Self::Missing | Self::Denied | Self::Unreachable)
    }
}

/// What mends a finding.
#[derive(Debug, Clone)]
pub enum Mend {
    /// A right in the policy of the process's role.
    Allow {
        /// Such as `dynamodb:GetItem`.
        action: String,
        /// An ARN.
        resource: String,
    },
    /// A command, for somebody who may change things.
    Command(String),
}

/// One thing that was checked.
#[derive(Debug, Clone)]
pub struct Finding {
    what: String,
    state: State,
    advice: String,
    detail: Option<String>,
    mend: Option<Mend>,
}

impl Finding {
    /// Something that is as it must be.
    #[must_use]
    pub fn ok(what: impl Into<String>) -> Self {
        Self::new(what, State::Ok, "")
    }

    /// Something in any state, and what to do about it in a few words.
    #[must_use]
    pub fn new(what: impl Into<String>, state: State, advice: impl Into<String>) -> Self {
        Self { what: what.into(), state, advice: advice.into(), detail: None, mend: None }
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The same, with what is too long for a table.
    #[must_use]
    pub fn explained_by(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same, with what mends it.
    #[must_use]
    pub fn mended_by(self, mend: Mend) -> Self {
        Self { mend: Some(mend), ..self }
    }
}

/// The last cause of an error, which is the part of its chain that says most in a few words.
#[must_use]
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// The findings of a check, unless it takes too long.
pub async fn within(what: &str, check: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let too_long =
        |_| vec![Finding::new(what, State::Unreachable, "it does not answer in time; run again")];
    tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(too_long)
}

/// Everything that was found about one process. It displays as a table with what mends each
/// finding below.
#[derive(Debug)]
pub struct Report {
    /// The process.
    pub process: &'static str,
    /// In the order in which they are shown.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the process has everything it needs.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.state.is_bad())
    }

    fn count(&self, is_counted: impl Fn(State) -> bool) -> usize {
        self.findings.iter().filter(|finding| is_counted(finding.state)).count()
    }

    /// What allows what is denied, by one statement for each resource.
    fn policy(&self) -> Option<Policy<'_>> {
        let mut allowed = BTreeMap::<&str, BTreeSet<&str>>::new();
        for finding in &self.findings {
            if let Some(Mend::Allow { action, resource }) = &finding.mend {
                allowed.entry(resource).or_default().insert(action);
            }
        }
        let statement = |(resource, action)| Statement { effect: "Allow", action, resource };
        let statement: Vec<_> = allowed.into_iter().map(statement).collect();
        (!statement.is_empty()).then_some(Policy { version: "2012-10-17", statement })
    }

    /// Each command, with what it mends.
    fn commands(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut commands = BTreeMap::<&str, Vec<&str>>::new();
        for finding in &self.findings {
            if let Some(Mend::Command(command)) = &finding.mend {
                commands.entry(command).or_default().push(&finding.what);
            }
        }
        commands
    }
}

/// A policy of IAM, with its fields in the usual order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    version: &'static str,
    statement: Vec<Statement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    action: BTreeSet<&'a str>,
    resource: &'a str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHAT: &str = "what";
        let lengths = self.findings.iter().map(|finding| finding.what.chars().count());
        let width = lengths.chain([WHAT.len()]).max().unwrap_or_default();
        let line = |f: &mut fmt::Formatter<'_>, what: &str, state: &str, advice: &str| {
            let line = format!("{what:width$}  {state:11}  {advice}");
            writeln!(f, "{}", line.trim_end())
        };
        writeln!(f, "preflight of {}\n", self.process)?;
        line(f, WHAT, "state", "what to do")?;
        for finding in &self.findings {
            line(f, &finding.what, finding.state.word(), &finding.advice)?;
        }
        for finding in &self.findings {
            if let Some(detail) = &finding.detail {
                writeln!(f, "\nAbout {}:\n\n  {}", finding.what, detail.replace('\n', "\n  "))?;
            }
        }
        for (command, mended) in self.commands() {
            writeln!(f, "\nThis mends {}:\n\n  {command}", mended.join(", "))?;
        }
        if let Some(policy) = self.policy() {
            writeln!(f, "\nThis, in the policy of the process's role, allows what is denied:\n")?;
            writeln!(f, "{}", serde_json::to_string_pretty(&policy).map_err(|_| fmt::Error)?)?;
        }
        let [checks, bad, warnings, unchecked] = [
            self.findings.len(),
            self.count(State::is_bad),
            self.count(|state| state == State::Warning),
            self.count(|state| state == State::Unchecked),
        ];
        let verdict = if bad == 0 { "can run" } else { "cannot run like this" };
        write!(
            f,
            "\n{} {verdict}: {checks} checked, to mend: {bad}, warnings: {warnings}, unchecked: \
             {unchecked}",
            self.process
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(what: &str, action: &str, resource: &str) -> Finding {
        let allow = Mend::Allow { action: action.to_owned(), resource: resource.to_owned() };
        Finding::new(what, State::Denied, "allow it: statement below").mended_by(allow)
    }

    #[test]
    fn a_report_shows_what_is_wrong_and_below_what_mends_it() {
        let command = || Mend::Command("records-service provision".to_owned());
        let report = Report {
            process: "serve",
            findings: vec![
                Finding::ok("table records"),
                denied("table records: Query", "dynamodb:Query", "arn:records"),
                denied("table records: GetItem", "dynamodb:GetItem", "arn:records"),
                Finding::new("table sessions", State::Missing, "make it").mended_by(command()),
                Finding::new("queue", State::Missing, "make it").mended_by(command()),
                Finding::new("audience", State::Unchecked, "only a token shows it")
                    .explained_by("Two\nlines"),
            ],
        };

        let expected = "\
preflight of serve

what                    state        what to do
table records           ok
table records: Query    denied       allow it: statement below
table records: GetItem  denied       allow it: statement below
table sessions          missing      make it
queue                   missing      make it
audience                unchecked    only a token shows it

About audience:

  Two
  lines

This mends table sessions, queue:

  records-service provision

This, in the policy of the process's role, allows what is denied:

{
  \"Version\": \"2012-10-17\",
  \"Statement\": [
    {
      \"Effect\": \"Allow\",
      \"Action\": [
        \"dynamodb:GetItem\",
        \"dynamodb:Query\"
      ],
      \"Resource\": \"arn:records\"
    }
  ]
}

serve cannot run like this: 6 checked, to mend: 4, warnings: 0, unchecked: 1";
        assert_eq!(report.to_string(), expected);
        assert!(!report.is_good());
    }

    #[test]
    fn a_warning_and_what_cannot_be_checked_are_no_reason_not_to_run() {
        let findings = [State::Ok, State::Warning, State::Unchecked];
        let findings = findings.map(|state| Finding::new("it", state, "look")).into();

        assert!(Report { process: "serve", findings }.is_good());
    }
}
