//! [`AnchorWorker`]: carries out what [`super::outbox`] and [`super::plan`] decide.

use super::{
    client::{BlockRef, CallFailure, ChainClient, ChainError, Connect, Ends, Outcome, Submission},
    error::AnchorError,
    futile::why_futile,
    goals::{AnchorHead, CreateDag, DeclareRemoved, Goal, Reconcile, RecordBlock, View, check_call},
    key::SigningKey,
    lock::AnchorLock,
    outbox::{NextAction, Sight, Sighting, next_action},
    prepare::{self, check_extends},
    progress::{AnchorConfig, AnchorProgress, AnchorReceipt, DagReceipt, DeclareReceipt, RecordReceipt, Until},
    search::{BlockSearch, Whereabouts},
};
use crate::{
    backend::DagBackend,
    removal::LeafRanges,
    sqlite::outbox::{
        Outbox,
        rows::{Binding, Ended, NewBinding, OutboxRow, Placement, Purpose, RowId, RowState},
    },
};
use pakit_primitives::{BlockHash, chain::DagId};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// After so many refusals in a row that time does not mend, a run gives up.
const REFUSALS_MAX: u32 = 3;

/// Most blocks that are remembered to be on the chain as this repository saw them.
const BLOCKS_CHECKED_MAX: usize = 1024;

/// Receives a run's progress.
pub type ProgressSink<'a> = &'a mut (dyn FnMut(AnchorProgress) + Send);

/// Anchors one repository. While it lives, no other process does.
pub struct AnchorWorker<C: Connect> {
    pub(super) outbox: Outbox,
    pub(super) backend: Arc<dyn DagBackend>,
    pub(super) config: AnchorConfig,
    connector: C,
    client: Option<Arc<C::Client>>,
    search: BlockSearch,
    retries: HashMap<RowId, RetryClock>,
    /// Rows that are not sent again for now.
    held: HashSet<RowId>,
    /// Blocks that are final on this connection's chain and that this repository saw finalized before.
    history: HashSet<BlockRef>,
    /// The last finalized block that this run saw, on whatever connection. What the search found up to there counts for as
    /// long as it is on the chain, which is for ever.
    finalized: Option<BlockRef>,
    /// Whether a node was reached in this run. One that never was is not waited for long: the URL may be wrong.
    was_reached: bool,
    /// Rows whose calls were found to have failed for good in this run: told before anything is signed in their place.
    pub(super) failed: Vec<OutboxRow>,
    /// The creation that was bound in this run.
    pub(super) bound: Option<RowId>,
    _lock: AnchorLock,
}

/// When a row's bytes are sent again.
#[derive(Clone, Copy, Debug)]
struct RetryClock {
    tries: u32,
    refusals: u32,
    due: Instant,
}

impl<C: Connect> AnchorWorker<C> {
    /// Takes the lock `anchor.lock` of the repository in `dir` and opens its outbox. Connects to nothing yet.
    pub fn open(
        dir: &Path,
        backend: Arc<dyn DagBackend>,
        connector: C,
        config: AnchorConfig,
    ) -> Result<Self, AnchorError> {
        let period = config.era_period_blocks;
        if !period.is_power_of_two() || !(4..=4096).contains(&period) {
            return Err(AnchorError::BadEraPeriod(period));
        }
        let outbox = Outbox::open(dir)?;
        Ok(Self {
            _lock: AnchorLock::take(dir)?,
            outbox,
            backend,
            config,
            connector,
            client: None,
            search: BlockSearch::default(),
            retries: HashMap::new(),
            held: HashSet::new(),
            history: HashSet::new(),
            finalized: None,
            was_reached: false,
            failed: Vec::new(),
            bound: None,
        })
    }

