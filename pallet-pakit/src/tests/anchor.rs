use super::*;
use crate::AnchoredHeads;
use pakit_primitives::{Head, LogRoot, heads};

#[test]
fn the_chain_learns_depth_slices_and_time_of_a_head() {
    run(|| {
        let archive = Archive::new(5);
        assert_ok!(archive.create(OWNER));
        System::set_block_number(9);
        assert_ok!(archive.anchor(OWNER, DAG, 5));

        let (head, by) = (archive.head(5), OWNER);
        assert_last(Event::Anchored { dag: DAG, anchor: 2, head, depth: 4, slices: 5, by });
        let (anchor, anchored) = Pakit::head(DAG).unwrap();
        assert_eq!((anchor, anchored.head, anchored.depth, anchored.slices), (2, head, 4, 5));
        assert_eq!(anchored.block_number, 9);
        assert_eq!(Pakit::dag(DAG).unwrap().latest, head);
    });
}

#[test]
fn a_log_can_be_anchored_from_any_size_to_any_greater_size() {
    let archive = Archive::new(34);
    for old in 1..33 {
        run(|| {
            assert_ok!(archive.create(OWNER));
            if old > 1 {
                assert_ok!(archive.anchor(OWNER, DAG, old));
            }
            for new in old + 1..34 {
                frame_support::storage::with_transaction(|| {
                    assert_ok!(archive.anchor(OWNER, DAG, new));
                    sp_runtime::TransactionOutcome::Rollback(DispatchResult::Ok(()))
                })
                .unwrap();
            }
        });
    }
}

#[test]
fn operators_anchor_until_they_are_dismissed() {
    run(|| {
        let archive = Archive::new(4);
        assert_ok!(archive.create(OWNER));
        assert_noop!(archive.anchor(OPERATOR, DAG, 2), Error::<Test>::NotOwnerNorOperator);
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR].try_into().unwrap()));
        assert_ok!(archive.anchor(OPERATOR, DAG, 2));
        assert_ok!(archive.anchor(OWNER, DAG, 3));
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, Default::default()));
        assert_noop!(archive.anchor(OPERATOR, DAG, 4), Error::<Test>::NotOwnerNorOperator);
    });
}

#[test]
fn after_each_anchor_exactly_the_heads_of_the_rule_are_kept() {
    let archive = Archive::new(120);
    run(|| {
        assert_ok!(archive.create(OWNER));
        for latest in 2..=120 {
            assert_ok!(archive.anchor(OWNER, DAG, latest));
            let mut stored: Vec<u64> = AnchoredHeads::<Test>::iter_key_prefix(DAG).collect();
            stored.sort_unstable();
            assert!(heads::kept(latest).eq(stored), "after anchor {latest}");
        }
        assert_eq!(Pakit::anchored_head(DAG, 103), None);
        assert_eq!(Pakit::anchored_head(DAG, 105).unwrap().head, archive.head(105));
    });
}

#[test]
fn a_rewritten_log_cannot_be_anchored_whatever_was_changed() {
    let archive = Archive::new(14);
    for old in [1, 2, 3, 5, 6, 7, 8, 13] {
        for changed in 0..old {
            let mut headers: Vec<_> = archive.headers[..changed as usize].to_vec();
            for leaf_index in changed..14 {
                let mut header = header_after(&headers, leaf_index);
                if leaf_index == changed {
                    header.stored_size += 1;
                }
                headers.push(header);
            }
            let rewritten = Archive::of(headers);
            new_test_ext().execute_with(|| {
                assert_ok!(archive.create(OWNER));
                if old > 1 {
                    assert_ok!(archive.anchor(OWNER, DAG, old));
                }
                // A proof from a power of two starts at the earlier root, and fails at the other end.
                let error =
                    if old.is_power_of_two() { Error::<Test>::NewRootMismatch } else { Error::<Test>::NotAppendOnly };
                assert_noop!(rewritten.anchor(OWNER, DAG, 14), error);
            });
        }
    }
}

#[test]
fn every_single_changed_byte_of_an_anchor_is_refused() {
    let archive = Archive::new(11);
    run(|| {
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 6));
        let (head, consistency) = (archive.head(11), archive.consistency(6, 11));
        let (header, inclusion) = (archive.header(10), archive.inclusion(10, 11));
        let anchor = |head: Head, consistency, header, inclusion| {
            Pakit::anchor(signed(OWNER), DAG, head, consistency, header, inclusion)
        };
        for at in 0..consistency.len() * 32 {
            let mut changed = consistency.clone();
            changed[at / 32][at % 32] ^= 1;
            assert!(anchor(head, changed, header.clone(), inclusion.clone()).is_err());
        }
        for at in 0..inclusion.len() * 32 {
            let mut changed = inclusion.clone();
            changed[at / 32][at % 32] ^= 1;
            assert!(anchor(head, consistency.clone(), header.clone(), changed).is_err());
        }
        for at in 0..header.len() {
            let mut changed = header.clone();
            changed[at] ^= 1;
            assert!(anchor(head, consistency.clone(), changed, inclusion.clone()).is_err());
        }
        for at in 0..32 {
            let mut root = head.root.to_bytes();
            root[at] ^= 1;
            let changed = Head { root: LogRoot::new(root), ..head };
            assert!(anchor(changed, consistency.clone(), header.clone(), inclusion.clone()).is_err());
        }
        assert_ok!(anchor(head, consistency, header, inclusion));
    });
}

#[test]
fn the_largest_log_is_anchored_and_one_leaf_more_is_not() {
    use crate::sparse_log::SparseLog;
    run(|| {
        let archive = Archive::new(1);
        assert_ok!(archive.create(OWNER));
        let mut newest = header_after(&Archive::new(9).headers, 9);
        newest.leaf_index = (1 << 48) - 1;
        newest.slices_before = newest.leaf_index;
        let log = SparseLog::new([(0, archive.block_hash(0)), (newest.leaf_index, hash_of(&newest.to_bytes()))]);
        let anchor = |size: u64| {
            let proof_of = |size: u64| {
                (
                    log.consistency(1, size).try_into().unwrap(),
                    log.inclusion(newest.leaf_index, size).try_into().unwrap(),
                )
            };
            let (consistency, inclusion) = proof_of(size.min(1 << 48));
            let head = Head { size, ..log.head(1 << 48) };
            Pakit::anchor(signed(OWNER), DAG, head, consistency, bytes_of(&newest), inclusion)
        };
        assert_noop!(anchor((1 << 48) + 1), Error::<Test>::LogTooLarge);
        assert_noop!(anchor(u64::MAX), Error::<Test>::LogTooLarge);
        assert_noop!(anchor(0), Error::<Test>::StaleSize);
        assert_ok!(anchor(1 << 48));
        assert_eq!(Pakit::dag(DAG).unwrap().latest.size, 1 << 48);
    });
}
