//! dag, anchor, record, status, and the chain's part of verify.

use super::{
    args::{Anchor, Chain, Dag, DagShow, DagSucceed, Global, Record, Signing, Status, Verify},
    failure::Failure,
    open,
    output::{Output, count, printable},
};
use crate::{
    anchor::{
        AnchorConfig, AnchorProgress, AnchorReceipt, AnchorRef, AnchorWorker, Binding, ChainBlockHash, ChainClient,
        Connect, DagReceipt, KeySource, Outbox, RecordReceipt, RowState, SigningKey, SubxtConnector, TrustedHead,
        TrustedHeadError, Until, find_trusted_head,
    },
    engine::{Access, StorageEngine},
    proof::ProofDocument,
    verify::DagIdentity,
};
use pakit_primitives::BlockHash;
use serde::Serialize;
use std::{future::Future, path::Path, time::Duration};

/// Where a development node listens unless told otherwise.
const DEV_URL: &str = "ws://127.0.0.1:9944";

/// Environment variable with the secret URI of the key that signs.
const KEY_VARIABLE: &str = "PAKIT_KEY";

/// Runs what has to wait for the network.
pub(super) fn wait_for<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment(format_args!("no threads for the network: {error}")))?
        .block_on(future)
}

/// Tells the user how far things are, in one line each.
pub(super) fn show_progress(out: &Output, progress: &AnchorProgress) {
    match progress {
        AnchorProgress::Connected(chain) => {
            out.note(&format!("connected to {} ({}), genesis {}", chain.url, chain.spec_name, chain.genesis));
        }
        AnchorProgress::Trouble { error, retry_in } => {
            out.note(&format!("{error}; trying again in {:.1} s", retry_in.as_secs_f32()));
        }
        AnchorProgress::Row { call, head, state, block_number, .. } => {
            let place = block_number.map_or_else(String::new, |number| format!(" {number}"));
            out.note(&format!("{call} of size {}: {}{place}", head.size, state.as_str().replace('_', " ")));
        }
        AnchorProgress::Sent { objection: Some(objection), attempts, .. } => {
            out.note(&format!("sent {attempts} times: {objection}"));
        }
        AnchorProgress::Held { call, head, why, .. } => {
            out.note(&format!("{call} of size {}: not sent again, {why}", head.size));
        }
        AnchorProgress::Declaring { leaves, objection } => {
            let what = objection.unwrap_or("sent");
            out.note(&format!("declare_removed of blocks {} to {}: {what}", leaves.start(), leaves.end()));
        }
        AnchorProgress::FellOut { block_number, .. } => {
            out.note(&format!("block {block_number} fell out of the best chain; waiting for another"));
        }
        _ => {}
    }
}

/// The DAG of the repository, if it has one.
fn current_binding(folder: &Path) -> Result<Option<Binding>, Failure> {
    Ok(Outbox::open_to_read(folder)?.current_binding()?)
}

/// The node that the arguments or the environment name. A variable that is set to nothing names none.
pub(super) fn named_url(signing: &Signing) -> Option<String> {
    signing.url.clone().filter(|url| !url.is_empty())
}

fn url(signing: &Signing, binding: Option<&Binding>) -> Result<String, Failure> {
    let development = signing.dev.then(|| DEV_URL.to_owned());
    named_url(signing)
        .or_else(|| binding.map(|binding| binding.url.clone()))
        .or(development)
        .ok_or_else(|| Failure::usage("no node is known; name one with --url, such as --url ws://127.0.0.1:9944"))
}

pub(super) fn signing_key(signing: &Signing) -> Result<SigningKey, Failure> {
    let source = match (&signing.key_file, signing.dev) {
        (Some(path), _) => KeySource::File(path.clone()),
        (None, _) if std::env::var_os(KEY_VARIABLE).is_some() => KeySource::Environment(KEY_VARIABLE.to_owned()),
        (None, true) => KeySource::DevelopmentAlice,
        (None, false) => {
            return Err(Failure::usage(format_args!(
                "no key to sign with; name a file with --key-file, set {KEY_VARIABLE}, or use --dev on a development chain"
            )));
        }
    };
    SigningKey::load(&source, signing.dev).map_err(Failure::usage)
}

