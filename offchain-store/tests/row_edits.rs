//! One row of the database is changed by hand: deleted, copied under another number, or made to say something else. Whatever it is, no wrong byte is
//! served, a check ends, a repair ends, and what a repair calls whole is whole.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, InitOptions, StorageEngine,
    check::{CheckReport, Depth, check},
    config::{Fsync, Overrides},
    engine::Access,
    metadata::Metadata,
    removal::{DecideError, ForgetError, ForgetOptions, GcError},
    sqlite::repair::repair,
};
use pakit_primitives::BlockHash;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rusqlite::{Connection, params_from_iter, types::Value};
use std::{
    fs,
    io::Cursor,
    ops::ControlFlow,
    panic::catch_unwind,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// How long whatever is asked of a damaged repository may take on a busy machine. Whoever walks numbers takes years.
const PATIENCE: Duration = Duration::from_secs(60);

/// Changes that are tried, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 48;

/// The tables, with how often each is chosen.
const TABLES: &[(&str, u32)] = &[
    ("payloads", 6),
    ("blocks", 6),
    ("payload_chunks", 3),
    ("metadata", 2),
    ("totals", 4),
    ("settings", 3),
    ("packs", 2),
    ("log_tiles", 1),
    ("log_nodes", 1),
    ("audits", 1),
    ("forgotten", 1),
    ("pins", 1),
    ("late_names", 1),
];

struct Original {
    folder: tempfile::TempDir,
    /// What was put, and whether it is still kept.
    contents: Vec<(BlockHash, Vec<u8>, bool)>,
}

fn content(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A repository with a bit of everything: blocks of two tiles, contents in rows, in packs and of several chunks, shared ones, metadata, and what
/// was pinned, forgotten and dropped.
fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { chunk_bytes: 4 << 10, fsync: Fsync::Off, jobs: 1, ..Config::default() };
        let options = InitOptions { name: "edited".into(), ..InitOptions::default() };
        let (engine, _) = StorageEngine::init(&folder.path().join("0"), &options, config).unwrap();
        let mut contents = Vec::new();
        let mut put = |content: Vec<u8>, metadata: Option<&Metadata>| {
            let block = engine.store(Cursor::new(content.clone()), metadata).unwrap().block;
            contents.push((block.block_hash(), content, true));
            block
        };
        for number in 0..520 {
            put(content(number, 20), None);
        }
        for (number, length) in [(1, 1_500), (2, 3_000), (3, 30_000), (4, 12_000)] {
            put(content(number, length), None);
        }
        let texts = [("parcel".to_owned(), "12/7".to_owned())].into();
        let metadata = Metadata::from_texts(&texts).unwrap();
        put(b"with metadata".to_vec(), Some(&metadata));
        put(content(1, 1_500), Some(&metadata));
        let pinned = put(b"pinned".to_vec(), None);
        let gone = put(content(5, 9_000), None);
        engine.removal::<_, DecideError>(|mut removal| removal.pin(&[pinned], None, "a hold")).unwrap();
        let options = ForgetOptions::default();
        engine.removal::<_, ForgetError>(|mut removal| removal.forget(&[gone], &options)).unwrap();
        engine.removal::<_, GcError>(|mut removal| removal.gc("", &mut |_, _| ())).unwrap();
        contents.last_mut().unwrap().2 = false;
        drop(engine);
        let full = look(&folder.path().join("0"));
        assert_eq!(full.problem_count, 0, "{full:?}");
        Original { folder, contents }
    })
}

#[derive(Clone, Debug)]
enum Edit {
    Delete,
    /// The row once more, with another first key.
    Copy(Said),
    Set {
        column: usize,
        said: Said,
    },
}

/// What a column says instead.
#[derive(Clone, Copy, Debug)]
enum Said {
    Null,
    Number(i64),
    More(i64),
    Zeros,
    Nothing,
    /// What that other row says.
    Other(usize),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Null),
        prop_oneof![Just(0), Just(-1), Just(1), Just(5_000), Just(1 << 40), Just(i64::MAX), Just(i64::MIN)]
            .prop_map(Said::Number),
        prop_oneof![Just(1), Just(-1), Just(1 << 20)].prop_map(Said::More),
        Just(Said::Zeros),
        Just(Said::Nothing),
        any::<usize>().prop_map(Said::Other),
    ]
}

fn edit() -> impl Strategy<Value = (&'static str, usize, Edit)> {
    let table = proptest::sample::select(
        TABLES.iter().flat_map(|(table, weight)| (0..*weight).map(|_| *table)).collect::<Vec<_>>(),
    );
    let edit = prop_oneof![
        1 => Just(Edit::Delete),
        2 => said().prop_map(Edit::Copy),
        4 => (any::<usize>(), said()).prop_map(|(column, said)| Edit::Set { column, said }),
    ];
    (table, any::<usize>(), edit)
}

