#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    backend::{PayloadInfo, StoredChunk, WriteBatch},
    config::Config,
    dag::testing::{Altered, Repository},
    engine::{InitOptions, StorageEngine},
    parents::ParentSelectionStrategy,
    removal::{BlockMark, DecideError, Difference, ForgetError, ForgetOptions, GcError, HoldError, Pin},
};
use pakit_primitives::{Compression, ContentHash, Header, MetadataHash, Parents};
use std::collections::HashSet;

const BLOCKS: u64 = 20;
/// The block that has metadata.
const WITH_METADATA: u64 = 20;
/// The block whose content is three chunks.
const CHUNKED: u64 = 21;

/// 20 blocks, one with metadata, one of three chunks.
fn repository() -> Repository {
    let mut repository = Repository::grown(ParentSelectionStrategy::BalancedRandom, BLOCKS, 1);
    let map = b"\xa0".to_vec();
    let metadata_hash = MetadataHash::new(*blake3::hash(&map).as_bytes());
    let batch = WriteBatch { metadata: vec![(metadata_hash, map)], ..WriteBatch::default() };
    repository.add_chunked(&[3, 18], &[b"described"], batch, |content| content.metadata_hash = metadata_hash);
    repository.add_chunked(&[4, 5], &[b"first, ", b"second, ", b"third"], WriteBatch::default(), |_| ());
    repository
}

