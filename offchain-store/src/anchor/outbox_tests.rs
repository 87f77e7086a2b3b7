#![allow(clippy::unwrap_used)]

//! The decision against every kind of sight, and against whole histories of a chain that forks, a node that forgets its
//! pool and a client that is killed between any two of its steps.

use super::*;
use crate::sqlite::outbox::ids::ChainBlockHash;
use proptest::prelude::*;

const ERA: Era = Era { birth: 100, birth_hash: ChainBlockHash::new([1; 32]), period: 8 };

fn placement(block_number: u64, fork: u8) -> Placement {
    Placement { block_number, block_hash: ChainBlockHash::new([fork; 32]), extrinsic_index: 1 }
}

fn sight(finalized: u64, best: u64) -> Sight {
    let searched_through = (finalized >= ERA.first()).then(|| finalized.min(ERA.last()));
    Sight { finalized, best, searched_through, found: None }
}

fn seen(finalized: u64, best: u64, placement: Placement, is_success: bool) -> Sight {
    Sight { searched_through: None, found: Some(Sighting { placement, is_success }), ..sight(finalized, best) }
}

const LIVE: [RowState; 3] = [RowState::Prepared, RowState::Submitted, RowState::InBlock];

#[test]
fn a_row_whose_fate_is_settled_is_left_alone() {
    for state in [RowState::Finalized, RowState::Failed, RowState::Expired] {
        for sight in [sight(100, 100), sight(200, 200), seen(105, 105, placement(103, 1), true)] {
            assert_eq!(next_action(state, &ERA, None, &sight, true), NextAction::Wait);
        }
    }
}

#[test]
fn a_finalized_block_settles_a_row_whatever_was_noted() {
    for state in LIVE {
        for noted in [None, Some(placement(103, 1)), Some(placement(102, 9))] {
            let noted = noted.as_ref();
            let (good, bad) = (seen(103, 105, placement(103, 1), true), seen(103, 105, placement(103, 1), false));
            assert_eq!(next_action(state, &ERA, noted, &good, true), NextAction::Finalize(placement(103, 1)));
            assert_eq!(next_action(state, &ERA, noted, &bad, true), NextAction::Fail(placement(103, 1)));
        }
    }
}

#[test]
fn a_block_that_may_be_left_behind_is_noted_once_and_settles_nothing() {
    for is_success in [true, false] {
        let sight = seen(101, 105, placement(103, 1), is_success);
        for state in [RowState::Prepared, RowState::Submitted] {
            assert_eq!(next_action(state, &ERA, None, &sight, true), NextAction::NoteInBlock(placement(103, 1)));
        }
        let noted = |noted: Placement| next_action(RowState::InBlock, &ERA, Some(&noted), &sight, true);
        assert_eq!(noted(placement(103, 1)), NextAction::Wait);
        assert_eq!(noted(placement(103, 2)), NextAction::NoteInBlock(placement(103, 1)), "another fork's block");
        assert_eq!(noted(placement(102, 1)), NextAction::NoteInBlock(placement(103, 1)));
    }
}

#[test]
fn a_row_whose_block_fell_out_of_the_best_chain_is_on_its_way_again() {
    let action = next_action(RowState::InBlock, &ERA, Some(&placement(103, 1)), &sight(101, 105), true);
    assert_eq!(action, NextAction::BackToSubmitted);
}

#[test]
fn bytes_are_sent_only_while_the_next_block_can_hold_them_and_the_clock_allows() {
    for state in [RowState::Prepared, RowState::Submitted] {
        for best in 95..120 {
            let finalized = best.min(101);
            let is_fitting = (101..=107).contains(&(best + 1));
            let expected = if is_fitting { NextAction::Send } else { NextAction::Wait };
            assert_eq!(next_action(state, &ERA, None, &sight(finalized, best), true), expected, "best {best}");
            assert_eq!(next_action(state, &ERA, None, &sight(finalized, best), false), NextAction::Wait);
        }
    }
}

#[test]
fn only_an_era_that_is_over_at_a_finalized_block_and_searched_whole_expires() {
    for state in LIVE {
        for finalized in 95..130 {
            for searched in [None, Some(100), Some(106), Some(107), Some(130)] {
                let sight = Sight { finalized, best: finalized + 40, searched_through: searched, found: None };
                let action = next_action(state, &ERA, Some(&placement(103, 1)), &sight, true);
                let is_over = finalized >= 108 && searched >= Some(107);
                assert_eq!(action == NextAction::Expire, is_over, "{state:?} {sight:?}");
            }
        }
    }
}

// ---- histories

/// An extrinsic of the model. It has no nonce: the model's chain takes it whenever its era allows and it is not yet in, so
/// that nothing but the decision keeps two of them for one purpose apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Model {
    id: usize,
    era: Era,
}

#[derive(Clone, Debug)]
struct Row {
    extrinsic: Model,
    state: RowState,
    noted: Option<Placement>,
}

/// What may happen between two looks of the client.
#[derive(Clone, Debug)]
enum Event {
    /// A block that holds what is in the pool and fits, or is empty.
    Block { is_full: bool },
    /// The last blocks are left behind; what they held goes back to the pool or is forgotten.
    Fork { depth: usize, is_kept: bool },
    /// Blocks become final.
    Finalize { blocks: usize },
    /// The node loses its pool.
    NodeRestart,
    /// The client looks and acts; with `is_killed` after acting and before it has noted the act.
    Look { is_killed: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(|is_full| Event::Block { is_full }),
        2 => (1usize..5, any::<bool>()).prop_map(|(depth, is_kept)| Event::Fork { depth, is_kept }),
        2 => (1usize..6).prop_map(|blocks| Event::Finalize { blocks }),
        1 => Just(Event::NodeRestart),
        5 => any::<bool>().prop_map(|is_killed| Event::Look { is_killed }),
    ]
}

