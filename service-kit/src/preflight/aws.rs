//! The account of AWS as this process sees it: region, credentials, and what a call that was made
//! to find out about a right tells. It does not know what is called.

use std::{error::Error as StdError, time::Duration};

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::ProvideCredentials,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

pub use super::clock::AwsClock;
use super::{Finding, Mend, State, root_cause};
use crate::{aws, telemetry::Chain};

/// How long the SDK may look for a region, and how long for credentials: both may ask a server.
const CHAIN_PATIENCE: Duration = Duration::from_secs(3);

/// What the SDK's own chain yields, and what is heard of AWS's clock meanwhile.
#[derive(Debug, Clone)]
pub struct Account {
    /// Settings for clients: region, credentials, time limits.
    pub sdk: SdkConfig,
    /// To be an interceptor of each client.
    pub clock: AwsClock,
    /// The number of the account, where the credentials tell it.
    number: Option<String>,
}

impl Account {
    /// Region and credentials as the SDK finds them. Without either there is no account, and a
    /// finding that says why.
    pub async fn open() -> (Option<Self>, Vec<Finding>) {
        let missing_region = || {
            let advice = "set AWS_REGION to the region of the tables and the queue";
            (None, vec![Finding::new("AWS region", State::Missing, advice)])
        };
        let Ok(Ok(sdk)) = tokio::time::timeout(CHAIN_PATIENCE, aws::load()).await else {
            return missing_region();
        };
        let Some(region) = sdk.region() else { return missing_region() };
        let region = Finding::ok(format!("AWS region {region}"));
        let (credentials, number) = match credentials(&sdk).await {
            Ok(found) => found,
            Err(finding) => return (None, vec![region, finding]),
        };
        let account = Self { sdk: unhurried(&sdk), clock: AwsClock::default(), number };
        (Some(account), vec![region, credentials])
    }

    /// The ARN of something in this region, in the account of this number or else ours. Where neither
    /// is known, it holds for any.
    #[must_use]
    pub fn arn(&self, service: &str, number: Option<&str>, resource: &str) -> String {
        let region = self.sdk.region().map_or("", |region| region.as_ref());
        let partition = match region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let number = number.or(self.number.as_deref()).unwrap_or("*");
        format!("arn:{partition}:{service}:{region}:{number}:{resource}")
    }

    /// What mends something here by the AWS command line.
    #[must_use]
    pub fn mend_by_aws(&self, command: &str) -> Mend {
        let region = self.sdk.region().map_or("", |region| region.as_ref());
        Mend::Command(format!("aws --region {region} {command}"))
    }

    /// How our clock is by that of AWS; nothing where AWS has not answered.
    #[must_use]
    pub fn clock_finding(&self) -> Option<Finding> {
        self.clock.finding()
    }
}

/// What the SDK's chain yields, and the account's number where that says it. Who it is, only STS
/// would tell.
async fn credentials(sdk: &SdkConfig) -> Result<(Finding, Option<String>), Finding> {
    let unavailable = |problem: String| {
        let advice = "give the pod's ServiceAccount its role (Pod Identity or IRSA): see below";
        Finding::new("AWS credentials", State::Missing, advice).explained_by(problem)
    };
    let Some(provider) = sdk.credentials_provider() else {
        return Err(unavailable("the SDK has no source of them".to_owned()));
    };
    let found = tokio::time::timeout(CHAIN_PATIENCE, provider.provide_credentials()).await;
    let credentials = match found {
        Ok(Ok(credentials)) => credentials,
        Ok(Err(error)) => return Err(unavailable(Chain(&error).to_string())),
        Err(_) => return Err(unavailable("their source does not answer".to_owned())),
    };
    let key = credentials.access_key_id();
    let end = key.get(key.len().saturating_sub(4)..).unwrap_or_default();
    let number = credentials.account_id().map(|number| number.as_str().to_owned());
    let of = number.as_ref().map(|number| format!(", account {number}")).unwrap_or_default();
    let what = format!("AWS credentials (access key …{end}{of})");
    // Keys of users begin like this, those of roles with ASIA.
    // Source: "IAM identifiers", "Unique identifiers" in the IAM user guide.
    let finding = if key.starts_with("AKIA") {
        let advice = "a user's key, which does not expire: a role is safer";
        Finding::new(what, State::Warning, advice)
    } else {
        Finding::ok(what)
    };
    Ok((finding, number))
}

/// The same settings with the patience of somebody who waits for a report.
fn unhurried(sdk: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(6))
        .build();
    let retries = RetryConfig::standard().with_max_attempts(2);
    sdk.to_builder().timeout_config(timeouts).retry_config(retries).build()
}

/// Why a call did not come to its point.
#[derive(Debug)]
pub enum Obstacle {
    /// What it is about does not exist.
    NotFound,
    /// We may not make it. What AWS said.
    Denied(String),
    /// AWS does not take the credentials. What it said.
    Credentials(String),
    /// There was no answer.
    Unreachable(String),
    /// Anything else. What AWS said.
    Odd(String),
}

