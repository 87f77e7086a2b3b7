//! Random sequences of all calls and blocks, against a model of a few lines. The state is checked after each step.

use super::*;
use crate::{Dags, Faults, NextDagId, possession::Round};
use frame_support::traits::UnfilteredDispatchable;
use pakit_primitives::{chain::Succession, fraud::Evidence};
use proptest::prelude::*;

/// DAG 2 has a log that breaks the rules.
const DAGS: u32 = 3;
const FAULTY: u32 = 2;
const ACCOUNTS: [AccountId; 3] = [OWNER, HEIR, STRANGER];

#[derive(Clone, Debug)]
enum Step {
    /// Of a further DAG, which goes on from the latest head of another one or from none.
    Create {
        who: AccountId,
        succeeds: Option<u32>,
    },
    Anchor {
        who: AccountId,
        dag: u32,
        size: u64,
    },
    Record {
        who: AccountId,
        dag: u32,
        leaf: u64,
    },
    RemoveRecord {
        who: AccountId,
        dag: u32,
        leaf: u64,
    },
    SetOperators {
        who: AccountId,
        dag: u32,
        operators: Vec<AccountId>,
    },
    Offer {
        who: AccountId,
        dag: u32,
        to: Option<AccountId>,
    },
    Accept {
        who: AccountId,
        dag: u32,
    },
    Retire {
        who: AccountId,
        dag: u32,
    },
    Lineage {
        dag: u32,
        leaf: u64,
    },
    Stake {
        who: AccountId,
        dag: u32,
        amount: u64,
    },
    Unbond {
        who: AccountId,
        dag: u32,
    },
    Withdraw {
        who: AccountId,
        dag: u32,
    },
    Declare {
        who: AccountId,
        dag: u32,
        first: u64,
        last: u64,
    },
    /// Answers the first open challenges, some of them by naming a range.
    Respond {
        dag: u32,
        count: usize,
        range: Option<u32>,
    },
    /// Answers with something else in place.
    RespondWrongly {
        dag: u32,
        leaf: u64,
        flip: usize,
    },
    ReportMiss {
        who: AccountId,
        dag: u32,
    },
    ReportFault {
        who: AccountId,
        dag: u32,
        index: u64,
    },
    Blocks {
        count: u64,
        full: bool,
        seed: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || proptest::sample::select(&ACCOUNTS[..]);
    let dag = || 0..DAGS;
    let leaf = || 0u64..12;
    let step =
        prop_oneof![
            (who(), proptest::option::of(dag())).prop_map(|(who, succeeds)| Step::Create { who, succeeds }),
            (who(), dag(), 1u64..13).prop_map(|(who, dag, size)| Step::Anchor { who, dag, size }),
            (who(), dag(), leaf()).prop_map(|(who, dag, leaf)| Step::Record { who, dag, leaf }),
            (who(), dag(), leaf()).prop_map(|(who, dag, leaf)| Step::RemoveRecord { who, dag, leaf }),
            (who(), dag(), proptest::collection::vec(1u64..7, 0..3))
                .prop_map(|(who, dag, operators)| Step::SetOperators { who, dag, operators }),
            (who(), dag(), proptest::option::of(who())).prop_map(|(who, dag, to)| Step::Offer { who, dag, to }),
            (who(), dag()).prop_map(|(who, dag)| Step::Accept { who, dag }),
            (who(), dag()).prop_map(|(who, dag)| Step::Retire { who, dag }),
            (dag(), leaf()).prop_map(|(dag, leaf)| Step::Lineage { dag, leaf }),
            (who(), dag(), 0u64..3_000).prop_map(|(who, dag, amount)| Step::Stake { who, dag, amount }),
            (who(), dag(), 1_000u64..3_000).prop_map(|(who, dag, amount)| Step::Stake { who, dag, amount }),
            (who(), dag()).prop_map(|(who, dag)| Step::Unbond { who, dag }),
            (who(), dag()).prop_map(|(who, dag)| Step::Withdraw { who, dag }),
            (who(), dag(), leaf(), leaf()).prop_map(|(who, dag, first, last)| Step::Declare { who, dag, first, last }),
            (dag(), 1usize..5, proptest::option::of(0u32..3)).prop_map(|(dag, count, range)| Step::Respond {
                dag,
                count,
                range
            }),
            (dag(), leaf(), any::<usize>()).prop_map(|(dag, leaf, flip)| Step::RespondWrongly { dag, leaf, flip }),
            (who(), dag()).prop_map(|(who, dag)| Step::ReportMiss { who, dag }),
            (who(), dag(), 1u64..12).prop_map(|(who, dag, index)| Step::ReportFault { who, dag, index }),
            (1u64..30, any::<bool>(), any::<bool>()).prop_map(|(count, full, seed)| Step::Blocks { count, full, seed }),
            (1u64..5, Just(false), Just(true)).prop_map(|(count, full, seed)| Step::Blocks { count, full, seed }),
        ];
    proptest::collection::vec(step, 1..120)
}

/// What a stake should be.
#[derive(Clone, Debug, PartialEq)]
struct Bond {
    staker: AccountId,
    amount: u64,
    unbonding_since: Option<u64>,
}

/// What is so, as far as calls about stakes depend on it.
struct Model {
    keepers: Vec<Keeper>,
    owners: Vec<AccountId>,
    bonds: Vec<Option<Bond>>,
    faulty: Vec<bool>,
    /// Which of them another one goes on from.
    succeeded: Vec<bool>,
    /// How many there are, those among them that no step but their creation names.
    created: u32,
    /// What was burned of stakes.
    burned: u64,
    seen_events: usize,
}

impl Model {
    fn new() -> Self {
        let honest = || Keeper::of_sizes([36, 0, 1, 1023, 1024, 1025, 2048, 3000, 5000, 0, 700, 100]);
        let mut headers = honest().archive.headers;
        headers[5].slices_before += 1;
        let mut faulty = honest();
        faulty.archive = Archive::of(headers);
        let keepers = vec![honest(), honest(), faulty];
        for keeper in &keepers {
            assert_ok!(keeper.archive.create(OWNER));
        }
        let none = || vec![None; DAGS as usize];
        Self {
            keepers,
            owners: vec![OWNER; DAGS as usize],
            bonds: none(),
            faulty: vec![false; DAGS as usize],
            succeeded: vec![false; DAGS as usize],
            created: DAGS,
            burned: 0,
            seen_events: 0,
        }
    }