fn audit(backend: &dyn DagBackend, depth: Depth) -> CheckReport {
    check(backend, depth, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// What a full audit finds after `alter`, and what one of the structure finds.
fn altered(alter: impl FnOnce(&Repository, &mut Altered)) -> (Vec<Problem>, Vec<Problem>) {
    let repository = repository();
    let mut altered = Altered::new(repository.backend.clone());
    alter(&repository, &mut altered);
    let found = |depth| {
        let report = audit(&altered, depth);
        assert!(report.is_complete && !report.is_sound());
        assert_eq!(report.problem_count, report.problems.len() as u64);
        assert!(report.problems.iter().all(|problem| !problem.to_string().is_empty()));
        report.problems
    };
    (found(Depth::Full), found(Depth::Structure))
}

/// Both audits find exactly these.
fn finds(expected: &[Problem], alter: impl FnOnce(&Repository, &mut Altered)) {
    let (full, structure) = altered(alter);
    assert_eq!(full, expected);
    assert_eq!(structure, expected);
}

fn with_header(repository: &Repository, leaf_index: u64, change: impl FnOnce(&mut Header)) -> DagBlock {
    let mut header = repository.block(leaf_index).header().clone();
    change(&mut header);
    DagBlock::new(header).unwrap()
}

/// A block in the place of the newest, to which nothing refers.
fn newest_replaced(alter: impl FnOnce(&mut Header)) -> Vec<Problem> {
    altered(|repository, backend| {
        let block = with_header(repository, CHUNKED, alter);
        backend.blocks.insert(CHUNKED, Some(block));
    })
    .1
}

#[test]
fn a_sound_repository_passes_and_its_head_is_computed() {
    let repository = repository();
    let head = crate::log::LogReader::new(&*repository.backend).head().unwrap();
    for depth in [Depth::Structure, Depth::Full] {
        let report = audit(&*repository.backend, depth);
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!((report.blocks, report.chunks, report.removed_payloads), (22, 24, 0));
        assert_eq!(report.head, head);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["head"]["size"], 22);
        assert_eq!(json["problems"], serde_json::json!([]));
    }
}

#[test]
fn a_long_repository_is_read_in_pages_and_passes() {
    let repository = Repository::grown(ParentSelectionStrategy::BalancedRandom, 2 * PAGE as u64 + 3, 2);
    let report = audit(&*repository.backend, Depth::Full);
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn progress_ends_at_all_and_a_stopped_audit_is_not_sound() {
    let repository = repository();
    let mut last = (0, 1);
    let report = check(&*repository.backend, Depth::Full, &mut |done, all| {
        assert!(done >= last.0 && done <= all);
        last = (done, all);
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().is_sound());
    assert_eq!(last.0, last.1);
    let report = check(&*repository.backend, Depth::Full, &mut |_, _| ControlFlow::Break(())).unwrap();
    assert!(!report.is_complete && !report.is_sound());
    assert_eq!(report.problem_count, 0);
}

#[test]
fn a_missing_block_is_named_once_with_what_depends_on_it() {
    let (_, found) = altered(|_, backend| {
        backend.blocks.insert(WITH_METADATA, None);
    });
    assert_eq!(found[0], Problem::MissingBlock { leaf_index: WITH_METADATA });
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn an_unreadable_header_is_named_and_its_hash_still_carries_the_log() {
    let (_, found) = altered(|_, backend| {
        backend.unreadable.insert(WITH_METADATA);
    });
    let error = "the repository is damaged: a header does not match its hash".to_string();
    assert_eq!(found, [Problem::Unreadable { place: format!("block {WITH_METADATA}"), error }]);
    // Its children cannot be compared with it, which is no trouble of their own.
    let (_, found) = altered(|_, backend| {
        backend.unreadable.insert(0);
    });
    let error = "the repository is damaged: a header does not match its hash".to_string();
    assert_eq!(found, [Problem::Unreadable { place: "block 0".into(), error }]);
}

#[test]
fn what_is_not_known_any_more_of_a_lost_block_is_told_with_it_and_not_again() {
    let lost = WITH_METADATA;
    let without = |entries: Vec<(u64, u64)>| entries.into_iter().filter(|entry| entry.1 != lost).collect::<Vec<_>>();
    finds(&[Problem::MissingBlock { leaf_index: lost }], |repository, backend| {
        let depths = repository.backend.by_depth(0..=u32::MAX, None, 100).unwrap();
        let depths = without(depths.into_iter().map(|(depth, leaf_index)| (depth.into(), leaf_index)).collect());
        backend.by_depth = Some(depths.into_iter().map(|(depth, leaf_index)| (depth as u32, leaf_index)).collect());
        backend.by_time = Some(without(repository.backend.by_time(0..=u64::MAX, None, 100).unwrap()));
        for parent in repository.block(lost).header().parents.iter() {
            let mut children = repository.backend.children(parent.leaf_index, None, 100).unwrap();
            children.retain(|child| *child != lost);
            backend.children.insert(parent.leaf_index, children);
        }
        let frontier = (0..22).filter(|leaf_index| match backend.children.get(leaf_index) {
            Some(children) => children.is_empty(),
            None => repository.backend.child_count(*leaf_index).unwrap() == 0,
        });
        backend.frontier = Some(frontier.collect());
        backend.blocks.insert(lost, None);
    });
}

#[test]
fn a_block_that_stands_in_anothers_place_is_found() {
    let surplus = |parent| Problem::SurplusEdge { parent, child: 20 };
    finds(&[Problem::WrongLeafIndex { leaf_index: 20, found: 2 }, surplus(3), surplus(18)], |repository, backend| {
        backend.blocks.insert(20, Some(repository.block(2)));
        backend.log_nodes.insert((0, 20), Some(repository.hash(2).to_bytes()));
        // So that the rest of the log fits the block that stands there.
        let mut log = Accumulator::<SoftwareHasher>::default();
        for leaf_index in 0..22 {
            let at = if leaf_index == 20 { 2 } else { leaf_index };
            log.append(&repository.hash(at), |level, index, node| {
                backend.log_nodes.insert((level, index), Some(*node));
            });
        }
    });
}

#[test]
fn a_block_beyond_the_log_is_found() {
    finds(&[Problem::BlockBeyondLog { leaf_index: 22 }], |repository, backend| {
        backend.blocks.insert(22, Some(repository.block(2)));
    });
}

#[test]
fn lookups_that_miss_a_block_are_found() {
    let lost = |by| [Problem::NotFound { leaf_index: 7, by }];
    finds(&lost(Lookup::Hash), |repository, backend| {
        backend.lost_hashes.insert(repository.hash(7));
    });
    finds(&lost(Lookup::Key), |repository, backend| {
        backend.lost_keys.insert(repository.block(7).key());
    });
    finds(&lost(Lookup::Content), |repository, backend| {
        backend.contents.insert(repository.block(7).header().content_hash, vec![]);
    });
    finds(&lost(Lookup::Leaf), |_, backend| {
        backend.log_nodes.insert((0, 7), Some([1; 32]));
    });
    let all = 0..=u32::MAX;
    let lacks = |by| [Problem::NotFound { leaf_index: 7, by }, Problem::WrongIndexSize { by, entries: 21, blocks: 22 }];
    finds(&lacks(Lookup::Depth), |repository, backend| {
        let mut entries = repository.backend.by_depth(all, None, 100).unwrap();
        entries.retain(|entry| entry.1 != 7);
        backend.by_depth = Some(entries);
    });
    finds(&lacks(Lookup::Time), |repository, backend| {
        let mut entries = repository.backend.by_time(0..=u64::MAX, None, 100).unwrap();
        entries.retain(|entry| entry.1 != 7);
        backend.by_time = Some(entries);
    });
    finds(&[Problem::WrongIndexSize { by: Lookup::Time, entries: 23, blocks: 22 }], |repository, backend| {
        let mut entries = repository.backend.by_time(0..=u64::MAX, None, 100).unwrap();
        entries.push((u64::MAX, 7));
        backend.by_time = Some(entries);
    });
}

#[test]
fn headers_that_contradict_other_blocks_are_found() {
    let found = newest_replaced(|header| header.depth += 1);
    let depth = repository().block(CHUNKED).header().depth;
    assert!(found.contains(&Problem::WrongDepth { leaf_index: CHUNKED, expected: depth, found: depth + 1 }));
    let found = newest_replaced(|header| header.timestamp_ms = 0);
    assert!(found.contains(&Problem::TimeRunsBackwards { leaf_index: CHUNKED, parent: 4 }));
    assert!(found.contains(&Problem::TimeRunsBackwards { leaf_index: CHUNKED, parent: 5 }));
    let slices = repository().block(CHUNKED).header().slices_before;
    let found = newest_replaced(|header| header.slices_before += 1);
    assert!(found.contains(&Problem::WrongSlicesBefore { leaf_index: CHUNKED, expected: slices, found: slices + 1 }));
    let found = newest_replaced(|header| {
        let mut parents = header.parents.to_vec();
        parents[1].block_hash = BlockHash::new([9; 32]);
        header.parents = Parents::from_slice(&parents).unwrap();
    });
    assert!(found.contains(&Problem::WrongParent { leaf_index: CHUNKED, parent: 5 }));
    // And another header is another leaf, whatever it says.
    assert!(found.contains(&Problem::NotFound { leaf_index: CHUNKED, by: Lookup::Leaf }));
}

#[test]
fn edges_that_lack_or_are_too_many_are_found_and_sums_of_them_do_not_hide_it() {
    let (_, found) = altered(|repository, backend| {
        let mut children = repository.backend.children(5, None, 100).unwrap();
        children.retain(|child| *child != CHUNKED);
        backend.children.insert(5, children);
    });
    assert_eq!(found, [Problem::MissingEdge { parent: 5, child: CHUNKED }]);
    let mut named = HashSet::new();
    let (_, found) = altered(|repository, backend| {
        named = repository.block(CHUNKED).header().parents.iter().map(|parent| parent.leaf_index).collect();
        let mut children = repository.backend.children(6, None, 100).unwrap();
        children.extend([CHUNKED, 99]);
        backend.children.insert(6, children);
    });
    assert!(!named.contains(&6));
    let surplus = |child| Problem::SurplusEdge { parent: 6, child };
    assert_eq!(found, [surplus(CHUNKED), surplus(99)]);
}

#[test]
fn a_frontier_that_lacks_or_repeats_is_found() {
    let frontier = repository().backend.frontier(None, 100).unwrap();
    assert!(frontier.contains(&CHUNKED) && !frontier.contains(&4));
    finds(&[Problem::WrongFrontier { leaf_index: CHUNKED, children: 0 }], |_, backend| {
        backend.frontier = Some(frontier.iter().copied().filter(|leaf_index| *leaf_index != CHUNKED).collect());
    });
    let children = repository().backend.child_count(4).unwrap();
    finds(&[Problem::WrongFrontier { leaf_index: 4, children }], |_, backend| {
        let mut more = frontier.clone();
        more.push(4);
        more.sort_unstable();
        backend.frontier = Some(more);
    });
    finds(&[Problem::WrongFrontier { leaf_index: 99, children: 0 }], |_, backend| {
        backend.frontier = Some(frontier.iter().copied().chain([99]).collect());
    });
}

#[test]
fn every_inner_node_of_the_log_is_compared() {
    let mut nodes = Vec::new();
    let repository = repository();
    let mut log = Accumulator::<SoftwareHasher>::default();
    (0..22).for_each(|leaf_index| {
        log.append(&repository.hash(leaf_index), |level, index, _| nodes.push((level, index)));
    });
    assert_eq!(nodes.len(), 22 - 22u64.count_ones() as usize);
    for (level, index) in nodes {
        let problem = |state| [Problem::WrongLogNode { level, index, state }];
        finds(&problem(NodeState::Missing), |_, backend| {
            backend.log_nodes.insert((level, index), None);
        });
        finds(&problem(NodeState::Wrong), |_, backend| {
            backend.log_nodes.insert((level, index), Some([3; 32]));
        });
    }
}

#[test]
fn every_sum_is_compared() {
    type Change = fn(&mut Totals);
    let changes: [(&str, Change); 10] = [
        ("edges", |totals| totals.edges += 1),
        ("the greatest depth", |totals| totals.depth_max += 1),
        ("depths", |totals| totals.depth_sum += 1),
        ("slices", |totals| totals.slices += 1),
        ("original bytes", |totals| totals.original_bytes += 1),
        ("referenced bytes", |totals| totals.referenced_bytes += 1),
        ("unique bytes", |totals| totals.unique_bytes += 1),
        ("stored bytes", |totals| totals.stored_bytes += 1),
        ("chunks", |totals| totals.chunks += 1),
        ("blocks without children", |totals| totals.frontier += 1),
    ];
    for (changed, change) in changes {
        let (_, found) = altered(|repository, backend| {
            let mut totals = repository.backend.totals().unwrap();
            change(&mut totals);
            backend.totals = Some(totals);
        });
        let [Problem::WrongTotal { name, stored, counted }] = found[..] else { panic!("{changed}: {found:?}") };
        assert_eq!((name, stored), (changed, counted + 1));
    }
    // A log that is longer than its blocks, and one that is shorter.
    let sized = |size: u64| {
        altered(|repository, backend| {
            backend.totals = Some(Totals { blocks: size, ..repository.backend.totals().unwrap() });
        })
        .1
    };
    assert!(sized(23).contains(&Problem::MissingBlock { leaf_index: 22 }));
    assert!(sized(21).contains(&Problem::BlockBeyondLog { leaf_index: 21 }));
}

fn content_of(repository: &Repository, leaf_index: u64) -> ContentHash {
    repository.block(leaf_index).header().content_hash
}

#[test]
fn payloads_and_metadata_that_lack_or_differ_are_found() {
    let payload = |alter: fn(PayloadInfo) -> Option<PayloadInfo>, leaf_index: u64| {
        altered(|repository, backend| {
            let hash = content_of(repository, leaf_index);
            let info = repository.backend.payload(&hash).unwrap().unwrap();
            backend.payloads.insert(hash, alter(info));
        })
        .1
    };
    assert_eq!(payload(|_| None, CHUNKED), [Problem::MissingPayload { leaf_index: CHUNKED }]);
    let what = "the payload has another size";
    let longer = |info: PayloadInfo| Some(PayloadInfo { original_size: info.original_size + 1, ..info });
    assert_eq!(payload(longer, CHUNKED), [Problem::WrongChunkList { leaf_index: CHUNKED, what }]);
    let what = "they do not add up to its size";
    let heavier = |info: PayloadInfo| Some(PayloadInfo { stored_size: info.stored_size + 1, ..info });
    assert_eq!(payload(heavier, CHUNKED), [Problem::WrongChunkList { leaf_index: CHUNKED, what }]);
    let metadata = |map: Option<Vec<u8>>, state| {
        finds(&[Problem::WrongMetadata { leaf_index: WITH_METADATA, state }], |repository, backend| {
            backend.metadata.insert(repository.block(WITH_METADATA).header().metadata_hash, map);
        });
    };
    metadata(None, NodeState::Missing);
    metadata(Some(b"\xa1".to_vec()), NodeState::Wrong);
}

#[test]
fn a_payload_that_was_removed_is_counted_and_no_problem() {
    let repository = repository();
    let mut altered = Altered::new(repository.backend.clone());
    let hash = content_of(&repository, CHUNKED);
    let info = repository.backend.payload(&hash).unwrap().unwrap();
    altered.payloads.insert(hash, Some(PayloadInfo { is_kept: false, ..info }));
    let report = audit(&altered, Depth::Full);
    assert_eq!(report.removed_payloads, 1);
    assert_eq!(report.problems, [Problem::RemovedWhileHeld { leaf_index: CHUNKED }], "nobody forgot the block");
    altered.marks.insert(CHUNKED, BlockMark { forgotten: Some(1), ..BlockMark::default() });
    let report = audit(&altered, Depth::Full);
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn marks_and_audit_blocks_that_contradict_each_other_are_found() {
    let (engine, _) = StorageEngine::in_memory(&InitOptions::default(), Config::default()).unwrap();
    let [a, b] = [&b"a"[..], b"b"].map(|bytes| engine.store(bytes, None).unwrap().block);
    let options = ForgetOptions::default();
    engine.removal::<_, ForgetError>(|mut removal| removal.forget(std::slice::from_ref(&a), &options)).unwrap();
    engine.removal::<_, DecideError>(|mut removal| removal.pin(std::slice::from_ref(&b), None, "")).unwrap();
    let (forgotten, pinned) = (3, 4);
    let altered = |alter: &dyn Fn(&mut Altered)| {
        let mut backend = Altered::new(engine.backend().clone());
        alter(&mut backend);
        audit(&backend, Depth::Full).problems
    };
    assert_eq!(altered(&|_| ()), []);
    let lost = [Problem::LostMark { leaf_index: b.leaf_index(), mark: "pinned" }];
    assert_eq!(altered(&|backend| backend.pins = Some(Vec::new())), lost, "a legal hold that somebody took out");
    // A mark that another audit block is said to tell of, one that none tells of, a pin that holds for longer.
    let mark = |backend: &mut Altered, audit| {
        backend.marks.insert(a.leaf_index(), BlockMark { forgotten: Some(audit), ..BlockMark::default() });
    };
    let untold = [Problem::UntoldMark { leaf_index: a.leaf_index(), mark: "forgotten" }];
    assert_eq!(altered(&|backend| mark(backend, pinned)), untold);
    assert_eq!(altered(&|backend| mark(backend, a.leaf_index())), untold);
    let pin = Pin { leaf_index: b.leaf_index(), until_ms: Some(1), audit: pinned };
    let untold = [Problem::UntoldMark { leaf_index: b.leaf_index(), mark: "pinned" }];
    assert_eq!(altered(&|backend| backend.pins = Some(vec![pin])), untold);
    // An audit block that is left out, a block that is none: what they told of is untold too.
    let with_audits = |audits: &[u64]| altered(&|backend| backend.audits = Some(audits.to_vec()));
    let left_out = with_audits(&[pinned]);
    assert!(matches!(left_out[0], Problem::WrongAudit { leaf_index, .. } if leaf_index == pinned), "{left_out:?}");
    assert_eq!(left_out[1..], [Problem::UntoldMark { leaf_index: a.leaf_index(), mark: "forgotten" }]);
    let newest = with_audits(&[forgotten]);
    assert!(matches!(newest[0], Problem::WrongAudit { leaf_index, .. } if leaf_index == pinned), "{newest:?}");
    let none = with_audits(&[a.leaf_index(), forgotten, pinned]);
    assert!(matches!(none[0], Problem::WrongAudit { leaf_index, .. } if leaf_index == a.leaf_index()), "{none:?}");
    assert_eq!(with_audits(&[forgotten, pinned]), []);
    engine.backend().set_setting("keep_for_ms", &[0; 8]).unwrap();
    assert_eq!(altered(&|_| ()), [Problem::WrongRetention]);
    let refused = engine.removal::<_, GcError>(|mut removal| removal.gc("", &mut |_, _| ())).unwrap_err();
    assert!(matches!(refused, GcError::Hold(HoldError::Marks(Difference::Retention))), "{refused}");
}

#[test]
fn chunk_lists_that_do_not_make_up_the_content_are_found() {
    let list = |alter: fn(&mut Vec<crate::backend::ChunkRef>)| {
        altered(|repository, backend| {
            let hash = content_of(repository, CHUNKED);
            let mut chunks = repository.backend.chunks(&hash, 0, 10).unwrap();
            alter(&mut chunks);
            backend.chunk_lists.insert(hash, chunks);
        })
    };
    let wrong = |what| vec![Problem::WrongChunkList { leaf_index: CHUNKED, what }];
    assert_eq!(list(Vec::clear).1, wrong("there are none"));
    assert_eq!(
        list(|chunks| {
            chunks.pop();
        })
        .1,
        wrong("they do not add up to its size")
    );
    assert_eq!(
        list(|chunks| {
            chunks.remove(0);
        })
        .1,
        wrong("they do not follow each other")
    );
    assert_eq!(list(|chunks| chunks[1].original_size = 9).1, wrong("a chunk has another size than is listed"));
    let unknown = ContentHash::new([8; 32]);
    let lacking = list(|chunks| chunks[1].chunk_hash = ContentHash::new([8; 32])).1;
    assert_eq!(lacking, [Problem::MissingChunk { leaf_index: CHUNKED, chunk_hash: unknown }]);
    let own = list(|chunks| {
        chunks[0].chunk_hash = ContentHash::new(*blake3::hash(b"first, second, third").as_bytes());
    })
    .1;
    assert_eq!(own, wrong("a chunk is its own content and not all of it"));
    // Sound chunks of the right sizes in the wrong order show themselves to a full audit only.
    let repository = repository();
    let mut swapped = Altered::new(repository.backend.clone());
    let hash = content_of(&repository, CHUNKED);
    let mut chunks = repository.backend.chunks(&hash, 0, 10).unwrap();
    chunks.swap(0, 1);
    chunks[0].offset = 0;
    chunks[1].offset = chunks[0].original_size.into();
    swapped.chunk_lists.insert(hash, chunks);
    assert!(audit(&swapped, Depth::Structure).is_sound());
    assert_eq!(audit(&swapped, Depth::Full).problems, [Problem::WrongContent { leaf_index: CHUNKED }]);
}

/// What a full audit says of the chunk that is the content of block 7; the structure is sound.
fn damaged(alter: fn(StoredChunk) -> Option<StoredChunk>) -> String {
    let repository = repository();
    let mut backend = Altered::new(repository.backend.clone());
    let hash = content_of(&repository, 7);
    backend.chunks.insert(hash, alter(repository.backend.chunk(&hash).unwrap().unwrap()));
    assert!(audit(&backend, Depth::Structure).is_sound());
    match &audit(&backend, Depth::Full).problems[..] {
        [Problem::DamagedChunk { chunk_hash, leaf_index: Some(7), what }] if *chunk_hash == hash => what.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn chunks_that_do_not_restore_to_their_hash_are_found_by_a_full_audit() {
    assert_eq!(damaged(|_| None), "it is missing");
    let flipped = damaged(|mut chunk| {
        chunk.bytes[3] ^= 1;
        Some(chunk)
    });
    assert_eq!(flipped, "its bytes do not match its hash");
    let cut = damaged(|mut chunk| {
        chunk.bytes.pop();
        Some(chunk)
    });
    assert!(!cut.is_empty());
    let relabelled = damaged(|chunk| Some(StoredChunk { compression: Compression::Zstd, ..chunk }));
    assert!(!relabelled.is_empty());
    let resized = damaged(|mut chunk| {
        chunk.bytes.pop();
        Some(StoredChunk { original_size: chunk.original_size - 1, ..chunk })
    });
    assert_eq!(resized, "it has another size than is known of it");
    // The claim alone is refused, before anything is decompressed.
    let bomb = damaged(|chunk| Some(StoredChunk { original_size: u32::MAX, ..chunk }));
    assert!(bomb.contains("more than a chunk can have"), "{bomb}");
}

#[test]
fn a_damaged_chunk_of_a_list_names_the_chunk_and_the_block() {
    let repository = repository();
    let mut backend = Altered::new(repository.backend.clone());
    let chunk_hash = ContentHash::new(*blake3::hash(b"second, ").as_bytes());
    let mut chunk = repository.backend.chunk(&chunk_hash).unwrap().unwrap();
    chunk.bytes[0] ^= 1;
    backend.chunks.insert(chunk_hash, Some(chunk));
    let report = audit(&backend, Depth::Full);
    let what = "its bytes do not match its hash".to_string();
    let expected =
        [Problem::WrongContent { leaf_index: CHUNKED }, Problem::DamagedChunk { chunk_hash, leaf_index: None, what }];
    assert_eq!(report.problems, expected);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["problems"][1]["kind"], "damaged_chunk");
    assert_eq!(json["problems"][1]["chunk_hash"], chunk_hash.to_string());
}

#[test]
fn the_list_of_problems_is_bounded_and_their_number_is_not() {
    let repository = Repository::grown(ParentSelectionStrategy::BalancedRandom, 400, 3);
    let mut backend = Altered::new(repository.backend.clone());
    backend.unreadable.extend(0..400);
    backend.frontier = Some(Vec::new());
    backend.log_nodes.extend((0..200).map(|index| ((1, index), None)));
    backend.by_depth = Some(Vec::new());
    backend.lost_hashes.extend((0..400).map(|leaf_index| repository.hash(leaf_index)));
    backend.chunks.extend((0..400).map(|leaf_index| (content_of(&repository, leaf_index), None)));
    let report = audit(&backend, Depth::Full);
    assert_eq!(report.problems.len(), PROBLEMS_LISTED_MAX);
    assert!(report.problem_count > PROBLEMS_LISTED_MAX as u64, "{}", report.problem_count);
}

mod interrupted;