/// Does it; nothing where the table has no row, or cannot hold that.
fn apply(path: &Path, table: &str, row: usize, edit: &Edit) {
    let connection = Connection::open(path.join("pakit.db")).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    let mut select = connection.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid").unwrap();
    let columns = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let columns: Vec<(String, i64)> = columns.collect::<Result<_, _>>().unwrap();
    let mut select = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let read = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|column| row.get(column)).collect();
    let rows: Vec<Vec<Value>> = select.query_map((), read).unwrap().collect::<Result<_, _>>().unwrap();
    drop(select);
    if rows.is_empty() {
        return;
    }
    let at = row % rows.len();
    let say = |column: usize, said: Said| match (said, &rows[at][column]) {
        (Said::Number(number), _) => Value::Integer(number),
        (Said::More(more), Value::Integer(number)) => Value::Integer(number.wrapping_add(more)),
        (Said::Zeros, Value::Blob(bytes)) => Value::Blob(vec![0; bytes.len()]),
        (Said::Zeros, Value::Text(text)) => Value::Text("0".repeat(text.len())),
        (Said::Nothing, Value::Blob(_)) => Value::Blob(Vec::new()),
        (Said::Nothing, Value::Text(_)) => Value::Text(String::new()),
        (Said::Other(other), _) => rows[other % rows.len()][column].clone(),
        _ => Value::Null,
    };
    let is_it: Vec<String> =
        columns.iter().filter(|(_, key)| *key > 0).map(|(name, _)| format!("\"{name}\" IS ?")).collect();
    let is_it = is_it.join(" AND ");
    let keys = columns.iter().zip(&rows[at]).filter(|((_, key), _)| *key > 0).map(|(_, value)| value.clone());
    // What a strict table refuses was not done.
    let _ = match edit {
        Edit::Delete => connection.execute(&format!("DELETE FROM {table} WHERE {is_it}"), params_from_iter(keys)),
        Edit::Set { column, said } => {
            let column = column % columns.len();
            let name = &columns[column].0;
            let sql = format!("UPDATE OR IGNORE {table} SET \"{name}\" = ? WHERE {is_it}");
            connection.execute(&sql, params_from_iter([say(column, *said)].into_iter().chain(keys)))
        }
        Edit::Copy(said) => {
            let key = columns.iter().position(|(_, key)| *key == 1).unwrap();
            let mut copy = rows[at].clone();
            copy[key] = say(key, *said);
            let places = vec!["?"; columns.len()].join(", ");
            connection.execute(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"), params_from_iter(copy))
        }
    };
}

fn look(path: &Path) -> CheckReport {
    let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    check(engine.backend().as_ref(), Depth::Full, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// No wrong byte is served; how many contents are not served at all though they are kept.
fn refused(path: &Path, original: &Original) -> usize {
    let Ok(engine) = StorageEngine::open(path, Access::Read, &Overrides::default()) else {
        return original.contents.len();
    };
    let is_refused = |(block, content, is_kept): &&(BlockHash, Vec<u8>, bool)| match engine.retrieve(block) {
        Ok(got) => {
            assert!(*got == **content, "wrong bytes of {block}");
            false
        }
        Err(_) => *is_kept,
    };
    original.contents.iter().filter(is_refused).count()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(fs::copy(entry.path(), target).is_ok()),
        }
    }
}

fn try_out(table: &str, row: usize, edit: &Edit) -> Result<(), TestCaseError> {
    let original = original();
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("0");
    copy(&original.folder.path().join("0"), path);
    apply(path, table, row, edit);
    let start = Instant::now();
    refused(path, original);
    let opened = StorageEngine::open(path, Access::Read, &Overrides::default());
    let is_sound = opened.is_ok_and(|engine| {
        check(engine.backend().as_ref(), Depth::Full, &mut |_, _| ControlFlow::Continue(()))
            .is_ok_and(|report| report.is_sound())
    });
    let report = repair(path, &Config::default().database_options(), &mut |_, _| ());
    prop_assert!(report.is_ok(), "it cannot be repaired: {report:?}");
    let report = report.unwrap();
    let full = look(path);
    let lost = refused(path, original);
    if report.is_whole() {
        prop_assert_eq!((lost, &full.problems), (0, &vec![]), "called whole: {:?}", report);
        let flags = Overrides { fsync: Some("off".into()), ..Overrides::default() };
        let engine = StorageEngine::open(path, Access::Write, &flags).unwrap();
        for number in 0..24u64 {
            engine.store(Cursor::new(number.to_le_bytes()), None).unwrap();
        }
        drop(engine);
        let later = look(path);
        prop_assert_eq!(&later.problems, &vec![], "after a put; {:?}", report);
    } else {
        prop_assert!(!is_sound || !report.settings_lost.is_empty(), "a check found nothing: {report:?}");
        prop_assert!(report.remaining_count > 0 || full.is_sound(), "{:?}, {report:?}", full.problems);
    }
    prop_assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    Ok(())
}

#[test]
fn a_row_changed_by_hand_never_makes_a_repair_call_whole_what_is_not() {
    let mut runner = TestRunner::default();
    let edits = edit();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut failed = Vec::new();
    for _ in 0..cases {
        let (table, row, edit) = edits.new_tree(&mut runner).unwrap().current();
        let tried = catch_unwind(|| try_out(table, row, &edit));
        let what = match tried {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a panic, or wrong bytes".to_owned(),
        };
        failed.push(format!("{table}, row {row}, {edit:?}: {what}"));
    }
    assert!(failed.is_empty(), "{} of {cases}:\n{}", failed.len(), failed.join("\n"));
}
