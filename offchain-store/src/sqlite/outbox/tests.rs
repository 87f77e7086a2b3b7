#![allow(clippy::unwrap_used)]

use super::{declaring::Declaring, *};
use crate::{
    bulk::{BulkBackend, Note, NoteKind},
    sqlite::{Access, Options, SqliteBackend, bulk},
};
use proptest::prelude::*;
use std::path::PathBuf;

const CHAIN: ChainBlockHash = ChainBlockHash::new([0xc0; 32]);

struct Place {
    _folder: tempfile::TempDir,
    dir: PathBuf,
}

fn repository() -> (Place, Outbox) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("repository");
    drop(SqliteBackend::create(&dir, &Options::default()).unwrap());
    let outbox = Outbox::open(&dir).unwrap();
    (Place { _folder: folder, dir }, outbox)
}

fn head(size: u64) -> Head {
    Head { size, root: LogRoot::new([size as u8; 32]) }
}

fn signed(nonce: u64) -> SignedExtrinsic {
    let mut bytes = vec![7; 300];
    bytes.extend_from_slice(&nonce.to_le_bytes());
    SignedExtrinsic {
        hash: ExtrinsicHash::new(*blake3::hash(&bytes).as_bytes()),
        bytes,
        signer: AccountId::new([1; 32]),
        nonce,
        era: Era { birth: 40, birth_hash: ChainBlockHash::new([2; 32]), period: 64 },
    }
}

fn anchor(size: u64, nonce: u64) -> NewRow {
    let purpose = Purpose::Anchor { dag: 3, head: head(size), base_size: 1 };
    NewRow { chain: CHAIN, purpose, signed: signed(nonce) }
}

fn record(size: u64, nonce: u64) -> NewRow {
    let purpose = Purpose::RecordProof { dag: 3, anchor: 2, head: head(size), block_hash: BlockHash::new([9; 32]) };
    NewRow { chain: CHAIN, purpose, signed: signed(nonce) }
}

fn creation(nonce: u64, predecessor: Option<BindingId>) -> NewRow {
    NewRow { chain: CHAIN, purpose: Purpose::CreateDag { head: head(1), predecessor }, signed: signed(nonce) }
}

fn at(block_number: u64) -> Placement {
    Placement { block_number, block_hash: ChainBlockHash::new([block_number as u8; 32]), extrinsic_index: 1 }
}

fn new_binding(dag: DagId, predecessor: Option<BindingId>) -> NewBinding {
    NewBinding { chain: CHAIN, dag, owner: AccountId::new([1; 32]), predecessor, url: "ws://127.0.0.1:9944".into() }
}

#[test]
fn a_prepared_row_is_there_after_the_process_ended() {
    let (place, outbox) = repository();
    let news = [anchor(5, 0), record(5, 1), creation(2, None)];
    let rows: Vec<OutboxRow> = news.iter().map(|new| outbox.prepare(new).unwrap()).collect();
    drop(outbox);
    let outbox = Outbox::open(&place.dir).unwrap();
    assert_eq!(outbox.live_rows(&CHAIN).unwrap(), rows);
    for (row, new) in rows.iter().zip(&news) {
        assert_eq!((&row.signed, row.purpose, row.state), (&new.signed, new.purpose, RowState::Prepared));
        assert_eq!((row.attempts, row.placement, &row.last_error), (0, None, &None));
    }
    assert!(outbox.live_rows(&ChainBlockHash::new([1; 32])).unwrap().is_empty());
}

#[test]
fn a_second_live_extrinsic_for_one_purpose_or_nonce_is_refused_by_the_database() {
    let (_place, outbox) = repository();
    let first = outbox.prepare(&anchor(5, 0)).unwrap();
    outbox.prepare(&record(5, 1)).unwrap();
    outbox.prepare(&creation(2, None)).unwrap();
    // The same head, the same block against another head, the same genesis, a nonce in use.
    for new in [anchor(5, 7), record(6, 7), creation(7, None), anchor(6, 0)] {
        assert!(matches!(outbox.prepare(&new), Err(OutboxError::AlreadyLive)), "{new:?}");
    }
    outbox.set_in_block(first.id, &at(41), &Ended::Succeeded(Some(2))).unwrap();
    assert!(matches!(outbox.prepare(&anchor(5, 7)), Err(OutboxError::AlreadyLive)));
    outbox.set_submitted(first.id).unwrap();
    outbox.set_expired(first.id).unwrap();
    let again = outbox.prepare(&NewRow { signed: SignedExtrinsic { nonce: 0, ..signed(70) }, ..anchor(5, 0) }).unwrap();
    assert!(again.id > first.id);
    assert_eq!(outbox.row(first.id).unwrap().signed, first.signed, "the dead one's bytes are kept");
}

