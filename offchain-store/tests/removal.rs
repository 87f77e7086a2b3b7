//! Forgetting, pins, retention and gc through the engine, over every backend: against a model, and by example.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, DagBlock, InitOptions, ProofOptions, StorageEngine,
    check::{self, Depth},
    config::Fsync,
    get::GetError,
    metadata::Metadata,
    removal::{
        Action, AuditRecord, DecideError, DeclareError, Fate, ForgetError, ForgetOptions, Forgotten, GcError,
        GcSummary, LeafRanges, Retention,
    },
    verify::{Expected, TrustedHead},
    walk::Source,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Small chunks, so that a content of a few KiB has several; no power fails here.
fn config() -> Config {
    Config { chunk_bytes: 4 << 10, fsync: Fsync::Off, jobs: 1, ..Config::default() }
}

fn options() -> InitOptions {
    InitOptions { name: "test".into(), seed: Some(7), ..InitOptions::default() }
}

fn on_every_backend(test: impl Fn(&StorageEngine)) {
    let (engine, _) = StorageEngine::in_memory(&options(), config()).unwrap();
    test(&engine);
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = StorageEngine::init(&folder.path().join("repo"), &options(), config()).unwrap();
    test(&engine);
}

fn noise(length: usize, key: &str) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn store(engine: &StorageEngine, bytes: &[u8]) -> DagBlock {
    engine.store(std::io::Cursor::new(bytes.to_vec()), None).unwrap().block
}

fn put_folder(engine: &StorageEngine, path: &Path) -> BTreeMap<PathBuf, DagBlock> {
    let mut blocks = BTreeMap::new();
    let summary = engine
        .put(vec![Source::Path(path.to_owned())], None, &mut |event| {
            if let offchain_store::put::PutEvent::Stored(item) = event {
                blocks.insert(item.path, item.block);
            }
        })
        .unwrap();
    assert_eq!(summary.failed, 0);
    blocks
}

fn forget(engine: &StorageEngine, blocks: &[&DagBlock]) -> Result<Forgotten, ForgetError> {
    let blocks: Vec<DagBlock> = blocks.iter().map(|block| (*block).clone()).collect();
    let options = ForgetOptions { why: "a test".into(), only_listing: false };
    engine.removal(|mut removal| removal.forget(&blocks, &options))
}

fn gc(engine: &StorageEngine) -> GcSummary {
    engine.removal::<_, GcError>(|mut removal| removal.gc("a test", &mut |_, _| ())).unwrap()
}

fn pin(engine: &StorageEngine, block: &DagBlock, until_ms: Option<u64>) -> Result<DagBlock, DecideError> {
    engine.removal(|mut removal| removal.pin(std::slice::from_ref(block), until_ms, "a lawsuit"))
}

fn unpin(engine: &StorageEngine, block: &DagBlock) -> Result<DagBlock, DecideError> {
    engine.removal(|mut removal| removal.unpin(std::slice::from_ref(block), ""))
}

fn records(engine: &StorageEngine) -> Vec<AuditRecord> {
    engine.audits(None, 1 << 20).unwrap().into_iter().map(|audit| audit.record).collect()
}

