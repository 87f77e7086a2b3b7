//! What a command ends with when it does not succeed: one line and an exit code.

use super::output::one_line;
use crate::{
    anchor::{AnchorError, ChainError, OutboxError, TrustedHeadError},
    backend::BackendError,
    backup::{BackupError, FolderError, RestoreBackupError},
    commit::CommitError,
    compress::CompressError,
    config::ConfigError,
    dag::DagError,
    engine::{OpenError, ProveError},
    get::GetError,
    listing::{ListingError, PathError},
    log::LogReadError,
    proof::ProofBuildError,
    put::PutError,
    removal::{DecideError, DeclareError, ForgetError, GcError, HoldError, RecordError},
    resolve::ResolveError,
    restore::RestoreError,
    serve::{ServeError, TokenError},
    sqlite::compact::CompactError,
    store::StoreError,
};
use std::{fmt, io, path::Path};

/// What to do about damage.
const REPAIR: &str = "; run `pakit repair`, and where that does not help, restore a copy of the repository";

/// How a command failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A proof was refused, a check failed, what is stored is damaged, or not every item was stored or restored: exit code 1.
    Refused,
    /// The command was used wrongly: exit code 2.
    Usage,
    /// Repository, network or chain do not allow it: exit code 3.
    Environment,
}

impl Kind {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Environment => 3,
        }
    }
}

/// What failed, on what, and what to do, in one line; an empty line where the command has said everything itself.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: Kind,
    pub message: String,
}

impl Failure {
    /// One line, whatever the names in it hold.
    pub(super) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: one_line(&message.to_string()) }
    }

    pub(super) fn refused(message: impl fmt::Display) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// What is stored is damaged: always the same exit code, and what to do.
    pub(super) fn damaged(error: impl fmt::Display) -> Self {
        Self::refused(format_args!("{error}{REPAIR}"))
    }

    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(super) fn environment(message: impl fmt::Display) -> Self {
        Self::new(Kind::Environment, message)
    }

    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        Self::environment(format_args!("{}: {error}", path.display()))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let (kind, hint) = match &error {
            BackendError::NotFound(_) => {
                (Kind::Environment, "; make one with `pakit init`, or name another with --repo")
            }
            BackendError::Locked(_) => (Kind::Environment, "; try again when it has ended"),
            BackendError::NewerVersion { .. } => (Kind::Environment, "; use a newer pakit"),
            BackendError::Damaged(_) => (Kind::Refused, REPAIR),
            BackendError::DiskFull => {
                (Kind::Environment, "; nothing of the last batch was stored, what was reported before is safe")
            }
            BackendError::AlreadyExists(_) => (Kind::Usage, ""),
            _ => (Kind::Environment, ""),
        };
        Self::new(kind, format_args!("{error}{hint}"))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Backend(error) => error.into(),
            OpenError::Config(error) => error.into(),
            OpenError::Commit(error) => error.into(),
            OpenError::Put(error) => (*error).into(),
            error @ OpenError::NameTooLong => Self::usage(error),
            error => Self::environment(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            // It shows the place in lines of its own.
            error @ ConfigError::Toml { .. } => Self { kind: Kind::Usage, message: error.to_string() },
            error @ (ConfigError::BadValue { .. } | ConfigError::NotText { .. }) => Self::usage(error),
            error => Self::environment(error),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Backend(error) => error.into(),
            ResolveError::Path(PathError::Listing(error)) => error.into(),
            // The text names no block, or not one.
            error => Self::usage(error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Backend(error) => error.into(),
            CommitError::LogRead(error) => error.into(),
            error @ CommitError::MissingParent(_) => Self::damaged(error),
            error => Self::environment(error),
        }
    }
}

