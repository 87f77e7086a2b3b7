//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};
use pakit_runtime_mock::genesis_presets::PRESETS;

/// The shortest time between blocks: about what making and storing one takes.
const INTERVAL_MS_MIN: u64 = 10;
/// The longest time between blocks: an hour.
const INTERVAL_MS_MAX: u64 = 3_600_000;

/// A chain with the Pakit pallet in one process, FOR DEVELOPMENT AND TESTS ONLY.
///
/// There is no consensus, there are no peers, and the accounts that hold the money have keys everybody knows. It listens
/// on 127.0.0.1 only. When it is ready it prints one line to standard output, `pakit-dev-node listening on
/// ws://127.0.0.1:PORT`; everything else goes to standard error.
#[derive(Debug, Parser)]
#[command(name = "pakit-dev-node", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    /// What to do instead of running a chain.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// When blocks are made: `instant`ly when a transaction comes (none come, no blocks), every so many milliseconds
    /// (empty ones too), or only at the RPC calls engine_createBlock and engine_createBranch, which work in every mode. The
    /// second makes a fork: blocks on any block, with the extrinsics given and nothing of the pool.
    #[arg(long, value_name = "instant|interval=MS|manual", default_value = "instant")]
    pub(crate) seal: Seal,

    /// Finalize the block that many blocks below the best one, as blocks are made; or never, except at the RPC call
    /// engine_finalizeBlock, which works in every mode.
    #[arg(long, value_name = "N|never", default_value = "0")]
    pub(crate) finalize_after: FinalizeAfter,

    /// Port of the RPC server (WebSocket and HTTP); 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9944)]
    pub(crate) rpc_port: u16,

    /// Where the chain is kept.
    #[command(flatten)]
    pub(crate) place: Place,

    /// The genesis state of a new chain. A base path keeps one chain for each.
    #[arg(long, value_name = "NAME", default_value = PRESETS[0], value_parser = PossibleValuesParser::new(PRESETS))]
    pub(crate) preset: String,

    /// Keep the compiled runtime in this folder, which several nodes may share: the next start is quicker by seconds. The
    /// node runs what it finds there, so it must be yours alone. By default in the base path; not kept with --tmp.
    #[arg(long, value_name = "DIR", env = "PAKIT_NODE_WASM_CACHE")]
    pub(crate) wasm_cache: Option<PathBuf>,

    /// What to log, as directives: `info`, `warn,txpool=debug`.
    #[arg(long, value_name = "DIRECTIVES", env = "PAKIT_NODE_LOG", default_value = "warn,pakit_dev_node=info")]
    pub(crate) log: String,
}

/// What the program does besides running a chain.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the chain's specification, from which polkadot-omni-node and its like run the same runtime.
    ExportChainSpec(ExportChainSpec),
}

/// Which specification, and where to.
#[derive(Debug, Args)]
pub(crate) struct ExportChainSpec {
    /// The genesis state.
    #[arg(long, value_name = "NAME", default_value = PRESETS[0], value_parser = PossibleValuesParser::new(PRESETS))]
    pub(crate) preset: String,

    /// Every entry of the genesis state, in place of what the runtime builds it from.
    #[arg(long)]
    pub(crate) raw: bool,

    /// The file to write, which must not be there yet; without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Where the chain is kept: said by the user, so that nothing is lost or taken up again by surprise.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// Keep the chain in a temporary folder and remove it at the end.
    #[arg(long)]
    pub(crate) tmp: bool,

    /// Keep the chain in this folder; go on with the one that is there. Blocks survive when the node is killed.
    #[arg(long, value_name = "DIR")]
    pub(crate) base_path: Option<PathBuf>,
}

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seal {
    /// When a transaction is ready.
    Instant,
    /// Every so often.
    Interval(Duration),
    /// When the RPC says so.
    Manual,
}

/// Why an argument to `--seal` was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum SealError {
    /// Not one of the modes.
    #[error("expected `instant`, `interval=MS` or `manual`")]
    UnknownMode,
    /// The interval is not a number of milliseconds.
    #[error("the interval is not a whole number of milliseconds")]
    NotANumber(#[source] std::num::ParseIntError),
    /// The interval is too short or too long.
    #[error("the interval must be from {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX} milliseconds")]
    OutOfRange,
}