    /// The rows and bindings.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Creates a DAG of this log on the chain and binds the repository to it, once its creation is finalized: before that, its
    /// number may still become another's. Taken up again if an earlier run was cut short.
    pub async fn create_dag(
        &mut self,
        key: &SigningKey,
        progress: ProgressSink<'_>,
    ) -> Result<DagReceipt, AnchorError> {
        self.run(CreateDag { key, succession: None, row: None }, progress).await
    }

    /// Creates a DAG that goes on from another one, which is `predecessor` or the one that the repository is bound to. It
    /// stands by the greatest head that the chain keeps of the other one and that this log contains.
    pub async fn succeed_dag(
        &mut self,
        predecessor: Option<DagId>,
        key: &SigningKey,
        progress: ProgressSink<'_>,
    ) -> Result<DagReceipt, AnchorError> {
        self.run(CreateDag { key, succession: Some(predecessor), row: None }, progress).await
    }

    /// Anchors the log's present head. Costs nothing if it is anchored already, or on its way.
    pub async fn anchor(
        &mut self,
        until: Until,
        key: &SigningKey,
        progress: ProgressSink<'_>,
    ) -> Result<AnchorReceipt, AnchorError> {
        let target = prepare::log_head(self.backend.as_ref())?;
        self.run(AnchorHead { key, target, until, is_first_look: true }, progress).await
    }

    /// Has the chain keep a record of a block, whose deposit the key's account pays. Costs nothing if it is recorded already,
    /// or on its way.
    pub async fn record(
        &mut self,
        block_hash: BlockHash,
        until: Until,
        key: &SigningKey,
        progress: ProgressSink<'_>,
    ) -> Result<RecordReceipt, AnchorError> {
        self.run(RecordBlock { key, block_hash, until, is_first_look: true }, progress).await
    }

    /// Declares on the chain that the contents of these leaves are let go, each range under a deposit that does not come back, and
    /// waits until that is final. What is declared already, or on its way, costs nothing. For the owner of a staked DAG.
    pub async fn declare_removed(
        &mut self,
        leaves: &LeafRanges,
        key: &SigningKey,
        progress: ProgressSink<'_>,
    ) -> Result<DeclareReceipt, AnchorError> {
        self.run(DeclareRemoved::new(key, leaves), progress).await
    }

    /// Signs nothing: finds out what became of what was signed, and sends again what is still on its way.
    pub async fn reconcile(&mut self, progress: ProgressSink<'_>) -> Result<(), AnchorError> {
        self.run(Reconcile, progress).await
    }

