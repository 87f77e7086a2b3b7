//! verify --batch.

use super::{
    super::{
        args::Verify,
        failure::Failure,
        output::{Output, count, one_line, printable_path},
        store::path_texts,
    },
    expected_of, is_accepted,
};
use crate::verify::{Check, DocumentError, FileAnswer, HeadSource, document_files, verify_files};
use serde::Serialize;
use std::{ops::ControlFlow, path::Path};

/// What is said of a document.
#[derive(Serialize)]
struct Line {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    valid: bool,
    consistent: bool,
    checked: Vec<Check>,
    head: HeadSource,
    /// The block, as far as the document is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// Why there is no document.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Verifies all documents of a folder; what is wrong with one keeps none of the others from being verified.
pub(super) fn verify(out: &Output, args: &Verify, folder: &Path) -> Result<(), Failure> {
    let paths = document_files(folder)?;
    if paths.is_empty() {
        return Err(Failure::usage(format_args!("{} holds no *.json", folder.display())));
    }
    let expected = expected_of(args);
    let mut refused = 0;
    let mut printed = Ok(());
    let _ = verify_files(&paths, &expected, &mut |path, answer| {
        refused += u64::from(!answer.as_ref().is_ok_and(|answer| is_accepted(args, answer)));
        printed = print(out, path, answer, args);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    printed?;
    match refused {
        0 => Ok(()),
        refused => Err(Failure::refused(format_args!(
            "{refused} of {} in {} did not pass",
            count(paths.len() as u64, "document"),
            folder.display()
        ))),
    }
}

fn print(out: &Output, path: &Path, answer: FileAnswer, args: &Verify) -> Result<(), Failure> {
    let (text, path_bytes) = path_texts(path);
    let line = match answer {
        Ok(answer) => Line {
            path: text,
            path_bytes,
            valid: answer.valid,
            consistent: answer.consistent,
            leaf_index: answer.header.as_ref().filter(|_| answer.valid).map(|header| header.leaf_index),
            refusal: answer.refusal.as_ref().map(ToString::to_string),
            checked: answer.checked,
            head: answer.head,
            error: None,
        },
        Err(error) => Line {
            path: text,
            path_bytes,
            valid: false,
            consistent: false,
            checked: Vec::new(),
            head: expected_of(args).head.source(),
            leaf_index: None,
            refusal: None,
            error: Some(error.to_string()),
        },
    };
    out.print(&line, || {
        let path = printable_path(path);
        // An error quotes the path as it is.
        let why = line.refusal.as_deref().or(line.error.as_deref()).map(one_line).unwrap_or_default();
        match (line.valid, line.consistent) {
            (true, _) => format!("VALID       {path}"),
            (false, true) => format!("CONSISTENT  {path}: not valid, {why}"),
            (false, false) => format!("REFUSED     {path}: {why}"),
        }
    })
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        match error {
            error @ DocumentError::TooMany(_) => Self::usage(error),
            error => Self::environment(error),
        }
    }
}