fn is_there(engine: &StorageEngine, block: &DagBlock) -> bool {
    match engine.retrieve(&block.block_hash()) {
        Ok(bytes) => {
            assert_eq!(blake3::hash(&bytes).as_bytes(), block.header().content_hash.as_bytes());
            true
        }
        Err(GetError::Forgotten { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn assert_sound(engine: &StorageEngine) {
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let report = check::check(engine.backend().as_ref(), Depth::Full, go_on).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.removed_payloads, engine.backend().mark_totals().unwrap().removed);
}

#[test]
fn without_forgetting_gc_drops_nothing() {
    on_every_backend(|engine| {
        let small = store(engine, b"small");
        let large = store(engine, &noise(60_000, "large"));
        assert_eq!(gc(engine), GcSummary::default());
        assert!(is_there(engine, &small) && is_there(engine, &large));
        assert_eq!(engine.backend().totals().unwrap().blocks, 3, "nothing was dropped, so nothing is told");
    });
}

#[test]
fn what_is_forgotten_goes_with_the_next_gc_and_its_proofs_stay() {
    on_every_backend(|engine| {
        let bytes = noise(60_000, "large");
        let (small, large) = (store(engine, b"small"), store(engine, &bytes));
        let stored = engine.backend().totals().unwrap().stored_bytes;
        let done = forget(engine, &[&small, &large]).unwrap();
        assert_eq!((done.blocks, done.bytes, done.already, done.audits.len()), (2, 60_005, 0, 1));
        assert!(is_there(engine, &small) && is_there(engine, &large), "not dropped yet");
        let summary = gc(engine);
        assert_eq!((summary.dropped, summary.dropped_bytes, summary.held), (2, 60_005, 0));
        assert!(summary.freed_bytes > 59_000 && summary.freed_bytes < stored);
        assert!(!is_there(engine, &small) && !is_there(engine, &large));
        assert_sound(engine);
        let proof = engine.prove(&large, &ProofOptions { lineage: true, ..ProofOptions::default() }).unwrap();
        let expected = Expected::of_head(TrustedHead::Given(engine.head().unwrap()));
        assert!(StorageEngine::verify(&proof, Some(&mut bytes.as_slice()), &expected).unwrap().valid);
        let GetError::Forgotten { told, .. } = engine.retrieve(&small.block_hash()).unwrap_err() else { panic!() };
        assert_eq!((told.why.as_str(), told.audit_block), ("a test", done.audits[0]));
        assert_eq!(gc(engine).dropped, 0);
        assert_eq!(forget(engine, &[&small]).unwrap().already, 1);
    });
}

#[test]
fn each_decision_is_a_block_that_the_log_covers() {
    on_every_backend(|engine| {
        let (a, b) = (store(engine, b"a"), store(engine, b"b"));
        pin(engine, &b, Some(u64::MAX >> 2)).unwrap();
        forget(engine, &[&a]).unwrap();
        gc(engine);
        assert!(store(engine, b"a") == a, "the same block again");
        unpin(engine, &b).unwrap();
        let rule = Retention { keep_for_ms: Some(5) };
        engine.removal::<_, DecideError>(|mut removal| removal.retain(rule, "a law")).unwrap();
        let audits = engine.audits(None, 99).unwrap();
        let actions: Vec<Action> = audits.iter().map(|audit| audit.record.action).collect();
        let expected = [Action::Pin, Action::Forget, Action::Drop, Action::Restore, Action::Unpin, Action::Retain];
        assert_eq!(actions, expected);
        let named = |at: usize| audits[at].record.blocks.iter().map(|block| block.block_hash).collect::<Vec<_>>();
        assert_eq!([named(0), named(4)], [[b.block_hash()], [b.block_hash()]]);
        assert_eq!([named(1), named(2), named(3)], [[a.block_hash()], [a.block_hash()], [a.block_hash()]]);
        assert_eq!((audits[0].record.term_ms, audits[5].record.term_ms), (Some(u64::MAX >> 2), Some(5)));
        for (sequence, audit) in (0..).zip(&audits) {
            assert_eq!(audit.record.sequence, sequence);
            let proof = engine.prove(&audit.block, &ProofOptions::default()).unwrap();
            let content = audit.record.encode().unwrap();
            let expected = Expected::of_head(TrustedHead::Given(engine.head().unwrap()));
            assert!(StorageEngine::verify(&proof, Some(&mut content.as_slice()), &expected).unwrap().valid);
            let refused = forget(engine, &[&audit.block]).unwrap_err();
            assert!(matches!(refused, ForgetError::AuditBlock(_)), "{refused}");
        }
        assert_sound(engine);
    });
}

#[test]
fn putting_again_takes_a_forgetting_back_also_before_gc() {
    on_every_backend(|engine| {
        let bytes = noise(30_000, "wanted");
        let block = store(engine, &bytes);
        forget(engine, &[&block]).unwrap();
        assert_eq!(store(engine, &bytes), block);
        assert_eq!(gc(engine).dropped, 0, "what was put and acknowledged stays");
        assert!(is_there(engine, &block));
        // A new block of a content that was dropped brings it back too, and the old one stays forgotten.
        forget(engine, &[&block]).unwrap();
        gc(engine);
        let metadata = Metadata::from_texts(&[("case".to_owned(), "7".to_owned())].into()).unwrap();
        let other = engine.store(std::io::Cursor::new(bytes), Some(&metadata)).unwrap().block;
        assert_ne!(other, block);
        assert!(is_there(engine, &other) && is_there(engine, &block));
        let last = records(engine).pop().unwrap();
        assert_eq!((last.action, last.blocks[0].block_hash), (Action::Restore, other.block_hash()));
        assert_eq!(gc(engine).held, 1);
        assert_sound(engine);
    });
}

/// Two folders that share a file, one of them with a folder in it.
fn folders(dir: &Path) -> [PathBuf; 2] {
    for (name, bytes) in [
        ("one/only", b"only in one".to_vec()),
        ("one/shared", noise(20_000, "shared")),
        ("two/shared", noise(20_000, "shared")),
        ("two/sub/deep", noise(30_000, "deep")),
    ] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), bytes).unwrap();
    }
    [dir.join("one"), dir.join("two")]
}

