//! What may come of making tables and queues, and how to wait for AWS meanwhile. It does not know
//! what a table or a queue looks like.

use std::{error::Error as StdError, time::Duration};

use service_kit::aws;

use crate::error::Cause;

/// The longest pause between two looks at something that AWS is still making.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why `provision` stopped. Each names the table or the queue, for the person who runs it.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// AWS cannot be used.
    #[error(transparent)]
    Aws(#[from] aws::NoRegion),
    /// AWS refused a call, or did not answer; the cause has what it said.
    #[error("{operation} failed for {name}")]
    Call {
        /// The call's name in the API reference, which is also that of the right it needs.
        operation: &'static str,
        /// The table or queue.
        name: String,
        /// What AWS, or the way to it, said.
        #[source]
        cause: Cause,
    },
    /// Something exists, but not as it is needed. It was left as it is: somebody has to decide.
    #[error("{0}")]
    OtherShape(String),
    /// AWS needs longer than we wait. Running `provision` again goes on from there.
    #[error("{0}; run provision again in a few minutes")]
    NotYet(String),
}

impl ProvisionError {
    /// What a failed call means, for `map_err`.
    pub(crate) fn of<E>(operation: &'static str, name: &str) -> impl FnOnce(E) -> Self
    where
        E: StdError + Send + Sync + 'static,
    {
        let name = name.to_owned();
        move |error| Self::Call { operation, name, cause: error.into() }
    }
}

/// Looks again and again, less and less often, until there is an answer other than "not yet",
/// which is `None`; that is the answer as well when there was no other for so long.
pub(crate) async fn until<T>(
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, ProvisionError>,
) -> Result<Option<T>, ProvisionError> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(100);
    loop {
        let answer = look().await?;
        if answer.is_some() || tokio::time::Instant::now() >= deadline {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