pub(super) fn config(signing: &Signing) -> AnchorConfig {
    let mut config = AnchorConfig::default();
    if let Some(period) = signing.era {
        config.era_period_blocks = period;
    }
    config
}

/// The same for as long as the user waits.
fn config_of(chain: &Chain) -> AnchorConfig {
    let mut config = config(&chain.signing);
    if let Some(seconds) = chain.timeout {
        config.deadline = Duration::from_secs(seconds);
    }
    config
}

/// An engine, a key and a worker for what costs a fee.
pub(super) fn worker(
    global: &Global,
    chain: &Chain,
) -> Result<(StorageEngine, SigningKey, AnchorWorker<SubxtConnector>), Failure> {
    let key = signing_key(&chain.signing)?;
    let engine = open(global, Access::Read)?;
    let config = config_of(chain);
    let connector =
        SubxtConnector::new(url(&chain.signing, current_binding(&global.repo)?.as_ref())?, config.request_timeout);
    let worker = AnchorWorker::open(&global.repo, engine.backend().clone(), connector, config)?;
    Ok((engine, key, worker))
}

pub(super) fn dag(global: &Global, out: &Output, command: Dag) -> Result<(), Failure> {
    match command {
        Dag::Create(chain) => {
            let (_, key, mut worker) = worker(global, &chain)?;
            let progress = &mut |step| show_progress(out, &step);
            let receipt = wait_for(async { Ok(worker.create_dag(&key, progress).await?) })?;
            print_dag(out, &receipt)
        }
        Dag::Succeed(DagSucceed { chain, dag }) => {
            let (_, key, mut worker) = worker(global, &chain)?;
            let progress = &mut |step| show_progress(out, &step);
            let receipt = wait_for(async { Ok(worker.succeed_dag(dag, &key, progress).await?) })?;
            print_dag(out, &receipt)
        }
        Dag::Show(args) => show_dag(global, out, &args),
    }
}

#[derive(Serialize)]
struct DagLine {
    dag: u32,
    chain: String,
    owner: String,
    block_number: u64,
    block_hash: String,
    extrinsic_index: u32,
    status: &'static str,
}

fn print_dag(out: &Output, receipt: &DagReceipt) -> Result<(), Failure> {
    let binding = &receipt.binding;
    let line = DagLine {
        dag: binding.dag,
        chain: binding.chain.to_string(),
        owner: binding.owner.to_string(),
        block_number: binding.created_block_number,
        block_hash: binding.created_block_hash.to_string(),
        extrinsic_index: receipt.extrinsic_index,
        status: RowState::Finalized.as_str(),
    };
    out.print(&line, || {
        format!(
            "DAG {} of {}, created in block {} of the chain {}",
            line.dag, line.owner, line.block_number, line.chain
        )
    })
}

#[derive(Serialize)]
struct DagShowLine {
    dag: u32,
    chain: String,
    owner: String,
    operators: Vec<String>,
    pending_owner: Option<String>,
    genesis: String,
    anchors: u64,
    size: u64,
    root: String,
    retired: bool,
    succeeds: Option<u32>,
    successor: Option<u32>,
    deposit: String,
    heads_kept: Vec<KeptHead>,
}

#[derive(Serialize)]
struct KeptHead {
    anchor: u64,
    size: u64,
    root: String,
    block_number: u64,
}