#[test]
fn a_folder_takes_along_what_no_other_folder_holds() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = folders(dir.path());
    on_every_backend(|engine| {
        let (of_one, of_two) = (put_folder(engine, &one), put_folder(engine, &two));
        let foreseen = engine.removal(|removal| {
            let mut seen = BTreeMap::new();
            let options = ForgetOptions::default();
            let blocks = [of_one[&one].clone()];
            removal.foresee::<ForgetError>(&blocks, &options, &mut |foreseen| {
                seen.insert(foreseen.block.block_hash(), foreseen.fate);
                Ok(())
            })?;
            Ok::<_, ForgetError>(seen)
        });
        let foreseen = foreseen.unwrap();
        let two_at = of_two[&two].leaf_index();
        let fate = |path: &str| foreseen[&of_one[&one.join(path)].block_hash()];
        assert_eq!((foreseen.len(), fate("only")), (3, Some(Fate::Goes)));
        assert_eq!(fate("shared"), Some(Fate::HeldByListing(two_at)));
        assert!(records(engine).is_empty(), "nothing was changed");

        assert_eq!(forget(engine, &[&of_one[&one]]).unwrap().blocks, 3);
        let summary = gc(engine);
        assert_eq!((summary.dropped, summary.held), (2, 1));
        assert!(!is_there(engine, &of_one[&one.join("only")]) && !is_there(engine, &of_one[&one]));
        assert!(is_there(engine, &of_one[&one.join("shared")]), "the other folder holds it");
        forget(engine, &[&of_two[&two]]).unwrap();
        gc(engine);
        for block in of_one.values().chain(of_two.values()) {
            assert!(!is_there(engine, block));
        }
        assert_sound(engine);
        assert_eq!(put_folder(engine, &two), of_two);
        let target = tempfile::tempdir().unwrap();
        let restored =
            engine.restore(&of_two[&two], &target.path().join("out"), &Default::default(), &mut |_| ()).unwrap();
        assert_eq!((restored.files, restored.folders), (2, 2));
        assert_sound(engine);
    });
}

#[test]
fn a_pin_holds_a_folder_to_its_leaves_and_runs_out() {
    let dir = tempfile::tempdir().unwrap();
    let [_, two] = folders(dir.path());
    on_every_backend(|engine| {
        let of_two = put_folder(engine, &two);
        let (folder, deep) = (&of_two[&two], &of_two[&two.join("sub/deep")]);
        pin(engine, folder, None).unwrap();
        for block in [folder, deep, &of_two[&two.join("sub")]] {
            let refused = forget(engine, &[block]).unwrap_err();
            assert!(
                matches!(&refused, ForgetError::Pinned { pinned, .. } if *pinned == folder.block_hash()),
                "{refused}"
            );
        }
        unpin(engine, folder).unwrap();
        assert!(matches!(unpin(engine, folder), Err(DecideError::NotPinned(_))));
        pin(engine, &of_two[&two.join("sub")], None).unwrap();
        let done = forget(engine, &[folder]).unwrap();
        assert_eq!((done.blocks, done.pinned), (2, 2), "the pinned folder in it stays, and what is in that");
        gc(engine);
        assert!(is_there(engine, deep) && !is_there(engine, folder));
        assert!(matches!(pin(engine, folder, None), Err(DecideError::NotKept(_))));
        // A pin that is over holds nothing.
        pin(engine, &of_two[&two.join("sub")], Some(1)).unwrap();
        forget(engine, &[&of_two[&two.join("sub")]]).unwrap();
        assert_eq!(gc(engine).dropped, 2);
        assert!(!is_there(engine, deep));
        // A listing that names what is gone cannot be held whole.
        let only = ForgetOptions { only_listing: true, ..ForgetOptions::default() };
        put_folder(engine, &two);
        unpin(engine, &of_two[&two.join("sub")]).unwrap();
        engine
            .removal(|mut removal| removal.forget(std::slice::from_ref(folder), &only))
            .unwrap_or_else(|error: ForgetError| panic!("{error}"));
        gc(engine);
        assert!(is_there(engine, deep) && !is_there(engine, folder));
        assert_sound(engine);
    });
}

