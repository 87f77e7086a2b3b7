//! Which anchored heads a chain keeps: dense of late, sparse in the past.
//!
//! Anchors are numbered 1, 2, ... Anchor `j` is kept while `k - j < 16 x 2^tz(j)`, where `k` is the latest anchor and `tz`
//! the number of trailing zero bits. So each new anchor ends the keeping of at most one earlier anchor, known without a
//! read, and a million anchors leave about 150.

use alloc::vec::Vec;

/// Anchors with an odd number are kept for this many anchors; each trailing zero bit of the number doubles it.
pub const KEPT_SPAN: u64 = 16;

/// Whether anchor `anchor` is kept when `latest` is the newest one.
pub fn is_kept(anchor: u64, latest: u64) -> bool {
    if anchor == 0 || anchor > latest {
        return false;
    }
    // 2^59 x 16 is the widest span that a u64 holds; wider ones are never reached.
    let span = KEPT_SPAN.checked_shl(anchor.trailing_zeros()).filter(|span| *span >= KEPT_SPAN).unwrap_or(u64::MAX);
    latest - anchor < span
}

/// The one anchor that stops being kept when anchor `latest` is made, if there is one.
///
/// Anchor `j` with tz(j) = t leaves when `latest = j + 16 x 2^t`. Then `latest / 2^t` is an odd number plus 16, so tz(latest)
/// is t as well, and `j` follows from `latest` alone.
pub fn dropped_by(latest: u64) -> Option<u64> {
    if latest == 0 {
        return None;
    }
    let span = KEPT_SPAN.checked_shl(latest.trailing_zeros()).filter(|span| *span >= KEPT_SPAN)?;
    latest.checked_sub(span).filter(|anchor| *anchor > 0)
}

/// The anchors kept when `latest` is the newest, in ascending order. O(log² latest) of them; the walk takes one step each.
pub fn kept(latest: u64) -> impl DoubleEndedIterator<Item = u64> {
    let mut anchors = Vec::new();
    // For each t, the kept anchors with t trailing zeros are the odd multiples of 2^t among the newest 16 x 2^t.
    for t in 0..u64::BITS - latest.leading_zeros() {
        let newest = latest >> t;
        let mut odd = Some(if newest & 1 == 1 { newest } else { newest - 1 });
        while let Some(anchor) = odd.map(|odd| odd << t).filter(|anchor| is_kept(*anchor, latest)) {
            anchors.push(anchor);
            odd = (anchor >> t).checked_sub(2);
        }
    }
    anchors.sort_unstable();
    anchors.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn dropping_one_anchor_each_time_keeps_exactly_the_kept() {
        let mut live = BTreeSet::new();
        for latest in 1..=5_000u64 {
            live.insert(latest);
            if let Some(dropped) = dropped_by(latest) {
                assert!(live.remove(&dropped), "anchor {latest} drops {dropped}, which was not kept");
            }
            let by_rule: Vec<u64> = (1..=latest).filter(|anchor| is_kept(*anchor, latest)).collect();
            assert!(live.iter().copied().eq(by_rule.iter().copied()), "after anchor {latest}");
            assert!(kept(latest).eq(by_rule), "listed after anchor {latest}");
        }
    }

    #[test]
    fn a_million_anchors_keep_about_150() {
        assert_eq!(kept(1_000_000).count(), (1..=1_000_000u64).filter(|j| is_kept(*j, 1_000_000)).count());
        assert!((130..=170).contains(&kept(1_000_000).count()), "{}", kept(1_000_000).count());
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        assert!(!is_kept(0, 0) && !is_kept(5, 4));
        assert_eq!(dropped_by(0), None);
        assert!(is_kept(1 << 63, u64::MAX));
        for latest in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
            assert!(is_kept(latest, latest));
            assert!(dropped_by(latest).is_none_or(|dropped| dropped < latest));
            assert!(kept(latest).count() < 1_100);
        }
    }
}
