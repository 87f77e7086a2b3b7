//! The command line: its grammar and its help.

use crate::{backup::At, config::Overrides, parents::ParentSelectionStrategy};
use clap::{
    Args, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};
use clap_complete::Shell;
use std::{ffi::OsString, net::SocketAddr, ops::RangeInclusive, path::PathBuf};

/// How blocks are named on the command line.
const BLOCK_HELP: &str = "Block hash or its first 8 digits or more, CID, or @LEAF-INDEX; or one of a folder and a path in it, \
    as FOLDER:PATH";

/// Where a repository is looked for unless told otherwise.
const DEFAULT_REPO: &str = ".pakit";

/// Keeps files as blocks of a DAG, and proves that it did.
///
/// A repository keeps files as content-addressed, deduplicated, compressed blocks and lists them in an append-only log. The
/// log's head can be anchored on a chain; then anyone can verify, without trusting the archive, that a file is the one that
/// was kept and that no history was rewritten.
#[derive(Parser, Debug)]
#[command(name = "pakit", version, max_term_width = 100, propagate_version = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that stand anywhere.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Folder of the repository
    #[arg(long, global = true, env = "PAKIT_REPO", value_name = "DIR", default_value = DEFAULT_REPO, value_parser = repo_parser())]
    pub repo: PathBuf,
    /// Print JSON: one object, or one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress bars and no notes
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Memory for hot blocks, such as 64MiB
    #[arg(long, global = true, value_name = "SIZE", hide_short_help = true)]
    pub cache: Option<String>,
    /// What a commit waits for: full, normal or off
    #[arg(long, global = true, value_name = "MODE", hide_short_help = true)]
    pub fsync: Option<String>,
    /// Compression of new chunks: none, zstd, lz4, gzip or brotli
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub compression: Option<String>,
    /// Level of that compression
    #[arg(long, global = true, value_name = "N", hide_short_help = true, allow_negative_numbers = true)]
    pub compression_level: Option<i32>,
    /// Average size of new chunks, from 4KiB to 4MiB
    #[arg(long, global = true, value_name = "SIZE", hide_short_help = true)]
    pub chunk_size: Option<String>,
    /// Threads that hash and compress
    #[arg(long, global = true, value_name = "N", hide_short_help = true)]
    pub jobs: Option<usize>,
    /// Blocks that are committed at once at most
    #[arg(long, global = true, value_name = "N", hide_short_help = true)]
    pub batch_blocks: Option<usize>,
    /// Who decides, for audit blocks; without it, the user at this machine
    #[arg(long, global = true, env = "PAKIT_WHO", value_name = "NAME", hide_short_help = true)]
    pub who: Option<String>,
}