#[test]
fn the_retention_rule_makes_what_is_forgotten_wait() {
    let dir = tempfile::tempdir().unwrap();
    let [one, _] = folders(dir.path());
    on_every_backend(|engine| {
        let blocks = put_folder(engine, &one);
        let rule = |keep_for_ms| {
            let rule = Retention { keep_for_ms };
            engine.removal::<_, DecideError>(|mut removal| removal.retain(rule, "a law")).unwrap();
        };
        rule(Some(10 * 86_400_000));
        forget(engine, &[&blocks[&one]]).unwrap();
        let summary = gc(engine);
        assert_eq!((summary.dropped, summary.waiting, summary.audits), (0, 3, 0));
        let first = blocks.values().map(|block| block.header().timestamp_ms).min().unwrap();
        assert_eq!(summary.waiting_until_ms, Some(first + 10 * 86_400_000));
        assert!(blocks.values().all(|block| is_there(engine, block)));
        rule(None);
        assert_eq!(engine.retention().unwrap(), Retention::default());
        assert_eq!(gc(engine).dropped, 3);
        // A longer rule afterwards holds nothing that is gone, and stops nothing.
        rule(Some(u64::MAX));
        assert_eq!(gc(engine).waiting, 0);
        assert_sound(engine);
    });
}

#[test]
fn genesis_stays() {
    on_every_backend(|engine| {
        let genesis = engine.dag().at(0).unwrap();
        assert!(matches!(forget(engine, &[&genesis]), Err(ForgetError::Genesis(_))));
    });
}

#[test]
fn many_blocks_are_told_by_several_audit_blocks() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..2_500 {
        fs::write(dir.path().join(format!("file {number}")), format!("file {number}")).unwrap();
    }
    on_every_backend(|engine| {
        let blocks = put_folder(engine, dir.path());
        let done = forget(engine, &[&blocks[dir.path()]]).unwrap();
        assert_eq!((done.blocks, done.audits.len()), (2_501, 3));
        let summary = gc(engine);
        assert_eq!((summary.dropped, summary.held), (2_501, 0));
        assert_eq!(records(engine).iter().map(|record| record.blocks.len()).sum::<usize>(), 2 * 2_501);
        assert_eq!(put_folder(engine, dir.path()), blocks);
        let restored = records(engine).into_iter().filter(|record| record.action == Action::Restore);
        assert_eq!(restored.map(|record| record.blocks.len()).sum::<usize>(), 2_501);
        assert!(is_there(engine, &blocks[&dir.path().join("file 7")]));
        assert_sound(engine);
    });
}

// Random histories against a model.

/// Files 0 to 4, of which 3 and 4 share chunks and 2 is a chunk of both; then folders `one` (files 0, 1, 3), `two` (files 1, 4 and
/// `sub`) and `sub` (files 2, 3) within it.
const ITEMS: usize = 8;
const ONE: usize = 5;
const TWO: usize = 6;
const SUB: usize = 7;

fn entries(item: usize) -> &'static [usize] {
    match item {
        ONE => &[0, 1, 3],
        TWO => &[1, 4, SUB],
        SUB => &[2, 3],
        _ => &[],
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(usize),
    Forget(usize),
    Pin(usize),
    Unpin(usize),
    Gc,
}

