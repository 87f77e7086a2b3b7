//! The project's recipes, as `cargo xtask RECIPE`: the same ones on a laptop and in CI.
//!
//! Every recipe works from any folder of the checkout and first sets up what it needs.

mod bench;
mod build;
mod clients;
mod demo;
mod faults;
mod fuzz;
mod http;
mod omni;
mod process;
mod setup;
mod test;
mod text;
mod tools;
mod verifier;
mod weights;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Pakit's recipes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Debug, Subcommand)]
enum Recipe {
    /// Make this machine able to build everything; the other recipes do it by themselves.
    Setup,
    /// Build the programs for use: `pakit` and `pakit-dev-node` in `target/release`.
    Build,
    /// Store a folder, anchor it on a development chain, verify a file against the chain, and see tampering refused.
    Demo {
        /// What to store; by default the files of this checkout that git tracks.
        folder: Option<PathBuf>,
    },
    /// All checks: format, lints, tests, end-to-end tests, documentation, Wasm. What CI runs.
    Test {
        /// Go on after a step that failed, and tell about all of them at the end.
        #[arg(long)]
        keep_going: bool,
    },
    /// Measure the store beside its peers and write docs/benchmarks.md.
    Bench {
        /// Only this; the other sections stay as they are.
        only: Option<bench::Bench>,
        /// Blocks in the engine's repository.
        #[arg(long, default_value_t = 1_000_000)]
        blocks: u64,
        /// Files to store; by default cargo's registry of sources and the kernel's.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Pairs of runs of Pakit and each peer.
        #[arg(long, default_value_t = 11)]
        pairs: usize,
        /// Only this peer; may be given several times.
        #[arg(long = "peer")]
        peers: Vec<bench::Peer>,
    },
    /// Kill, cut off, fill up and damage the store for a long time, and write what came of it into docs/dependability.md.
    Faults {
        /// Only this kind of fault.
        only: Option<faults::Campaign>,
        /// How many experiments, instead of the long campaign's number; seconds for a crowd.
        #[arg(long, requires = "only")]
        count: Option<u64>,
        /// What chooses the moments.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Run nothing, and write down what `pakit-faults` printed into this file when it was run by itself.
        #[arg(long, requires = "only", conflicts_with = "count")]
        from: Option<PathBuf>,
    },
    /// Feed what reads the bytes of others with hostile ones, made by an engine that coverage guides.
    Fuzz {
        /// Only this target; by default all, two at a time.
        target: Option<String>,
        /// How long each of them.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, conflicts_with = "input")]
        seconds: u64,
        /// Add to the corpora in the checkout what reaches something new.
        #[arg(long, conflicts_with = "input")]
        keep: bool,
        /// Only this input, such as one that broke a target.
        #[arg(long, value_name = "FILE", requires = "target")]
        input: Option<PathBuf>,
    },
    /// Send requests that schemathesis makes up from docs/openapi.json to a service, and look at each answer.
    Http {
        /// Requests for each path at most.
        #[arg(long, default_value_t = http::EXAMPLES)]
        examples: u32,
    },
    /// Build the verifier for browsers and Node.js as a package for npm, and run its tests in both.
    Verifier,
    /// Drive the pallet by clients of other people: @polkadot/api, polkadot-api and substrate-interface.
    Clients,
    /// The demo with the runtime in a stock polkadot-omni-node in place of the development node.
    Omni {
        /// The program: `cargo install --locked polkadot-omni-node` makes one.
        node: PathBuf,
    },
    /// Measure the pallet's weights on the runtime's Wasm and write them to pallet-pakit/src/weights.rs.
    Weights {
        /// How many values of each component to measure.
        #[arg(long, default_value_t = 50)]
        steps: u32,
        /// How often to measure each of them.
        #[arg(long, default_value_t = 20)]
        repeat: u32,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().recipe {
        Recipe::Setup => setup::run(),
        Recipe::Build => build::run(),
        Recipe::Demo { folder } => demo::run(folder),
        Recipe::Test { keep_going } => test::run(keep_going),
        Recipe::Bench { only, blocks, folder, pairs, peers } => {
            bench::run_benches(&bench::Wanted { only, blocks, folder, pairs, peers })
        }
        Recipe::Faults { only: Some(campaign), from: Some(from), .. } => faults::write_earlier(campaign, &from),
        Recipe::Faults { only, count, seed, from: _ } => faults::run_campaigns(only, count, seed),
        Recipe::Fuzz { target, seconds, keep, input } => fuzz::run(&fuzz::Wanted { target, seconds, keep, input }),
        Recipe::Clients => clients::run(),
        Recipe::Omni { node } => omni::run(&node),
        Recipe::Http { examples } => http::run(examples),
        Recipe::Verifier => verifier::run(),
        Recipe::Weights { steps, repeat } => weights::run(steps, repeat),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
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