    fn size(dag: u32) -> u64 {
        Pakit::dag(dag).unwrap().latest.size
    }

    fn is_staker(&self, who: AccountId, dag: u32) -> Option<&Bond> {
        self.bonds[dag as usize].as_ref().filter(|bond| bond.staker == who)
    }

    /// Takes a step and says whether the chain did what the model expects.
    fn take(&mut self, step: &Step) {
        let now = System::block_number();
        match step.clone() {
            Step::Create { who, succeeds } => self.create(who, succeeds),
            Step::Anchor { who, dag, size } => {
                let _ = self.keepers[dag as usize].archive.anchor(who, dag, size);
            }
            Step::Record { who, dag, leaf } => {
                let (archive, size) = (&self.keepers[dag as usize].archive, Self::size(dag));
                let anchor = Pakit::head(dag).unwrap().0;
                let inclusion = archive.inclusion(leaf, size);
                let _ = Pakit::record_proof(signed(who), dag, anchor, archive.header(leaf), inclusion);
            }
            Step::RemoveRecord { who, dag, leaf } => {
                let block_hash = self.keepers[dag as usize].archive.block_hash(leaf);
                let _ = Pakit::remove_record(signed(who), dag, block_hash);
            }
            Step::SetOperators { who, dag, operators } => {
                let _ = Pakit::set_operators(signed(who), dag, operators.try_into().unwrap());
            }
            Step::Offer { who, dag, to } => {
                let _ = Pakit::transfer_ownership(signed(who), dag, to);
            }
            Step::Accept { who, dag } => {
                if Pakit::accept_ownership(signed(who), dag).is_ok() {
                    self.owners[dag as usize] = who;
                }
            }
            Step::Retire { who, dag } => {
                let _ = Pakit::retire_dag(signed(who), dag);
            }
            Step::Lineage { dag, leaf } => {
                let (archive, size) = (&self.keepers[dag as usize].archive, Self::size(dag));
                let inclusion = archive.inclusion(leaf, size);
                let (header, ancestors) = (archive.header(leaf), archive.ancestors(leaf));
                let anchor = Pakit::head(dag).unwrap().0;
                let _ = Pakit::verify_lineage(signed(CLERK), dag, anchor, header, inclusion, ancestors);
            }
            Step::Stake { who, dag, amount } => self.stake(who, dag, amount, now),
            Step::Unbond { who, dag } => {
                let expected = self.is_staker(who, dag).is_some_and(|bond| bond.unbonding_since.is_none());
                assert_eq!(Pakit::unbond(signed(who), dag).is_ok(), expected);
                if let (true, Some(bond)) = (expected, &mut self.bonds[dag as usize]) {
                    bond.unbonding_since = Some(now);
                }
            }
            Step::Withdraw { who, dag } => {
                let since = self.is_staker(who, dag).and_then(|bond| bond.unbonding_since);
                let is_let_go = |round: Round<u64>| {
                    let is_waiting = SeedKnownSince::get() <= round.frozen_at && round.drawn.is_none();
                    is_waiting && now >= round.frozen_at + UnbondingPeriod::get()
                };
                let settled = Stakes::<Test>::get(dag).is_none_or(|stake| stake.round.is_none_or(is_let_go));
                let expected = settled && since.is_some_and(|since| now >= since + UnbondingPeriod::get());
                assert_eq!(Pakit::withdraw_stake(signed(who), dag).is_ok(), expected);
                if expected {
                    self.bonds[dag as usize] = None;
                }
            }
            Step::Declare { who, dag, first, last } => {
                let expected = who == self.owners[dag as usize] && first <= last && last < Self::size(dag);
                assert_eq!(Pakit::declare_removed(signed(who), dag, first, last).is_ok(), expected);
            }
            Step::Respond { dag, count, range } => self.respond(dag, count, range),
            Step::RespondWrongly { dag, leaf, flip } => self.respond_wrongly(dag, leaf, flip),
            Step::ReportMiss { who, dag } => {
                let _ = Pakit::report_miss(signed(who), dag);
            }
            Step::ReportFault { who, dag, index } => self.report_fault(who, dag, index),
            Step::Blocks { count, full, seed } => {
                for _ in 0..count {
                    if full {
                        next_block_after_a_full_one()
                    } else {
                        next_block()
                    }
                    if seed {
                        renew_seed();
                    }
                }
            }
        }
    }