    /// Goes on until the goal is reached, time is up, or something is the matter that time does not mend.
    async fn run<G: Goal<C>>(&mut self, mut goal: G, progress: ProgressSink<'_>) -> Result<G::Receipt, AnchorError> {
        let end = Instant::now() + self.config.deadline;
        (self.was_reached, self.bound) = (false, None);
        self.failed.clear();
        let mut failures = 0u32;
        loop {
            let (pause, last_error) = match self.step(&mut goal, progress).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {
                    failures = 0;
                    (Pause::UntilNextBlock, None)
                }
                Err(AnchorError::Chain(error)) if error.is_transient() => {
                    failures = failures.saturating_add(1);
                    if !self.was_reached && failures >= self.config.connect_attempts_max {
                        return Err(error.into());
                    }
                    let retry_in = self.backoff(failures);
                    progress(AnchorProgress::Trouble { error: error.to_string(), retry_in });
                    if !matches!(error, ChainError::Inconsistent(_)) {
                        self.client = None;
                    }
                    (Pause::For(retry_in), Some(error.to_string()))
                }
                Err(error) => return Err(error),
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.deadline_over(goal.name(), last_error));
            }
            self.rest(pause, left).await;
        }
    }

    fn deadline_over(&self, goal: &'static str, last_error: Option<String>) -> AnchorError {
        // One that is finalized was for something before this.
        let newest = self.outbox.newest_rows(1).ok().and_then(|rows| rows.into_iter().next());
        let newest = newest.filter(|row| row.state != RowState::Finalized);
        // Declarations are beside the rows.
        let is_declaring = self.outbox.declaring().is_ok_and(|declaring| !declaring.is_empty());
        AnchorError::DeadlineOver {
            goal,
            seconds: self.config.deadline.as_secs(),
            last_error: last_error.or_else(|| newest.as_ref().and_then(|row| row.last_error.clone())),
            state: newest.map(|row| row.state).or(is_declaring.then_some(RowState::Prepared)),
        }
    }

    /// Waits for a block, for the next sending that is due, or for a pause to end.
    async fn rest(&mut self, pause: Pause, left: Duration) {
        match (pause, self.client.clone()) {
            (Pause::UntilNextBlock, Some(client)) => {
                let now = Instant::now();
                let due = self.retries.values().map(|clock| clock.due.saturating_duration_since(now)).min();
                // A sending that is overdue waits for a block that could hold it, not for time.
                let due = due.filter(|due| !due.is_zero()).unwrap_or(self.config.poll_interval);
                let patience = due.min(self.config.poll_interval).min(left);
                if client.wait_for_block(patience).await.is_err() {
                    // What is the matter with the connection shows, and is told, when it is used.
                    self.client = None;
                    tokio::time::sleep(self.config.retry_delay_min.min(left)).await;
                }
            }
            (Pause::UntilNextBlock, None) => {}
            (Pause::For(pause), _) => tokio::time::sleep(pause.min(left)).await,
        }
    }

    /// One look at the chain: settles every row, then pursues the goal.
    async fn step<G: Goal<C>>(
        &mut self,
        goal: &mut G,
        progress: ProgressSink<'_>,
    ) -> Result<Option<G::Receipt>, AnchorError> {
        let client = self.connected(progress).await?;
        let ends = client.ends().await?;
        self.check_finality(client.as_ref(), &ends).await?;
        let binding = self.outbox.current_binding()?;
        if goal.needs_binding() {
            let binding = binding.as_ref().ok_or(AnchorError::NotBound)?;
            self.check_binding(client.as_ref(), &ends, binding).await?;
        }
        // A node that knows less than this outbox would have heads anchored again that are anchored.
        if let Some(settled) = self.outbox.highest_settled(&client.identity().genesis)? {
            let block = BlockRef { number: settled.block_number, hash: settled.block_hash };
            self.check_history(client.as_ref(), &ends, block).await?;
        }
        for row in self.outbox.live_rows(&client.identity().genesis)? {
            self.settle(client.as_ref(), &ends, row, progress).await?;
        }
        for row in self.failed.iter().filter(|row| goal.concerns(&row.purpose)) {
            check_call(row)?;
        }
        let rows = self.outbox.live_rows(&client.identity().genesis)?;
        goal.pursue(self, &View { client: client.as_ref(), ends: &ends, rows }, progress).await
    }

    async fn connected(&mut self, progress: ProgressSink<'_>) -> Result<Arc<C::Client>, AnchorError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connector.connect().await?);
        progress(AnchorProgress::Connected(client.identity().clone()));
        self.was_reached = true;
        // The node may have lost its pool, or be another one: everything on its way is sent to it anew.
        self.retries.clear();
        self.history.clear();
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Brings one row up to date with the chain.
    async fn settle(
        &mut self,
        client: &C::Client,
        ends: &Ends,
        row: OutboxRow,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let birth = BlockRef { number: row.signed.era.birth, hash: row.signed.era.birth_hash };
        self.check_history(client, ends, birth).await?;
        let whereabouts = self.search.look_for(client, ends, &row).await?;
        let (found, searched_through, outcome) = match whereabouts {
            Whereabouts::Nowhere { searched_through } => (None, searched_through, None),
            Whereabouts::In(placement) => {
                let outcome = self.outcome(client, ends, &row, placement).await?;
                let is_success = matches!(outcome, Outcome::Succeeded { .. });
                (Some(Sighting { placement, is_success }), None, Some(outcome))
            }
        };
        let sight = Sight { finalized: ends.finalized.number, best: ends.best.number, searched_through, found };
        let is_due = self.retries.get(&row.id).is_none_or(|clock| clock.due <= Instant::now());
        let action = next_action(row.state, &row.signed.era, row.placement.as_ref(), &sight, is_due);
        if action == NextAction::Send
            && let Some(why) = why_futile(client, ends, &self.outbox, &row).await?
        {
            return self.hold(&row, why, progress);
        }
        self.act(client, ends, row, action, outcome, progress).await
    }

    /// Leaves a row unsent, and says so once.
    fn hold(&mut self, row: &OutboxRow, why: &'static str, progress: ProgressSink<'_>) -> Result<(), AnchorError> {
        if !self.held.insert(row.id) {
            return Ok(());
        }
        self.outbox.note_error(row.id, Some(why))?;
        progress(AnchorProgress::Held { row: row.id, call: row.purpose.call_name(), head: row.purpose.head(), why });
        Ok(())
    }

    async fn act(
        &mut self,
        client: &C::Client,
        ends: &Ends,
        row: OutboxRow,
        action: NextAction,
        outcome: Option<Outcome>,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let failure = match &outcome {
            Some(Outcome::Failed(failure)) => Some(failure.to_string()),
            _ => None,
        };
        let anchor = match &outcome {
            Some(Outcome::Succeeded { anchor, .. }) => *anchor,
            _ => None,
        };
        let (state, block) = match action {
            NextAction::Wait => return Ok(()),
            NextAction::Send => return self.send(client, ends, row, progress).await,
            NextAction::BackToSubmitted => {
                self.outbox.set_submitted(row.id)?;
                let block_number = row.placement.map_or(0, |placement| placement.block_number);
                progress(AnchorProgress::FellOut { row: row.id, block_number });
                return Ok(());
            }
            NextAction::Expire => {
                self.outbox.set_expired(row.id)?;
                (RowState::Expired, None)
            }
            NextAction::NoteInBlock(placement) => {
                let ended = failure.as_deref().map_or(Ended::Succeeded(anchor), Ended::Failed);
                self.outbox.set_in_block(row.id, &placement, &ended)?;
                (RowState::InBlock, Some(placement))
            }
            NextAction::Fail(placement) => {
                self.outbox.set_failed(row.id, &placement, failure.as_deref().unwrap_or("unknown"))?;
                self.failed.push(self.outbox.row(row.id)?);
                (RowState::Failed, Some(placement))
            }
            NextAction::Finalize(placement) => {
                self.finalize(client, &row, placement, outcome)?;
                (RowState::Finalized, Some(placement))
            }
        };
        if !state.is_live() {
            self.retries.remove(&row.id);
            self.held.remove(&row.id);
        }
        progress(AnchorProgress::row(&row, state, block.map(|placement| placement.block_number)));
        Ok(())
    }

    fn finalize(
        &mut self,
        client: &C::Client,
        row: &OutboxRow,
        placement: Placement,
        outcome: Option<Outcome>,
    ) -> Result<(), AnchorError> {
        let Purpose::CreateDag { predecessor, .. } = row.purpose else {
            let anchor = match outcome {
                Some(Outcome::Succeeded { anchor, .. }) => anchor,
                _ => None,
            };
            return Ok(self.outbox.set_finalized(row.id, &placement, anchor)?);
        };
        let Some(Outcome::Succeeded { created: Some(dag), .. }) = outcome else {
            return Err(ChainError::Inconsistent("a creation that succeeded names no DAG").into());
        };
        let identity = client.identity();
        let new = NewBinding {
            chain: identity.genesis,
            dag,
            owner: row.signed.signer,
            predecessor,
            url: identity.url.clone(),
        };
        self.outbox.bind(row.id, &placement, &new)?;
        self.bound = Some(row.id);
        Ok(())
    }

    /// Sends a row's bytes, always the same. What the node answers is noted, and settles nothing.
    pub(super) async fn send(
        &mut self,
        client: &C::Client,
        ends: &Ends,
        row: OutboxRow,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let tries = self.retries.get(&row.id).map_or(1, |clock| clock.tries.saturating_add(1));
        let refusals = self.retries.get(&row.id).map_or(0, |clock| clock.refusals);
        let due = Instant::now() + self.backoff(tries);
        self.retries.insert(row.id, RetryClock { tries, refusals, due });
        self.held.remove(&row.id);
        self.outbox.note_attempt(row.id)?;
        let answer = client.submit(&row.signed.bytes).await;
        let objection = match &answer {
            Ok(Submission::Accepted | Submission::AlreadyKnown) => None,
            Ok(Submission::Stale) => Some("its nonce is used up: it may be in a block already".to_owned()),
            Ok(Submission::NotValidNow) => Some("its era or signature does not fit the best block".to_owned()),
            Ok(Submission::CannotPay) => Some("the signer cannot pay the fee".to_owned()),
            Ok(Submission::NotNow) => Some("the node does not take it now".to_owned()),
            Ok(Submission::Refused) => Some("the runtime does not take it".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        self.outbox.note_error(row.id, objection.as_deref())?;
        if objection.is_none() {
            if row.state == RowState::Prepared {
                self.outbox.set_submitted(row.id)?;
            }
            let due = Instant::now() + self.config.resend_delay.max(self.backoff(tries));
            self.retries.insert(row.id, RetryClock { tries, refusals: 0, due });
        }
        progress(AnchorProgress::Sent { row: row.id, attempts: row.attempts + 1, objection });
        match answer? {
            Submission::CannotPay => self.cannot_pay(client, ends, &row).await,
            Submission::Refused => self.refused(&row),
            Submission::Accepted | Submission::AlreadyKnown if row.state == RowState::Prepared => {
                progress(AnchorProgress::row(&row, RowState::Submitted, None));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn cannot_pay(&self, client: &C::Client, ends: &Ends, row: &OutboxRow) -> Result<(), AnchorError> {
        let needed = client.fee(&row.signed.bytes, ends.best).await?;
        let spendable = client.account(row.signed.signer, ends.best).await?.spendable;
        Err(AnchorError::InsufficientBalance { account: row.signed.signer, spendable, needed })
    }

    fn refused(&mut self, row: &OutboxRow) -> Result<(), AnchorError> {
        let Some(clock) = self.retries.get_mut(&row.id) else { return Ok(()) };
        clock.refusals = clock.refusals.saturating_add(1);
        if clock.refusals < REFUSALS_MAX {
            return Ok(());
        }
        Err(AnchorError::RefusedByNode { call: row.purpose.call_name() })
    }

    /// How a row's call ended in a block. Not asked again where it is noted and settles nothing yet.
    async fn outcome(
        &self,
        client: &C::Client,
        ends: &Ends,
        row: &OutboxRow,
        placement: Placement,
    ) -> Result<Outcome, AnchorError> {
        let is_final = placement.block_number <= ends.finalized.number;
        let is_noted = row.state == RowState::InBlock && row.placement == Some(placement);
        if is_noted && !is_final {
            return Ok(match &row.dispatch_error {
                None => Outcome::Succeeded { created: None, anchor: row.anchor_number },
                Some(error) => Outcome::Failed(CallFailure { name: error.clone(), explanation: String::new() }),
            });
        }
        let block = BlockRef { number: placement.block_number, hash: placement.block_hash };
        match client.outcome(block, placement.extrinsic_index).await {
            Err(ChainError::StateUnavailable { .. }) if is_final => self.deduce(client, ends, row, block).await,
            outcome => Ok(outcome?),
        }
    }

    /// The block's events are gone from the node: what the call would have left behind tells.
    async fn deduce(
        &self,
        client: &C::Client,
        ends: &Ends,
        row: &OutboxRow,
        block: BlockRef,
    ) -> Result<Outcome, AnchorError> {
        let is_success = match row.purpose {
            Purpose::CreateDag { .. } => return Err(ChainError::StateUnavailable { number: block.number }.into()),
            Purpose::Anchor { dag, head, .. } => {
                let info = client.dag(dag, ends.finalized).await?.ok_or(AnchorError::DagUnknown(dag))?;
                // Heads only grow, and a latest head of this log that is no smaller covers this one.
                info.latest.size >= head.size && check_extends(self.backend.as_ref(), dag, info.latest).is_ok()
                    || client.heads_kept(dag, ends.finalized).await?.iter().any(|(_, kept)| kept.head == head)
            }
            Purpose::RecordProof { dag, block_hash, .. } => {
                client.record(dag, block_hash, row.signed.signer, ends.finalized).await?.is_some()
            }
        };
        if is_success {
            return Ok(Outcome::Succeeded { created: None, anchor: None });
        }
        let explanation = "the node no longer has the events that tell why".to_owned();
        Ok(Outcome::Failed(CallFailure { name: "unknown".to_owned(), explanation }))
    }

    /// Refuses another chain, and one with the same genesis and another history.
    async fn check_binding(&mut self, client: &C::Client, ends: &Ends, binding: &Binding) -> Result<(), AnchorError> {
        let identity = client.identity();
        if binding.chain != identity.genesis {
            return Err(AnchorError::WrongChain {
                url: identity.url.clone(),
                expected: binding.chain,
                found: identity.genesis,
            });
        }
        let created = BlockRef { number: binding.created_block_number, hash: binding.created_block_hash };
        self.check_history(client, ends, created).await
    }

    /// Refuses a chain that has left behind what it called finalized earlier in this run, also where another node answers
    /// at the same place.
    async fn check_finality(&mut self, client: &C::Client, ends: &Ends) -> Result<(), AnchorError> {
        if let Some(seen) = self.finalized.filter(|seen| *seen != ends.finalized) {
            self.find_finalized(client, ends, seen).await?;
        }
        // A node that lags takes nothing back.
        if self.finalized.is_none_or(|seen| seen.number < ends.finalized.number) {
            self.finalized = Some(ends.finalized);
        }
        Ok(())
    }

    /// Refuses a chain without a block that this repository saw finalized. On one connection it is asked for once.
    async fn check_history(&mut self, client: &C::Client, ends: &Ends, block: BlockRef) -> Result<(), AnchorError> {
        if self.history.contains(&block) {
            return Ok(());
        }
        self.find_finalized(client, ends, block).await?;
        if block.number <= ends.finalized.number && self.history.len() < BLOCKS_CHECKED_MAX {
            self.history.insert(block);
        }
        Ok(())
    }

    async fn find_finalized(&self, client: &C::Client, ends: &Ends, block: BlockRef) -> Result<(), AnchorError> {
        let number = block.number;
        let is_final = number <= ends.finalized.number;
        let found = if number <= ends.best.number { client.block_hash(number).await? } else { None };
        match found {
            None => {
                Err(ChainError::Inconsistent("the node has not reached a block yet that this repository saw finalized")
                    .into())
            }
            Some(found) if found != block.hash && is_final => Err(AnchorError::DifferentHistory { number }),
            Some(found) if found != block.hash => {
                Err(ChainError::Inconsistent("the node is on a fork that this repository saw left behind").into())
            }
            Some(_) => Ok(()),
        }
    }

    /// Doubling waits with a random part, so that many clients of a node that comes back do not come at once.
    fn backoff(&self, tries: u32) -> Duration {
        let doubled = self.config.retry_delay_min.saturating_mul(1 << tries.saturating_sub(1).min(16));
        doubled.min(self.config.retry_delay_max).mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

/// What comes between two looks at the chain.
#[derive(Clone, Copy, Debug)]
enum Pause {
    UntilNextBlock,
    For(Duration),
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
