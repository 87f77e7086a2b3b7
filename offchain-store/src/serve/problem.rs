//! What a request that fails is told: a problem of RFC 9457 with a name that stays, in JSON.

use crate::{
    anchor::OutboxError, backend::BackendError, challenge::ChallengeError, dag::DagError, engine::ProveError,
    get::GetError, log::LogReadError, proof::ProofBuildError,
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::fmt;

/// How a problem is marked.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// What a problem's name is put behind to be its type.
const TYPE_PREFIX: &str = "urn:pakit:problem:";

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident $text:literal $status:ident $title:literal;)*) => {
        /// What can be the matter. Names and status codes are promised to clients: docs/http.md lists them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Name {
            $($(#[$doc])* $variant,)*
        }

        impl Name {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it stands in the document.
            pub(super) const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

names! {
    BadParameter "bad-parameter" BAD_REQUEST "a parameter is missing, unknown, given twice or not what it has to be";
    BadBlockHash "bad-block-hash" BAD_REQUEST "a block is named by 64 lower-case hex digits, with or without 0x before them";
    NoSuchProof "no-such-proof" NOT_FOUND "no log has such a proof";
    BodyInterrupted "body-interrupted" BAD_REQUEST "the body ended before its end";
    Unauthorized "unauthorized" UNAUTHORIZED "this takes the service's token";
    PutsOff "puts-off" FORBIDDEN "this service stores nothing: it was started without a token";
    ForeignPage "foreign-page" FORBIDDEN "a page in a browser asks, and not one of this service's own";
    NoSuchPath "no-such-path" NOT_FOUND "nothing is served at this path";
    UnknownBlock "unknown-block" NOT_FOUND "there is no such block in this repository";
    BeyondLog "beyond-log" NOT_FOUND "the log does not reach so far";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "nothing of this kind can be done at this path";
    BodyTooSlow "body-too-slow" REQUEST_TIMEOUT "the body came too slowly";
    ContentGone "content-gone" GONE "the block's content was removed or set aside; its header and its proofs remain";
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "the body is larger than a content may be here";
    RangeNotSatisfiable "range-not-satisfiable" RANGE_NOT_SATISFIABLE "the content does not reach so far";
    UnknownHost "unknown-host" MISDIRECTED_REQUEST "this host has another name; --allow-host gives it one more";
    LineageTooLong "lineage-too-long" UNPROCESSABLE_ENTITY "the block is too far from genesis for a lineage";
    ContentDamaged "content-damaged" INTERNAL_SERVER_ERROR "the stored content does not match its hash";
    RepositoryDamaged "repository-damaged" INTERNAL_SERVER_ERROR "what is stored contradicts itself";
    Failed "failed" INTERNAL_SERVER_ERROR "the repository could not be asked; the service's log says why";
    TooManyConnections "too-many-connections" SERVICE_UNAVAILABLE "there are as many connections as are allowed";
    TooManyPuts "too-many-puts" SERVICE_UNAVAILABLE "as many contents are being put as are allowed";
    TooSlow "too-slow" SERVICE_UNAVAILABLE "the repository did not answer in time";
    Stopping "stopping" SERVICE_UNAVAILABLE "the service is about to end";
    DiskFull "disk-full" INSUFFICIENT_STORAGE "no room is left; nothing of this content was stored";
}

/// A failed request. Its details never hold paths or what else only the operator is to see: that goes to the log.
#[derive(Debug)]
pub(super) struct Problem {
    name: Name,
    detail: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(name: Name) -> Self {
        let is_for_now = name.status() == StatusCode::SERVICE_UNAVAILABLE;
        let headers = is_for_now.then(|| (header::RETRY_AFTER, HeaderValue::from_static("1")));
        Self { name, detail: None, headers: headers.into_iter().collect() }
    }

    pub(super) fn with_detail(self, detail: impl fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Something that is the matter with this machine, told to the log only.
    pub(super) fn failed(error: &dyn fmt::Display) -> Self {
        Self::noted(Name::Failed, error)
    }

    fn noted(name: Name, error: &dyn fmt::Display) -> Self {
        tracing::error!("{}: {error}", name.text());
        Self::new(name)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{}", self.name.text()),
            title: self.name.title(),
            status: self.name.status().as_u16(),
            name: self.name.text(),
            detail: self.detail.as_deref(),
        };
        serde_json::to_vec(&document).expect("texts and a number always serialize; qed")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.name.status();
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match &error {
            BackendError::DiskFull => Self::noted(Name::DiskFull, &error),
            BackendError::Damaged(_) => Self::noted(Name::RepositoryDamaged, &error),
            _ => Self::failed(&error),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        Self::failed(&error)
    }
}

impl From<LogReadError> for Problem {
    fn from(error: LogReadError) -> Self {
        match error {
            LogReadError::Backend(error) => error.into(),
            LogReadError::SizeBeyondLog { .. } => Self::new(Name::BeyondLog).with_detail(error),
            LogReadError::NoSuchProof(_) => Self::new(Name::NoSuchProof).with_detail(error),
            error => Self::noted(Name::RepositoryDamaged, &error),
        }
    }
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Backend(error) => error.into(),
            GetError::UnknownBlock(_) => Self::new(Name::UnknownBlock),
            // Who decided it and why is the archive's business: `pakit audit` tells.
            GetError::Removed(_) | GetError::Forgotten { .. } | GetError::SetAside(_) => Self::new(Name::ContentGone),
            GetError::MissingChunk { .. } | GetError::UnreadableChunk { .. } | GetError::Mismatch { .. } => {
                Self::noted(Name::ContentDamaged, &error)
            }
            error => Self::failed(&error),
        }
    }
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::Backend(error) => error.into(),
            ChallengeError::Log(error) => error.into(),
            ChallengeError::Get(error) => error.into(),
            ChallengeError::PositionBeyondLog { .. } => Self::new(Name::BeyondLog).with_detail(error),
            error => Self::noted(Name::RepositoryDamaged, &error),
        }
    }
}