fn show_dag(global: &Global, out: &Output, args: &DagShow) -> Result<(), Failure> {
    // With a node and a number, no repository is needed.
    let binding = match (args.dag, &args.chain.signing.url) {
        (Some(_), Some(_)) => None,
        _ => current_binding(&global.repo)?,
    };
    let url = url(&args.chain.signing, binding.as_ref())?;
    let dag = args.dag.or(binding.as_ref().map(|binding| binding.dag)).ok_or_else(|| {
        Failure::usage("this repository has no DAG on a chain yet; run `pakit dag create`, or name one with --dag")
    })?;
    let connector = SubxtConnector::new(url, config(&args.chain.signing).request_timeout);
    let line = wait_for(async {
        let client = connector.connect().await?;
        let at = client.ends().await?.best;
        let unknown = || match args.dag {
            Some(dag) => Failure::usage(format_args!("the chain has no DAG {dag}")),
            None => Failure::environment(format_args!("the chain has no DAG {dag}")),
        };
        let info = client.dag(dag, at).await?.ok_or_else(unknown)?;
        let kept = client.heads_kept(dag, at).await?;
        Ok(DagShowLine {
            dag,
            chain: client.identity().genesis.to_string(),
            owner: info.owner.to_string(),
            operators: info.operators.iter().map(ToString::to_string).collect(),
            pending_owner: info.pending_owner.map(|account| account.to_string()),
            genesis: info.genesis.to_string(),
            anchors: info.anchors,
            size: info.latest.size,
            root: info.latest.root.to_string(),
            retired: info.retired,
            succeeds: info.succeeds.map(|succession| succession.dag),
            successor: info.successor,
            // A balance may exceed what JSON's readers hold exactly.
            deposit: info.deposit.to_string(),
            heads_kept: kept
                .into_iter()
                .map(|(anchor, kept)| KeptHead {
                    anchor,
                    size: kept.head.size,
                    root: kept.head.root.to_string(),
                    block_number: kept.block_number,
                })
                .collect(),
        })
    })?;
    out.print(&line, || dag_text(&line))
}

fn dag_text(line: &DagShowLine) -> String {
    let state = if line.retired { ", retired" } else { "" };
    let other = |name: &str, dag: Option<u32>| dag.map_or_else(String::new, |dag| format!("\n{name} DAG {dag}"));
    let (succeeds, successor) = (other("succeeds", line.succeeds), other("followed by", line.successor));
    format!(
        "DAG {} of the chain {}{state}\nowner    {}\ngenesis  {}\nanchors  {} ({})\nhead     size {}, root {}\ndeposit  {}{succeeds}{successor}",
        line.dag,
        line.chain,
        line.owner,
        line.genesis,
        line.anchors,
        count(line.heads_kept.len() as u64, "head") + " kept",
        line.size,
        line.root,
        line.deposit,
    )
}

#[derive(Serialize)]
struct AnchorLine {
    dag: u32,
    size: u64,
    root: String,
    status: &'static str,
    block_number: Option<u64>,
    block_hash: Option<String>,
    extrinsic_index: Option<u32>,
    anchor: Option<u64>,
    chain: String,
    was_anchored: bool,
}

impl From<&AnchorReceipt> for AnchorLine {
    fn from(receipt: &AnchorReceipt) -> Self {
        Self {
            dag: receipt.dag,
            size: receipt.head.size,
            root: receipt.head.root.to_string(),
            status: receipt.status.as_str(),
            block_number: receipt.block_number,
            block_hash: receipt.block_hash.map(|hash| hash.to_string()),
            extrinsic_index: receipt.extrinsic_index,
            anchor: receipt.anchor,
            chain: receipt.chain.to_string(),
            was_anchored: receipt.was_anchored,
        }
    }
}

fn until(watch: bool) -> Until {
    if watch { Until::Finalized } else { Until::InBlock }
}

pub(super) fn anchor(global: &Global, out: &Output, args: &Anchor) -> Result<(), Failure> {
    let (_, key, mut worker) = worker(global, &args.chain)?;
    let progress = &mut |step| show_progress(out, &step);
    let receipt = wait_for(async { Ok(worker.anchor(until(args.watch), &key, progress).await?) })?;
    let line = AnchorLine::from(&receipt);
    out.print(&line, || {
        let place = line.block_number.map_or_else(String::new, |number| format!(" in block {number}"));
        let already = if line.was_anchored { "already " } else { "" };
        format!(
            "size {} is {already}anchored{place} of the chain, DAG {}: {}\nroot {}",
            line.size,
            line.dag,
            line.status.replace('_', " "),
            line.root
        )
    })
}

#[derive(Serialize)]
struct RecordLine {
    dag: u32,
    block: String,
    depositor: String,
    deposit: String,
    status: &'static str,
    block_number: u64,
    extrinsic_index: Option<u32>,
    was_recorded: bool,
}

impl From<&RecordReceipt> for RecordLine {
    fn from(receipt: &RecordReceipt) -> Self {
        Self {
            dag: receipt.dag,
            block: receipt.block_hash.to_string(),
            depositor: receipt.depositor.to_string(),
            deposit: receipt.deposit.to_string(),
            status: receipt.status.as_str(),
            block_number: receipt.block_number,
            extrinsic_index: receipt.extrinsic_index,
            was_recorded: receipt.was_recorded,
        }
    }
}

