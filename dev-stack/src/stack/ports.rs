//! The ports of a whole system, and the check that all are free before anything starts.

use std::net::{IpAddr, SocketAddr};

use crate::{Error, ports};

/// One port for everything that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackPorts {
    /// The pages of auth-frontend.
    pub app: u16,
    /// The private port of auth-frontend.
    pub app_ops: u16,
    /// The gRPC of records-service.
    pub grpc: u16,
    /// The private port of `records-service serve`.
    pub records_ops: u16,
    /// The private port of `records-service audit`.
    pub audit_ops: u16,
    /// The local Auth0.
    pub auth0: u16,
    /// The local DynamoDB.
    pub dynamodb: u16,
    /// The local SQS.
    pub sqs: u16,
}

impl Default for StackPorts {
    fn default() -> Self {
        Self {
            app: 3000,
            app_ops: 9090,
            grpc: 50051,
            records_ops: 9091,
            audit_ops: 9092,
            auth0: 4000,
            dynamodb: 8000,
            sqs: 9324,
        }
    }
}

impl StackPorts {
    /// Ports on which nobody listens now.
    ///
    /// # Errors
    /// [`Error::NoFreePort`]
    pub fn free() -> Result<Self, Error> {
        let free = ports::free_port;
        Ok(Self {
            app: free()?,
            app_ops: free()?,
            grpc: free()?,
            records_ops: free()?,
            audit_ops: free()?,
            auth0: free()?,
            dynamodb: free()?,
            sqs: free()?,
        })
    }

    /// Fails on the first port that is taken, with what it is for and how to choose another.
    ///
    /// # Errors
    /// [`Error::PortTaken`]
    pub fn check(&self, bind: IpAddr, services: bool) -> Result<(), Error> {
        let emulators = [
            (self.auth0, "the local Auth0", "auth0"),
            (self.dynamodb, "the local DynamoDB", "dynamodb"),
            (self.sqs, "the local SQS", "sqs"),
        ];
        let services = [
            (self.app, "the pages of auth-frontend", "app"),
            (self.app_ops, "the health of auth-frontend", "app-ops"),
            (self.grpc, "the gRPC of records-service", "grpc"),
            (self.records_ops, "the health of records-service serve", "records-ops"),
            (self.audit_ops, "the health of records-service audit", "audit-ops"),
        ]
        .into_iter()
        .filter(|_| services);
        for (port, purpose, name) in emulators.into_iter().chain(services) {
            let variable = name.replace('-', "_").to_uppercase();
            let remedy = format!(
                "Stop what listens there, or choose another with --{name}-port or \
                 DEV_STACK_{variable}_PORT."
            );
            ports::check(SocketAddr::new(bind, port), purpose, &remedy)?;
        }
        Ok(())
    }
}