fn op() -> impl Strategy<Value = Op> {
    let item = || 0..ITEMS;
    prop_oneof![
        4 => item().prop_map(Op::Put),
        6 => item().prop_map(Op::Forget),
        1 => item().prop_map(Op::Pin),
        1 => item().prop_map(Op::Unpin),
        4 => Just(Op::Gc),
    ]
}

/// What must be there.
#[derive(Default, Debug)]
struct Model {
    put: BTreeSet<usize>,
    forgotten: BTreeSet<usize>,
    pinned: BTreeSet<usize>,
    there: BTreeSet<usize>,
}

impl Model {
    /// An item and all below it.
    fn below(&self, item: usize) -> BTreeSet<usize> {
        let below = entries(item).iter().flat_map(|entry| self.below(*entry));
        below.chain([item]).collect()
    }

    fn under_pins(&self) -> BTreeSet<usize> {
        self.pinned.iter().flat_map(|item| self.below(*item)).collect()
    }

    fn put(&mut self, item: usize) {
        let below = self.below(item);
        self.put.extend(&below);
        self.there.extend(&below);
        self.forgotten.retain(|item| !below.contains(item));
        self.part_comes_along();
    }

    /// File 2 is a chunk of files 3 and 4.
    fn part_comes_along(&mut self) {
        if self.put.contains(&2) && (self.there.contains(&3) || self.there.contains(&4)) {
            self.there.insert(2);
        }
    }

    /// Whether it must be refused.
    fn forget(&mut self, item: usize) -> bool {
        let pinned = self.under_pins();
        if pinned.contains(&item) {
            return true;
        }
        let is_gone = self.forgotten.contains(&item) && !self.there.contains(&item);
        let below = if is_gone { [item].into() } else { self.below(item) };
        self.forgotten.extend(below.difference(&pinned).filter(|item| self.put.contains(item)));
        false
    }

    fn gc(&mut self) {
        let mut held: BTreeSet<usize> = BTreeSet::new();
        for item in &self.there {
            if !self.forgotten.contains(item) || self.pinned.contains(item) {
                held.extend(self.below(*item));
            }
        }
        self.there = self.there.intersection(&held).copied().collect();
        self.part_comes_along();
    }
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let first = noise(24_000, "first");
        // Where the first chunk ends is found out by putting it.
        let (engine, _) = StorageEngine::in_memory(&options(), config()).unwrap();
        let block = store(&engine, &first);
        let chunk = engine.backend().chunks(&block.header().content_hash, 0, 1).unwrap()[0];
        let part = first[..chunk.original_size as usize].to_vec();
        let second = [first[..16_000].to_vec(), noise(9_000, "second")].concat();
        let files = [b"zero".to_vec(), b"one".to_vec(), part, first, second];
        for (folder, entries) in [("one", &[0, 1, 3][..]), ("two", &[1, 4]), ("two/sub", &[2, 3])] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            for entry in entries {
                fs::write(dir.path().join(folder).join(format!("file {entry}")), &files[*entry]).unwrap();
            }
        }
        for (number, bytes) in files.iter().enumerate() {
            fs::write(dir.path().join(format!("file {number}")), bytes).unwrap();
        }
        Self { dir }
    }

    fn path(&self, item: usize) -> PathBuf {
        self.dir.path().join(match item {
            ONE => "one".to_owned(),
            TWO => "two".to_owned(),
            SUB => "two/sub".to_owned(),
            file => format!("file {file}"),
        })
    }
}