impl FromStr for Seal {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("interval=")) {
            ("instant", _) => Ok(Self::Instant),
            ("manual", _) => Ok(Self::Manual),
            (_, Some(interval_ms)) => {
                let interval_ms = interval_ms.parse().map_err(SealError::NotANumber)?;
                if !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval_ms) {
                    return Err(SealError::OutOfRange);
                }
                Ok(Self::Interval(Duration::from_millis(interval_ms)))
            }
            _ => Err(SealError::UnknownMode),
        }
    }
}

/// Which blocks are finalized without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalizeAfter {
    /// The block that many below the best one, and so all before it.
    Blocks(u32),
    /// None.
    Never,
}

/// Why an argument to `--finalize-after` was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a number of blocks or `never`")]
pub(crate) struct FinalizeAfterError(#[source] std::num::ParseIntError);

impl FromStr for FinalizeAfter {
    type Err = FinalizeAfterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            number => number.parse().map(Self::Blocks).map_err(FinalizeAfterError),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["pakit-dev-node"], arguments].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_says_that_it_is_for_development_and_tests_only() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("FOR DEVELOPMENT AND TESTS ONLY"), "{help}");
    }

    #[test]
    fn defaults_are_instant_seal_and_finality_at_once() {
        let cli = parsed(&["--tmp"]).unwrap();
        assert_eq!(cli.seal, Seal::Instant);
        assert_eq!(cli.finalize_after, FinalizeAfter::Blocks(0));
        assert_eq!(cli.rpc_port, 9944);
        assert_eq!(cli.preset, "development");
    }

    #[test]
    fn every_seal_mode_is_understood_and_anything_else_refused() {
        assert_eq!("instant".parse(), Ok(Seal::Instant));
        assert_eq!("manual".parse(), Ok(Seal::Manual));
        assert_eq!("interval=200".parse(), Ok(Seal::Interval(Duration::from_millis(200))));
        for text in ["", "Instant", "interval", "interval:200"] {
            assert_eq!(text.parse::<Seal>(), Err(SealError::UnknownMode), "{text}");
        }
        for text in ["interval=", "interval=-1", "interval=1s", "interval=99999999999999999999"] {
            assert!(matches!(text.parse::<Seal>(), Err(SealError::NotANumber(_))), "{text}");
        }
        for text in ["interval=0", "interval=9", "interval=3600001"] {
            assert_eq!(text.parse::<Seal>(), Err(SealError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn finality_is_a_number_of_blocks_or_never() {
        assert_eq!("never".parse(), Ok(FinalizeAfter::Never));
        assert_eq!("7".parse(), Ok(FinalizeAfter::Blocks(7)));
        for text in ["", "-1", "Never", "4294967296"] {
            assert!(text.parse::<FinalizeAfter>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_of_the_chain_must_be_said_and_only_once() {
        assert_eq!(parsed(&[]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parsed(&["--tmp", "--base-path", "x"]).unwrap_err().kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_specification_is_exported_without_a_place_for_a_chain_and_never_with_one() {
        let exported = |arguments| match parsed(arguments).unwrap().command {
            Some(Command::ExportChainSpec(what)) => (what.preset, what.raw, what.output),
            None => panic!("no command in {arguments:?}"),
        };
        assert_eq!(exported(&["export-chain-spec"]), ("development".into(), false, None));
        let output = Some("spec.json".into());
        let arguments = ["export-chain-spec", "--raw", "--preset", "local_testnet", "-o", "spec.json"];
        assert_eq!(exported(&arguments), ("local_testnet".into(), true, output));
        assert!(parsed(&["--tmp", "export-chain-spec"]).is_err());
    }

    #[test]
    fn a_preset_the_runtime_does_not_have_is_refused() {
        assert_eq!(parsed(&["--tmp", "--preset", "mainnet"]).unwrap_err().kind(), ErrorKind::InvalidValue);
    }
}
