//! What every backend must do about marks and removed payloads.

use super::{CHUNK, Harness, TIME_MS, Writer, content, content_hash};
use offchain_store::{
    BackendError, DagBackend, DagBlock, NewBlock,
    backend::{StagingId, WriteBatch},
    cid,
    removal::{BlockMark, Mark, MarkTotals, Pin},
};
use pakit_primitives::ContentHash;

/// Adds a block that tells of something, as far as a backend looks.
fn audit(writer: &mut Writer<'_>) -> u64 {
    let bytes = format!("audit {}", writer.blocks.len()).into_bytes();
    writer.keep(&bytes);
    let new = NewBlock { codec: cid::DAG_CBOR, ..NewBlock::raw(&bytes) };
    let leaf_index = writer.append(new, TIME_MS * 2, 2).leaf_index();
    writer.batch.audits.push(leaf_index);
    leaf_index
}

fn forget(writer: &mut Writer<'_>, blocks: &[&DagBlock]) -> u64 {
    let audit = audit(writer);
    for block in blocks {
        writer.batch.marks.push(Mark::Forget { leaf_index: block.leaf_index(), audit });
    }
    audit
}

fn remove(backend: &dyn DagBackend, hashes: &[ContentHash]) -> Result<(), BackendError> {
    backend.commit(WriteBatch { removed: hashes.to_vec(), ..WriteBatch::default() })
}

fn clear(backend: &dyn DagBackend) {
    while backend.clear_unnamed().unwrap() {}
}

fn is_misfit(result: Result<(), BackendError>) -> bool {
    matches!(result, Err(BackendError::BatchMisfit(_)))
}

pub(crate) fn a_removed_payload_leaves_its_header_and_comes_back_when_it_is_put_again<H: Harness>() {
    for size in [0, 1, CHUNK, CHUNK + 1, 40_000] {
        let harness = H::empty();
        let mut writer = Writer::new(harness.backend());
        writer.put(b"genesis", 0);
        let other = content(3 * CHUNK, 99);
        writer.put(&other, 2);
        writer.commit().unwrap();
        let before = harness.backend().totals().unwrap();
        let bytes = content(size, 1);
        let block = writer.put(&bytes, 2);
        writer.commit().unwrap();
        let with = harness.backend().totals().unwrap();
        forget(&mut writer, &[&block]);
        writer.commit().unwrap();
        let hash = content_hash(&bytes);
        remove(harness.backend(), &[hash]).unwrap();
        clear(harness.backend());
        let blocks = std::mem::take(&mut writer.blocks);
        drop(writer);
        let harness = harness.restarted();
        let backend = harness.backend();
        let info = backend.payload(&hash).unwrap().unwrap();
        assert!(!info.is_kept && info.original_size == size as u64, "{size}");
        assert!(backend.chunks(&hash, 0, 99).unwrap().is_empty());
        assert_eq!(backend.chunk(&hash).unwrap(), None);
        for (leaf_index, expected) in (0..).zip(&blocks) {
            assert_eq!(backend.block(leaf_index).unwrap().as_ref(), Some(expected), "headers outlive payloads");
            assert_eq!(backend.find_block(&expected.block_hash()).unwrap(), Some(leaf_index));
        }
        assert_eq!(backend.find_content(&hash, None, 9).unwrap(), [2]);
        let totals = backend.totals().unwrap();
        assert_eq!((totals.chunks, totals.stored_bytes), (before.chunks + 1, before.stored_bytes + 7), "{size}");
        assert_eq!(totals.original_bytes, with.original_bytes + 7, "sums over blocks stay");
        let marks = backend.mark_totals().unwrap();
        assert_eq!(marks, MarkTotals { audits: 1, forgotten: 1, pins: 0, removed: 1, removed_bytes: size as u64 });
        // Once more is no error, and changes nothing.
        remove(backend, &[hash]).unwrap();
        clear(backend);
        assert_eq!(backend.totals().unwrap(), totals);
        let mut again = Writer::again(backend, blocks);
        again.keep(&bytes);
        again.commit().unwrap();
        assert!(backend.payload(&hash).unwrap().unwrap().is_kept);
        let read = backend.chunks(&hash, 0, 999).unwrap();
        let read: Vec<u8> =
            read.iter().flat_map(|place| backend.chunk(&place.chunk_hash).unwrap().unwrap().bytes).collect();
        assert_eq!(read, bytes);
        let totals = backend.totals().unwrap();
        assert_eq!((totals.chunks, totals.stored_bytes), (with.chunks + 1, with.stored_bytes + 7));
        assert_eq!(backend.mark_totals().unwrap().removed, 0);
    }
}

