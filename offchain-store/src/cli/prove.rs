//! prove, verify.

mod batch;

use super::{
    args::{Global, Prove, Verify},
    chain::{self, ChainWord},
    failure::{Failure, Kind},
    open,
    output::{Output, one_line, printable, write_line},
    store::write_atomically,
};
use crate::{
    anchor::{Outbox, anchor_reference, newest_anchor},
    engine::{Access, ProofOptions, StorageEngine},
    plain_file::open_input,
    proof::ProofDocument,
    verify::{Expected, TrustedHead, Verification},
};
use pakit_primitives::{BlockHash, Head, LogRoot};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

pub(super) fn prove(global: &Global, out: &Output, args: &Prove) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let anchored = newest_anchor(&Outbox::open_to_read(&global.repo)?, block.leaf_index(), args.size)?;
    let size = args.size.or(anchored.as_ref().map(|row| row.purpose.head().size));
    let options = ProofOptions { size, consistent_with: args.consistent_with, lineage: args.lineage };
    let mut document = engine.prove(&block, &options)?;
    document.anchor = anchored.as_ref().and_then(anchor_reference);
    let document = document.to_json();
    match &args.output {
        None => write_line(document.trim_end()),
        Some(path) => {
            write_atomically(path, args.force, |file| {
                file.write_all(document.as_bytes()).map_err(|error| Failure::io(path, &error))
            })?;
            #[derive(Serialize)]
            struct Written<'a> {
                path: &'a Path,
                block: String,
                bytes: usize,
            }
            let written = Written { path, block: block.block_hash().to_string(), bytes: document.len() };
            if out.json { out.print(&written, String::new) } else { Ok(()) }
        }
    }
}

/// What verify answers.
#[derive(Serialize)]
struct Answer {
    valid: bool,
    consistent: bool,
    checked: Vec<crate::verify::Check>,
    head: crate::verify::HeadSource,
    /// Who owns the DAG on the chain, and so answers for what is anchored.
    owner: Option<String>,
    /// The node that was asked. Its word is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
    /// The chain's block by which the content existed.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchored_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

pub(super) fn verify(out: &Output, args: &Verify) -> Result<(), Failure> {
    let proof = match (&args.batch, &args.proof) {
        (Some(folder), _) => return batch::verify(out, args, folder),
        (None, Some(proof)) => proof,
        (None, None) => return Err(Failure::usage("name a proof document, or a folder of them with --batch")),
    };
    if is_dash(proof) && args.file.as_deref().is_some_and(is_dash) {
        return Err(Failure::usage("standard input can be either the proof or the file, not both"));
    }
    let document = read_document(proof)?;
    let (Some(url), Some(dag)) = (&args.url, args.dag) else {
        let expected = expected_of(args);
        let verification = verify_file(&document, args.file.as_deref(), &expected)?;
        return answer(out, args, &verification, None);
    };
    let word = chain::ask_about(&document, args, url, dag)?;
    let heads: Vec<Head> = word.head.iter().map(|found| found.head).collect();
    let expected =
        Expected { head: TrustedHead::Chain(&heads), genesis_hash: Some(word.genesis_hash), dag: Some(word.identity) };
    let verification = verify_file(&document, args.file.as_deref(), &expected)?;
    answer(out, args, &verification, Some(&word))
}

/// What the arguments say is true, without a chain.
fn expected_of(args: &Verify) -> Expected<'static> {
    let head = match (args.root, args.size) {
        (Some(root), Some(size)) => TrustedHead::Given(Head { size, root: LogRoot::new(root) }),
        _ => TrustedHead::Unchecked,
    };
    Expected { head, genesis_hash: args.genesis.map(BlockHash::new), dag: None }
}

fn read_document(path: &Path) -> Result<ProofDocument, Failure> {
    let refuse = |error| Failure::refused(format_args!("{}: {error}", path.display()));
    if is_dash(path) {
        return ProofDocument::read_from(io::stdin().lock()).map_err(refuse);
    }
    // A document is at most a MiB, and no more than that is read of a pipe.
    ProofDocument::read_from(open_named(path)?).map_err(refuse)
}

/// Opens what the user wants to be read, which may be a pipe: `pakit verify proof.json <(gunzip < map.gz)`.
fn open_named(path: &Path) -> Result<File, Failure> {
    let opened = open_input(path).map_err(|error| Failure::io(path, &error.into()));
    opened.map(|(file, _)| file)
}

/// Whether a path stands for standard input.
fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn verify_file(
    document: &ProofDocument,
    path: Option<&Path>,
    expected: &Expected<'_>,
) -> Result<Verification, Failure> {
    let mut file: Option<Box<dyn Read>> = match path {
        None => None,
        Some(path) if is_dash(path) => Some(Box::new(io::stdin().lock())),
        // No more is read than the document says that there is, and a byte.
        Some(path) => Some(Box::new(open_named(path)?)),
    };
    let content = file.as_mut().map(|file| &mut **file as &mut dyn Read);
    StorageEngine::verify(document, content, expected)
        .map_err(|error| Failure::io(path.unwrap_or(Path::new("-")), &io::Error::other(error)))
}

/// Prints the answer and ends with the exit code that it deserves.
fn answer(out: &Output, args: &Verify, verification: &Verification, word: Option<&ChainWord>) -> Result<(), Failure> {
    let answer = Answer {
        valid: verification.valid,
        consistent: verification.consistent,
        checked: verification.checked.clone(),
        head: verification.head,
        owner: word.map(|word| word.owner.clone()),
        asked: word.map(|word| word.url.clone()),
        anchored_at: word.and_then(|word| word.head).and_then(|head| head.anchored_at),
        size: verification.trusted_head.map(|head| head.size),
        root: verification.trusted_head.map(|head| head.root.to_string()),
        refusal: verification.refusal.as_ref().map(ToString::to_string),
    };
    out.print(&answer, || answer_text(&answer))?;
    if is_accepted(args, verification) { Ok(()) } else { Err(Failure { kind: Kind::Refused, message: String::new() }) }
}

fn is_accepted(args: &Verify, verification: &Verification) -> bool {
    verification.valid || (args.allow_unchecked_head && verification.consistent)
}

fn answer_text(answer: &Answer) -> String {
    let checked: Vec<&str> = answer.checked.iter().map(|check| check.name()).collect();
    let verdict = match (answer.valid, answer.consistent, &answer.refusal) {
        (true, ..) => "VALID".to_owned(),
        (false, true, None) => "CONSISTENT, NOT VALID: no head was given to trust".to_owned(),
        (false, true, Some(refusal)) => format!("CONSISTENT, NOT VALID: {}", one_line(refusal)),
        (false, false, Some(refusal)) => format!("REFUSED: {}", one_line(refusal)),
        (false, false, None) => "REFUSED".to_owned(),
    };
    let head = match (&answer.root, answer.size) {
        (Some(root), Some(size)) => format!("\nhead     size {size}, root {root}"),
        _ => String::new(),
    };
    let owner = answer.owner.as_ref().map_or_else(String::new, |owner| format!("\nowner    {owner}"));
    let asked = answer.asked.as_ref().map(|url| printable(url.as_bytes()));
    let asked = asked.map_or_else(String::new, |url| format!("\nby       the word of the node {url}"));
    let since = answer.anchored_at.map_or_else(String::new, |number| format!("\nsince    block {number} of the chain"));
    format!("{verdict}\nchecked  {}{head}{since}{owner}{asked}", checked.join(", "))
}
