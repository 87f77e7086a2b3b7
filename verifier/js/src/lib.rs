//! What the package `pakit-verifier` for browsers and Node.js calls in Wasm: a verification of one document, whose content
//! comes in pieces. The package's `api.js` is its only caller, and checks the arguments' types before it calls.
//!
//! Everything that is decided is decided in [`pakit_verifier`]; here are only the types that cross the border.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

#[cfg(target_family = "wasm")]
mod runtime;

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use pakit_primitives::{Head, LogRoot, hasher::Digest};
use pakit_verifier::{
    document::{DOCUMENT_BYTES_MAX, ProofDocument},
    verify::{Expected, TrustedHead, Verification, Verifying},
};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Longest document that is read, in bytes. Whoever has more passes on one byte more than these, which is refused too.
#[wasm_bindgen(js_name = documentBytesMax)]
#[must_use]
pub fn document_bytes_max() -> u32 {
    u32::try_from(DOCUMENT_BYTES_MAX).unwrap_or(u32::MAX)
}

/// A verification under way.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Core(State);

#[derive(Debug)]
enum State {
    /// The document was read, and all but a content is checked.
    Read(Box<Verifying>),
    /// It is no document.
    Malformed(Answer),
}

#[wasm_bindgen]
impl Core {
    /// Reads the document and checks everything but a content. Without a size, no head is trusted; with one, the root of it
    /// has 32 bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(proof: &[u8], size: Option<u64>, root: &[u8]) -> Result<Self, JsError> {
        let head = match size {
            None => TrustedHead::Unchecked,
            Some(size) => {
                let root: Digest = root.try_into().map_err(|_| JsError::new("a root has 32 bytes"))?;
                TrustedHead::Given(Head { size, root: LogRoot::new(root) })
            }
        };
        Ok(Self(match ProofDocument::from_json(proof) {
            Ok(document) => State::Read(Box::new(Verifying::new(&document, &Expected::of_head(head)))),
            Err(error) => State::Malformed(Answer {
                head: head.source().name(),
                error: Some((error.name(), error.to_string())),
                ..Answer::default()
            }),
        }))
    }

    /// Takes the next piece of the content; whether more bytes can change the answer.
    pub fn update(&mut self, piece: &[u8]) -> bool {
        match &mut self.0 {
            State::Read(verifying) => verifying.update(piece),
            State::Malformed(_) => false,
        }
    }

    /// Whether more bytes of a content can change the answer.
    #[wasm_bindgen(js_name = wantsMore)]
    #[must_use]
    pub fn wants_more(&self) -> bool {
        match &self.0 {
            State::Read(verifying) => verifying.bytes_wanted() > 0,
            State::Malformed(_) => false,
        }
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Answer {
        match self.0 {
            State::Read(verifying) => verifying.finish().into(),
            State::Malformed(answer) => answer,
        }
    }
}

/// What is found of a document.
#[wasm_bindgen]
#[derive(Clone, Debug, Default)]
pub struct Answer {
    valid: bool,
    consistent: bool,
    checked: Vec<&'static str>,
    head: &'static str,
    trusted_head: Option<Head>,
    error: Option<(&'static str, String)>,
}

impl From<Verification> for Answer {
    fn from(verification: Verification) -> Self {
        Self {
            valid: verification.valid,
            consistent: verification.consistent,
            checked: verification.checked.iter().map(|check| check.name()).collect(),
            head: verification.head.name(),
            trusted_head: verification.trusted_head,
            error: verification.refusal.map(|refusal| (refusal.name(), refusal.to_string())),
        }
    }
}

#[wasm_bindgen]
impl Answer {
    /// Everything checked holds, up to the head that was given.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn valid(&self) -> bool {
        self.valid
    }

    /// Everything checked holds within the document.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn consistent(&self) -> bool {
        self.consistent
    }

    /// The names of the checks that held, in their order.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn checked(&self) -> Vec<String> {
        self.checked.iter().map(|&name| name.to_owned()).collect()
    }

    /// Where the head came from.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn head(&self) -> String {
        self.head.to_owned()
    }

    /// The size of the trusted head that the document leads to, if it is valid.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.trusted_head.map(|head| head.size)
    }

    /// The root of that head.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn root(&self) -> Option<String> {
        self.trusted_head.map(|head| head.root.to_string())
    }

    /// The name of the error, if the document is not valid.
    #[wasm_bindgen(getter, js_name = errorName)]
    #[must_use]
    pub fn error_name(&self) -> Option<String> {
        self.error.as_ref().map(|(name, _)| (*name).to_owned())
    }

    /// The error for people.
    #[wasm_bindgen(getter, js_name = errorMessage)]
    #[must_use]
    pub fn error_message(&self) -> Option<String> {
        self.error.as_ref().map(|(_, message)| message.clone())
    }
}