    fn create(&mut self, who: AccountId, succeeds: Option<u32>) {
        let succession = succeeds.map(|dag| {
            let latest = Pakit::dag(dag).unwrap().latest;
            Succession { dag, size: latest.size, root: latest.root }
        });
        let may_succeed = |dag: u32| self.owners[dag as usize] == who && !self.succeeded[dag as usize];
        let expected = succeeds.is_none_or(may_succeed);
        let genesis = self.keepers[0].archive.header(0);
        // As a runtime dispatches it: what fails leaves nothing.
        let call = Call::<Test>::create_dag { genesis_header: genesis, succeeds: succession };
        assert_eq!(call.dispatch_bypass_filter(signed(who)).is_ok(), expected);
        if let (true, Some(dag)) = (expected, succeeds) {
            self.succeeded[dag as usize] = true;
        }
        self.created += u32::from(expected);
    }

    fn stake(&mut self, who: AccountId, dag: u32, amount: u64, now: u64) {
        let bond = self.bonds[dag as usize].clone();
        let free = bond.as_ref().is_none_or(|bond| bond.staker == who && bond.unbonding_since.is_none());
        let total = bond.map_or(0, |bond| bond.amount) + amount;
        let expected = who == self.owners[dag as usize] && free && !self.faulty[dag as usize] && total >= 1_000;
        assert_eq!(Pakit::stake(signed(who), dag, amount).is_ok(), expected, "in block {now}");
        if expected {
            self.bonds[dag as usize] = Some(Bond { staker: who, amount: total, unbonding_since: None });
        }
    }

