//! Audits that are interrupted, written down and gone on with.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// One block more than a page, so that lists of all kinds are read in several pages.
const LONG: u64 = PAGE as u64 + 5;

/// What a test does to a backend before it is audited.
type Alteration = fn(&Repository, &mut Altered);

/// A name, what is wrong with the repository, and whether a structural audit sees it.
const ALTERATIONS: [(&str, Alteration); 9] = [
    ("nothing", |_, _| ()),
    ("a missing block", |_, backend| {
        backend.blocks.insert(7, None);
    }),
    ("a block in another's place", |repository, backend| {
        backend.blocks.insert(20, Some(repository.block(2)));
    }),
    ("unreadable blocks", |_, backend| backend.unreadable.extend([0, 3, 4, 19])),
    ("a lost log node and a wrong one", |_, backend| {
        backend.log_nodes.insert((1, 2), None);
        backend.log_nodes.insert((3, 1), Some([9; 32]));
        backend.log_nodes.insert((0, 9), None);
        backend.blocks.insert(9, None);
    }),
    ("edges too many and too few", |_, backend| {
        backend.children.insert(6, vec![9, CHUNKED, 99]);
        backend.children.insert(4, vec![]);
    }),
    ("a wrong frontier", |repository, backend| {
        let mut frontier = repository.backend.frontier(None, 10_000).unwrap();
        frontier.extend([4, 11, 99_999]);
        frontier.sort_unstable();
        frontier.dedup();
        frontier.remove(1);
        backend.frontier = Some(frontier);
    }),
    ("indexes and sums", |repository, backend| {
        backend.by_depth = Some(Vec::new());
        let totals = repository.backend.totals().unwrap();
        backend.totals = Some(Totals { slices: totals.slices + 1, chunks: totals.chunks - 1, ..totals });
    }),
    ("payloads", |repository, backend| {
        let mut chunk = repository.backend.chunk(&content_of(repository, 7)).unwrap().unwrap();
        chunk.bytes[0] ^= 1;
        backend.chunks.insert(chunk.chunk_hash, Some(chunk));
        backend.payloads.insert(content_of(repository, 8), None);
        let mut chunks = repository.backend.chunks(&content_of(repository, CHUNKED), 0, 10).unwrap();
        chunks.pop();
        backend.chunk_lists.insert(content_of(repository, CHUNKED), chunks);
    }),
];

fn altered_by(repository: &Repository, alter: Alteration) -> Altered {
    let mut backend = Altered::new(repository.backend.clone());
    alter(repository, &mut backend);
    backend
}