#[derive(Default)]
struct World {
    /// Per block: a number that tells forks apart, and the extrinsics.
    chain: Vec<(u64, Vec<Model>)>,
    finalized: usize,
    made: u64,
    pool: Vec<Model>,
    /// Everything that ever left the client: a node elsewhere may still hold it.
    sent: Vec<Model>,
    rows: Vec<Row>,
}

impl World {
    fn new() -> Self {
        Self { chain: vec![(0, Vec::new())], ..Self::default() }
    }

    fn hash(&self, number: usize) -> ChainBlockHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.chain[number].0.to_le_bytes());
        ChainBlockHash::new(bytes)
    }

    fn is_in(&self, extrinsic: Model) -> bool {
        self.chain.iter().any(|(_, held)| held.contains(&extrinsic))
    }

    fn add_block(&mut self, is_full: bool) {
        let number = self.chain.len() as u64;
        self.made += 1;
        let mut held = Vec::new();
        if is_full {
            for extrinsic in self.pool.clone() {
                let era = extrinsic.era;
                let is_valid = (era.first()..era.death()).contains(&number)
                    && self.hash(era.birth as usize) == era.birth_hash
                    && !self.is_in(extrinsic)
                    && !held.contains(&extrinsic);
                if is_valid {
                    held.push(extrinsic);
                }
            }
        }
        self.pool.retain(|extrinsic| !held.contains(extrinsic));
        self.chain.push((self.made, held));
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Block { is_full } => self.add_block(*is_full),
            Event::Fork { depth, is_kept } => {
                let kept = self.chain.len().saturating_sub(*depth).max(self.finalized + 1);
                for (_, held) in self.chain.split_off(kept) {
                    if *is_kept {
                        self.pool.extend(held);
                    }
                }
            }
            Event::Finalize { blocks } => {
                self.finalized = (self.finalized + blocks).min(self.chain.len() - 1);
            }
            // Another node still gossips what was ever sent: the worst case for paying twice.
            Event::NodeRestart => self.pool = self.sent.iter().step_by(2).copied().collect(),
            Event::Look { is_killed } => self.look(*is_killed),
        }
    }

    /// One step of the worker, with the order of its durable notes: a row is written before it is sent.
    fn look(&mut self, is_killed: bool) {
        if let Some(index) = self.rows.iter().position(|row| row.state.is_live()) {
            let row = self.rows[index].clone();
            let action = next_action(row.state, &row.extrinsic.era, row.noted.as_ref(), &self.sight(&row), true);
            if action == NextAction::Send {
                self.pool.push(row.extrinsic);
                self.sent.push(row.extrinsic);
            }
            if !is_killed {
                let row = &mut self.rows[index];
                match action {
                    NextAction::Finalize(_) => row.state = RowState::Finalized,
                    NextAction::Fail(_) => row.state = RowState::Failed,
                    NextAction::NoteInBlock(at) => (row.state, row.noted) = (RowState::InBlock, Some(at)),
                    NextAction::BackToSubmitted => (row.state, row.noted) = (RowState::Submitted, None),
                    NextAction::Expire => row.state = RowState::Expired,
                    NextAction::Send => row.state = RowState::Submitted,
                    NextAction::Wait => {}
                }
            }
        } else if !self.rows.iter().any(|row| row.state == RowState::Finalized) {
            let birth = self.finalized;
            let era = Era { birth: birth as u64, birth_hash: self.hash(birth), period: 8 };
            let extrinsic = Model { id: self.rows.len(), era };
            self.rows.push(Row { extrinsic, state: RowState::Prepared, noted: None });
            if !is_killed {
                self.pool.push(extrinsic);
                self.sent.push(extrinsic);
            }
        }
    }

    fn sight(&self, row: &Row) -> Sight {
        let (finalized, best) = (self.finalized as u64, self.chain.len() as u64 - 1);
        let era = row.extrinsic.era;
        let found = (era.first()..=best.min(era.last())).find_map(|number| {
            let index = self.chain[number as usize].1.iter().position(|held| *held == row.extrinsic)?;
            let block_hash = self.hash(number as usize);
            let placement = Placement { block_number: number, block_hash, extrinsic_index: index as u32 };
            Some(Sighting { placement, is_success: true })
        });
        let searched_through = (finalized >= era.first()).then(|| finalized.min(era.last()));
        Sight { finalized, best, searched_through, found }
    }

    fn paid(&self, through: usize) -> usize {
        self.chain.iter().take(through + 1).map(|(_, held)| held.len()).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_holds_two_extrinsics_for_one_purpose_and_every_one_comes_to_an_end(
        events in prop::collection::vec(event(), 1..200)
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            prop_assert!(world.paid(world.chain.len() - 1) <= 1, "two in the best chain after {event:?}");
            prop_assert!(world.rows.iter().filter(|row| row.state.is_live()).count() <= 1);
        }
        // In quiet times it is done within one era: in exactly one finalized block, and the row says so.
        for _ in 0..40 {
            for event in [
                Event::Look { is_killed: false },
                Event::Block { is_full: true },
                Event::Finalize { blocks: 2 },
            ] {
                world.happen(&event);
            }
        }
        prop_assert_eq!(world.paid(world.finalized), 1);
        prop_assert_eq!(world.rows.iter().filter(|row| row.state == RowState::Finalized).count(), 1);
    }
}