impl Global {
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            cache: self.cache.clone(),
            fsync: self.fsync.clone(),
            compression: self.compression.clone(),
            compression_level: self.compression_level,
            chunk_size: self.chunk_size.clone(),
            jobs: self.jobs,
            batch_blocks: self.batch_blocks,
        }
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Make a repository
    Init(Init),
    /// Store files, folders or standard input
    Put(Put),
    /// Write a block's content, or restore a folder
    Get(Get),
    /// List a folder's entries
    Ls(Ls),
    /// Show all that a block's header says, and its children
    Show(Block),
    /// List blocks by depth, by time, or anchored ones
    Query(Query),
    /// List the blocks that a block names as its parents
    Parents(Block),
    /// List the blocks that name a block as a parent
    Children(Block),
    /// List the blocks that a block descends from, the nearest first
    Ancestors(Walk),
    /// List the blocks that descend from a block, the nearest first
    Descendants(Walk),
    /// List the nearest blocks that two blocks both descend from
    Common(Common),
    /// List the blocks without children
    Frontier(Frontier),
    /// Print size and root of the log
    Head,
    /// List the log's blocks in their order
    Log(Log),
    /// Make a proof document for a block
    Prove(Prove),
    /// Verify a proof document, with or without the file; needs no repository
    Verify(Verify),
    /// Create, show or succeed this repository's DAG on a chain
    #[command(subcommand)]
    Dag(Dag),
    /// Anchor the head of the log on the chain
    Anchor(Anchor),
    /// Keep a record of a block on the chain
    Record(Record),
    /// Show the repository, its log and its anchors
    Status(Status),
    /// Print figures of the DAG and of what was saved
    Stats,
    /// Answer programs over HTTP, until SIGTERM or Ctrl-C
    ///
    /// It reads, beside whoever writes the repository: heads, headers, contents and their ranges, proofs. With a token, from --token-file or
    /// PAKIT_TOKEN, it also stores what clients that have the token send, and is then the one that writes the repository. With --anchor-every or
    /// --anchor-blocks it anchors by itself. docs/http.md tells what clients may rely on, and /openapi.json tells it to programs.
    Serve(Serve),
    /// Audit the repository
    ///
    /// Where it stands is kept in the repository's folder every few seconds. One that was interrupted, in whatever way, goes on with
    /// --resume; without it, an audit starts from the beginning.
    Check(Check),
    /// Make anew what can be derived, set damaged chunks aside, and list exactly what is lost
    ///
    /// Keep a copy of the repository's folder first. Contents that are named are restored by putting them again; blocks that are named
    /// come back from a copy only. A database that SQLite itself cannot read is beyond this.
    Repair,
    /// Back the repository up into a folder, also while it is written
    ///
    /// The first backup in a folder is full; each later one adds what was added since. One that is interrupted is gone on with by
    /// the next. Keys, settings of the machine (config.toml) and what lies outside of the repository are not in it.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Backup(Backup),
    /// Restore a repository from a backup, to where --repo says
    ///
    /// The backup is read and checked before anything is made, and nothing that is there is overwritten: --repo names a folder that is
    /// new or empty.
    Restore(Restore),
    /// Give blocks up, so that gc may drop their contents; headers and proofs stay
    ///
    /// A folder's block takes the blocks of everything in it along, all the way down, whether or not those files were also put on their
    /// own: nothing tells the two apart. A file that is in another folder too stays, since that folder holds it; so does one that has
    /// another block, with metadata for instance. Nothing is dropped before gc runs, and putting again restores. Each forgetting is itself a
    /// block of the log. Genesis, audit blocks and what a pin holds cannot be forgotten.
    ///
    /// Where a stake stands behind the repository's DAG on a chain, what gc will drop is declared there as well, in a finalized block, and
    /// gc drops it once that is in effect. The blocks have to be anchored, and only the DAG's owner can declare.
    #[command(
        override_usage = "pakit forget [OPTIONS] --why <TEXT> <BLOCK>...\n       pakit forget [OPTIONS] --resume"
    )]
    Forget(Forget),
    /// Drop the contents that nothing holds any more
    ///
    /// A content goes if all blocks of it are forgotten, no folder that stays names it, no pin holds it, and the retention rule allows it.
    /// Whatever was put and not forgotten stays. What is dropped is told by blocks of the log. Where a stake stands behind the repository's DAG
    /// on a chain, what is not declared there, or not in effect yet, stays too.
    Gc(Gc),
    /// Return the space of what was dropped to the file system
    Compact,
    /// Keep blocks, and all that is in a folder's block, from being forgotten
    Pin(Pin),
    /// Let pinned blocks be forgotten again
    Unpin(Unpin),
    /// List the pins
    Pins,
    /// Show or set for how long contents stay though they are forgotten
    Retention(Retention),
    /// List who forgot, restored, pinned or dropped what, when and why
    Audit(Audit),
    /// Print a completion script for a shell
    Completions(Completions),
}

impl Command {
    /// What the log shows where `PAKIT_LOG` does not say: what runs unattended is to be heard.
    pub(super) fn log_default(&self) -> Option<&'static str> {
        matches!(self, Self::Serve(_)).then_some("warn,offchain_store::serve=info")
    }
}

#[derive(Args, Debug)]
pub(super) struct Init {
    /// Name of the DAG, which stands in its genesis block
    #[arg(long, default_value = "")]
    pub name: String,
    /// How new blocks choose their parents: balanced-random, recent-only[:N], depth-balanced or weighted-random
    #[arg(long, value_name = "S", default_value_t)]
    pub strategy: ParentSelectionStrategy,
}