pub(super) fn record(global: &Global, out: &Output, args: &Record) -> Result<(), Failure> {
    let (engine, key, mut worker) = worker(global, &args.chain)?;
    let block = engine.resolve(&args.block)?;
    let progress = &mut |step| show_progress(out, &step);
    let receipt = wait_for(async { Ok(worker.record(block.block_hash(), until(args.watch), &key, progress).await?) })?;
    let line = RecordLine::from(&receipt);
    out.print(&line, || {
        format!(
            "block {} is recorded in block {} of the chain, DAG {}: {}\ndepositor {}, deposit {}",
            line.block,
            line.block_number,
            line.dag,
            line.status.replace('_', " "),
            line.depositor,
            line.deposit,
        )
    })
}

#[derive(Serialize)]
struct StatusLine {
    repository: String,
    name: String,
    strategy: String,
    size: u64,
    root: String,
    dag: Option<BindingLine>,
    /// Blocks that an anchor covers which is in the chain's best block, as far as this repository has seen.
    blocks_anchored: u64,
    /// Blocks that a finalized anchor covers.
    blocks_finalized: u64,
    outbox: std::collections::BTreeMap<&'static str, u64>,
    /// What the chain says now, or nothing where there is no DAG to ask for; only with --url.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_chain: Option<Option<OnChain>>,
}

#[derive(Serialize)]
struct BindingLine {
    chain: String,
    dag: u32,
    owner: String,
    url: String,
}

#[derive(Serialize)]
struct OnChain {
    size: u64,
    root: String,
    /// Whether this log extends that head.
    extended: bool,
}

pub(super) fn status(global: &Global, out: &Output, args: &Status) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let outbox = Outbox::open_to_read(&global.repo)?;
    let head = engine.head()?;
    let binding = outbox.current_binding()?;
    let (blocks_anchored, blocks_finalized) = outbox.anchored_sizes()?;
    let on_chain = match (&args.url, &binding) {
        (None, _) => None,
        (Some(url), None) => {
            out.note(&format!("{url} was not asked: this repository has no DAG on a chain yet"));
            Some(None)
        }
        (Some(url), Some(binding)) => Some(Some(wait_for(ask_chain(&engine, url, binding))?)),
    };
    let line = StatusLine {
        repository: global.repo.display().to_string(),
        name: engine.name()?,
        strategy: engine.strategy()?.to_string(),
        size: head.size,
        root: head.root.to_string(),
        dag: binding.map(|binding| BindingLine {
            chain: binding.chain.to_string(),
            dag: binding.dag,
            owner: binding.owner.to_string(),
            url: binding.url,
        }),
        blocks_anchored,
        blocks_finalized,
        outbox: outbox.counts()?.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
        on_chain,
    };
    out.print(&line, || status_text(&line))
}

async fn ask_chain(engine: &StorageEngine, url: &str, binding: &Binding) -> Result<OnChain, Failure> {
    let client = SubxtConnector::new(url, AnchorConfig::default().request_timeout).connect().await?;
    if client.identity().genesis != binding.chain {
        return Err(Failure::environment(format_args!(
            "{url} is a node of the chain {}, this repository's DAG is on {}",
            client.identity().genesis,
            binding.chain
        )));
    }
    let at = client.ends().await?.best;
    let unknown = || Failure::environment(format_args!("the chain has no DAG {}", binding.dag));
    let latest = client.dag(binding.dag, at).await?.ok_or_else(unknown)?.latest;
    let size = engine.backend().totals()?.blocks;
    let extended = latest.size <= size && engine.log().head_at(latest.size)? == latest;
    Ok(OnChain { size: latest.size, root: latest.root.to_string(), extended })
}

