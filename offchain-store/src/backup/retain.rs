//! Which snapshots are kept.
//!
//! A log is only appended to, and a snapshot shares its segments with all snapshots of its series: dropping one frees its
//! manifest and little else, and loses the moment at which it was taken, not the blocks. What frees room is dropping the
//! last snapshot of a whole series, after a full backup has begun another.

use super::{FolderError, Snapshot, folder::Folder, manifest::SnapshotManifest, survey::check_presence};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

/// How many snapshots are kept. One that any of them asks for is kept; the newest always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// The last ones.
    pub last: u32,
    /// The last of each of so many days that have one.
    pub daily: u32,
    /// The last of each of so many weeks, which begin on Monday.
    pub weekly: u32,
    /// The last of each of so many months.
    pub monthly: u32,
}

impl Keep {
    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was dropped, or would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pruned {
    /// Snapshots that stay, the oldest first.
    pub kept: Vec<Snapshot>,
    /// Snapshots that go.
    pub dropped: Vec<Snapshot>,
    /// Segments that go with them.
    pub segments: u64,
    /// Bytes of the files that go.
    pub bytes: u64,
}

/// Drops the snapshots that `keep` does not ask for, then the files that no snapshot names any more. Days, weeks and months
/// are those of `zone`. With `is_dry_run` it only says what it would do.
pub fn prune(dir: &Path, keep: &Keep, zone: &TimeZone, is_dry_run: bool) -> Result<Pruned, FolderError> {
    let folder = if is_dry_run { Folder::open(dir)? } else { Folder::open_locked(dir)? };
    let manifests = folder.manifests()?;
    let chosen = choose(&manifests, keep, zone);
    let (kept, dropped): (Vec<_>, Vec<_>) =
        manifests.into_iter().partition(|manifest| chosen.contains(&manifest.number));
    // A manifest that names what is not there does not say what may go.
    kept.iter().try_for_each(|manifest| check_presence(&folder, manifest))?;
    let mut pruned = Pruned {
        kept: kept.iter().map(Snapshot::from).collect(),
        dropped: dropped.iter().map(Snapshot::from).collect(),
        segments: 0,
        bytes: 0,
    };
    // Manifests first: a snapshot whose segments are partly gone must not be there to be chosen.
    for manifest in &dropped {
        drop_file(&folder, &folder.snapshot(manifest.number), is_dry_run, &mut pruned)?;
    }
    if !is_dry_run {
        folder.sync()?;
    }
    let newest = kept.iter().map(|manifest| manifest.last_segment).max().unwrap_or(0);
    for number in folder.segments()? {
        let is_named = |manifest: &SnapshotManifest| (manifest.first_segment..=manifest.last_segment).contains(&number);
        // What lies behind all snapshots belongs to a backup that was killed, which the next one goes on with.
        if number <= newest && !kept.iter().any(is_named) {
            drop_file(&folder, &folder.segment(number), is_dry_run, &mut pruned)?;
            pruned.segments += 1;
        }
    }
    let absent: HashSet<u64> =
        kept.iter().filter_map(|manifest| manifest.absent.as_ref()).map(|a| a.snapshot).collect();
    for number in folder.absent_files()?.into_iter().filter(|number| !absent.contains(number)) {
        drop_file(&folder, &folder.absent(number), is_dry_run, &mut pruned)?;
    }
    if !is_dry_run {
        folder.sync()?;
    }
    Ok(pruned)
}

fn drop_file(folder: &Folder, path: &Path, is_dry_run: bool, pruned: &mut Pruned) -> Result<(), FolderError> {
    pruned.bytes += std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if is_dry_run { Ok(()) } else { folder.remove(path) }
}

/// Numbers of the snapshots that stay.
fn choose(manifests: &[SnapshotManifest], keep: &Keep, zone: &TimeZone) -> BTreeSet<u64> {
    let newest_first = || manifests.iter().rev().map(|manifest| (manifest.number, at(manifest.time_ms, zone)));
    let mut chosen: BTreeSet<u64> = newest_first().take(keep.last.max(1) as usize).map(|(number, _)| number).collect();
    let mut by = |count: u32, period: &dyn Fn(&Zoned) -> (i16, i16)| {
        let mut seen: Vec<(i16, i16)> = Vec::new();
        for (number, time) in newest_first() {
            let period = period(&time);
            if seen.len() < count as usize && !seen.contains(&period) {
                seen.push(period);
                chosen.insert(number);
            }
        }
    };
    by(keep.daily, &|time| (time.year(), time.day_of_year()));
    by(keep.weekly, &|time| {
        let week = time.date().iso_week_date();
        (week.year(), week.week().into())
    });
    by(keep.monthly, &|time| (time.year(), time.month().into()));
    chosen
}

/// Times that no calendar has count as the earliest.
fn at(time_ms: u64, zone: &TimeZone) -> Zoned {
    let timestamp = i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}