#[derive(Args, Debug)]
pub(super) struct Put {
    /// Files and folders, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Metadata of each file's block
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub metadata: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(super) struct Get {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
    /// File, or new or empty folder, to write to; without it a file goes to standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace the file to write to if it is there
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Only these bytes of a file, counted from 0, both ends included; the end may be left out
    ///
    /// An end beyond the content means the content's end. A start at the content's end gives nothing, one beyond it is an error.
    #[arg(long, value_name = "A-B", value_parser = parse_byte_range)]
    pub range: Option<(u64, Option<u64>)>,
    /// Entries that a folder may have again because it names the same listing more than once
    ///
    /// Listings that name each other twice double with each level. What the repository holds only once is restored whatever its
    /// size; this bounds the copies.
    #[arg(long, value_name = "N", default_value_t = crate::restore::REPEATS_MAX_DEFAULT, hide_short_help = true)]
    pub max_repeats: u64,
}

#[derive(Args, Debug)]
pub(super) struct Block {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
}

#[derive(Args, Debug)]
pub(super) struct Ls {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
    /// Also list the folders within, each after its own line
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

#[derive(Args, Debug)]
pub(super) struct Query {
    /// Depths, both ends included; either end may be left out
    #[arg(long, value_name = "A..B", value_parser = parse_depths)]
    pub depth: Option<RangeInclusive<u32>>,
    /// Not before this time: RFC 3339, a date, Unix milliseconds, or an age such as 2h or 7d
    #[arg(long, value_name = "T", value_parser = super::time::parse_since)]
    pub since: Option<u64>,
    /// Not after this time; a date means its whole day
    #[arg(long, value_name = "T", value_parser = super::time::parse_until)]
    pub until: Option<u64>,
    /// Only blocks that an anchor covers which is in the chain's best block
    #[arg(long)]
    pub anchored: bool,
    /// Only blocks that a finalized anchor covers
    #[arg(long)]
    pub finalized: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: u64,
}

#[derive(Args, Debug)]
pub(super) struct Walk {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
    /// At most this many steps away
    #[arg(long, value_name = "N")]
    pub max_depth: Option<u32>,
    /// At most this many blocks
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct Common {
    #[arg(help = BLOCK_HELP)]
    pub a: OsString,
    #[arg(help = BLOCK_HELP)]
    pub b: OsString,
}

#[derive(Args, Debug)]
pub(super) struct Frontier {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct Log {
    /// First leaf index; the size of the log gives nothing, and what is beyond it is an error
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: u64,
}

#[derive(Args, Debug)]
pub(super) struct Prove {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
    /// Prove against the log of this size; without it, the latest anchored log that holds the block, else the whole log
    #[arg(long, value_name = "N")]
    pub size: Option<u64>,
    /// Also prove that the block descends from genesis
    #[arg(long)]
    pub lineage: bool,
    /// Also prove that the log of this later size extends that one
    #[arg(long, value_name = "N")]
    pub consistent_with: Option<u64>,
    /// File to write to; without it, standard output
    #[arg(short, long, value_name = "PROOF.json")]
    pub output: Option<PathBuf>,
    /// Replace the file to write to if it is there
    #[arg(long, requires = "output")]
    pub force: bool,
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// The proof document, or - for standard input
    #[arg(value_name = "PROOF.json", required_unless_present = "batch")]
    pub proof: Option<PathBuf>,
    /// The file that it is said to prove, or - for standard input
    pub file: Option<PathBuf>,
    /// Verify every *.json in this folder against one head, over all cores, and print a line for each
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["proof", "file", "url"])]
    pub batch: Option<PathBuf>,
    /// Root of the log that you trust
    #[arg(long, value_name = "HEX", requires = "size", conflicts_with = "url", value_parser = parse_digest)]
    pub root: Option<[u8; 32]>,
    /// Size of the log that you trust
    #[arg(long, value_name = "N", requires = "root")]
    pub size: Option<u64>,
    /// Block hash of the genesis that you trust, for a lineage; a chain names its own
    #[arg(long, value_name = "HEX", conflicts_with = "url", value_parser = parse_digest)]
    pub genesis: Option<[u8; 32]>,
    /// Node of a chain that you trust
    #[arg(long, value_name = "WS", requires = "dag")]
    pub url: Option<String>,
    /// The DAG that you mean on that chain
    #[arg(long, value_name = "N", requires = "url")]
    pub dag: Option<u32>,
    /// Genesis hash of the chain that you mean
    #[arg(long, value_name = "HEX", requires = "url", value_parser = parse_digest)]
    pub chain: Option<[u8; 32]>,
    /// Only trust heads that the chain has finalized
    #[arg(long, requires = "url")]
    pub finalized: bool,
    /// Exit with 0 for a document that is consistent though no head was given to trust
    #[arg(long, conflicts_with_all = ["root", "url"])]
    pub allow_unchecked_head: bool,
}

/// How to reach and pay the chain.
#[derive(Args, Debug, Clone)]
pub(super) struct Signing {
    /// Node of the chain; without it, the one used last
    #[arg(long, value_name = "WS", env = "PAKIT_URL")]
    pub url: Option<String>,
    /// File with the secret URI of the key that signs and pays; else PAKIT_KEY in the environment
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Sign with the development key //Alice, and use ws://127.0.0.1:9944 where no node is known
    #[arg(long, conflicts_with = "key_file")]
    pub dev: bool,
    /// Blocks for which a signed extrinsic stays valid: a power of two from 4 to 4096
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub era: Option<u64>,
}

/// The same for a command that waits for the chain.
#[derive(Args, Debug, Clone)]
pub(super) struct Chain {
    #[command(flatten)]
    pub signing: Signing,
    /// Give up after this many seconds; what was sent is taken up by the next run
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    pub timeout: Option<u64>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Dag {
    /// Create this repository's DAG on a chain
    Create(Chain),
    /// Show the DAG as the chain has it
    Show(DagShow),
    /// Start a DAG that succeeds one whose log this repository does not extend
    Succeed(DagSucceed),
}

#[derive(Args, Debug)]
pub(super) struct DagShow {
    #[command(flatten)]
    pub chain: Chain,
    /// Another DAG than this repository's
    #[arg(long, value_name = "N")]
    pub dag: Option<u32>,
}

#[derive(Args, Debug)]
pub(super) struct DagSucceed {
    #[command(flatten)]
    pub chain: Chain,
    /// The DAG to succeed; without it, this repository's
    #[arg(long, value_name = "N")]
    pub dag: Option<u32>,
}

#[derive(Args, Debug)]
pub(super) struct Anchor {
    #[command(flatten)]
    pub chain: Chain,
    /// Wait until the anchor is finalized
    #[arg(long)]
    pub watch: bool,
}

#[derive(Args, Debug)]
pub(super) struct Record {
    #[arg(help = BLOCK_HELP)]
    pub block: OsString,
    #[command(flatten)]
    pub chain: Chain,
    /// Wait until the record is finalized
    #[arg(long)]
    pub watch: bool,
}

#[derive(Args, Debug)]
pub(super) struct Status {
    /// Also ask this node
    #[arg(long, value_name = "WS")]
    pub url: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    /// Also read and hash every payload
    #[arg(long)]
    pub full: bool,
    /// Go on with the audit that was interrupted, as thorough as it was
    #[arg(long)]
    pub resume: bool,
    /// Milliseconds between two times that it is kept where the audit stands
    #[arg(long, value_name = "MS", default_value_t = 2_000, hide_short_help = true)]
    pub save_every: u64,
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = crate::serve::LISTEN_DEFAULT)]
    pub listen: SocketAddr,
    /// Listen also where other machines can connect, which then read every content
    #[arg(long)]
    pub allow_remote: bool,
    /// Name that requests may call this host by, beside localhost and addresses; may be given several times
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// File with the token that lets clients put, readable by its owner only; else PAKIT_TOKEN in the environment
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Anchor the head of the log after this time, if it has grown: 10m, 1h, 1d
    #[arg(long, value_name = "AGE", value_parser = super::time::parse_duration, help_heading = "Anchoring")]
    pub anchor_every: Option<u64>,
    /// Anchor the head of the log after this many new blocks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Anchoring")]
    pub anchor_blocks: Option<u64>,
    #[command(flatten, next_help_heading = "Anchoring")]
    pub signing: Signing,
    #[command(flatten)]
    pub limits: ServeLimits,
}

/// What clients may take.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct ServeLimits {
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_connections: u16,
    /// Contents that are put at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_puts: u16,
    /// Greatest content that is put
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_body_size)]
    pub max_body: u64,
    /// Seconds for a request's headers, and for a connection without a request
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    pub header_timeout: u64,
    /// Seconds for an answer, and for a client that takes nothing of what it is sent
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub timeout: u64,
    /// Seconds for requests under way after a signal to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    pub shutdown_timeout: u64,
}

