//! What the end-to-end tests stand on: the real node and the real `pakit` as processes, and a client of the chain that
//! shares no code with either.
//!
//! | module | gives |
//! |---|---|
//! | [`process`] | a process with a time limit, whose output is read while it runs and that never outlives its value |
//! | [`pakit`] | the program `pakit` in a folder, with a clean environment |
//! | [`node`] | the development node: started, killed, started again in the same place, and asked over HTTP |
//! | [`service`] | `pakit serve`: started, killed, started again in the same place, and asked over HTTP |
//! | [`challenged`] | a staked archive with its service, and a node that answers for it |
//! | [`chain`] | what the chain keeps and which extrinsics are in its blocks, decoded here |
//! | [`folder`] | folders with all that a restored folder must have in common with its original |
//! | [`http`] | one request and its answer |
//! | [`proof`] | every change of a proof document that a reader must notice |
//!
//! Everything waits with a bound and panics when it is reached, with what the processes said. Ports are chosen by the
//! system and folders are temporary, so that tests run side by side.

#![allow(clippy::unwrap_used, reason = "it is part of tests: what is not as expected ends them")]

pub mod chain;
pub mod challenged;
pub mod folder;
pub mod http;
pub mod node;
pub mod pakit;
pub mod process;
pub mod proof;
pub mod service;

use std::{env, fmt, path::PathBuf, str::FromStr, time::Duration};

pub use self::{challenged::Challenged, node::Node, pakit::Pakit, service::Service};

/// How long anything may take on a busy machine before a test says that it never happens.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often is looked whether something has happened.
pub const POLL: Duration = Duration::from_millis(10);

/// Where a binary of this workspace is: in the folder that `PAKIT_BIN_DIR` names, else in cargo's, where this test is too.
pub fn binary(name: &str) -> PathBuf {
    let folder = env::var_os("PAKIT_BIN_DIR").map_or_else(
        || {
            // target/debug/deps/anchor-0123456789abcdef: the binaries stand one folder up.
            let test = env::current_exe().unwrap();
            test.ancestors().nth(2).unwrap().to_path_buf()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "there is no {name} in {}; build it with `cargo build --package offchain-store --package pakit-dev-node`, or name \
         the folder that has it in PAKIT_BIN_DIR",
        folder.display()
    );
    path
}

/// What a variable asks of a test: how much of something, or the seed of an earlier run.
pub fn from_environment<T: FromStr<Err: fmt::Debug>>(name: &str) -> Option<T> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|error| panic!("{name}: {error:?}")))
}