#[test]
fn a_settled_fate_is_never_changed() {
    let (_place, outbox) = repository();
    type Settle = fn(&Outbox, RowId);
    let settle: [(&str, Settle); 3] = [
        ("finalized", |outbox, id| outbox.set_finalized(id, &at(50), None).unwrap()),
        ("failed", |outbox, id| outbox.set_failed(id, &at(50), "Pakit::NotOwner: no").unwrap()),
        ("expired", |outbox, id| outbox.set_expired(id).unwrap()),
    ];
    for (nonce, (name, settle)) in settle.into_iter().enumerate() {
        let id = outbox.prepare(&anchor(nonce as u64 + 2, nonce as u64)).unwrap().id;
        settle(&outbox, id);
        let row = outbox.row(id).unwrap();
        assert_eq!(row.state.as_str(), name);
        let refused = [
            outbox.set_submitted(id),
            outbox.set_in_block(id, &at(51), &Ended::Succeeded(None)),
            outbox.set_finalized(id, &at(51), Some(4)),
            outbox.set_failed(id, &at(51), "x"),
            outbox.set_expired(id),
            outbox.note_attempt(id),
            outbox.note_error(id, None),
        ];
        assert!(refused.iter().all(|result| matches!(result, Err(OutboxError::NotLive(_)))), "{name}: {refused:?}");
        assert_eq!(outbox.row(id).unwrap(), row);
    }
    let counts: Vec<u64> = outbox.counts().unwrap().into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [0, 0, 0, 1, 1, 1]);
    assert!(outbox.live_rows(&CHAIN).unwrap().is_empty());
}

#[test]
fn a_row_tells_where_it_stands_and_forgets_it_when_the_block_fell_out() {
    let (_place, outbox) = repository();
    let id = outbox.prepare(&anchor(5, 0)).unwrap().id;
    outbox.note_attempt(id).unwrap();
    outbox.note_attempt(id).unwrap();
    outbox.note_error(id, Some(&"ä".repeat(2000))).unwrap();
    outbox.set_in_block(id, &at(41), &Ended::Failed("Pakit::StaleSize: too late")).unwrap();
    let row = outbox.row(id).unwrap();
    assert_eq!((row.attempts, row.state, row.placement), (2, RowState::InBlock, Some(at(41))));
    assert_eq!(row.dispatch_error.as_deref(), Some("Pakit::StaleSize: too late"));
    assert_eq!(row.last_error.unwrap().len(), 1024);
    outbox.set_submitted(id).unwrap();
    let row = outbox.row(id).unwrap();
    assert_eq!((row.state, row.placement, row.dispatch_error), (RowState::Submitted, None, None));
    outbox.set_in_block(id, &at(42), &Ended::Succeeded(Some(8))).unwrap();
    assert_eq!(outbox.row(id).unwrap().anchor_number, Some(8));
    outbox.set_submitted(id).unwrap();
    assert_eq!(outbox.row(id).unwrap().anchor_number, None);
    // A record names its anchor from the beginning, wherever it stands.
    let id = outbox.prepare(&record(5, 1)).unwrap().id;
    outbox.set_in_block(id, &at(42), &Ended::Succeeded(None)).unwrap();
    outbox.set_submitted(id).unwrap();
    assert_eq!(outbox.row(id).unwrap().anchor_number, Some(2));
}

#[test]
fn a_finalized_creation_and_its_binding_are_one_step_and_a_successor_takes_its_place() {
    let (place, outbox) = repository();
    let id = outbox.prepare(&creation(0, None)).unwrap().id;
    let first = outbox.bind(id, &at(41), &new_binding(3, None)).unwrap();
    assert_eq!(outbox.row(id).unwrap().state, RowState::Finalized);
    assert_eq!(outbox.current_binding().unwrap(), Some(first.clone()));
    assert_eq!((first.created_block_number, first.seen, outbox.anchored_sizes().unwrap()), (41, head(1), (1, 1)));
    assert!(outbox.live_creations().unwrap().is_empty());
    // A DAG that is bound already: neither the row nor the binding changes.
    let again = outbox.prepare(&creation(1, Some(first.id))).unwrap().id;
    assert!(outbox.bind(again, &at(60), &new_binding(3, Some(first.id))).is_err());
    assert_eq!(outbox.live_creations().unwrap(), [outbox.row(again).unwrap()]);
    assert_eq!(outbox.row(again).unwrap().state, RowState::Prepared);
    assert_eq!(outbox.current_binding().unwrap(), Some(first.clone()));

    let second = outbox.bind(again, &at(60), &new_binding(4, Some(first.id))).unwrap();
    assert_eq!((second.predecessor, second.is_current), (Some(first.id), true));
    drop(outbox);
    let outbox = Outbox::open_to_read(&place.dir).unwrap();
    let kept: Vec<(DagId, bool)> =
        outbox.bindings().unwrap().into_iter().map(|binding| (binding.dag, binding.is_current)).collect();
    assert_eq!(kept, [(3, false), (4, true)]);
}