/// What an answer tells: the output, `None` where AWS refused the call for the very reason that it
/// was made with, and so after it had granted the right to it, or what was in the way.
///
/// # Errors
/// See [`Obstacle`].
pub fn judge<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    intended: &[&str],
) -> Result<Option<T>, Obstacle>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let error = match answer {
        Ok(output) => return Ok(Some(output)),
        Err(error) => error,
    };
    let SdkError::ServiceError(answer) = &error else {
        return Err(Obstacle::Unreachable(root_cause(&error).to_string()));
    };
    let Some(code) = answer.err().code() else {
        let status = answer.raw().status().as_u16();
        let problem = format!("an answer {status} of something that is not AWS");
        return Err(Obstacle::Unreachable(problem));
    };
    if intended.contains(&code) {
        return Ok(None);
    }
    let message = answer.err().message().unwrap_or(code).to_owned();
    Err(match code {
        "ResourceNotFoundException" | "QueueDoesNotExist" => Obstacle::NotFound,
        _ if code.ends_with("NonExistentQueue") => Obstacle::NotFound,
        _ if code.contains("AccessDenied") => Obstacle::Denied(message),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidSecurity"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired" => Obstacle::Credentials(message),
        _ => Obstacle::Odd(format!("{code}: {message}")),
    })
}

impl Obstacle {
    /// The finding about `what`, which needs `action` on `resource`. `missing` is what to do where it
    /// does not exist.
    #[must_use]
    pub fn finding(self, what: String, action: &str, resource: &str, missing: &str) -> Finding {
        match self {
            Self::NotFound => Finding::new(what, State::Missing, missing),
            Self::Denied(message) => denied(what, action, resource, &message),
            Self::Credentials(message) => {
                let advice = format!("AWS does not take the credentials: {message}");
                Finding::new(what, State::Denied, advice)
            }
            Self::Unreachable(problem) => {
                let advice = format!("look at DNS, egress, proxy and endpoint: {problem}");
                Finding::new(what, State::Unreachable, advice)
            }
            Self::Odd(message) => Finding::new(what, State::Wrong, format!("AWS says {message}")),
        }
    }
}

/// AWS names what it misses, which may be another right than that of the call, such as one on the
/// key that a table is encrypted with.
fn denied(what: String, action: &str, resource: &str, message: &str) -> Finding {
    let named = |before: &str| {
        let (_, rest) = message.split_once(before)?;
        rest.split_whitespace().next().map(|word| word.trim_end_matches(['.', ',', '"']))
    };
    let asked = named("perform: ").unwrap_or(action);
    // SQS writes its actions in small letters.
    let missed = if asked.eq_ignore_ascii_case(action) { action } else { asked };
    let resource =
        named("on resource: ").filter(|named| named.starts_with("arn:")).unwrap_or(resource);
    if let Some((_, place)) = message.split_once("with an explicit deny in ") {
        let advice = format!("{missed} is explicitly denied in {place}: change that");
        return Finding::new(what, State::Denied, advice);
    }
    let allow = Mend::Allow { action: missed.to_owned(), resource: resource.to_owned() };
    Finding::new(what, State::Denied, format!("allow {missed}: statement below")).mended_by(allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied_with(message: &str) -> Finding {
        denied("queue".to_owned(), "sqs:SendMessage", "arn:aws:sqs:eu-west-1:*:events", message)
    }

    fn allowed(finding: Finding) -> (String, String) {
        match finding.mend {
            Some(Mend::Allow { action, resource }) => (action, resource),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_denial_names_the_right_and_the_resource_as_aws_does() {
        let owned = |(action, resource): (&str, &str)| (action.to_owned(), resource.to_owned());
        let by = "User: arn:aws:sts::1:assumed-role/serve/x is not authorized to perform:";
        let why = "because no identity-based policy allows the action";
        let queue = "arn:aws:sqs:eu-west-1:123456789012:events";
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1";

        for (message, expected) in [
            (
                format!("{by} sqs:sendmessage on resource: {queue} {why}"),
                ("sqs:SendMessage", queue),
            ),
            (format!("{by} kms:Decrypt on resource: {key} {why}"), ("kms:Decrypt", key)),
            ("Access denied".to_owned(), ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:*:events")),
        ] {
            assert_eq!(allowed(denied_with(&message)), owned(expected));
        }
    }

    #[test]
    fn an_explicit_denial_is_not_mended_by_allowing() {
        let finding = denied_with(
            "not authorized to perform: sqs:sendmessage on resource: arn:x with an explicit deny in \
             a service control policy",
        );

        assert!(finding.mend.is_none());
        assert!(finding.advice.contains("a service control policy"), "{}", finding.advice);
    }
}
