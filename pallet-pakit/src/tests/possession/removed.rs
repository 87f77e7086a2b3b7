use super::*;
use crate::RemovedRanges;

/// All of the log but genesis.
fn declare(who: AccountId) -> DispatchResult {
    Pakit::declare_removed(signed(who), DAG, 1, 11)
}

/// The answer that names a range in place of the slice.
fn named(mut response: Response, range: u32) -> Response {
    response.answer = Answer::Removed { range };
    response
}

#[test]
fn what_was_declared_in_time_answers_for_its_slices_and_is_tallied() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(declare(OWNER));
        assert_last(Event::RemovalDeclared { dag: DAG, range: 0, first: 1, last: 11, effective_at: 21 });
        // Of the first round, which is frozen before that, everything is to be shown.
        let open = draw(DAG);
        assert!(open.iter().all(|open| open.frozen_at == 2));
        for open in &open {
            let naming = named(keeper.answer(open), 0);
            assert_noop!(naming.send(), Error::<Test>::RangeNotEffective);
        }
        keeper.answer_all(DAG);
        let mut declared = 0;
        for open in draw(DAG) {
            assert_eq!(open.frozen_at, 22);
            let in_range = keeper.leaf_of(open.position) > 0;
            let naming = named(keeper.answer(&open), 0);
            if in_range {
                assert_ok!(naming.send());
                declared += 1;
            } else {
                assert_noop!(naming.send(), Error::<Test>::NotInRange);
                assert_ok!(keeper.answer(&open).send());
            }
        }
        let tally = Pakit::stake_behind(DAG).unwrap().tally;
        assert_eq!((tally.answered, tally.declared, tally.missed), (8 - declared, declared, 0));
        assert!((1..4).contains(&declared), "some of each kind");
        assert_eq!(Outcomes::get().last(), Some(&(DAG, OWNER, outcome(4, 0, 0))));
    });
}

#[test]
fn what_was_declared_may_still_be_shown() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(declare(OWNER));
        for _ in 0..2 {
            draw(DAG);
            keeper.answer_all(DAG);
        }
        assert_eq!(Pakit::stake_behind(DAG).unwrap().tally.answered, 8);
    });
}

#[test]
fn a_declaration_stays_with_its_deposit_for_good() {
    run(|| {
        let keeper = Keeper::new();
        assert_ok!(keeper.archive.create(OWNER));
        assert_ok!(keeper.archive.anchor(OWNER, DAG, 12));
        assert_ok!(declare(OWNER));
        assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, 3, 3));
        assert_eq!(Balances::balance_on_hold(&HoldReason::Removal.into(), &OWNER), 10);
        assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_noop!(declare(OWNER), Error::<Test>::NotOwner);
        assert_ok!(declare(HEIR));
        assert_eq!(RemovedRanges::<Test>::iter_prefix(DAG).count(), 3);
        let range = Pakit::removed_range(DAG, 1).unwrap();
        assert_eq!((range.first, range.last, range.declared_by, range.deposit), (3, 3, OWNER, 5));
        assert_eq!(Pakit::removed_range(DAG, 3), None);
    });
}
