//! Why the node stopped.

use std::{error::Error, io, path::PathBuf};

use crate::genesis::GenesisError;

/// Why the node could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NodeError {
    /// The log directives do not parse.
    #[error("the log directives are wrong")]
    LogFilter(#[source] tracing_subscriber::filter::ParseError),
    /// The folder for the chain could not be made.
    #[error("cannot use the base path {}", path.display())]
    BasePath {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The temporary folder could not be made.
    #[error("cannot make a temporary folder")]
    TemporaryFolder(#[source] io::Error),
    /// Threads or signal handlers could not be had.
    #[error("cannot start the thread pool or listen for signals")]
    Runtime(#[source] io::Error),
    /// The database would not open: another node has it, or it is damaged.
    #[error("cannot open the chain's database in {} (is another node using it?)", path.display())]
    Database {
        /// The database's folder.
        path: PathBuf,
        /// What the database said.
        source: parity_db::Error,
    },
    /// The genesis state could not be built.
    #[error("cannot build the genesis state")]
    Genesis(#[from] GenesisError),
    /// The client could not be built, or an essential part of it ended.
    #[error("the node failed")]
    Service(#[source] Box<sc_service::Error>),
    /// The RPC server runs but tells no address.
    #[error("the RPC server has no address")]
    NoRpcAddress,
    /// The genesis state could not be built for a specification.
    #[error("cannot build the chain's specification: {0}")]
    Specification(String),
    /// The file for the specification is there already, or cannot be made.
    #[error("cannot write the chain's specification to {}", path.display())]
    SpecificationFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("cannot write to standard output")]
    Announce(#[source] io::Error),
}

impl From<sc_service::Error> for NodeError {
    fn from(error: sc_service::Error) -> Self {
        // Several times the size of everything else here.
        Self::Service(Box::new(error))
    }
}

/// The error and all that caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