#[test]
fn anchored_sizes_count_best_and_finalized_blocks_and_no_failed_call() {
    let (_place, outbox) = repository();
    let id = outbox.prepare(&creation(0, None)).unwrap().id;
    let binding = outbox.bind(id, &at(41), &new_binding(3, None)).unwrap();
    for (nonce, size) in [(1, 5), (2, 9), (3, 12), (4, 20)] {
        outbox.prepare(&anchor(size, nonce)).unwrap();
    }
    let ids: Vec<RowId> = outbox.live_rows(&CHAIN).unwrap().iter().map(|row| row.id).collect();
    assert_eq!(outbox.anchored_sizes().unwrap(), (1, 1));
    outbox.set_finalized(ids[0], &at(42), Some(2)).unwrap();
    outbox.set_in_block(ids[1], &at(43), &Ended::Succeeded(Some(3))).unwrap();
    outbox.set_in_block(ids[2], &at(44), &Ended::Failed("Pakit::DagRetired: no")).unwrap();
    assert_eq!(outbox.anchored_sizes().unwrap(), (9, 5));
    assert_eq!(outbox.anchor_of(&CHAIN, 3, 9).unwrap().unwrap().id, ids[1]);
    assert_eq!(outbox.anchor_of(&CHAIN, 3, 12).unwrap(), None);
    outbox.note_seen(binding.id, "ws://localhost:1", head(15)).unwrap();
    assert_eq!(outbox.anchored_sizes().unwrap(), (15, 15));
    assert_eq!(outbox.highest_settled(&CHAIN).unwrap(), Some(at(42)));
    assert_eq!(outbox.current_binding().unwrap().unwrap().url, "ws://localhost:1");
}

fn declaring(first: u64, nonce: u64) -> Declaring {
    Declaring { chain: CHAIN, dag: 3, leaves: first..=first + 4, signed: signed(nonce) }
}

#[test]
fn what_is_being_declared_is_there_after_the_process_ended_and_gone_once_it_is_settled() {
    let (place, outbox) = repository();
    assert!(outbox.declaring().unwrap().is_empty());
    let two = [declaring(2, 0), declaring(9, 1)];
    outbox.set_declaring(&two).unwrap();
    drop(outbox);
    let outbox = Outbox::open(&place.dir).unwrap();
    assert_eq!(outbox.declaring().unwrap(), two);
    outbox.set_declaring(&two[1..]).unwrap();
    assert_eq!(Outbox::open_to_read(&place.dir).unwrap().declaring().unwrap(), two[1..]);
    outbox.set_declaring(&[]).unwrap();
    assert!(outbox.declaring().unwrap().is_empty());
}

#[test]
fn what_is_being_declared_has_the_bytes_it_always_had() {
    let (place, outbox) = repository();
    let one = declaring(2, 5);
    outbox.set_declaring(std::slice::from_ref(&one)).unwrap();
    let store = SqliteBackend::open(&place.dir, Access::Write, &Options::default()).unwrap();
    let value = crate::backend::DagBackend::setting(&store, "declaring").unwrap().unwrap();
    let mut expected = vec![1, 4];
    expected.extend([0xc0; 32]);
    expected.extend([3, 0, 0, 0]);
    expected.extend([2u64, 6].map(u64::to_le_bytes).concat());
    // 308 bytes, compact: the number times four and one.
    expected.extend([0xd1, 0x04]);
    expected.extend(&one.signed.bytes);
    expected.extend(one.signed.hash.as_bytes());
    expected.extend([1; 32]);
    expected.extend([5u64, 40].map(u64::to_le_bytes).concat());
    expected.extend([2; 32]);
    expected.extend(64u64.to_le_bytes());
    assert_eq!(value, expected);
    for bad in [&value[..value.len() - 1], &[&value[..], &[0]].concat(), &[&[2], &value[1..]].concat(), &[1]] {
        crate::backend::DagBackend::set_setting(&store, "declaring", bad).unwrap();
        assert!(matches!(outbox.declaring(), Err(OutboxError::Damaged(_))), "{bad:?}");
    }
}