/// Runs a history and compares after each step.
fn run(world: &World, engine: &StorageEngine, ops: &[Op]) {
    let mut model = Model::default();
    let mut blocks: BTreeMap<usize, DagBlock> = BTreeMap::new();
    for op in ops {
        match *op {
            Op::Put(item) => {
                let stored = put_folder(engine, &world.path(item));
                model.put(item);
                for below in model.below(item) {
                    let name = world.path(below).file_name().unwrap().to_owned();
                    let found = stored.iter().find(|(path, _)| path.file_name() == Some(&name)).unwrap().1;
                    assert_eq!(blocks.entry(below).or_insert_with(|| found.clone()), found);
                }
            }
            Op::Forget(item) => {
                let Some(block) = blocks.get(&item) else { continue };
                let result = forget(engine, &[block]);
                match model.forget(item) {
                    true => assert!(matches!(result, Err(ForgetError::Pinned { .. })), "{op:?}: {result:?}"),
                    false => drop(result.unwrap()),
                }
            }
            Op::Pin(item) => {
                let Some(block) = blocks.get(&item) else { continue };
                let result = pin(engine, block, None);
                let is_whole = model.below(item).is_subset(&model.there);
                assert_eq!(result.is_ok(), is_whole, "{op:?}: {result:?}");
                model.pinned.extend(is_whole.then_some(item));
            }
            Op::Unpin(item) => {
                let Some(block) = blocks.get(&item) else { continue };
                assert_eq!(unpin(engine, block).is_ok(), model.pinned.remove(&item));
            }
            Op::Gc => {
                let before = model.there.clone();
                let foreseen = engine.removal::<_, GcError>(|removal| removal.gc_foresee::<GcError>(&mut |_| Ok(())));
                let summary = gc(engine);
                model.gc();
                assert_eq!(summary.dropped as usize, before.difference(&model.there).count(), "{op:?}");
                let foreseen = foreseen.unwrap();
                let sums = |summary: &GcSummary| (summary.dropped, summary.dropped_bytes, summary.held);
                assert_eq!(sums(&foreseen), sums(&summary));
            }
        }
        for (item, block) in &blocks {
            assert_eq!(is_there(engine, block), model.there.contains(item), "item {item} after {op:?}: {model:?}");
        }
    }
    assert_sound(engine);
    for block in blocks.values() {
        engine.prove(block, &ProofOptions::default()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_nothing_holds_is_dropped(ops in prop::collection::vec(op(), 1..24)) {
        let world = World::new();
        let (memory, _) = StorageEngine::in_memory(&options(), config()).unwrap();
        run(&world, &memory, &ops);
        let folder = tempfile::tempdir().unwrap();
        let (sqlite, _) = StorageEngine::init(&folder.path().join("repo"), &options(), config()).unwrap();
        run(&world, &sqlite, &ops);
        let sums = |engine: &StorageEngine| {
            let totals = engine.backend().totals().unwrap();
            (totals.blocks, totals.chunks, totals.unique_bytes, engine.backend().mark_totals().unwrap())
        };
        prop_assert_eq!(sums(&memory), sums(&sqlite));
    }
}

fn gc_within(engine: &StorageEngine, declared: &LeafRanges) -> GcSummary {
    let declared = Some(declared.clone());
    engine.removal::<_, GcError>(|removal| removal.declared(declared).gc("a test", &mut |_, _| ())).unwrap()
}

fn to_declare(
    engine: &StorageEngine,
    blocks: &[&DagBlock],
    declared: &LeafRanges,
    ranges_max: usize,
) -> Result<LeafRanges, DeclareError> {
    let blocks: Vec<DagBlock> = blocks.iter().map(|block| (*block).clone()).collect();
    let task = |removal: offchain_store::removal::Removal<'_>| {
        removal.to_declare(&blocks, &ForgetOptions::default(), declared, ranges_max)
    };
    engine.removal(|removal| Ok::<_, ForgetError>(task(removal))).unwrap()
}

fn ranges(leaves: impl IntoIterator<Item = u64>) -> LeafRanges {
    leaves.into_iter().map(|leaf_index| leaf_index..=leaf_index).collect()
}

#[test]
fn what_is_to_be_declared_is_what_gc_would_drop_to_the_leaf() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = folders(dir.path());
    on_every_backend(|engine| {
        let (of_one, of_two) = (put_folder(engine, &one), put_folder(engine, &two));
        let leaf = |path: &Path| of_one.get(path).or(of_two.get(path)).unwrap().leaf_index();
        let none = LeafRanges::default();
        let folder = [&of_one[&one]];
        let expected = ranges([leaf(&one.join("only")), leaf(&one)]);
        // What the other folder holds stays.
        assert_eq!(to_declare(engine, &folder, &none, 16).unwrap(), expected);
        assert!(records(engine).is_empty(), "nothing was changed");
        forget(engine, &folder).unwrap();
        assert_eq!(to_declare(engine, &[], &none, 16).unwrap(), expected);
        assert_eq!(to_declare(engine, &[], &expected, 16).unwrap(), none);
        let half = ranges([leaf(&one)]);
        assert_eq!(to_declare(engine, &[], &half, 16).unwrap(), ranges([leaf(&one.join("only"))]));

        // With both blocks of a content, only once both are declared.
        let metadata = Metadata::from_texts(&[("case".to_owned(), "7".to_owned())].into()).unwrap();
        let first = store(engine, b"twice");
        let again = engine.store(std::io::Cursor::new(b"twice".to_vec()), Some(&metadata)).unwrap().block;
        store(engine, b"between");
        let third = store(engine, b"third");
        let more = to_declare(engine, &[&first, &again, &third], &expected, 2).unwrap();
        assert_eq!(more, ranges([first.leaf_index(), again.leaf_index(), third.leaf_index()]));
        let refused = to_declare(engine, &[&first, &again, &third], &expected, 1);
        assert!(matches!(refused, Err(DeclareError::TooManyRanges { max: 1 })), "{refused:?}");
        assert_eq!(to_declare(engine, &[&first], &expected, 16).unwrap(), none, "the other block holds it");
        forget(engine, &[&first, &again, &third]).unwrap();

        // Where there is no stake, nothing of this matters; what went so is declared when there is one.
        let summary = gc_within(engine, &none);
        assert_eq!((summary.dropped, summary.undeclared, summary.held), (0, 4, 1));
        gc(engine);
        let all: LeafRanges = expected.iter().chain(more.iter()).cloned().collect();
        assert_eq!(to_declare(engine, &[], &none, 16).unwrap(), all);
        assert_sound(engine);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn where_a_stake_stands_a_content_goes_once_all_its_blocks_are_declared(
        forgotten in prop::collection::btree_set(1u64..17, 0..16),
        declared in prop::collection::btree_set(0u64..20, 0..20),
    ) {
        let (engine, _) = StorageEngine::in_memory(&options(), config()).unwrap();
        let mut leaves: BTreeMap<u64, Vec<DagBlock>> = BTreeMap::new();
        for number in 0..16u64 {
            // Eight contents, each of them twice; every other one has several chunks.
            let content = number % 8;
            let bytes = noise(if content % 2 == 0 { 20_000 } else { 500 }, &content.to_string());
            let metadata = Metadata::from_texts(&[("copy".to_owned(), (number / 8).to_string())].into()).unwrap();
            let block = engine.store(std::io::Cursor::new(bytes), Some(&metadata)).unwrap().block;
            prop_assert_eq!(block.leaf_index(), number + 1);
            leaves.entry(content).or_default().push(block);
        }
        let blocks: Vec<&DagBlock> =
            leaves.values().flatten().filter(|block| forgotten.contains(&block.leaf_index())).collect();
        if !blocks.is_empty() {
            forget(&engine, &blocks).unwrap();
        }
        let declared = ranges(declared);
        let summary = gc_within(&engine, &declared);
        let (mut dropped, mut undeclared) = (0, BTreeSet::new());
        for blocks in leaves.values() {
            let is_forgotten = blocks.iter().all(|block| forgotten.contains(&block.leaf_index()));
            let is_declared = blocks.iter().all(|block| declared.contains(block.leaf_index()));
            prop_assert_eq!(is_there(&engine, &blocks[0]), !(is_forgotten && is_declared));
            dropped += u64::from(is_forgotten && is_declared);
            if is_forgotten {
                undeclared.extend(blocks.iter().map(DagBlock::leaf_index));
            }
        }
        prop_assert_eq!(summary.dropped, dropped);
        let rest = to_declare(&engine, &[], &declared, 64).unwrap();
        undeclared.retain(|leaf_index| !declared.contains(*leaf_index));
        prop_assert_eq!(&rest, &ranges(undeclared));
        // Once it is declared as well, all of it goes.
        gc_within(&engine, &declared.iter().chain(rest.iter()).cloned().collect());
        let last = gc(&engine);
        prop_assert_eq!((last.dropped, last.undeclared), (0, 0));
        assert_sound(&engine);
    }
}