impl From<DagError> for Problem {
    fn from(error: DagError) -> Self {
        match error {
            DagError::Backend(error) => error.into(),
            DagError::UnknownBlock(_) => Self::new(Name::UnknownBlock),
            DagError::LineageTooLong => Self::new(Name::LineageTooLong),
            error => Self::noted(Name::RepositoryDamaged, &error),
        }
    }
}

impl From<ProveError> for Problem {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Log(error) | ProveError::Build(ProofBuildError::Log(error)) => error.into(),
            ProveError::Dag(error) => error.into(),
            error => Self::noted(Name::RepositoryDamaged, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_name_is_its_own_and_documented_with_its_status() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md");
        let page = fs::read_to_string(path).unwrap();
        let documented: BTreeSet<(&str, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(name, rest)| Some((name, rest.get(..3)?)))
            .filter(|(_, status)| status.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        let statuses: Vec<_> = Name::ALL.iter().map(|name| (name.text(), name.status().as_u16().to_string())).collect();
        let named: BTreeSet<(&str, &str)> = statuses.iter().map(|(name, status)| (*name, status.as_str())).collect();
        assert_eq!(named.len(), Name::ALL.len());
        assert_eq!(named, documented);
    }

    #[test]
    fn a_problem_says_what_it_is_and_nothing_of_this_machine() {
        let io = BackendError::Io { path: "/secret/place".into(), source: std::io::Error::other("a secret") };
        let text = String::from_utf8(Problem::from(io).to_json()).unwrap();
        assert!(text.contains("\"name\":\"failed\"") && !text.contains("secret"), "{text}");
        let beyond = Problem::from(LogReadError::SizeBeyondLog { size: 9, log_size: 5 });
        let value: serde_json::Value = serde_json::from_slice(&beyond.to_json()).unwrap();
        assert_eq!(value["type"], "urn:pakit:problem:beyond-log");
        assert_eq!((&value["status"], &value["detail"]), (&404.into(), &"the log has 5 blocks, not 9".into()));
    }
}