#[derive(Args, Debug)]
pub(super) struct Backup {
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Folder of the backup; one that is new or empty becomes one
    #[arg(required = true)]
    pub dir: Option<PathBuf>,
    /// Copy everything again, as the beginning of a new series
    #[arg(long)]
    pub full: bool,
    /// Read the whole backup back afterwards
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub keep: Keep,
}

/// Which snapshots stay; one that any of these asks for does. Without any, all do.
#[derive(Args, Debug)]
pub(super) struct Keep {
    /// Keep the last N snapshots and drop others; the newest is always kept
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_last: u32,
    /// Keep the last snapshot of each of the last N days that have one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_daily: u32,
    /// Keep the last snapshot of each of the last N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_weekly: u32,
    /// Keep the last snapshot of each of the last N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_monthly: u32,
}

#[derive(Subcommand, Debug)]
pub(super) enum BackupCommand {
    /// List a backup's snapshots
    List(BackupFolder),
    /// Read a whole backup and check every byte, chunk, block and root
    Verify(BackupFolder),
    /// Drop snapshots, and the files that only they need
    ///
    /// Snapshots of one series share their segments. Room is freed when the last snapshot of a series goes, after `pakit backup
    /// --full` has begun another.
    Prune(BackupPrune),
}

#[derive(Args, Debug)]
pub(super) struct BackupFolder {
    /// Folder of the backup
    pub dir: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct BackupPrune {
    /// Folder of the backup
    pub dir: PathBuf,
    #[command(flatten)]
    pub keep: Keep,
    /// Only say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Block hashes or CIDs
    #[arg(required_unless_present = "resume", conflicts_with = "resume", value_name = "BLOCK")]
    pub blocks: Vec<String>,
    /// The reason, for the audit block
    #[arg(long, value_name = "TEXT", required_unless_present = "resume", conflicts_with = "resume")]
    pub why: Option<String>,
    /// Only the folder's listing, and not what is in the folder
    #[arg(long)]
    pub only_listing: bool,
    /// Change nothing; list each block and what would become of its content, and what would be declared
    #[arg(long)]
    pub dry_run: bool,
    /// Forget nothing more; declare what is forgotten and not declared yet
    #[arg(long, help_heading = "On a staked DAG")]
    pub resume: bool,
    /// Ranges of the log that are declared at most, each under a deposit that does not come back
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "On a staked DAG")]
    pub max_ranges: u16,
    /// Neither ask the chain nor declare; gc drops nothing of it then unless it is told the same
    #[arg(long, conflicts_with = "resume", help_heading = "On a staked DAG")]
    pub undeclared: bool,
    #[command(flatten, next_help_heading = "On a staked DAG")]
    pub chain: Chain,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// Folder of the backup
    pub dir: PathBuf,
    /// The state to restore: a size of the log, or a time; without it, that of the newest snapshot
    ///
    /// A whole number of up to 12 digits is a size, and the log is cut there; one of 13 digits or more is a time in Unix
    /// milliseconds. Other times are RFC 3339, a date, or an age such as 2h or 7d, and mean the newest snapshot from then or before.
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse_at)]
    pub at: Option<At>,
}