impl From<PutError> for Failure {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Backend(error) => error.into(),
            PutError::Commit(error) => error.into(),
            PutError::Compress(CompressError::Dictionary(error)) => error.into(),
            error => Self::environment(error),
        }
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Backend(error) => error.into(),
            error @ (GetError::BadRange { .. } | GetError::UnknownBlock(_)) => Self::usage(error),
            error @ (GetError::Mismatch { .. }
            | GetError::MissingChunk { .. }
            | GetError::UnreadableChunk { .. }
            | GetError::SetAside(_)
            | GetError::Removed(_)
            | GetError::Forgotten { .. }
            | GetError::TooLarge { .. }) => Self::refused(error),
            error => Self::environment(error),
        }
    }
}

impl From<ListingError> for Failure {
    fn from(error: ListingError) -> Self {
        match error {
            ListingError::Backend(error) | ListingError::Get { source: GetError::Backend(error), .. } => error.into(),
            error @ ListingError::NotATree { .. } => Self::usage(error),
            error => Self::refused(error),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Backend(error) => error.into(),
            RestoreError::Listing(error) => error.into(),
            error @ RestoreError::TargetNotEmpty(_) => Self::usage(error),
            error @ (RestoreError::Get { .. } | RestoreError::TooManyRepeats { .. }) => Self::refused(error),
            error => Self::environment(error),
        }
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Backend(error) => error.into(),
            ForgetError::Commit(error) => error.into(),
            ForgetError::Hold(error) => error.into(),
            ForgetError::Record(error) => error.into(),
            error @ ForgetError::Pinned { .. } => Self::refused(error),
            error => Self::usage(error),
        }
    }
}

impl From<DeclareError> for Failure {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Forget(error) => error.into(),
            error @ DeclareError::TooManyRanges { .. } => {
                Self::usage(format_args!("{error}; allow more with --max-ranges, or forget fewer blocks at once"))
            }
        }
    }
}

impl From<GcError> for Failure {
    fn from(error: GcError) -> Self {
        match error {
            GcError::Backend(error) => error.into(),
            GcError::Commit(error) => error.into(),
            GcError::Hold(error) => error.into(),
            GcError::Record(error) => error.into(),
        }
    }
}

impl From<HoldError> for Failure {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Backend(error) => error.into(),
            error @ HoldError::Unreadable(_) => {
                Self::refused(format_args!("{error}; put the folder again, or forget its block with --only-listing"))
            }
            error @ HoldError::Malformed { .. } => {
                Self::refused(format_args!("{error}; forget its block with --only-listing"))
            }
            error @ HoldError::MissingBlock(_) => Self::damaged(error),
            error @ HoldError::Marks(_) => {
                Self::refused(format_args!("{error}; run `pakit check --full` to see what else is wrong"))
            }
        }
    }
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Backend(error) => error.into(),
            DecideError::Commit(error) => error.into(),
            DecideError::Hold(error) => error.into(),
            DecideError::Record(error) => error.into(),
            error => Self::usage(error),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Backend(error) => error.into(),
            error @ (RecordError::WrongWho | RecordError::WrongWhy) => Self::usage(error),
            error => Self::refused(format_args!("{error}; run `pakit check --full` to see what else is wrong")),
        }
    }
}

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        match error {
            CompactError::Backend(error) => error.into(),
            error => Self::environment(error),
        }
    }
}

impl From<LogReadError> for Failure {
    fn from(error: LogReadError) -> Self {
        match error {
            LogReadError::Backend(error) => error.into(),
            error @ (LogReadError::SizeBeyondLog { .. } | LogReadError::NoSuchProof(_)) => Self::usage(error),
            error @ LogReadError::NodeMissing { .. } => Self::damaged(error),
        }
    }
}

