//! What every backend must do, run over each of them.

#![allow(clippy::unwrap_used)]

mod backend_suite;

use backend_suite::{Harness, Shape};
use offchain_store::{
    BackendError, BulkBackend, DagBackend,
    memory::MemoryBackend,
    sqlite::{Access, Options, SqliteBackend},
};
use proptest::prelude::*;

struct Memory(MemoryBackend);

impl Harness for Memory {
    fn empty() -> Self {
        Self(MemoryBackend::new())
    }

    fn backend(&self) -> &dyn BulkBackend {
        &self.0
    }

    fn restarted(self) -> Self {
        self
    }
}

struct Sqlite {
    backend: SqliteBackend,
    folder: tempfile::TempDir,
}

impl Harness for Sqlite {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::create(folder.path(), &Options::default()).unwrap();
        Self { backend, folder }
    }

    fn backend(&self) -> &dyn BulkBackend {
        &self.backend
    }

    fn restarted(self) -> Self {
        let Self { backend, folder } = self;
        drop(backend);
        let backend = SqliteBackend::open(folder.path(), Access::Write, &Options::default()).unwrap();
        Self { backend, folder }
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::backend_suite::$name::<super::Memory>(); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::backend_suite::$name::<super::Sqlite>(); })*
        }
    };
}

conformance!(
    an_empty_backend_holds_nothing,
    every_question_about_a_log_of_any_size_is_answered,
    contents_of_any_size_come_back_chunk_by_chunk,
    blocks_are_found_by_a_range_of_hashes,
    lists_come_in_pages,
    a_block_is_found_by_its_content_codec_and_metadata,
    how_contents_stand_is_told_of_many_at_once_as_of_each,
    a_content_grows_over_several_batches,
    a_content_that_is_given_up_leaves_its_chunks_for_others,
    a_content_that_is_kept_already_is_not_kept_twice,
    a_chunk_that_is_kept_as_a_list_is_listed_by_its_chunks,
    a_batch_that_does_not_fit_leaves_nothing,
    a_content_that_is_not_kept_can_be_named_and_kept_later,
    rows_are_read_in_the_order_of_their_numbers,
    numbers_of_all_64_bits_are_kept,
    settings_are_kept_and_replaced,
    many_threads_read_while_one_commits,
    a_removed_payload_leaves_its_header_and_comes_back_when_it_is_put_again,
    a_chunk_goes_when_the_last_content_that_lists_it_has_gone,
    what_is_held_unknown_or_named_is_not_removed,
    marks_are_told_by_the_batch_and_kept,
);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn equal_batches_give_equal_answers_everywhere(shapes in prop::collection::vec(Shape::any(), 1..8)) {
        let (memory, sqlite) = (Memory::empty(), Sqlite::empty());
        backend_suite::commit_shapes(memory.backend(), &shapes);
        backend_suite::commit_shapes(sqlite.backend(), &shapes);
        backend_suite::assert_same(memory.backend(), sqlite.backend());
        let sqlite = sqlite.restarted();
        backend_suite::assert_same(memory.backend(), sqlite.backend());
    }
}

#[test]
fn a_backend_that_reads_sees_what_another_process_commits() {
    let sqlite = Sqlite::empty();
    let reader = SqliteBackend::open(sqlite.folder.path(), Access::Read, &Options::default()).unwrap();
    assert_eq!(reader.access(), Access::Read);
    let mut writer = backend_suite::Writer::new(sqlite.backend());
    for number in 0..20 {
        let content = format!("content {number}").into_bytes();
        assert_eq!(reader.payload(&backend_suite::content_hash(&content)).unwrap(), None);
        let block = writer.put(&content, 4);
        writer.commit().unwrap();
        // The existence filter of the reader was loaded before and must have caught up.
        assert_eq!(reader.find_block(&block.block_hash()).unwrap(), Some(block.leaf_index()));
        assert!(reader.payload(&backend_suite::content_hash(&content)).unwrap().is_some());
    }
    assert!(matches!(reader.set_setting("name", b"x"), Err(BackendError::ReadOnly(_))));
    assert!(matches!(reader.commit(Default::default()), Err(BackendError::ReadOnly(_))));
    backend_suite::assert_same(sqlite.backend(), &reader);
}