#[derive(Args, Debug)]
pub(super) struct Gc {
    /// Change nothing; list each content of a forgotten block and what would become of it
    #[arg(long)]
    pub dry_run: bool,
    /// A reason for the audit blocks
    #[arg(long, value_name = "TEXT", default_value = "nothing holds it")]
    pub why: String,
    /// Node of the chain, to ask what a stake stands for; without it, the one used last
    #[arg(long, value_name = "WS", env = "PAKIT_URL")]
    pub url: Option<String>,
    /// Drop also what a stake may stand for: each draw of it is missed then, and slashed
    #[arg(long)]
    pub undeclared: bool,
}

#[derive(Args, Debug)]
pub(super) struct Pin {
    /// Block hashes or CIDs
    #[arg(required = true, value_name = "BLOCK")]
    pub blocks: Vec<String>,
    /// Up to this time: RFC 3339, a date, Unix milliseconds; for good without it
    #[arg(long, value_name = "T", value_parser = super::time::parse_until)]
    pub until: Option<u64>,
    /// The reason, for the audit block
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

#[derive(Args, Debug)]
pub(super) struct Unpin {
    /// Block hashes or CIDs
    #[arg(required = true, value_name = "BLOCK")]
    pub blocks: Vec<String>,
    /// The reason, for the audit block
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

#[derive(Args, Debug)]
pub(super) struct Retention {
    /// Contents stay for this long after they were put, such as 3650d
    #[arg(long, value_name = "AGE", value_parser = super::time::parse_duration)]
    pub keep_for: Option<u64>,
    /// There is no such rule any more
    #[arg(long, conflicts_with = "keep_for")]
    pub none: bool,
    /// The reason, for the audit block
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
}

#[derive(Args, Debug)]
pub(super) struct Audit {
    /// Only audit blocks from this leaf index on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    pub shell: Shell,
}

/// From a second to a day.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}

/// Takes an empty text, which a variable that is set to nothing gives, as no text.
fn repo_parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|text| if text.is_empty() { DEFAULT_REPO.into() } else { text.into() })
}

