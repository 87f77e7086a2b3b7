//! The node's off-chain worker with the real service at its side: challenges are answered without anybody's doing, a companion
//! that is gone costs what it must, and one that comes back is asked again.

#![allow(clippy::unwrap_used, missing_docs)]

use codec::Decode;
use pakit_tests::{
    Challenged,
    chain::BlockNumber,
    challenged::{COMPANIONS, ROUND, STAKE},
    pakit::{number, text},
};
use serde_json::json;

/// A key of the node's local storage, as docs/offchain-worker.md has it.
const BEHIND: &[u8] = b"pakit/worker/behind/0";

#[test]
fn a_node_answers_for_200_blocks_misses_without_its_companion_and_recovers_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut it = Challenged::new(&scratch.path().join("archive"));

    it.answers_for(200);
    let before = it.tally();
    assert_eq!((before.missed, before.declared), (0, 0), "{}", it.node.said());
    // A round is 20 blocks long, and some for draw and answers.
    assert!(before.answered >= 7 * ROUND && before.answered.is_multiple_of(ROUND), "{before:?}");
    assert!(it.service.metric("pakit_challenges_answered_total") >= before.answered);
    assert_eq!(it.node.stake_behind(it.dag).unwrap().amount, STAKE);

    it.service.kill9();
    for blocks in 0.. {
        if it.tally().missed > 0 {
            break;
        }
        assert!(blocks < 100, "nothing was asked");
        it.node.make_block();
    }
    let missed = it.tally();
    assert_eq!((missed.answered, missed.missed), (before.answered, ROUND));
    // A twentieth for each.
    assert_eq!(it.node.stake_behind(it.dag).unwrap().amount, STAKE / 5 * 4);
    it.node.until("does it tell why", |node| node.said().contains("the companion cannot be reached"));

    it.service.restart();
    it.answers_for(60);
    let after = it.tally();
    assert!(after.answered >= before.answered + ROUND, "{after:?}");
    assert_eq!(after.missed, ROUND, "{}", it.node.said());
}

#[test]
fn an_anchor_that_is_behind_is_told_until_the_head_is_anchored() {
    let scratch = tempfile::tempdir().unwrap();
    let it = Challenged::new(&scratch.path().join("archive"));
    let behind = || -> Option<(u64, u64, BlockNumber, BlockNumber)> {
        it.node.local(BEHIND).map(|bytes| Decode::decode(&mut &bytes[..]).unwrap())
    };
    let anchored = it.archive.head().0;
    it.answers_for(1);
    assert_eq!(behind(), None);
    it.archive.put("one more", "one more\n");
    it.blocks_until("is it noticed", |_| behind().is_some());
    let (told_anchored, archived, since, told) = behind().unwrap();
    assert_eq!((told_anchored, archived), (anchored, anchored + 1));
    assert!(since <= told && u64::from(told) <= it.node.best());
    let text = format!("it covers {anchored} blocks, and the archive has {}", anchored + 1);
    it.node.until("is it told", |node| node.said().contains(&text));

    it.archive.anchor();
    it.blocks_until("is it forgotten", |_| behind().is_none());
}

#[test]
fn contents_that_were_declared_and_let_go_are_answered_by_the_declaration() {
    let scratch = tempfile::tempdir().unwrap();
    let it = Challenged::new(&scratch.path().join("archive"));
    it.node.declare_removed(it.dag, 1, it.blocks.len() as u64);
    // A period until it is effective, and the round under way.
    it.answers_for(45);
    let kept = it.tally();
    assert_eq!((kept.declared, kept.missed), (0, 0), "{}", it.node.said());
    for block in &it.blocks {
        it.archive.run(["forget", block.as_str(), "--why", "a test"]).ok();
    }
    it.archive.run(["gc"]).ok();

    it.answers_for(45);
    let gone = it.tally();
    // Genesis is kept, and has one of about a hundred slices.
    assert!(gone.declared >= ROUND && gone.missed == 0, "{gone:?}: {}", it.node.said());
}

#[test]
fn what_pakit_forgets_on_a_staked_dag_is_declared_first_and_costs_no_slash() {
    let scratch = tempfile::tempdir().unwrap();
    let it = Challenged::new(&scratch.path().join("archive"));
    it.answers_for(5);
    let mut arguments = vec!["forget", "--why", "a test", "--dev"];
    arguments.extend(it.blocks.iter().map(String::as_str));

    let foreseen = it.archive.objects([&arguments[..], &["--dry-run"]].concat());
    let plan = foreseen.last().unwrap();
    assert_eq!((&plan["ranges"], &plan["signed"]), (&json!([{"first": 1, "last": 7}]), &json!(0)));
    assert_eq!(it.node.removed_range(it.dag, 0), None, "nothing was declared");

    let done = it.archive.objects(&arguments);
    assert_eq!((done.len(), &done[0]["forgotten"]), (2, &json!(7)));
    assert_eq!((&done[1]["ranges"], &done[1]["deposit"]), (&plan["ranges"], &plan["deposit"]));
    assert_eq!(done[1]["signed"], json!(1));
    let range = it.node.removed_range(it.dag, 0).unwrap();
    assert_eq!((range.first, range.last), (1, 7));
    assert_eq!(
        (text(&done[1], "deposit"), number(&done[1], "in_effect_from")),
        (range.deposit.to_string(), range.effective_at.into())
    );

    // Nothing is dropped before, and nothing is declared twice.
    let early = it.archive.object(["gc"]);
    assert_eq!(
        ["dropped", "undeclared", "in_effect_from"].map(|key| number(&early, key)),
        [0, 7, range.effective_at.into()]
    );
    assert!(it.archive.objects(["gc", "--dry-run"]).iter().all(|line| text(line, "action") == "wait"));
    let again = it.archive.object(["forget", "--resume", "--dev"]);
    assert_eq!((&again["ranges"], &again["signed"]), (&json!([]), &json!(0)));
    assert_eq!(it.node.removed_range(it.dag, 1), None);

    for rounds in 0.. {
        assert!(rounds < 20, "it never goes: {}", it.node.said());
        let summary = it.archive.object(["gc"]);
        if number(&summary, "dropped") == 7 {
            break;
        }
        assert_eq!((&summary["dropped"], &summary["undeclared"]), (&json!(0), &json!(7)));
        it.archive.run(["get", it.blocks[6].as_str()]).ok();
        it.answers_for(5);
    }
    assert!(it.node.finalized() >= range.effective_at.into());
    it.archive.run(["get", it.blocks[6].as_str()]).with_code(1);

    // The worker asks for the blocks of what is gone, and answers by the declaration.
    it.answers_for(60);
    let tally = it.tally();
    assert!(tally.declared >= ROUND && tally.missed == 0, "{tally:?}: {}", it.node.said());
    assert_eq!(it.node.stake_behind(it.dag).unwrap().amount, STAKE);
}

#[test]
fn a_list_that_names_another_machine_is_refused_aloud_and_nothing_is_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let it = Challenged::new(&scratch.path().join("archive"));
    let list = format!("{} http://{}\n7 http://192.0.2.1:80\n", it.dag, it.service.address());
    it.node.set_local(COMPANIONS, list.as_bytes());
    it.node.make_block();
    it.node.until("is it refused", |node| node.said().contains("line 2 names another machine, 192.0.2.1:80"));
    // No line of it is used: what is asked from now on is missed.
    for blocks in 0.. {
        if it.tally().missed > 0 {
            break;
        }
        assert!(blocks < 100, "nothing was asked");
        it.node.make_block();
    }
    assert_eq!(it.service.metric("pakit_challenges_answered_total"), 0);
}
