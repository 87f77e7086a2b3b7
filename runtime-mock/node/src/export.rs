//! The chain's specification, for other nodes.

use std::{fs, io, io::Write};

use crate::{cli::ExportChainSpec, config, error::NodeError};

/// Writes what was asked for. A file that is there already stays as it is, since somebody may have edited it.
pub(crate) fn chain_spec(what: &ExportChainSpec) -> Result<(), NodeError> {
    let json = config::chain_spec(&what.preset).as_json(what.raw).map_err(NodeError::Specification)?;
    match &what.output {
        None => write(io::stdout().lock(), &json).map_err(NodeError::Announce),
        Some(path) => fs::File::create_new(path)
            .and_then(|file| write(file, &json))
            .map_err(|source| NodeError::SpecificationFile { path: path.clone(), source }),
    }
}

fn write(mut to: impl Write, json: &str) -> io::Result<()> {
    to.write_all(json.as_bytes())?;
    to.write_all(b"\n")?;
    to.flush()
}