/// No log has 10^12 blocks; in Unix milliseconds, that was in 2001.
const SIZE_DIGITS_MAX: usize = 12;

fn parse_at(text: &str) -> Result<At, String> {
    match text.len() <= SIZE_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => match text.parse() {
            Ok(size) if size > 0 => Ok(At::Size(size)),
            _ => Err("a log has at least one block".to_owned()),
        },
        false => super::time::parse_until(text).map(At::Time),
    }
}

fn parse_body_size(text: &str) -> Result<u64, String> {
    let bytes = crate::config::parse_size(text).filter(|bytes| *bytes < pakit_primitives::header::SIZE_LIMIT);
    bytes.ok_or_else(|| "it has to be a size such as 64MiB".to_owned())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it has to be KEY=VALUE".to_owned()),
    }
}

fn parse_byte_range(text: &str) -> Result<(u64, Option<u64>), String> {
    let expected = || "it has to be A-B or A-, in bytes from 0".to_owned();
    let (start, end) = text.split_once('-').ok_or_else(expected)?;
    let start = start.parse().map_err(|_| expected())?;
    match end {
        "" => Ok((start, None)),
        end => match end.parse() {
            Ok(end) if end >= start => Ok((start, Some(end))),
            _ => Err(expected()),
        },
    }
}

fn parse_depths(text: &str) -> Result<RangeInclusive<u32>, String> {
    let expected = || "it has to be A..B, A.., ..B or A".to_owned();
    let number = |text: &str, empty: u32| match text {
        "" => Ok(empty),
        text => text.parse().map_err(|_| expected()),
    };
    match text.split_once("..") {
        None => text.parse().map(|depth| depth..=depth).map_err(|_| expected()),
        Some((start, end)) => {
            let range = number(start, 0)?..=number(end.strip_prefix('=').unwrap_or(end), u32::MAX)?;
            if range.is_empty() { Err(expected()) } else { Ok(range) }
        }
    }
}

fn parse_digest(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut digest)
        .map_err(|_| "it has to be 64 hex digits".to_owned())?;
    Ok(digest)
}
