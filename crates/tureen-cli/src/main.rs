//! The `tureen` command.

mod serve;
mod token;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Tureen: video rooms from one binary.
#[derive(Parser)]
#[command(name = "tureen", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the room server and its web app
    #[command(long_about = serve::ABOUT, after_long_help = serve::EXAMPLES, after_help = serve::EXAMPLES)]
    Serve(Box<serve::Args>),
    /// Make and explain access tokens
    #[command(subcommand, after_long_help = token::EXAMPLES, after_help = token::EXAMPLES)]
    Token(token::Command),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let filter = EnvFilter::try_from_env("TUREEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();

    let result = match command {
        Command::Serve(args) => serve::run(*args),
        Command::Token(command) => token::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tureen: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
