//! What a stake on a chain stands for: asked before contents are given up, and declared there.

use super::{
    args::{Chain, Global},
    chain::{show_progress, wait_for, worker},
    failure::Failure,
    output::{Output, count},
};
use crate::{
    anchor::{AccountId, AnchorConfig, AnchorError, Connect, Outbox, StakeStanding, SubxtConnector, standing},
    engine::StorageEngine,
    removal::LeafRanges,
};
use serde::Serialize;

/// The stake behind the DAG that the repository is bound to; nothing where there is none, or no DAG. Where that cannot be known, nothing
/// may be given up: whoever has a stake can have put it there by any program.
pub(super) fn ask(
    global: &Global,
    engine: &StorageEngine,
    named: Option<String>,
) -> Result<Option<StakeStanding>, Failure> {
    let outbox = Outbox::open_to_read(&global.repo)?;
    let Some(binding) = outbox.current_binding()? else { return Ok(None) };
    let url = named.unwrap_or_else(|| binding.url.clone());
    let connector = SubxtConnector::new(url, AnchorConfig::default().request_timeout);
    wait_for(async {
        let client = connector.connect().await.map_err(AnchorError::from)?;
        Ok(standing(&client, &outbox, engine.backend().as_ref(), &binding).await?)
    })
    .map_err(|Failure { kind, message }| {
        let dag = binding.dag;
        let message = format!(
            "{message}; whether a stake stands behind DAG {dag} is not known, so nothing is given up: name a node with --url, or \
             use --undeclared, at the price that draws of what is gone are missed and slashed"
        );
        Failure { kind, message }
    })
}

/// Says what it means to go on without the chain, of which nothing is known then.
pub(super) fn warn(global: &Global, out: &Output) -> Result<Option<StakeStanding>, Failure> {
    let Some(binding) = Outbox::open_to_read(&global.repo)?.current_binding()? else { return Ok(None) };
    out.note(&format!(
        "nothing is declared to the chain: if a stake stands behind DAG {}, each draw of what is dropped is missed and slashed",
        binding.dag
    ));
    Ok(None)
}

/// What is to be declared.
pub(super) struct Plan {
    pub(super) standing: StakeStanding,
    pub(super) leaves: LeafRanges,
}

#[derive(Serialize)]
struct RangeLine {
    first: u64,
    last: u64,
}

#[derive(Serialize)]
struct DeclareLine {
    dag: u32,
    /// Leaves of the log that are declared, or would be.
    ranges: Vec<RangeLine>,
    /// What is held for them. A balance may exceed what JSON's readers hold exactly.
    deposit: String,
    /// Declarations that were signed by this run.
    signed: u64,
    finalized_block: u64,
    /// From which block on all that was ever declared is in effect; nothing where it is.
    in_effect_from: Option<u64>,
}

impl Plan {
    /// Refuses what the chain would refuse.
    pub(super) fn check(&self, account: AccountId) -> Result<(), Failure> {
        Ok(self.standing.check_may_declare(&self.leaves, account)?)
    }

    fn deposit(&self) -> u128 {
        self.standing.terms.deposit.saturating_mul(self.leaves.len() as u128)
    }

    fn line(&self, standing: &StakeStanding, signed: u64) -> DeclareLine {
        let ranges =
            self.leaves.iter().map(|leaves| RangeLine { first: *leaves.start(), last: *leaves.end() }).collect();
        DeclareLine {
            dag: standing.dag,
            ranges,
            deposit: self.deposit().to_string(),
            signed,
            finalized_block: standing.at.number,
            in_effect_from: standing.awaited_block(),
        }
    }

    /// What would be declared.
    pub(super) fn print_foreseen(&self, out: &Output) -> Result<(), Failure> {
        out.print(&self.line(&self.standing, 0), || self.foreseen())
    }

    /// What is about to be declared, for people.
    pub(super) fn foreseen(&self) -> String {
        let StakeStanding { dag, ref terms, .. } = self.standing;
        if self.leaves.is_empty() {
            return format!("DAG {dag} is staked: nothing more has to be declared");
        }
        let ranges: Vec<String> =
            self.leaves.iter().map(|leaves| format!("{} to {}", leaves.start(), leaves.end())).collect();
        format!(
            "DAG {dag} is staked: {} to be declared removed, in effect {} after that: blocks {}. The deposit of {} does not come back",
            count(self.leaves.len() as u64, "range"),
            count(terms.period, "block"),
            ranges.join(", "),
            self.deposit(),
        )
    }

    /// Declares, and waits until that is final. What was forgotten stays forgotten if it fails.
    pub(super) fn carry_out(&self, global: &Global, out: &Output, chain: &Chain) -> Result<(), Failure> {
        if self.leaves.is_empty() {
            let line = self.line(&self.standing, 0);
            return out.print(&line, || declared_text(&line));
        }
        let told = |Failure { kind, message }| {
            let message = format!(
                "{message}; nothing is dropped before it is declared: `pakit forget --resume` goes on with declaring"
            );
            Failure { kind, message }
        };
        let (_engine, key, mut worker) = worker(global, chain).map_err(told)?;
        let progress = &mut |step| show_progress(out, &step);
        let receipt =
            wait_for(async { Ok(worker.declare_removed(&self.leaves, &key, progress).await?) }).map_err(told)?;
        let Some(standing) = receipt.standing else {
            out.note("there is no stake behind the DAG any more: nothing has to be declared");
            return Ok(());
        };
        let line = self.line(&standing, receipt.signed);
        out.print(&line, || declared_text(&line))
    }
}

fn declared_text(line: &DeclareLine) -> String {
    let effect = match line.in_effect_from {
        None => "all that is declared is in effect: `pakit gc` drops it".to_owned(),
        Some(block) => format!(
            "in effect from block {block} on, when the round under way is over (block {} is finalized): `pakit gc` drops it then",
            line.finalized_block
        ),
    };
    let declared = count(line.ranges.len() as u64, "range");
    format!("DAG {}: {declared} declared removed, for a deposit of {}; {effect}", line.dag, line.deposit)
}