impl From<DagError> for Failure {
    fn from(error: DagError) -> Self {
        match error {
            DagError::Backend(error) => error.into(),
            error @ DagError::UnknownBlock(_) => Self::usage(error),
            error @ DagError::BrokenEdge { .. } => Self::damaged(error),
            // Blocks that do not fit each other, or too many of them for a proof.
            error => Self::refused(error),
        }
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Log(error) => error.into(),
            ProveError::Dag(error) => error.into(),
            // A size that no proof can be made for was asked for.
            ProveError::Build(ProofBuildError::Log(error)) => error.into(),
            ProveError::Build(error) => Self::refused(error),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match error {
            error @ (FolderError::NotABackup(_) | FolderError::NotEmpty(_)) => Self::usage(error),
            error @ FolderError::NewerFormat { .. } => Self::environment(format_args!("{error}; use a newer pakit")),
            error @ FolderError::Locked(_) => Self::environment(format_args!("{error}; try again when it has ended")),
            error @ FolderError::DiskFull(_) => Self::environment(format_args!(
                "{error}; make room and run the same command again, it goes on from what is finished"
            )),
            error @ (FolderError::Missing(_)
            | FolderError::Malformed(_)
            | FolderError::Record { .. }
            | FolderError::Misfit { .. }
            | FolderError::Chunk { .. }) => {
                Self::refused(format_args!("{error}; `pakit backup verify` tells whether a backup is whole"))
            }
            error => Self::environment(error),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Folder(error) => error.into(),
            BackupError::Backend(error) => error.into(),
            BackupError::Log(error) => error.into(),
            error @ BackupError::OtherRepository { .. } => {
                Self::usage(format_args!("{error}; name another folder for this repository"))
            }
            error @ (BackupError::RepositoryOlder { .. } | BackupError::Diverged(_)) => Self::environment(
                format_args!("{error}; keep that backup, and name another folder for this repository"),
            ),
            error => Self::environment(error),
        }
    }
}

impl From<RestoreBackupError> for Failure {
    fn from(error: RestoreBackupError) -> Self {
        match error {
            RestoreBackupError::Folder(error) => error.into(),
            RestoreBackupError::Backend(BackendError::DiskFull) => {
                Self::environment("the disk is full; make room and restore again")
            }
            RestoreBackupError::Backend(error) => error.into(),
            RestoreBackupError::Log(error) => error.into(),
            error @ (RestoreBackupError::NoSnapshot(_) | RestoreBackupError::NotReached { .. }) => {
                Self::usage(format_args!("{error}; `pakit backup list` shows what there is"))
            }
            error @ RestoreBackupError::TargetNotEmpty(_) => {
                Self::usage(format_args!("{error}; name a new folder with --repo"))
            }
            error => Self::environment(error),
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            error @ ServeError::NotLoopback(_) => Self::usage(error),
            ServeError::Outbox(error) => error.into(),
            error @ ServeError::Thread(_) => Self::environment(error),
            ServeError::Store(StoreError::Backend(error)) => error.into(),
            ServeError::Store(StoreError::Log(error)) => error.into(),
            error @ ServeError::Store(_) => Self::environment(error),
            error @ ServeError::Listen { .. } => {
                Self::environment(format_args!("{error}; name another address with --listen"))
            }
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::usage(error)
    }
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Repository(error) => error.into(),
            error if error.is_damage() => Self::damaged(error),
            error => Self::environment(error),
        }
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        match error {
            error @ (ChainError::BadUrl { .. } | ChainError::InsecureUrl { .. }) => Self::usage(error),
            error => Self::environment(error),
        }
    }
}

impl From<AnchorError> for Failure {
    fn from(error: AnchorError) -> Self {
        match error {
            AnchorError::Backend(error) => error.into(),
            AnchorError::Chain(error) => error.into(),
            AnchorError::Log(error) => error.into(),
            AnchorError::Outbox(error) => error.into(),
            error @ AnchorError::OwnProofFails(_) => Self::damaged(error),
            error @ (AnchorError::Key(_) | AnchorError::BadEraPeriod(_)) => Self::usage(error),
            error => Self::environment(error),
        }
    }
}

impl From<TrustedHeadError> for Failure {
    fn from(error: TrustedHeadError) -> Self {
        match error {
            TrustedHeadError::Chain(error) => error.into(),
            error => Self::refused(error),
        }
    }
}
