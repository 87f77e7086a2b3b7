use super::*;

fn offer(to: Option<AccountId>) -> DispatchResult {
    Pakit::transfer_ownership(signed(OWNER), DAG, to)
}

#[test]
fn a_dag_changes_hands_in_two_steps_and_the_deposit_with_it() {
    run(|| {
        let archive = Archive::new(2);
        assert_ok!(archive.create(OWNER));
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR].try_into().unwrap()));
        assert_ok!(offer(Some(HEIR)));
        assert_last(Event::TransferOffered { dag: DAG, to: HEIR });
        assert_eq!(Pakit::dag(DAG).unwrap().pending_owner, Some(HEIR));
        assert_noop!(archive.anchor(HEIR, DAG, 2), Error::<Test>::NotOwnerNorOperator);
        assert_eq!((held_for_dags(OWNER), held_for_dags(HEIR)), (110, 0));

        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_last(Event::OwnershipTransferred { dag: DAG, from: OWNER, to: HEIR });
        assert_eq!((held_for_dags(OWNER), held_for_dags(HEIR)), (0, 100));
        let info = Pakit::dag(DAG).unwrap();
        assert_eq!((info.owner, info.operators, info.pending_owner), (HEIR, vec![], None));
        for former in [OWNER, OPERATOR] {
            assert_noop!(archive.anchor(former, DAG, 2), Error::<Test>::NotOwnerNorOperator);
        }
        assert_ok!(archive.anchor(HEIR, DAG, 2));
    });
}

#[test]
fn an_offer_can_be_replaced_or_withdrawn_before_it_is_accepted() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        assert_ok!(offer(Some(STRANGER)));
        assert_ok!(offer(Some(HEIR)));
        assert_noop!(Pakit::accept_ownership(signed(STRANGER), DAG), Error::<Test>::NotPendingOwner);
        assert_ok!(offer(None));
        assert_last(Event::TransferWithdrawn { dag: DAG, to: HEIR });
        assert_noop!(Pakit::accept_ownership(signed(HEIR), DAG), Error::<Test>::NoPendingTransfer);
        assert_noop!(offer(None), Error::<Test>::NoPendingTransfer);
        assert_noop!(offer(Some(OWNER)), Error::<Test>::AlreadyOwner);
    });
}

#[test]
fn who_cannot_pay_the_deposit_cannot_accept_a_dag() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        assert_ok!(offer(Some(PAUPER)));
        assert_noop!(Pakit::accept_ownership(signed(PAUPER), DAG), sp_runtime::TokenError::FundsUnavailable);
        assert_eq!(Pakit::dag(DAG).unwrap().owner, OWNER);
    });
}

#[test]
fn a_retired_dag_can_be_handed_over() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        assert_ok!(offer(Some(HEIR)));
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert!(Pakit::dag(DAG).unwrap().retired);
    });
}