/// Runs on from a state for some steps; whether that was the end.
fn run_steps(checker: &mut Checker<'_>, steps: u64) -> bool {
    let mut taken = 0;
    checker
        .run(&mut |_, _| {
            taken += 1;
            if taken < steps { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .is_continue()
}

/// What another process makes of a state: through the file's bytes, with nothing in memory.
fn reread(state: &CheckState, dir: &Path) -> CheckState {
    let file = StateFile::of(dir);
    file.write(state).unwrap();
    let read = file.read().unwrap().unwrap();
    assert_eq!(&read, state);
    read
}

/// The report of an audit that is interrupted after each so many steps.
fn interrupted(backend: &dyn DagBackend, depth: Depth, mut steps: impl FnMut() -> u64) -> CheckReport {
    let folder = tempfile::tempdir().unwrap();
    let mut checker = Checker::new(backend, depth).unwrap();
    while !run_steps(&mut checker, steps()) {
        assert!(!checker.report().is_complete);
        let state = reread(&checker.state().unwrap(), folder.path());
        assert!(state.percent() <= 100);
        checker = Checker::resume(backend, state).unwrap();
    }
    assert!(checker.state().is_none(), "an audit that ended cannot be resumed");
    checker.into_report()
}

#[test]
fn an_audit_interrupted_after_every_single_step_reports_the_same() {
    let repository = repository();
    for (name, alter) in ALTERATIONS {
        let backend = altered_by(&repository, alter);
        for depth in [Depth::Structure, Depth::Full] {
            let whole = audit(&backend, depth);
            assert_eq!(whole.is_sound(), name == "nothing", "{name}: {:?}", whole.problems);
            assert_eq!(interrupted(&backend, depth, || 1), whole, "{name}");
        }
    }
}

#[test]
fn going_on_in_the_same_process_reports_the_same() {
    let repository = repository();
    for (name, alter) in ALTERATIONS {
        let backend = altered_by(&repository, alter);
        let mut checker = Checker::new(&backend, Depth::Full).unwrap();
        while !run_steps(&mut checker, 3) {}
        assert_eq!(checker.into_report(), audit(&backend, Depth::Full), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_audit_of_several_pages_interrupted_anywhere_reports_the_same(
        which in 0..ALTERATIONS.len(),
        steps in prop::collection::vec(1..900u64, 1..12),
    ) {
        static REPOSITORY: std::sync::OnceLock<Repository> = std::sync::OnceLock::new();
        let repository = REPOSITORY.get_or_init(|| {
            let mut repository = Repository::grown(ParentSelectionStrategy::BalancedRandom, BLOCKS, 1);
            repository.add_chunked(&[3, 18], &[b"a block"], WriteBatch::default(), |_| ());
            repository.add_chunked(&[4, 5], &[b"first, ", b"second, ", b"third"], WriteBatch::default(), |_| ());
            repository.grow(ParentSelectionStrategy::BalancedRandom, LONG - 22, 2);
            repository
        });
        let backend = altered_by(repository, ALTERATIONS[which].1);
        let mut steps = steps.into_iter().cycle();
        let report = interrupted(&backend, Depth::Full, || steps.next().unwrap_or(1));
        prop_assert_eq!(report, audit(&backend, Depth::Full));
    }
}

/// The state of an audit of a sound repository after these steps.
fn state_after(repository: &Repository, steps: u64) -> CheckState {
    let mut checker = Checker::new(&*repository.backend, Depth::Full).unwrap();
    assert!(!run_steps(&mut checker, steps));
    checker.state().unwrap()
}

#[test]
fn a_state_of_another_repository_is_refused() {
    let state = state_after(&repository(), 5);
    let mut other = Repository::empty();
    other.add_chunked(&[], &[b"another genesis"], WriteBatch::default(), |_| ());
    for leaf_index in 1..22 {
        other.add(&(0..leaf_index).take(2).collect::<Vec<_>>());
    }
    let refused = Checker::resume(&*other.backend, state).err().unwrap();
    assert!(matches!(refused, ResumeError::OtherRepository), "{refused}");
}

#[test]
fn a_log_that_was_rewritten_or_went_on_is_refused() {
    // The same genesis, another history.
    let other = Repository::of(&[&[], &[0], &[0, 1], &[0, 2], &[0, 3], &[0, 4], &[0, 5], &[0, 6]]);
    let repository = Repository::of(&[&[], &[0], &[0, 1], &[1, 2], &[2, 3], &[3, 4], &[4, 5], &[5, 6]]);
    let state = state_after(&repository, 6);
    let refused = Checker::resume(&*other.backend, state.clone()).err().unwrap();
    assert!(matches!(refused, ResumeError::Rewritten), "{refused}");
    // One that is shorter than what was looked at.
    let shorter = Repository::of(&[&[], &[0], &[0, 1]]);
    let refused = Checker::resume(&*shorter.backend, state.clone()).err().unwrap();
    assert!(matches!(refused, ResumeError::Rewritten), "{refused}");
    let mut repository = repository;
    repository.add(&[0, 7]);
    let refused = Checker::resume(&*repository.backend, state).err().unwrap();
    assert!(matches!(refused, ResumeError::WrittenSince { before: 8, now: 9 }), "{refused}");
}

/// Reads a file of these bytes as a state.
fn read_bytes(bytes: &[u8]) -> Result<Option<CheckState>, StateError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("check.json"), bytes).unwrap();
    StateFile::of(folder.path()).read()
}

fn written(state: &CheckState) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    StateFile::of(folder.path()).write(state).unwrap();
    fs::read(folder.path().join("check.json")).unwrap()
}

#[test]
fn no_changed_byte_of_a_state_goes_unseen() {
    let repository = repository();
    let backend = altered_by(&repository, ALTERATIONS[5].1);
    let mut checker = Checker::new(&backend, Depth::Full).unwrap();
    assert!(!run_steps(&mut checker, 50));
    assert!(!checker.report().problems.is_empty());
    let state = checker.state().unwrap();
    let bytes = written(&state);
    for at in 0..bytes.len() {
        for flip in [1, 0x20] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            if let Ok(Some(read)) = read_bytes(&changed) {
                // Digits of a hash in the other case, or a text of JSON that means the same.
                assert_eq!(read, state, "byte {at} with {flip}");
            }
        }
        assert!(read_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_is_no_state_is_refused_by_name() {
    assert!(matches!(read_bytes(b""), Err(StateError::Malformed { .. })));
    assert!(matches!(read_bytes(b"[1, 2"), Err(StateError::Malformed { .. })));
    assert!(matches!(read_bytes(br#"{"format": "pakit-check/1"}"#), Err(StateError::Malformed { .. })));
    let deep = "[".repeat(1 << 20);
    assert!(matches!(read_bytes(deep.as_bytes()), Err(StateError::Malformed { .. })));
    let later = br#"{"format": "pakit-check/2", "anything": []}"#;
    assert!(matches!(read_bytes(later), Err(StateError::OtherFormat { found, .. }) if found == "pakit-check/2"));
    let endless = vec![b' '; (16 << 20) + 1];
    assert!(matches!(read_bytes(&endless), Err(StateError::TooLong(_))));
    let folder = tempfile::tempdir().unwrap();
    let file = StateFile::of(folder.path());
    assert!(matches!(file.read(), Ok(None)));
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, written(&state_after(&repository(), 3))).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.path().join("check.json")).unwrap();
    assert!(matches!(file.read(), Err(StateError::NotAFile { what: "a symlink", .. })));
    // Writing replaces the link, and what it led to stays.
    file.write(&state_after(&repository(), 4)).unwrap();
    assert!(file.read().unwrap().is_some() && elsewhere.symlink_metadata().unwrap().is_file());
    file.remove().unwrap();
    file.remove().unwrap();
    fs::create_dir(folder.path().join("check.json")).unwrap();
    assert!(matches!(file.read(), Err(StateError::NotAFile { what: "a folder", .. })));
    assert!(matches!(file.write(&state_after(&repository(), 4)), Err(StateError::Io { .. })));
}

/// A state with some members replaced, and a checksum that fits.
fn forged(state: &CheckState, members: Value) -> Result<CheckState, serde_json::Error> {
    let mut value = serde_json::to_value(state).unwrap();
    for (name, member) in members.as_object().unwrap() {
        value[name] = member.clone();
    }
    serde_json::from_value(value)
}

#[test]
fn a_forged_state_is_refused_or_harmless_and_never_a_panic() {
    let repository = repository();
    let state = state_after(&repository, 9);
    let refused = |members: Value| match forged(&state, members.clone()) {
        Err(_) => {}
        Ok(state) => {
            let refused = Checker::resume(&*repository.backend, state).err();
            assert!(refused.is_some(), "{members}");
        }
    };
    refused(json!({"blocks": 8}));
    refused(json!({"blocks": u64::MAX}));
    refused(json!({"phase": {"name": "done"}}));
    refused(json!({"phase": {"name": "dictionaries"}}));
    refused(json!({"phase": {"name": "chunks", "after": "0x12"}}));
    refused(json!({"chunks": 3}));
    refused(json!({"edges_listed": u64::MAX}));
    refused(json!({"problem_count": 1}));
    refused(json!({"is_counted": false}));
    refused(json!({"log": []}));
    refused(json!({"root": null}));
    refused(json!({"stored": {"blocks": 22}}));
    refused(json!({"more": 1}));
    let quoting = |what: &str| json!([{"kind": "wrong_chunk_list", "leaf_index": 1, "what": what}]);
    refused(json!({"problem_count": 1, "problems": quoting(&"x".repeat(200))}));
    // What is only wrong is found out where it matters: the edges listed only say whether to look for some that are too many.
    for (members, is_sound) in [
        (json!({"edges_listed": 1u64 << 62, "steps_done": u64::MAX}), true),
        (json!({"is_continuous": false, "edges_listed": 0}), true),
        (json!({"frontier_after": u64::MAX, "is_frontier_read": true}), false),
        (json!({"log": ["0x".to_owned() + &"11".repeat(32), "0x".to_owned() + &"22".repeat(32)]}), false),
    ] {
        let forged = forged(&state, members.clone()).unwrap();
        assert!(forged.percent() <= 100);
        let mut checker = Checker::resume(&*repository.backend, forged).unwrap();
        let ended = checker.run(&mut |done, all| {
            assert!(done <= all);
            ControlFlow::Continue(())
        });
        assert!(ended.is_continue());
        assert_eq!(checker.into_report().is_sound(), is_sound, "{members}");
    }
}

#[test]
fn every_kind_of_problem_is_read_back_as_it_was_written() {
    let chunk_hash = ContentHash::new([7; 32]);
    let problems = [
        Problem::Unreadable { place: "block 3".into(), error: "\u{fc}\n\"\\".into() },
        Problem::WrongTotal { name: "edges", stored: 1, counted: u64::MAX },
        Problem::WrongChunkList { leaf_index: 1, what: "there are none" },
        Problem::MissingChunk { leaf_index: 1, chunk_hash },
        Problem::DamagedChunk { chunk_hash, leaf_index: None, what: String::new() },
        Problem::NotFound { leaf_index: 1, by: Lookup::Leaf },
        Problem::WrongLogNode { level: 1, index: 2, state: NodeState::Missing },
        Problem::UntoldMark { leaf_index: 1, mark: "forgotten" },
        Problem::LostMark { leaf_index: 1, mark: "pinned" },
        Problem::WrongRetention,
        Problem::DamagedDictionary { number: 1, is_repairable: true },
    ];
    for problem in problems {
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
    let long = problem::shortened("\u{fc}".repeat(2_000));
    assert!(long.len() < 1_100 && long.ends_with("\u{fc}..."));
}
