use super::*;

fn verify(archive: &Archive, leaf_index: u64, size: u64) -> DispatchResult {
    let (header, inclusion) = (archive.header(leaf_index), archive.inclusion(leaf_index, size));
    Pakit::verify_lineage(signed(STRANGER), DAG, 2, header, inclusion, archive.ancestors(leaf_index))
}

#[test]
fn descent_from_genesis_is_attested_by_an_event_and_nothing_is_kept() {
    run(|| {
        let archive = Archive::new(9);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 9));
        let balance = Balances::free_balance(STRANGER);
        assert_ok!(verify(&archive, 8, 9));
        assert_last(Event::LineageVerified {
            dag: DAG,
            anchor: 2,
            block_hash: archive.block_hash(8),
            leaf_index: 8,
            steps: 4,
            by: STRANGER,
        });
        assert_eq!(Balances::free_balance(STRANGER), balance);
    });
}

#[test]
fn a_lineage_of_64_headers_is_accepted_from_any_block() {
    run(|| {
        let archive = Archive::new(129);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 129));
        assert_eq!(archive.ancestors(128).len(), 64);
        for leaf_index in 0..129 {
            assert_ok!(verify(&archive, leaf_index, 129));
        }
    });
}

#[test]
fn a_lineage_that_skips_a_block_is_refused() {
    run(|| {
        let archive = Archive::new(9);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 9));
        for skipped in 0..4 {
            let mut ancestors = archive.ancestors(8);
            ancestors.remove(skipped);
            let error = if skipped == 3 { Error::<Test>::LineageNotGenesis } else { Error::<Test>::NotAParent };
            assert_noop!(
                Pakit::verify_lineage(signed(CLERK), DAG, 2, archive.header(8), archive.inclusion(8, 9), ancestors),
                error
            );
        }
    });
}
