//! The outside world as one: Auth0, DynamoDB and SQS with the ports and the folder of a system, and
//! the environment by which the services find them.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
};

use super::{StackPorts, secrets::Secrets};
use crate::{Auth0, Auth0Options, DynamoDb, Error, Sqs, Storage, samples, sqs::REGION, storage};

/// The name of the audit queue.
pub const AUDIT_QUEUE: &str = "audit-events";

/// An environment variable: its name and value.
pub type Variable = (&'static str, String);

/// Where and how the outside world is put up.
#[derive(Debug, Clone)]
pub struct EmulatorOptions {
    /// Ports; those of the services serve to name their addresses.
    pub ports: StackPorts,
    /// The address of this machine to listen on.
    pub bind: IpAddr,
    /// Where everything is kept.
    pub storage: Storage,
    /// Whether `/local` of Auth0 answers other machines too.
    pub open_controls: bool,
    /// The issuer as browsers and services reach it; `None` means `http://localhost:<port>/`.
    pub issuer: Option<String>,
    /// The origin of the pages, without a slash at its end; `None` means
    /// `http://localhost:<port>`.
    pub app_url: Option<String>,
    /// The origin of the pages as Auth0 reaches it, for back-channel logout; `None` means as browsers
    /// do.
    pub app_url_here: Option<String>,
}

/// The outside world.
pub struct Emulators {
    /// The local Auth0.
    pub auth0: Auth0,
    /// The local DynamoDB.
    pub dynamodb: DynamoDb,
    /// The local SQS.
    pub sqs: Sqs,
    secrets: Secrets,
    ports: StackPorts,
    app_url: String,
    /// Held for as long as the folder is ours.
    _lock: Option<File>,
}

impl Emulators {
    /// Starts all three.
    ///
    /// # Errors
    /// What the first that does not start says.
    pub async fn start(options: EmulatorOptions) -> Result<Self, Error> {
        let EmulatorOptions { ports, bind, storage, open_controls, issuer, app_url, app_url_here } =
            options;
        let at = |port| SocketAddr::new(bind, port);
        let default_url = || format!("http://localhost:{}", ports.app);
        let app_url = app_url.map_or_else(default_url, |url| url.trim_end_matches('/').to_owned());
        let lock = storage::lock(&storage)?;
        let secrets = Secrets::open(&storage.child("secrets"))?;
        let mut auth0 = Auth0Options {
            address: at(ports.auth0),
            issuer,
            storage: storage.child("auth0"),
            open_controls,
            ..Auth0Options::sample(&app_url)
        };
        if let Some(origin) = app_url_here {
            let url = samples::backchannel_logout_url(origin.trim_end_matches('/'));
            auth0.web_clients[0].backchannel_logout_url = Some(url);
        }
        let auth0 = Auth0::start(auth0);
        let dynamodb = DynamoDb::start_at(storage.child("dynamodb"), at(ports.dynamodb));
        let sqs = Sqs::start_at(storage.child("sqs"), at(ports.sqs));
        let (auth0, dynamodb, sqs) = (auth0.await?, dynamodb.await?, sqs.await?);
        Ok(Self { auth0, dynamodb, sqs, secrets, ports, app_url, _lock: lock })
    }

    /// The origin of the pages, without a slash at its end.
    #[must_use]
    pub fn app_url(&self) -> &str {
        &self.app_url
    }

    /// What both services need.
    #[must_use]
    pub fn shared_variables(&self) -> Vec<Variable> {
        vec![
            ("AUTH0_ISSUER_URL", self.auth0.issuer().to_owned()),
            ("AUTH0_AUDIENCE", samples::AUDIENCE.to_owned()),
            ("ACTOR_NAME_CLAIM", samples::NAME_CLAIM.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", self.sqs.url()),
            ("SESSIONS_TABLE", "sessions".to_owned()),
        ]
    }

    /// What records-service needs besides.
    #[must_use]
    pub fn records_variables(&self) -> Vec<Variable> {
        vec![
            ("RECORDS_TABLE", "records".to_owned()),
            ("OUTBOX_TABLE", "records-outbox".to_owned()),
            ("AUDIT_TABLE", "audit-trail".to_owned()),
            ("AUDIT_QUEUE_NAME", AUDIT_QUEUE.to_owned()),
            // The local DynamoDB has neither point-in-time recovery nor deletion protection.
            ("TABLE_PROTECTION", "false".to_owned()),
            ("AUDIT_QUEUE_URL", self.sqs.queue_url(AUDIT_QUEUE)),
            // All of it is on this machine.
            ("GRPC_PLAINTEXT", "true".to_owned()),
            self.secrets.records.clone(),
        ]
    }

    /// What auth-frontend needs besides.
    #[must_use]
    pub fn frontend_variables(&self) -> Vec<Variable> {
        let mut variables = vec![
            ("APP_BASE_URL", self.app_url.clone()),
            ("AUTH0_CLIENT_ID", samples::WEB_CLIENT_ID.to_owned()),
            ("RECORDS_SERVICE_URL", format!("http://localhost:{}", self.ports.grpc)),
            ("RECORDS_SERVICE_PLAINTEXT", "true".to_owned()),
        ];
        variables.extend(self.secrets.frontend.clone());
        variables
    }

    /// Stops all three, which writes down what is kept.
    pub async fn stop(&self) {
        tokio::join!(self.auth0.stop(), self.dynamodb.stop(), self.sqs.stop());
    }
}