    fn respond(&self, dag: u32, count: usize, range: Option<u32>) {
        for open in Pakit::open_challenges(dag).into_iter().take(count) {
            let keeper = &self.keepers[dag as usize];
            let mut response = keeper.answer(&open);
            let leaf = keeper.leaf_of(open.position);
            let by_range = range.map(|range| {
                response.answer = Answer::Removed { range };
                Pakit::removed_range(dag, range).is_some_and(|declared| {
                    declared.effective_at <= open.frozen_at && (declared.first..=declared.last).contains(&leaf)
                })
            });
            let result = response.send();
            // An ill-formed log may have no answer.
            if dag != FAULTY {
                assert_eq!(result.is_ok(), by_range.unwrap_or(true), "{open:?}");
                assert!(result.is_err() || response.send().is_err(), "an answer was taken twice");
            }
        }
    }

    fn respond_wrongly(&self, dag: u32, leaf: u64, flip: usize) {
        let Some(open) = Pakit::open_challenges(dag).into_iter().next() else { return };
        let keeper = &self.keepers[dag as usize];
        let right = keeper.answer(&open);
        let mut wrong = right.clone();
        match flip % 4 {
            0 => wrong.header = keeper.archive.header(leaf),
            1 => wrong.challenge = open.challenge + 16,
            2 => match wrong.inclusion.iter_mut().next() {
                Some(hash) => hash[flip % 32] ^= 1,
                None => wrong.inclusion = vec![[0; 32]].try_into().unwrap(),
            },
            _ => match &mut wrong.answer {
                Answer::Slice { slice, .. } if !slice.is_empty() => {
                    let at = flip % slice.len();
                    slice[at] ^= 1;
                }
                other => *other = Answer::Removed { range: 77 },
            },
        }
        if wrong.header != right.header || !flip.is_multiple_of(4) {
            assert!(wrong.send().is_err(), "{wrong:?}");
        }
    }

    fn report_fault(&mut self, who: AccountId, dag: u32, index: u64) {
        let (archive, size) = (&self.keepers[dag as usize].archive, Self::size(dag));
        let evidence = Evidence::WrongSlicesBefore {
            before: archive.header(index - 1),
            before_inclusion: archive.inclusion(index - 1, size),
            header: archive.header(index),
            inclusion: archive.inclusion(index, size),
        };
        let ill = dag == FAULTY && [5, 6].contains(&index) && index < size;
        let expected = ill && !self.faulty[dag as usize];
        let anchor = Pakit::head(dag).unwrap().0;
        assert_eq!(Pakit::report_block(signed(who), dag, anchor, evidence).is_ok(), expected);
        self.faulty[dag as usize] |= expected;
    }

    /// Takes what events say was slashed from the model's stakes, and compares all.
    fn compare(&mut self, issuance: u64) {
        let events = System::read_events_for_pallet::<Event<Test>>();
        for event in events.iter().skip(self.seen_events) {
            if let Event::ChallengeMissed { dag, slashed, rewarded, .. }
            | Event::FaultReported { dag, slashed, rewarded, .. } = event
            {
                self.burned += slashed - rewarded;
                if let Some(bond) = &mut self.bonds[*dag as usize] {
                    bond.amount -= slashed;
                }
            }
        }
        self.seen_events = events.len();
        assert_eq!(NextDagId::<Test>::get(), self.created);
        assert_eq!(Dags::<Test>::iter_keys().count() as u32, self.created);
        for dag in 0..DAGS {
            let told = Stakes::<Test>::get(dag).map(|stake| Bond {
                staker: stake.staker,
                amount: stake.amount,
                unbonding_since: stake.unbonding_since,
            });
            assert_eq!(told, self.bonds[dag as usize]);
            assert_eq!(Faults::<Test>::contains_key(dag), self.faulty[dag as usize]);
        }
        for who in ACCOUNTS {
            let bonds = self.bonds.iter().flatten().filter(|bond| bond.staker == who);
            assert_eq!(staked(who), bonds.map(|bond| bond.amount).sum::<u64>());
        }
        assert_eq!(Balances::total_issuance(), issuance - self.burned);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_calls_panics_or_leaves_the_model_or_an_unclean_state(steps in steps()) {
        new_test_ext().execute_with(|| {
            SeedKnownSince::set(0);
            let mut model = Model::new();
            let issuance = Balances::total_issuance();
            for step in &steps {
                model.take(step);
                model.compare(issuance);
                Pakit::do_try_state().unwrap();
            }
        });
    }
}
