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
        let line = if self.json { to_json(value)? } else { message(&text()) };
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
            eprintln!("pakit: {}", one_line(text));
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

/// Whether a terminal shows a character, in its place. Not so: what controls it, what turns the direction of the text around it, what
/// ends a line, and what is no more than a place in the text, by which a name would look like another. Joiners and the first
/// variation selectors stay, without which neither Persian nor Hindi nor most emoji are spelled right; they change how their neighbours look.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            // The soft hyphen, fillers, the Mongolian separator, spaces of no width, signs that are for programs.
            '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Marks, embeddings, overrides and isolates of a direction.
            | '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs.
            | '\u{2028}'..='\u{2029}'
            // Tags, in which a whole text can hide, and selectors that mean nothing to most fonts.
            | '\u{e0000}'..='\u{e0fff}'
        )
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool, out: &mut String) {
    for character in text.chars() {
        match is_kept(character) {
            true => out.push(character),
            false => out.extend(character.escape_default()),
        }
    }
}

/// A file's name for a terminal: what is not text, and what is not shown as it stands ([`is_shown`]), is escaped.
pub(super) fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    for part in name.utf8_chunks() {
        escape(part.valid(), |character| is_shown(character) && character != '\\', &mut text);
        part.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// A message that may quote what others named: without what moves a cursor, colours what follows or turns it around. Lines stay lines.
pub(super) fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, |character| is_shown(character) || character == '\n', &mut out);
    out
}

/// The same for a message of one line, whatever the names in it hold.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, is_shown, &mut out);
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
        assert_eq!(one_line("{}: no \x1b[2J\\ such\r\n file"), "{}: no \\u{1b}[2J\\ such\\r\\n file");
        assert_eq!(printable(b"\x1b[31mred\nnew\\\xff"), "\\u{1b}[31mred\\nnew\\\\\\xff");
    }

    #[test]
    fn what_turns_text_around_or_does_not_show_is_escaped_and_what_spells_words_stays() {
        let directions = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
        let directions = directions.chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        let unseen = ['\u{ad}', '\u{200b}', '\u{2028}', '\u{2029}', '\u{2060}', '\u{feff}', '\u{e0041}'];
        for character in directions.chain(unseen) {
            let name = format!("cod{character}exe.pdf");
            let escaped = format!("cod\\u{{{:x}}}exe.pdf", u32::from(character));
            assert_eq!(printable(name.as_bytes()), escaped);
            assert_eq!((message(&name), one_line(&name)), (escaped.clone(), escaped));
        }
        for name in
            ["\u{645}\u{6cc}\u{200c}\u{62e}", "\u{2764}\u{fe0f}", "\u{1f468}\u{200d}\u{1f469}", "e\u{301}", "\u{3000}"]
        {
            assert_eq!((printable(name.as_bytes()), message(name)), (name.to_owned(), name.to_owned()));
        }
    }
}
