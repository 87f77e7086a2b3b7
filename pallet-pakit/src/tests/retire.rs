use super::*;

#[test]
fn retirement_ends_anchoring_and_keeps_heads_and_proofs() {
    run(|| {
        let archive = Archive::new(4);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 3));
        let kept = Pakit::heads_kept(DAG);
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        assert_last(Event::DagRetired { dag: DAG, head: archive.head(3) });

        assert_noop!(archive.anchor(OWNER, DAG, 4), Error::<Test>::DagRetired);
        assert_noop!(Pakit::set_operators(signed(OWNER), DAG, Default::default()), Error::<Test>::DagRetired);
        assert_noop!(Pakit::retire_dag(signed(OWNER), DAG), Error::<Test>::DagRetired);
        assert_eq!(Pakit::heads_kept(DAG), kept);
        assert_ok!(archive.record(CLERK, 2, 1));
    });
}

#[test]
fn retirement_returns_the_operators_part_of_the_deposit_alone() {
    run(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![2, 3].try_into().unwrap()));
        assert_eq!(held_for_dags(OWNER), 120);
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        assert_eq!(held_for_dags(OWNER), 100);
        assert!(Pakit::dag(DAG).unwrap().operators.is_empty());
    });
}
