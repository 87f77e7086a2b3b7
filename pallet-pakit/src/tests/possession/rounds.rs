use super::*;
use crate::NextChallenge;
use frame_support::dispatch::{DispatchClass, GetDispatchInfo, Pays};

#[test]
fn a_head_is_frozen_and_challenges_wait_for_randomness_that_is_newer() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        SeedKnownSince::set(2);
        next_block();
        let (head, slices) = (keeper.archive.head(12), 35);
        assert_last(Event::HeadFrozen { dag: DAG, head, slices });
        // Frozen in block 2, from which randomness is not new enough.
        for _ in 0..30 {
            next_block();
            assert_eq!(Pakit::open_challenges(DAG), vec![]);
        }
        SeedKnownSince::set(3);
        next_block();
        let open = Pakit::open_challenges(DAG);
        assert_eq!(open.iter().map(|open| open.challenge).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(open.iter().all(|open| open.position < slices && open.head == head && open.frozen_at == 2));
        let positions: Vec<u64> = open.iter().map(|open| open.position).collect();
        let positions = positions.try_into().unwrap();
        assert_last(Event::ChallengesDrawn { dag: DAG, first: 0, positions, due: 32 + 1 + 5 });
    });
}

#[test]
fn every_slice_of_every_shape_answers_its_challenge() {
    run(|| {
        ChallengesPerRound::set(16);
        let keeper = Keeper::new().staked(1_000);
        let mut asked = std::collections::BTreeSet::new();
        for round in 0..20 {
            for open in draw(DAG) {
                asked.insert(open.position);
                assert_ok!(keeper.answer(&open).send());
            }
            assert_eq!(Pakit::open_challenges(DAG), vec![]);
            assert_eq!(Outcomes::get().len(), round + 1);
        }
        assert_eq!(asked.len(), 35, "320 draws of 35 slices");
        assert!(Outcomes::get().iter().all(|told| *told == (DAG, OWNER, outcome(16, 0, 0))));
        assert_eq!(Pakit::stake_behind(DAG).unwrap().tally.answered, 320);
        assert_eq!((missed(), staked(OWNER)), (None, 1_000));
    });
}

#[test]
fn a_runtime_that_is_told_how_a_round_ended_can_act_on_the_stake() {
    run(|| {
        TopUp::set(500);
        let keeper = Keeper::new().staked(1_000);
        draw(DAG);
        keeper.answer_all(DAG);
        assert_eq!((Pakit::stake_behind(DAG).unwrap().amount, staked(OWNER)), (1_500, 1_500));
        draw(DAG);
        for _ in 0..10 {
            next_block();
        }
        // A tenth for each of four.
        assert_eq!(missed().unwrap().1, 600);
        assert_eq!((Pakit::stake_behind(DAG).unwrap().amount, staked(OWNER)), (1_400, 1_400));
    });
}

#[test]
fn rounds_follow_each_other_by_the_period() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let mut frozen_at = Vec::new();
        while frozen_at.len() < 5 {
            frozen_at.push(draw(DAG)[0].frozen_at);
            keeper.answer_all(DAG);
        }
        assert_eq!(frozen_at, [2, 22, 42, 62, 82]);
    });
}

#[test]
fn an_answer_is_taken_in_the_pool_once_for_nothing_and_soon_or_never() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let open = draw(DAG);
        let (one, other) = (keeper.answer(&open[0]), keeper.answer(&open[1]));
        let valid = one.validity().unwrap();
        assert_eq!(valid.provides, one.validity().unwrap().provides);
        assert_ne!(valid.provides, other.validity().unwrap().provides);
        assert_eq!((valid.provides.len(), valid.requires.len(), valid.propagate), (1, 0, true));
        assert!(valid.longevity <= 16);
        let info = one.call().get_dispatch_info();
        // That a signer pays for the refusal: whoever is authorized is no account, which no fee is asked of.
        assert_eq!((info.class, info.pays_fee), (DispatchClass::Operational, Pays::Yes));
        assert!(one.call().weight_of_authorize().ref_time() > 0);
    });
}

#[test]
fn an_answer_needs_the_extension_and_no_signer_stands_in_for_it() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let Response { dag, challenge, header, inclusion, answer } = keeper.answer(&draw(DAG)[0]);
        for origin in [signed(OWNER), RuntimeOrigin::none(), RuntimeOrigin::root()] {
            let respond = || Pakit::respond(origin, dag, challenge, header.clone(), inclusion.clone(), answer.clone());
            assert_noop!(respond(), sp_runtime::DispatchError::BadOrigin);
        }
    });
}

#[test]
fn a_challenge_outlives_its_head_its_owner_and_the_end_of_anchoring() {
    run(|| {
        let keeper = Keeper::of_sizes([36, 2000, 700, 0].into_iter().chain([10; 40])).staked_at(4);
        let open = draw(DAG);
        for size in 5..=40 {
            assert_ok!(keeper.archive.anchor(OWNER, DAG, size));
        }
        assert_eq!(Pakit::anchored_head(DAG, 2).map(|anchored| anchored.head.size), None);
        assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_ok!(Pakit::retire_dag(signed(HEIR), DAG));
        assert!(open.iter().all(|open| open.head == keeper.archive.head(4)));
        keeper.answer_all(DAG);
        assert_eq!(Outcomes::get(), [(DAG, OWNER, outcome(4, 0, 0))]);
        // A retired DAG is still challenged: its data are promised as long as the stake stands.
        assert_eq!(draw(DAG)[0].head, keeper.archive.head(40));
    });
}

#[test]
fn numbers_of_challenges_that_are_used_up_do_not_stop_the_chain() {
    run(|| {
        let _keeper = Keeper::new().staked(1_000);
        NextChallenge::<Test>::put(u64::MAX - 1);
        let numbers: Vec<u64> = draw(DAG).iter().map(|open| open.challenge).collect();
        assert_eq!(numbers, [u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX]);
        while missed().is_none() {
            next_block();
        }
    });
}

impl Keeper {
    /// Staked with the first blocks anchored only.
    fn staked_at(self, blocks: u64) -> Self {
        assert_ok!(self.archive.create(OWNER));
        assert_ok!(self.archive.anchor(OWNER, DAG, blocks));
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 1_000));
        self
    }
}
