//! What is measured of sessions. It does not know how they begin and end.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// The person logged out.
    Logout,
    /// The person logged in again in the same browser.
    Replaced,
    /// The person ended it from another session.
    Elsewhere,
    /// The provider said that its own is over.
    Provider,
    /// The person switched to another organization.
    Switched,
    /// Its access token is not good any more.
    Refused,
}

/// How many sessions began, and ended before their time.
pub(super) struct SessionMetrics {
    started: Counter,
    ended: Family<ReasonLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl SessionMetrics {
    /// Shows `sessions_started_total` and `sessions_ended_total`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { started: Counter::default(), ended: Family::default() };
        registry.register("sessions_started", "Logins that succeeded", metrics.started.clone());
        let help = "Sessions that ended before their time";
        registry.register("sessions_ended", help, metrics.ended.clone());
        metrics
    }

    pub(super) fn started(&self) {
        self.started.inc();
    }

    pub(super) fn ended(&self, reason: Reason) {
        let reason = match reason {
            Reason::Logout => "logout",
            Reason::Replaced => "replaced",
            Reason::Elsewhere => "elsewhere",
            Reason::Provider => "provider",
            Reason::Switched => "switched",
            Reason::Refused => "refused",
        };
        self.ended.get_or_create(&ReasonLabels { reason }).inc();
    }
}