pub(crate) fn a_chunk_goes_when_the_last_content_that_lists_it_has_gone<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    writer.put(b"genesis", 0);
    // The second shares the first four chunks; the third is one of them.
    let (first, second) = (content(6 * CHUNK, 1), [content(4 * CHUNK, 1), content(2 * CHUNK, 7)].concat());
    let part = first[CHUNK..2 * CHUNK].to_vec();
    let blocks = [writer.put(&first, 2), writer.put(&second, 2), writer.put(&part, 2)];
    writer.commit().unwrap();
    forget(&mut writer, &[&blocks[0], &blocks[2]]);
    writer.commit().unwrap();
    let is_there = |bytes: &[u8]| {
        let chunks = backend.chunks(&content_hash(bytes), 0, 99).unwrap();
        !chunks.is_empty() && chunks.iter().all(|place| backend.chunk(&place.chunk_hash).unwrap().is_some())
    };
    let nothing = &|_: &ContentHash| Ok(false);
    let hashes = [content_hash(&part), content_hash(&first), content_hash(b"genesis")];
    assert_eq!(backend.listed(&hashes, nothing).unwrap(), [true, false, false]);
    assert!(is_misfit(remove(backend, &[hashes[0]])), "the second is made of it");
    assert!(is_misfit(remove(backend, &[hashes[1], hashes[0]])), "and what goes with the first is not gone yet");
    remove(backend, &[hashes[1]]).unwrap();
    clear(backend);
    assert!(!is_there(&first) && is_there(&second) && is_there(&part));
    let except = |hash: &ContentHash| Ok(*hash == content_hash(&second));
    assert_eq!(backend.listed(&hashes, &except).unwrap(), [false, false, false]);
    assert!(is_misfit(remove(backend, &[content_hash(&second)])), "its block is not forgotten");
    forget(&mut writer, &[&blocks[1]]);
    writer.commit().unwrap();
    remove(backend, &[content_hash(&second)]).unwrap();
    clear(backend);
    assert!(!is_there(&second) && is_there(&part), "a block names the part, though it is forgotten");
    remove(backend, &[hashes[0]]).unwrap();
    clear(backend);
    assert!(!is_there(&part));
    // Genesis, and two audit blocks.
    assert_eq!(backend.totals().unwrap().chunks, 3);
}

pub(crate) fn what_is_held_unknown_or_named_is_not_removed<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    let genesis = writer.put(b"genesis", 0);
    let bytes = content(2 * CHUNK, 1);
    let block = writer.put(&bytes, 2);
    writer.commit().unwrap();
    let hash = content_hash(&bytes);
    assert!(is_misfit(remove(backend, &[hash])), "not forgotten");
    assert!(is_misfit(remove(backend, &[content_hash(b"never put")])));
    forget(&mut writer, &[&block]);
    writer.commit().unwrap();
    // A batch that names it, by a block or as a chunk of another content.
    writer.batch.removed.push(hash);
    let named = NewBlock { codec: 5, ..NewBlock::raw(&bytes) };
    let (blocks, log) = (writer.blocks.len(), writer.batch.clone());
    writer.append(named, TIME_MS * 3, 2);
    assert!(is_misfit(backend.commit(writer.batch.clone())));
    writer.blocks.truncate(blocks);
    writer.batch = log;
    let stage = |writer: &mut Writer<'_>| {
        let part = bytes[..CHUNK].to_vec();
        let chunks = super::chunk_refs(&part, CHUNK, 0);
        writer.batch.staged.push((StagingId(1), chunks));
    };
    writer.batch = WriteBatch::default();
    stage(&mut writer);
    backend.commit(std::mem::take(&mut writer.batch)).unwrap();
    remove(backend, &[hash]).unwrap();
    clear(backend);
    assert!(backend.chunk(&content_hash(&bytes[..CHUNK])).unwrap().is_some(), "a content being written lists it");
    assert!(backend.chunk(&content_hash(&bytes[CHUNK..])).unwrap().is_none());
    assert_eq!(backend.block(0).unwrap(), Some(genesis));
}

