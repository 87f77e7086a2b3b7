//! Asking a companion. What it says is believed in nothing: it is bounded in length and time here, and verified by whom it is
//! for.

use alloc::{format, vec::Vec};
use codec::{Decode, DecodeAll};
use core::net::SocketAddr;
use pakit_primitives::Head;
use sp_runtime::offchain::{HttpError, Timestamp, http};

/// The status of an answer that is one.
const OK: u16 = 200;

/// Why a companion's answer is not sent on, or none came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens there, or the connection ended.
    #[error("the companion cannot be reached, or ended the connection")]
    Unreachable,
    /// The time is over.
    #[error("the companion did not answer in time")]
    TooSlow,
    /// It has no answer.
    #[error("the companion answered with status {0}, which docs/http.md explains")]
    Status(u16),
    /// It says more than any answer has.
    #[error("the companion answered with more than {0} bytes")]
    TooLarge(usize),
    /// What it says does not decode.
    #[error("the companion answered with bytes that do not decode")]
    Malformed,
}

/// A companion, until a deadline.
pub(super) struct Asked {
    pub(super) address: SocketAddr,
    pub(super) deadline: Timestamp,
}

impl Asked {
    /// What stands at a path, decoded: of at most `bytes_max` bytes.
    pub(super) fn decode<Answer: Decode>(&self, path: &str, bytes_max: usize) -> Result<Answer, AskError> {
        let bytes = self.bytes(path, bytes_max)?;
        Answer::decode_all(&mut bytes.as_slice()).map_err(|_| AskError::Malformed)
    }

    /// The newest head of the archive's log.
    pub(super) fn head(&self) -> Result<Head, AskError> {
        self.decode("/v1/head/raw", 40)
    }

    fn bytes(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, AskError> {
        let url = format!("http://{}{path}", self.address);
        let pending = http::Request::get(&url).deadline(self.deadline).send().map_err(of_sending)?;
        let waited = pending.try_wait(self.deadline).map_err(|_| AskError::TooSlow)?;
        let response = waited.map_err(of_waiting)?;
        if response.code != OK {
            return Err(AskError::Status(response.code));
        }
        let mut body = response.body();
        body.deadline(self.deadline);
        let bytes: Vec<u8> = body.by_ref().take(bytes_max.saturating_add(1)).collect();
        match body.error() {
            Some(error) => Err(of_sending(*error)),
            None if bytes.len() > bytes_max => Err(AskError::TooLarge(bytes_max)),
            None => Ok(bytes),
        }
    }
}

fn of_sending(error: HttpError) -> AskError {
    match error {
        HttpError::DeadlineReached => AskError::TooSlow,
        HttpError::IoError | HttpError::Invalid => AskError::Unreachable,
    }
}

fn of_waiting(error: http::Error) -> AskError {
    match error {
        http::Error::DeadlineReached => AskError::TooSlow,
        http::Error::IoError | http::Error::Unknown => AskError::Unreachable,
    }
}