#[test]
fn a_missing_repository_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for opened in [Outbox::open(folder.path()), Outbox::open_to_read(folder.path())] {
        assert!(matches!(opened, Err(OutboxError::Repository(BackendError::NotFound(_)))), "{opened:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_outbox_is_written_while_the_store_is_open_for_writing() {
    let (place, outbox) = repository();
    let store = SqliteBackend::open(&place.dir, Access::Write, &Options::default()).unwrap();
    outbox.prepare(&anchor(5, 0)).unwrap();
    crate::backend::DagBackend::set_setting(&store, "name", b"both").unwrap();
    outbox.prepare(&anchor(6, 1)).unwrap();
    assert_eq!(outbox.live_rows(&CHAIN).unwrap().len(), 2);
}

proptest! {
    #[test]
    fn texts_are_cut_at_a_character(text in "\\PC{0,1500}") {
        let cut = truncated(&text);
        prop_assert!(cut.len() <= 1024 && text.starts_with(cut));
    }
}

#[test]
fn notes_of_every_column_come_back_in_another_repository() {
    let (place, outbox) = repository();
    let first = outbox.prepare(&creation(0, None)).unwrap().id;
    let bound = outbox.bind(first, &at(41), &new_binding(3, None)).unwrap();
    let sent = outbox.prepare(&anchor(9, 1)).unwrap().id;
    outbox.set_submitted(sent).unwrap();
    outbox.note_error(sent, Some("0xnot bytes")).unwrap();
    let settled = outbox.prepare(&anchor(12, 2)).unwrap().id;
    outbox.set_finalized(settled, &at(50), Some(2)).unwrap();
    outbox.prepare(&record(12, 3)).unwrap();
    let backend = SqliteBackend::open(&place.dir, Access::Read, &Options::default()).unwrap();
    let (copied_to, copy) = repository();
    let other = SqliteBackend::open(&copied_to.dir, Access::Write, &Options::default()).unwrap();
    for kind in [NoteKind::Binding, NoteKind::Extrinsic] {
        let (named, there) = backend.read(|connection| Ok(bulk::columns_of(connection, kind))).unwrap();
        assert_eq!(named, there, "each column of the table stands in its notes");
        let notes = backend.notes(kind, 0).unwrap();
        let later = notes.last().unwrap().number;
        assert_eq!(backend.notes(kind, later).unwrap(), notes[notes.len() - 1..]);
        // Twice: what comes again takes the place of what is there.
        other.keep_notes(&notes).unwrap();
        other.keep_notes(&notes).unwrap();
        assert_eq!(other.notes(kind, 0).unwrap(), notes);
    }
    assert_eq!(copy.newest_rows(9).unwrap(), outbox.newest_rows(9).unwrap());
    let seen = copy.bindings().unwrap();
    // The binding had seen the head of its creation; the largest final one is known from its extrinsic.
    assert_eq!(seen, [Binding { seen: head(12), ..bound }]);
    let states: Vec<bool> = other.notes(NoteKind::Extrinsic, 0).unwrap().iter().map(|note| note.is_settled).collect();
    assert_eq!(states, [true, false, true, false]);
}

#[test]
fn notes_that_cannot_be_are_damage_and_leave_nothing() {
    let (place, outbox) = repository();
    outbox.prepare(&anchor(9, 1)).unwrap();
    let backend = SqliteBackend::open(&place.dir, Access::Write, &Options::default()).unwrap();
    let good = backend.notes(NoteKind::Extrinsic, 0).unwrap().remove(0);
    let text = String::from_utf8(good.bytes.clone()).unwrap();
    let (copied_to, copy) = repository();
    let other = SqliteBackend::open(&copied_to.dir, Access::Write, &Options::default()).unwrap();
    for bad in [
        text.replace("\"state\":1", "\"state\":7"),
        text.replace("\"state\":1", "\"state\":\"1\""),
        text.replace("\"nonce\":1", "\"nonce\":null"),
        text.replace("\"id\":1", "\"id\":2"),
        text.replace("\"attempts\":0,", ""),
        text.replace("\"attempts\":0", "\"attempts\":0,\"more\":0"),
        text.replace("\"root\":\"0x", "\"root\":\"0x00"),
        text.replace("\"root\":\"0x", "\"root\":\""),
        "[]".to_owned(),
    ] {
        assert_ne!(bad, text);
        let bad = Note { bytes: bad.into_bytes(), ..good.clone() };
        let kept = other.keep_notes(&[good.clone(), bad.clone()]);
        assert!(matches!(kept, Err(BackendError::Damaged(_))), "{}", String::from_utf8_lossy(&bad.bytes));
        assert!(copy.newest_rows(9).unwrap().is_empty());
    }
}
