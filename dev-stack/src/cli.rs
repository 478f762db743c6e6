//! The command line, every option of which is a variable too.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use dev_stack::{EmulatorOptions, StackPorts, Storage};

/// Runs the whole of Org Records on this machine.
///
/// Without a command it builds the services, starts DynamoDB, SQS and a local Auth0 in this
/// process and the services beside it, fills the sample organizations on the first start, and
/// prints the address to open. Ctrl-C stops everything.
#[derive(Debug, Parser)]
#[command(name = "dev-stack", version, subcommand_help_heading = "Commands")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The folder in which everything is kept between runs; delete it to start anew.
    /// [default: .dev-stack in the workspace, else here]
    #[arg(long, env = "DEV_STACK_DATA", value_name = "FOLDER", global = true)]
    data: Option<PathBuf>,

    /// The address of this machine to listen on; 0.0.0.0 opens it to other machines
    #[arg(long, env = "DEV_STACK_BIND", value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into(), global = true)]
    bind: IpAddr,

    /// Let the controls of Auth0 at /local answer other machines too; only for a container whose
    /// ports are published on this machine alone
    #[arg(long, env = "DEV_STACK_OPEN_CONTROLS", global = true)]
    open_controls: bool,

    /// The issuer as browsers and services reach it [default: localhost with the port]
    #[arg(long, env = "DEV_STACK_ISSUER", value_name = "URL", global = true)]
    issuer: Option<String>,

    /// The origin of the pages as browsers reach it [default: localhost with the port]
    #[arg(long, env = "DEV_STACK_APP_URL", value_name = "URL", global = true)]
    app_url: Option<String>,

    /// The origin of the pages as Auth0 reaches it, to tell of sessions that have ended, where that is
    /// another [default: as browsers reach it]
    #[arg(long, env = "DEV_STACK_APP_URL_HERE", value_name = "URL", global = true)]
    app_url_here: Option<String>,

    /// Start the services as they were built last
    #[arg(long, env = "DEV_STACK_NO_BUILD")]
    pub(crate) no_build: bool,

    /// Create no sample records
    #[arg(long, env = "DEV_STACK_NO_SAMPLES")]
    pub(crate) no_samples: bool,

    #[command(flatten)]
    ports: PortArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Start only DynamoDB, SQS and Auth0, and print the environment of the services to export
    Emulators,
    /// Ask DynamoDB, SQS and Auth0 of a running command whether they answer
    Healthcheck,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the options are named after the fields")]
#[command(next_help_heading = "Ports")]
struct PortArguments {
    /// The pages of auth-frontend
    #[arg(long, env = "DEV_STACK_APP_PORT", value_name = "PORT", default_value_t = StackPorts::default().app, global = true)]
    app_port: u16,

    /// The health of auth-frontend
    #[arg(long, env = "DEV_STACK_APP_OPS_PORT", value_name = "PORT", default_value_t = StackPorts::default().app_ops, global = true)]
    app_ops_port: u16,

    /// The gRPC of records-service
    #[arg(long, env = "DEV_STACK_GRPC_PORT", value_name = "PORT", default_value_t = StackPorts::default().grpc, global = true)]
    grpc_port: u16,

    /// The health of records-service serve
    #[arg(long, env = "DEV_STACK_RECORDS_OPS_PORT", value_name = "PORT", default_value_t = StackPorts::default().records_ops, global = true)]
    records_ops_port: u16,

    /// The health of records-service audit
    #[arg(long, env = "DEV_STACK_AUDIT_OPS_PORT", value_name = "PORT", default_value_t = StackPorts::default().audit_ops, global = true)]
    audit_ops_port: u16,

    /// The local Auth0
    #[arg(long, env = "DEV_STACK_AUTH0_PORT", value_name = "PORT", default_value_t = StackPorts::default().auth0, global = true)]
    auth0_port: u16,

    /// The local DynamoDB
    #[arg(long, env = "DEV_STACK_DYNAMODB_PORT", value_name = "PORT", default_value_t = StackPorts::default().dynamodb, global = true)]
    dynamodb_port: u16,

    /// The local SQS
    #[arg(long, env = "DEV_STACK_SQS_PORT", value_name = "PORT", default_value_t = StackPorts::default().sqs, global = true)]
    sqs_port: u16,
}

impl Arguments {
    /// The folder in which everything is kept.
    pub(crate) fn data(&self) -> PathBuf {
        let of_workspace = || {
            // Cargo tells the programs that it runs where their package is.
            let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
            Some(package.parent()?.join(".dev-stack"))
        };
        let data = self.data.clone().or_else(of_workspace);
        data.unwrap_or_else(|| PathBuf::from(".dev-stack"))
    }

    pub(crate) fn emulators(&self) -> EmulatorOptions {
        let ports = &self.ports;
        EmulatorOptions {
            ports: StackPorts {
                app: ports.app_port,
                app_ops: ports.app_ops_port,
                grpc: ports.grpc_port,
                records_ops: ports.records_ops_port,
                audit_ops: ports.audit_ops_port,
                auth0: ports.auth0_port,
                dynamodb: ports.dynamodb_port,
                sqs: ports.sqs_port,
            },
            bind: self.bind,
            storage: Storage::Folder(self.data()),
            open_controls: self.open_controls,
            issuer: self.issuer.clone(),
            app_url: self.app_url.clone(),
            app_url_here: self.app_url_here.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_or_after_the_command() {
        for line in [
            ["dev-stack", "--auth0-port", "4100", "emulators"],
            ["dev-stack", "emulators", "--auth0-port", "4100"],
        ] {
            let arguments = Arguments::parse_from(line);
            assert_eq!(arguments.command, Some(Command::Emulators));
            assert_eq!(arguments.emulators().ports.auth0, 4100);
        }
    }
}
