use super::*;

fn set(who: AccountId, operators: &[AccountId]) -> DispatchResult {
    Pakit::set_operators(signed(who), DAG, operators.to_vec().try_into().unwrap())
}

#[test]
fn the_deposit_follows_the_number_of_operators() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        for (operators, held) in [(vec![2, 3, 9], 130), (vec![7], 110), (vec![], 100), ((10..18).collect(), 180)] {
            assert_ok!(set(OWNER, &operators));
            assert_eq!(held_for_dags(OWNER), held);
            assert_last(Event::OperatorsSet { dag: DAG, operators: operators.try_into().unwrap(), deposit: held });
        }
    });
}

#[test]
fn setting_operators_prices_the_deposit_anew() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        DagDeposit::set(40);
        OperatorDeposit::set(1);
        assert_eq!(held_for_dags(OWNER), 100);
        assert_ok!(set(OWNER, &[OPERATOR]));
        assert_eq!(held_for_dags(OWNER), 41);
        DagDeposit::set(4_000);
        assert_ok!(set(OWNER, &[OPERATOR, CLERK]));
        assert_eq!(held_for_dags(OWNER), 4_002);
    });
}

#[test]
fn operators_can_be_dismissed_or_replaced_though_prices_rose_beyond_the_owners_means() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        assert_ok!(set(OWNER, &[OPERATOR, CLERK]));
        DagDeposit::set(ENDOWMENT * 2);
        assert_noop!(set(OWNER, &[2, 3, 4]), sp_runtime::TokenError::FundsUnavailable);
        assert_ok!(set(OWNER, &[CLERK, STRANGER]));
        assert_ok!(set(OWNER, &[CLERK]));
        assert_eq!(held_for_dags(OWNER), 120);
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        assert_eq!(held_for_dags(OWNER), 120);
    });
}

#[test]
fn operators_are_given_in_strictly_ascending_order() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        for wrong in [&[3, 2][..], &[2, 2], &[2, 3, 4, 4], &[1, 5, 3]] {
            assert_noop!(set(OWNER, wrong), Error::<Test>::OperatorsNotAscending);
        }
    });
}

#[test]
fn operators_whose_deposit_the_owner_cannot_pay_are_refused() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        OperatorDeposit::set(u64::MAX);
        assert_noop!(set(OWNER, &[2, 3, 4]), sp_runtime::TokenError::FundsUnavailable);
    });
}

#[test]
fn an_operator_may_do_nothing_but_anchor() {
    run(|| {
        let archive = Archive::new(1);
        assert_ok!(archive.create(OWNER));
        assert_ok!(set(OWNER, &[OPERATOR]));
        assert_noop!(set(OPERATOR, &[]), Error::<Test>::NotOwner);
        assert_noop!(Pakit::retire_dag(signed(OPERATOR), DAG), Error::<Test>::NotOwner);
        assert_noop!(Pakit::transfer_ownership(signed(OPERATOR), DAG, Some(OPERATOR)), Error::<Test>::NotOwner);
        let succession = Some(archive.succession(DAG, 1));
        assert_noop!(Pakit::create_dag(signed(OPERATOR), archive.header(0), succession), Error::<Test>::NotOwner);
    });
}
