//! Printing: JSON for programs, aligned text for people.

use super::{args::Global, failure::Failure, time};
use crate::{block::DagBlock, compress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// Where a command's results go.
pub(super) struct Output {
    pub json: bool,
    pub quiet: bool,
}

/// What every list of blocks says of a block.
#[derive(Serialize)]
pub(super) struct BlockLine {
    pub block: String,
    pub leaf_index: u64,
    pub depth: u32,
    pub timestamp_ms: u64,
    pub cid: String,
    pub content_hash: String,
    pub codec: u32,
    pub size: u64,
}

impl From<&DagBlock> for BlockLine {
    fn from(block: &DagBlock) -> Self {
        let header = block.header();
        Self {
            block: block.block_hash().to_string(),
            leaf_index: header.leaf_index,
            depth: header.depth,
            timestamp_ms: header.timestamp_ms,
            cid: block.cid().to_string(),
            content_hash: header.content_hash.to_string(),
            codec: header.codec,
            size: header.original_size,
        }
    }
}

/// A bounded list of blocks.
#[derive(Serialize)]
pub(super) struct BlockList {
    pub blocks: Vec<BlockLine>,
    pub truncated: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// Prints one JSON object on a line of its own, or a text.
    pub(super) fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.json { to_json(value)? } else { text() };
        write_line(&line)
    }

    /// Prints blocks, one a line.
    pub(super) fn block_line(&self, block: &DagBlock) -> Result<(), Failure> {
        self.print(&BlockLine::from(block), || {
            let header = block.header();
            format!(
                "{} {:>8} {:>7} {} {:>12} {}",
                block.block_hash(),
                header.leaf_index,
                header.depth,
                time::display(header.timestamp_ms),
                header.original_size,
                block.cid(),
            )
        })
    }

    /// Prints a bounded list: one JSON object, or a line a block and a note where it was cut.
    pub(super) fn block_list(&self, blocks: &[DagBlock], truncated: bool) -> Result<(), Failure> {
        if self.json {
            let blocks = blocks.iter().map(BlockLine::from).collect();
            return write_line(&to_json(&BlockList { blocks, truncated })?);
        }
        blocks.iter().try_for_each(|block| self.block_line(block))?;
        if truncated {
            self.note("truncated: there may be more; raise --limit");
        }
        Ok(())
    }

    /// Says something that is not a result.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("pakit: {text}");
        }
    }

    /// A progress bar over `length` bytes, or a counter where the length is not known; hidden unless on a terminal.
    pub(super) fn progress(&self, length: Option<u64>) -> ProgressBar {
        let template = match length {
            Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
            None => "{spinner} {bytes} {bytes_per_sec} {msg}",
        };
        self.bar(length, template)
    }

    /// A progress bar over steps that are all about as long; hidden unless on a terminal.
    pub(super) fn percentage(&self) -> ProgressBar {
        self.bar(Some(0), "{bar:40} {percent:>3} % {pos}/{len} {eta} {msg}")
    }

    fn bar(&self, length: Option<u64>, template: &str) -> ProgressBar {
        let is_shown = !self.quiet && !self.json && io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(length, target)
            .with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        if is_shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::environment(format_args!("the result cannot be written: {error}")))
}

/// Writes to standard output. A reader that has gone (`pakit log | head`) ends the program quietly, as it does for cat.
pub(super) fn write_line(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(output_failure)
}

pub(super) fn output_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::refused(""),
        _ => Failure::environment(format_args!("standard output: {error}")),
    }
}

/// A number with what it counts, in the singular where it is one.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// All fields of a header for people, one a line.
pub(super) fn header_text(block: &DagBlock) -> String {
    let header = block.header();
    let parents: String = header
        .parents
        .iter()
        .map(|parent| format!("\n               {} at {}", parent.block_hash, parent.leaf_index))
        .collect();
    let metadata = match header.metadata_hash.is_some() {
        true => header.metadata_hash.to_string(),
        false => "none".to_owned(),
    };
    format!(
        "block          {}\nleaf index     {}\nparents        {}{parents}\ndepth          {}\ntime           {}\n\
         slices before  {}\ncontent hash   {}\nCID            {}\ncodec          {:#x}\noriginal size  {}\nstored size    {}\n\
         compression    {}\nmetadata       {metadata}",
        block.block_hash(),
        header.leaf_index,
        header.parents.len(),
        header.depth,
        time::display(header.timestamp_ms),
        header.slices_before,
        header.content_hash,
        block.cid(),
        header.codec,
        header.original_size,
        header.stored_size,
        compress::name(header.compression),
    )
}

/// A file's name for a terminal: what is not text, and what moves a cursor or ends a line, is escaped.
pub(super) fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    for part in name.utf8_chunks() {
        for character in part.valid().chars() {
            match character.is_control() || character == '\\' {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        part.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// A message that may quote what others named: without what moves a cursor or colours what follows. Lines stay lines.
pub(super) fn message(text: &str) -> String {
    let is_harmless = |character: char| !character.is_control() || character == '\n';
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match is_harmless(character) {
            true => out.push(character),
            false => out.extend(character.escape_default()),
        }
    }
    out
}

/// The same as [`printable`] for a path.
pub(super) fn printable_path(path: &std::path::Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_the_terminal_as_text_only() {
        assert_eq!(printable("\u{fc}n\u{ef}code \"quote'".as_bytes()), "\u{fc}n\u{ef}code \"quote'");
        assert_eq!(message("{}: no \x1b[2J\\ such\r\n file"), "{}: no \\u{1b}[2J\\ such\\r\n file");
        assert_eq!(printable(b"\x1b[31mred\nnew\\\xff"), "\\u{1b}[31mred\\nnew\\\\\\xff");
    }
}
