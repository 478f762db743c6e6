//! Settings of the AWS SDK that both services share, and the measuring of its calls. It holds no
//! client: each service makes its own, once.

mod calls;

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};

pub use calls::{CallMetrics, is_throttle};

/// The longest that one AWS call may take with all its attempts, where the caller's own deadline
/// is not nearer.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The AWS SDK finds no region.
#[derive(Debug, thiserror::Error)]
#[error("AWS_REGION: is not set, and the AWS SDK finds no region elsewhere")]
pub struct NoRegion;

/// Region, credentials and endpoints from the SDK's own chain (environment, profile, IRSA, Pod
/// Identity …), with our time limits.
///
/// The SDK has no operation or read timeout of its own, and its first back-off is up to a second:
/// both are wrong for a page that somebody waits for.
/// Source: "Timeouts" and "Retries" in the AWS SDK for Rust developer guide.
///
/// # Errors
/// [`NoRegion`]: without one, every call would fail later on.
pub async fn load() -> Result<SdkConfig, NoRegion> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(800))
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(Duration::from_millis(250));
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        // It watches the pace of long transfers, at a cost for every byte; ours are short and have
        // a time limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(retries)
        .load()
        .await;
    // Empty means not set here as for every variable, though not to the SDK.
    let is_set = sdk.region().is_some_and(|region| !region.as_ref().is_empty());
    if is_set { Ok(sdk) } else { Err(NoRegion) }
}
