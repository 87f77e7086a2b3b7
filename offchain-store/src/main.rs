//! The program `pakit`; see [`offchain_store::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    offchain_store::cli::run()
}