fn status_text(line: &StatusLine) -> String {
    let dag = match &line.dag {
        None => "none; make one with `pakit dag create`".to_owned(),
        Some(dag) => {
            format!(
                "{} on the chain {}\nowner      {}\nnode       {}",
                dag.dag,
                dag.chain,
                dag.owner,
                printable(dag.url.as_bytes())
            )
        }
    };
    let waiting: u64 = line
        .outbox
        .iter()
        .filter(|(state, _)| matches!(**state, "prepared" | "submitted"))
        .map(|(_, count)| count)
        .sum();
    let on_chain = match &line.on_chain {
        None => String::new(),
        Some(None) => "\non chain   nothing: there is no DAG to ask for".to_owned(),
        Some(Some(head)) => {
            let verdict = if head.extended { "which this log extends" } else { "which this log does NOT extend" };
            format!("\non chain   size {}, {verdict}", head.size)
        }
    };
    format!(
        "repository {}\nname       {}\nblocks     {}\nroot       {}\nDAG        {dag}\nanchored   {}, {} of them finalized\n\
         on the way {}{on_chain}",
        printable(line.repository.as_bytes()),
        printable(line.name.as_bytes()),
        line.size,
        line.root,
        count(line.blocks_anchored, "block"),
        line.blocks_finalized,
        count(waiting, "extrinsic"),
    )
}

/// What the chain has to say of a proof document.
pub(super) struct ChainWord {
    /// The head that the chain vouches for, if it does.
    pub head: Option<TrustedHead>,
    /// Who owns the DAG.
    pub owner: String,
    /// Block hash of the DAG's genesis.
    pub genesis_hash: BlockHash,
    /// The DAG that was asked about.
    pub identity: DagIdentity,
    /// The node that was asked, which the answer trusts.
    pub url: String,
}

/// Asks the chain that the user named about the DAG that the user means; what the document says of them is only compared.
pub(super) fn ask_about(document: &ProofDocument, args: &Verify, url: &str, dag: u32) -> Result<ChainWord, Failure> {
    let connector = SubxtConnector::new(url, AnchorConfig::default().request_timeout);
    wait_for(async {
        let client = connector.connect().await?;
        let genesis = client.identity().genesis;
        if let Some(meant) = args.chain.map(ChainBlockHash::new).filter(|meant| *meant != genesis) {
            return Err(Failure::refused(format_args!("{url} is a node of the chain {genesis}, not of {meant}")));
        }
        let ends = client.ends().await?;
        let at = if args.finalized { ends.finalized } else { ends.best };
        let unknown = || Failure::refused(format_args!("the chain has no DAG {dag}"));
        let info = client.dag(dag, at).await?.ok_or_else(unknown)?;
        let claim = document.anchor.as_ref().map(|anchor| AnchorRef {
            genesis: ChainBlockHash::new(anchor.genesis),
            dag: anchor.dag,
            block_number: anchor.block_number,
            block_hash: ChainBlockHash::new(anchor.block_hash),
        });
        let consistency = document.consistency.as_ref().map(|later| (later.head, later.path.as_slice()));
        let found =
            find_trusted_head(&client, dag, document.tree_head, consistency, claim.as_ref(), args.finalized).await;
        let head = match found {
            Ok(head) => Some(head),
            // These are verdicts on the document, which verification words itself.
            Err(
                TrustedHeadError::NotOnChain { .. }
                | TrustedHeadError::OtherDag { .. }
                | TrustedHeadError::BadConsistency(_),
            ) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(ChainWord {
            head,
            owner: info.owner.to_string(),
            genesis_hash: info.genesis,
            identity: DagIdentity { chain_genesis: *genesis.as_bytes(), dag },
            url: url.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_succession_is_shown_to_people_from_both_sides() {
        let line = |succeeds, successor| DagShowLine {
            dag: 5,
            chain: "0xaa".into(),
            owner: "owner".into(),
            operators: Vec::new(),
            pending_owner: None,
            genesis: "0xbb".into(),
            anchors: 1,
            size: 1,
            root: "0xbb".into(),
            retired: false,
            succeeds,
            successor,
            deposit: "1".into(),
            heads_kept: Vec::new(),
        };
        let plain = dag_text(&line(None, None));
        assert!(plain.starts_with("DAG 5 of the chain 0xaa\n") && !plain.contains("succe"), "{plain}");
        assert_eq!(dag_text(&line(Some(3), None)), format!("{plain}\nsucceeds DAG 3"));
        assert_eq!(dag_text(&line(Some(3), Some(8))), format!("{plain}\nsucceeds DAG 3\nfollowed by DAG 8"));
    }
}
