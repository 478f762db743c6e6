//! What the processes of a system are called, and how one of several is named.

/// A kind of process of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `records-service serve`
    Records,
    /// `records-service audit`
    Audit,
    /// `auth-frontend`
    Frontend,
}

impl Service {
    /// All of them, in the order they start.
    pub const ALL: [Self; 3] = [Self::Records, Self::Audit, Self::Frontend];

    /// What it is called in logs and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records-service",
            Self::Audit => "records-audit",
            Self::Frontend => "auth-frontend",
        }
    }

    /// One of its replicas, counted from 0.
    #[must_use]
    pub fn replica(self, number: usize) -> Replica {
        Replica { service: self, number }
    }
}

/// One process of a service. A [`Service`] where a replica is asked for means its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Replica {
    pub(super) service: Service,
    pub(super) number: usize,
}

impl From<Service> for Replica {
    fn from(service: Service) -> Self {
        service.replica(0)
    }
}
