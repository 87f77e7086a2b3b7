use super::*;
use codec::{Decode, Encode};
use frame_support::view_functions::ViewFunction;
use pakit_primitives::{
    ContentHash,
    chain::{DepositSubject, VerifyError},
    heads,
};

fn anchored(archive: &Archive, size: u64) {
    assert_ok!(archive.create(OWNER));
    assert_ok!(archive.anchor(OWNER, DAG, size));
}

#[test]
fn a_dag_is_told_whole() {
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR, CLERK].try_into().unwrap()));
        assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
        let info = Pakit::dag(DAG).unwrap();
        assert_eq!((info.owner, info.operators, info.pending_owner), (OWNER, vec![OPERATOR, CLERK], Some(HEIR)));
        assert_eq!((info.genesis, info.anchors, info.latest), (archive.block_hash(0), 2, archive.head(3)));
        assert_eq!((info.retired, info.succeeds, info.successor, info.deposit), (false, None, None, 120));
    });
}

#[test]
fn what_is_not_there_is_told_as_nothing() {
    run(|| {
        let archive = Archive::new(1);
        assert_eq!((Pakit::dag(DAG), Pakit::head(DAG), Pakit::anchored_head(DAG, 1)), (None, None, None));
        assert_eq!(Pakit::heads_kept(DAG), vec![]);
        assert_eq!(Pakit::record(DAG, archive.block_hash(0), CLERK), None);
        assert_eq!(
            Pakit::verify_inclusion(DAG, 1, archive.header(0).into_inner(), vec![]),
            Err(VerifyError::UnknownDag)
        );
    });
}

#[test]
fn the_kept_heads_are_told_in_order_with_their_numbers() {
    let archive = Archive::new(90);
    run(|| {
        assert_ok!(archive.create(OWNER));
        archive.anchor_each(2..=90);
        let kept = Pakit::heads_kept(DAG);
        assert!(kept.iter().map(|(anchor, _)| *anchor).eq(heads::kept(90)));
        for (anchor, anchored) in &kept {
            assert_eq!(anchored.head, archive.head(*anchor));
            assert_eq!(Pakit::anchored_head(DAG, *anchor), Some(*anchored));
        }
        assert_eq!(Pakit::head(DAG), kept.last().copied());
    });
}

#[test]
fn a_proof_is_verified_for_nothing_and_as_the_calls_verify_it() {
    run(|| {
        let archive = Archive::new(9);
        System::set_block_number(5);
        anchored(&archive, 9);
        let (header, inclusion) = (archive.header(8).into_inner(), archive.inclusion(8, 9).into_inner());
        let verified = Pakit::verify_inclusion(DAG, 2, header.clone(), inclusion.clone()).unwrap();
        assert_eq!((verified.block_hash, verified.leaf_index, verified.depth), (archive.block_hash(8), 8, 8));
        assert_eq!((verified.content_hash, verified.original_size), (ContentHash::new([8; 32]), 108));
        assert_eq!((verified.head, verified.anchored_at), (archive.head(9), 5));

        let ancestors: Vec<Vec<u8>> = archive.ancestors(8).into_iter().map(Into::into).collect();
        let descent = Pakit::verify_descent(DAG, 2, header.clone(), inclusion.clone(), ancestors.clone());
        assert_eq!(descent, Ok(verified));
        let verify = |header: &[u8], inclusion: &[[u8; 32]], ancestors: &[Vec<u8>]| {
            Pakit::verify_descent(DAG, 2, header.to_vec(), inclusion.to_vec(), ancestors.to_vec())
        };
        assert_eq!(verify(&header, &inclusion, &[]), Err(VerifyError::LineageEmpty));
        assert_eq!(verify(&header, &[], &ancestors), Err(VerifyError::WrongInclusionLength));
        // What the bounds of a call's arguments exclude has names of its own here.
        assert_eq!(verify(&vec![0; 319], &inclusion, &ancestors), Err(VerifyError::HeaderOversized));
        assert_eq!(verify(&header, &inclusion, &vec![header.clone(); 65]), Err(VerifyError::LineageTooLong));
        assert_eq!(verify(&header, &vec![[0; 32]; 100_000], &ancestors), Err(VerifyError::WrongInclusionLength));
    });
}

#[test]
fn deposits_are_told_before_they_are_held() {
    run(|| {
        assert_eq!(Pakit::deposit_for(DepositSubject::Dag { operators: 0 }), 100);
        assert_eq!(Pakit::deposit_for(DepositSubject::Dag { operators: 3 }), 130);
        assert_eq!(Pakit::deposit_for(DepositSubject::Dag { operators: u32::MAX }), 100 + 10 * u64::from(u32::MAX));
        assert_eq!(Pakit::deposit_for(DepositSubject::Record), 20);
    });
}

#[test]
fn view_functions_answer_through_the_runtime() {
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        let id = crate::HeadViewFunction::<Test>::id();
        let answer = Test::execute_view_function(id, DAG.encode()).unwrap();
        assert_eq!(Option::decode(&mut &answer[..]), Ok(Pakit::head(DAG)));
    });
}
