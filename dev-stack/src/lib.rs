//! The outside world of Org Records on one machine: DynamoDB, SQS and an Auth0 with Organizations,
//! spoken to over the real wire protocols. It links neither service.
//!
//! Every emulator listens on loopback, on port 0 for any free one, and lives until its value is
//! dropped. `stop()` makes it disappear as a provider that is down (the port is free, connections
//! are cut) and `resume()` brings it back on the same port with everything it knew. State is kept
//! in memory or in a folder ([`Storage`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), dev_stack::Error> {
//! use dev_stack::{Auth0, Auth0Options, DynamoDb, Sqs, Storage};
//!
//! let dynamodb = DynamoDb::start(Storage::Memory, 0).await?;
//! dynamodb.url(); // AWS_ENDPOINT_URL_DYNAMODB; any region, any credentials
//! dynamodb.stop().await;
//! dynamodb.resume().await?;
//!
//! let sqs = Sqs::start(Storage::Memory, 0).await?;
//! sqs.url(); // AWS_ENDPOINT_URL_SQS
//! sqs.queue_url("audit-events"); // the URL it has, or will have once created
//!
//! // The sample organizations, people and clients (`samples`), for an app at this origin.
//! let auth0 = Auth0::start(Auth0Options::sample("http://localhost:3000")).await?;
//! auth0.issuer(); // AUTH0_ISSUER_URL, ends in a slash
//! auth0.user_token("acme-admin", "acme")?; // an access token without a browser
//! auth0.machine_token("acme-machine", "acme")?;
//! let mut claims = auth0.user_claims("acme-admin", "acme")?;
//! claims["org_id"] = "org_other".into();
//! auth0.sign(&auth0.header(), &claims); // any odd token, with the current key
//! auth0.rotate_keys()?;
//! # Ok(())
//! # }
//! ```
//!
//! More of [`Auth0`]: `revoke_old_keys`, `fail(Endpoint, FailureMode)` and `recover`,
//! `set_token_lifetime`, `end_sessions`, `revoke_sessions`, `add_member`, `remove_member`, `invite`,
//! `id_token_claims`, `logout_claims`, `jwks`. Its login pages are plain forms: `organization`, then
//! `username` and `password`, each with a hidden `state` and a cookie.
//!
//! A [`FaultProxy`] stands in front of any of them and fails on demand:
//!
//! ```no_run
//! # async fn example(dynamodb: &dev_stack::DynamoDb) -> Result<(), dev_stack::Error> {
//! use dev_stack::{Fault, FaultProxy};
//!
//! let proxy = FaultProxy::start(dynamodb.port()).await?;
//! proxy.url(); // AWS_ENDPOINT_URL_DYNAMODB of whoever shall suffer
//! proxy.inject(Fault::Silence); // a cut network
//! proxy.heal();
//! proxy.inject_for("PutItem", Fault::access_denied());
//! # Ok(())
//! # }
//! ```
//!
//! An [`Authority`] issues certificates for tests of TLS, good ones and bad ones.
//!
//! [`Stack`] is the whole system with the services as their real binaries, which
//! `cargo build --workspace` has put beside the running test:
//!
//! ```no_run
//! # async fn example() -> Result<(), dev_stack::Error> {
//! use dev_stack::{Service, Stack, StackOptions};
//!
//! // Free ports, in memory, nothing restarted by itself; every field can be changed.
//! let stack = Stack::start(StackOptions::for_test()?).await?;
//! stack.app_url(); // the pages
//! stack.grpc_url();
//! stack.ops_url(Service::Audit);
//! stack.auth0().user_token("acme-admin", "acme")?;
//! stack.sqs().stop().await; // and resume(), and the same of dynamodb() and auth0()
//! stack.logs(Service::Frontend.replica(1)); // where the options ask for several
//! stack.kill(Service::Records).await; // SIGKILL; stop_service() is SIGTERM
//! stack.restart(Service::Records, &[("RUST_LOG", "debug")]).await?;
//! stack.logs(Service::Frontend).iter().any(|line| line.contains("listening"));
//! stack.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod auth0;
mod certificates;
mod dynamodb;
mod error;
mod faults;
mod ports;
pub mod samples;
mod server;
pub mod sqs;
mod stack;
mod storage;

pub use auth0::{Auth0, Auth0Options};
pub use certificates::{Authority, Certified};
pub use dynamodb::DynamoDb;
pub use error::Error;
pub use faults::{Answer, Fault, FaultProxy};
pub use ports::free_port;
pub use sqs::Sqs;
pub use stack::{
    AUDIT_QUEUE, EmulatorOptions, Emulators, LogLine, Replica, Service, Stack, StackOptions,
    StackPorts, Variable, binaries_beside_this_program,
};
pub use storage::Storage;
