//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{boundary, check, demo, output, run};

/// An OCSP responder whose signing key lives in a process that the network cannot reach.
///
/// Exit codes: 0 ended as asked; 1 a check or a claim failed, or something broke; 2 command line; 3 configuration; 4 users,
/// capabilities, addresses or executables; 5 a child refused to serve at start.
#[derive(Debug, Parser)]
#[command(name = "ocsp-server", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Configuration,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what is done without a command). SIGHUP reloads the configuration, SIGTERM and SIGINT stop.
    Run(Configuration),
    /// Start both children in check mode, under their users and confinement, and print what they find. Changes nothing.
    Check(Check),
    /// Look at every thread of the running processes, as root, and print each claim of the key boundary with its evidence
    /// and ok, FAILED or n/a. Changes nothing. Exit codes: 0 no claim fails; 1 one does; 3 the configuration cannot be
    /// read; 4 not root, or not one launcher runs.
    Boundary(Boundary),
    /// Make a throwaway CA, serve it, ask about it with `openssl ocsp`, and show how to ask again.
    Demo(Demo),
}

#[derive(Debug, Args)]
struct Configuration {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ocsp-server/config.toml"
    )]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Check what a reload needs: a database that does not answer is a warning.
    #[arg(long)]
    reload: bool,
}

#[derive(Debug, Args)]
struct Boundary {
    #[command(flatten)]
    configuration: Configuration,
    /// The launcher to inspect, where several run.
    #[arg(long, value_name = "LAUNCHER")]
    pid: Option<u32>,
    /// Print the claims as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Demo {
    /// Stop after asking, instead of serving until interrupted.
    #[arg(long)]
    once: bool,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
}

/// The command line as clap knows it, for what is compared with it or made of it: manual and shell completions.
pub fn grammar() -> clap::Command {
    Arguments::command()
}

/// Reads the command line, does what it says, prints what failed.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command.unwrap_or(Command::Run(arguments.run)) {
        Command::Run(configuration) => run::run(&configuration.config),
        Command::Check(arguments) => {
            check::check(&arguments.configuration.config, arguments.reload)
        }
        Command::Boundary(arguments) => boundary::boundary(
            &arguments.configuration.config,
            arguments.pid,
            arguments.json,
        ),
        Command::Demo(arguments) => demo::demo(arguments.once, arguments.listen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            failure.code()
        }
    }
}
