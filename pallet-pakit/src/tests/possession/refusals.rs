//! Each error of stakes and challenges by the call that gives it.

use super::{
    super::errors::{Seen, refuse},
    *,
};
use crate::{Faults, RemovedCount};
use pakit_primitives::{fraud::FaultKind, possession::Fault};

pub(crate) fn all(seen: &mut Seen) {
    for cases in [stake_cases, challenge_cases, answer_cases, range_cases] {
        cases(seen);
    }
}

fn with_stake(test: impl FnOnce(&Keeper)) {
    run(|| test(&Keeper::new().staked(1_000)));
}

fn stake_cases(seen: &mut Seen) {
    run(|| {
        let keeper = Keeper::new();
        let stake = |who, dag, amount| Pakit::stake(signed(who), dag, amount);
        refuse(seen, Error::UnknownDag, || stake(OWNER, DAG, 1_000));
        assert_ok!(keeper.archive.create(OWNER));
        refuse(seen, Error::NotOwner, || stake(STRANGER, DAG, 1_000));
        for amount in [0, 999] {
            refuse(seen, Error::StakeTooSmall, || stake(OWNER, DAG, amount));
        }
        for call in [Pakit::unbond, Pakit::withdraw_stake, Pakit::report_miss] {
            refuse(seen, Error::NotStaked, || call(signed(OWNER), DAG));
        }
        assert_ok!(stake(OWNER, DAG, 1_000));
        for call in [Pakit::unbond, Pakit::withdraw_stake] {
            refuse(seen, Error::StakeOfAnother, || call(signed(STRANGER), DAG));
        }
        refuse(seen, Error::NotUnbonding, || Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        refuse(seen, Error::Unbonding, || Pakit::unbond(signed(OWNER), DAG));
        refuse(seen, Error::Unbonding, || stake(OWNER, DAG, 1));
        refuse(seen, Error::StillUnbonding, || Pakit::withdraw_stake(signed(OWNER), DAG));
    });
    with_stake(|keeper| {
        draw(DAG);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        System::set_block_number(System::block_number() + 50);
        refuse(seen, Error::ChallengesOpen, || Pakit::withdraw_stake(signed(OWNER), DAG));
        keeper.answer_all(DAG);
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        let head = keeper.archive.head(12);
        Faults::<Test>::insert(DAG, Fault { kind: FaultKind::WrongDepth, head, reported_at: 1 });
        refuse(seen, Error::DagFaulty, || Pakit::stake(signed(OWNER), DAG, 1_000));
    });
}

fn challenge_cases(seen: &mut Seen) {
    with_stake(|keeper| {
        let early = Response {
            dag: DAG,
            challenge: 0,
            header: keeper.archive.header(0),
            inclusion: keeper.archive.inclusion(0, 12),
            answer: Answer::Removed { range: 0 },
        };
        // Nothing is frozen, then nothing drawn.
        refuse(seen, Error::UnknownChallenge, || early.send());
        next_block();
        refuse(seen, Error::UnknownChallenge, || early.send());
        refuse(seen, Error::UnknownChallenge, || Pakit::report_miss(signed(CLERK), DAG));
        let open = draw(DAG);
        refuse(seen, Error::NotStaked, || Response { dag: 1, ..keeper.answer(&open[0]) }.send());
        for challenge in [4, 5, u64::MAX] {
            refuse(seen, Error::UnknownChallenge, || Response { challenge, ..keeper.answer(&open[0]) }.send());
        }
        assert_ok!(keeper.answer(&open[0]).send());
        refuse(seen, Error::AlreadyAnswered, || keeper.answer(&open[0]).send());
        refuse(seen, Error::DeadlineNotOver, || Pakit::report_miss(signed(CLERK), DAG));
        BlocksWithRoom::<Test>::mutate(|count| *count += 100);
        refuse(seen, Error::ResponseTooLate, || keeper.answer(&open[1]).send());
    });
    // A replay after the round.
    with_stake(|keeper| {
        let open = draw(DAG);
        keeper.answer_all(DAG);
        refuse(seen, Error::UnknownChallenge, || keeper.answer(&open[0]).send());
        draw(DAG);
        refuse(seen, Error::UnknownChallenge, || keeper.answer(&open[0]).send());
    });
}

/// An open challenge whose block has so many slices at least.
fn challenge_of_many(keeper: &Keeper, slices: u64) -> OpenChallengeOf<Test> {
    loop {
        for open in draw(DAG) {
            if keeper.archive.headers[keeper.leaf_of(open.position) as usize].slices() >= slices {
                return open;
            }
        }
        keeper.answer_all(DAG);
    }
}

fn answer_cases(seen: &mut Seen) {
    with_stake(|keeper| {
        let open = challenge_of_many(keeper, 16);
        let right = keeper.answer(&open);
        let Answer::Slice { slice, siblings } = right.answer.clone() else { panic!("a slice answers") };
        let with = |slice: Vec<u8>, siblings: Vec<Digest>| Response {
            answer: Answer::Slice { slice: slice.try_into().unwrap(), siblings: siblings.try_into().unwrap() },
            ..right.clone()
        };
        let (slice, siblings) = (slice.into_inner(), siblings.into_inner());
        for length in [0, 1, 1023] {
            refuse(seen, Error::WrongSliceLength, || with(slice[..length].to_vec(), siblings.clone()).send());
        }
        for count in (0..=43).filter(|count| *count != siblings.len()) {
            refuse(seen, Error::WrongSiblingCount, || with(slice.clone(), vec![[1; 32]; count]).send());
        }
        let mut wrong = slice.clone();
        wrong[1023] ^= 1;
        refuse(seen, Error::SliceMismatch, || with(wrong, siblings.clone()).send());
        let mut wrong = siblings.clone();
        wrong[0][0] ^= 1;
        refuse(seen, Error::SliceMismatch, || with(slice.clone(), wrong).send());
        // The slice beside it, with its own siblings, under the right header.
        let beside = if open.position > keeper.archive.headers[10].slices_before { -1i64 } else { 1 };
        let other =
            keeper.answer(&OpenChallengeOf::<Test> { position: open.position.saturating_add_signed(beside), ..open });
        refuse(seen, Error::SliceMismatch, || Response { answer: other.answer.clone(), ..right.clone() }.send());
        // Another block, in the log, that does not hold the position.
        let (header, inclusion) = (keeper.archive.header(3), keeper.archive.inclusion(3, 12));
        refuse(seen, Error::PositionNotInBlock, || Response { header, inclusion, ..right.clone() }.send());
        let mut inclusion = right.inclusion.clone();
        inclusion[0][0] ^= 1;
        refuse(seen, Error::NotInLog, || Response { inclusion, ..right.clone() }.send());
        let inclusion = keeper.archive.inclusion(10, 11);
        refuse(seen, Error::WrongInclusionLength, || Response { inclusion, ..right.clone() }.send());
        let header = HeaderBytes::default();
        refuse(seen, Error::HeaderEmpty, || Response { header, ..right.clone() }.send());
        assert_ok!(right.send());
    });
    // An empty content has one slice of no bytes.
    run(|| {
        let keeper = Keeper::of_sizes([36, 0, 0, 0]).staked(1_000);
        let open = loop {
            let open = draw(DAG).into_iter().find(|open| open.position > 0);
            match open {
                Some(open) => break open,
                None => keeper.answer_all(DAG),
            }
        };
        let mut response = keeper.answer(&open);
        response.answer = Answer::Slice { slice: vec![0].try_into().unwrap(), siblings: Default::default() };
        refuse(seen, Error::WrongSliceLength, || response.send());
        response.answer = Answer::Slice { slice: Default::default(), siblings: Default::default() };
        assert_ok!(response.send());
    });
}

fn range_cases(seen: &mut Seen) {
    with_stake(|keeper| {
        let declare = |who, first, last| Pakit::declare_removed(signed(who), DAG, first, last);
        refuse(seen, Error::NotOwner, || declare(STRANGER, 1, 2));
        refuse(seen, Error::EmptyRange, || declare(OWNER, 2, 1));
        refuse(seen, Error::IndexOutOfRange, || declare(OWNER, 2, 12));
        refuse(seen, Error::IndexOutOfRange, || declare(OWNER, 0, u64::MAX));
        RemovedCount::<Test>::insert(DAG, u32::MAX);
        refuse(seen, Error::RangesExhausted, || declare(OWNER, 1, 2));
        RemovedCount::<Test>::remove(DAG);
        let open = draw(DAG)[0];
        let (leaf, mut response) = (keeper.leaf_of(open.position), keeper.answer(&open));
        response.answer = Answer::Removed { range: 0 };
        refuse(seen, Error::UnknownRange, || response.send());
        assert_ok!(declare(OWNER, leaf, leaf));
        refuse(seen, Error::RangeNotEffective, || response.send());
        keeper.answer_all(DAG);
        let other = (leaf + 1) % 12;
        assert_ok!(declare(OWNER, other, other));
        // The first round that is frozen once both ranges are effective.
        let open = loop {
            let open = draw(DAG);
            let elsewhere = |open: &&OpenChallengeOf<Test>| keeper.leaf_of(open.position) != other;
            match open.iter().filter(|open| open.frozen_at > 30).find(elsewhere) {
                Some(open) => break *open,
                None => keeper.answer_all(DAG),
            }
        };
        let mut response = keeper.answer(&open);
        response.answer = Answer::Removed { range: 1 };
        refuse(seen, Error::NotInRange, || response.send());
        response.inclusion = Default::default();
        refuse(seen, Error::WrongInclusionLength, || response.send());
    });
}