pub(crate) fn marks_are_told_by_the_batch_and_kept<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    let blocks: Vec<DagBlock> = (0..8u64).map(|number| writer.put(&number.to_le_bytes(), 2)).collect();
    writer.commit().unwrap();
    let backend = harness.backend();
    let marks = |marks: Vec<Mark>, audits: Vec<u64>| WriteBatch { marks, audits, ..WriteBatch::default() };
    let told_by = |audit| Mark::Forget { leaf_index: 1, audit };
    assert!(is_misfit(backend.commit(marks(vec![told_by(2)], vec![]))), "told by nothing");
    assert!(is_misfit(backend.commit(marks(vec![told_by(2)], vec![2]))), "told by a block of an earlier batch");
    assert!(is_misfit(backend.commit(marks(vec![Mark::Unpin { leaf_index: 1 }], vec![]))));
    assert_eq!(backend.mark_totals().unwrap(), MarkTotals::default());

    let first = forget(&mut writer, &[&blocks[1], &blocks[3]]);
    let pin = Pin { leaf_index: 5, until_ms: Some(u64::MAX >> 1), audit: first };
    writer.batch.marks.push(Mark::Pin(pin));
    writer.batch.settings.push(("rule".into(), b"value".to_vec()));
    writer.commit().unwrap();
    let second = audit(&mut writer);
    writer.batch.marks.push(Mark::Restore { leaf_index: 3 });
    writer.batch.marks.push(Mark::Pin(Pin { leaf_index: 6, until_ms: None, audit: second }));
    writer.commit().unwrap();
    drop(writer);
    let harness = harness.restarted();
    let backend = harness.backend();
    assert_eq!(backend.forgotten(None, 9).unwrap(), [1]);
    assert_eq!(backend.forgotten(Some(1), 9).unwrap(), [0u64; 0]);
    assert_eq!(backend.audits(None, 9).unwrap(), [first, second]);
    assert_eq!(backend.audits(Some(first), 1).unwrap(), [second]);
    assert_eq!(backend.pins(None, 1).unwrap(), [pin]);
    assert_eq!(backend.pins(Some(5), 9).unwrap(), [Pin { leaf_index: 6, until_ms: None, audit: second }]);
    assert_eq!(backend.mark(1).unwrap(), BlockMark { forgotten: Some(first), pin: None, is_audit: false });
    assert_eq!(backend.mark(5).unwrap(), BlockMark { forgotten: None, pin: Some(pin), is_audit: false });
    assert_eq!(backend.mark(second).unwrap(), BlockMark { forgotten: None, pin: None, is_audit: true });
    assert_eq!(backend.mark(u64::MAX).unwrap(), BlockMark::default());
    assert_eq!(backend.of_codec(cid::DAG_CBOR, None, 9).unwrap(), [first, second]);
    assert_eq!(backend.of_codec(cid::RAW, Some(5), 9).unwrap(), [6, 7]);
    assert_eq!(backend.of_codec(cid::RAW, None, 2).unwrap(), [0, 1]);
    assert_eq!(backend.setting("rule").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(
        backend.mark_totals().unwrap(),
        MarkTotals { audits: 2, forgotten: 1, pins: 2, removed: 0, removed_bytes: 0 }
    );
}
