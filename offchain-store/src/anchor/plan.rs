//! What to sign next, and with which nonce: pure functions, like [`super::outbox`].

use pakit_primitives::Head;
use std::collections::BTreeSet;

/// An anchor that is signed and in no block of the best chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingAnchor {
    /// The head it anchors.
    pub head: Head,
    /// Size of the head that has to be the chain's latest when it is included.
    pub base_size: u64,
    /// Its nonce.
    pub nonce: u64,
}

/// What to sign next for a DAG.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnchorPlan {
    /// Nothing: what is signed leads to the target, or has to be settled first.
    Wait,
    /// Anchor the target.
    Extend {
        /// The chain's latest head once all that is pending is included.
        base: Head,
        /// Size of the target.
        size: u64,
        /// Nonce of the pending extrinsic that it builds on; the new one's has to be above it.
        after_nonce: Option<u64>,
    },
    /// Anchor an earlier head again, whose extrinsic expired while a later one that builds on it is still live.
    Restore {
        /// The chain's latest head.
        base: Head,
        /// Size of the head that is missing.
        size: u64,
        /// Nonce of the extrinsic that builds on it; the new one's has to be below it.
        before_nonce: u64,
    },
}

impl AnchorPlan {
    /// Whether what is planned comes at its place with this nonce: before what builds on it, and after what it builds on. Else one of
    /// them can only fail, or expire.
    pub fn fits_nonce(&self, nonce: u64) -> bool {
        match *self {
            Self::Wait => false,
            Self::Extend { after_nonce, .. } => after_nonce.is_none_or(|after| nonce > after),
            Self::Restore { before_nonce, .. } => nonce < before_nonce,
        }
    }
}

/// Plans for a chain whose latest head is `latest`, with `account_nonce` the signer's nonce at the same block. `pending` is
/// in the order of the nonces, which is the order in which a chain includes them.
pub fn plan_anchor(latest: Head, account_nonce: u64, pending: &[PendingAnchor], target: Head) -> AnchorPlan {
    let mut base = latest;
    for anchor in pending {
        if anchor.nonce < account_nonce {
            // Another extrinsic took its nonce. It can only expire, and nothing may be built on it.
            return AnchorPlan::Wait;
        }
        if anchor.base_size != base.size {
            return if anchor.base_size > base.size {
                AnchorPlan::Restore { base, size: anchor.base_size, before_nonce: anchor.nonce }
            } else {
                // The chain went past its base: it will be included and fail, or expire.
                AnchorPlan::Wait
            };
        }
        base = anchor.head;
    }
    let after_nonce = pending.last().map(|anchor| anchor.nonce);
    if base.size >= target.size {
        AnchorPlan::Wait
    } else {
        AnchorPlan::Extend { base, size: target.size, after_nonce }
    }
}

/// The nonce of the next extrinsic: the first one that is not used up in the best block (`account`), not taken in the
/// node's pool (`next`), and not that of a live row. So a nonce that an expired extrinsic left open is filled first,
/// without which all later ones would wait for ever.
pub fn allocate_nonce(account: u64, next: u64, live: &BTreeSet<u64>) -> u64 {
    let mut nonce = account.max(next);
    while live.contains(&nonce) {
        nonce = nonce.saturating_add(1);
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use pakit_primitives::LogRoot;

    fn head(size: u64) -> Head {
        Head { size, root: LogRoot::new([size as u8; 32]) }
    }

    fn pending(base_size: u64, size: u64, nonce: u64) -> PendingAnchor {
        PendingAnchor { head: head(size), base_size, nonce }
    }

    fn extend(base: Head, size: u64, after_nonce: Option<u64>) -> AnchorPlan {
        AnchorPlan::Extend { base, size, after_nonce }
    }

    #[test]
    fn the_first_anchor_extends_the_chains_head_and_the_next_ones_what_is_pending() {
        assert_eq!(plan_anchor(head(1), 0, &[], head(5)), extend(head(1), 5, None));
        let one = [pending(1, 5, 0)];
        assert_eq!(plan_anchor(head(1), 0, &one, head(5)), AnchorPlan::Wait);
        assert_eq!(plan_anchor(head(1), 0, &one, head(9)), extend(head(5), 9, Some(0)));
        let two = [pending(1, 5, 0), pending(5, 9, 1)];
        assert_eq!(plan_anchor(head(1), 0, &two, head(8)), AnchorPlan::Wait);
        assert_eq!(plan_anchor(head(1), 0, &two, head(12)), extend(head(9), 12, Some(1)));
    }

    #[test]
    fn an_expired_anchor_is_restored_before_what_builds_on_it() {
        let orphan = [pending(5, 9, 7)];
        let restore = AnchorPlan::Restore { base: head(1), size: 5, before_nonce: 7 };
        assert_eq!(plan_anchor(head(1), 6, &orphan, head(20)), restore);
        assert_eq!(plan_anchor(head(1), 6, &orphan, head(3)), restore);
        let mended = [pending(1, 5, 6), pending(5, 9, 7)];
        assert_eq!(plan_anchor(head(1), 6, &mended, head(20)), extend(head(9), 20, Some(7)));
    }

    #[test]
    fn an_anchor_takes_no_nonce_below_that_of_the_one_that_it_builds_on() {
        // Nonce 6 was left open by an anchor that expired, since somebody else's stands where it was to stand.
        let plan = plan_anchor(head(5), 6, &[pending(5, 9, 7)], head(20));
        assert_eq!([6, 7, 8].map(|nonce| plan.fits_nonce(nonce)), [false, false, true]);
        let restore = plan_anchor(head(1), 6, &[pending(5, 9, 7)], head(20));
        assert_eq!([6, 7, 8].map(|nonce| restore.fits_nonce(nonce)), [true, false, false]);
        assert!(plan_anchor(head(1), 0, &[], head(5)).fits_nonce(0));
    }

    #[test]
    fn nothing_is_built_on_an_anchor_that_can_no_longer_succeed() {
        // The chain is at 6 already, by another operator.
        assert_eq!(plan_anchor(head(6), 0, &[pending(5, 9, 3)], head(20)), AnchorPlan::Wait);
        // Nonce 3 is used up by something else.
        assert_eq!(plan_anchor(head(5), 4, &[pending(5, 9, 3)], head(20)), AnchorPlan::Wait);
    }

    #[test]
    fn a_nonce_that_was_left_open_is_filled_first() {
        let live = |nonces: &[u64]| nonces.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(allocate_nonce(4, 4, &live(&[])), 4);
        assert_eq!(allocate_nonce(4, 4, &live(&[4, 5])), 6);
        assert_eq!(allocate_nonce(4, 6, &live(&[4, 5])), 6);
        assert_eq!(allocate_nonce(4, 4, &live(&[5, 6])), 4);
        assert_eq!(allocate_nonce(4, 5, &live(&[6])), 5, "4 is in the pool, signed elsewhere");
        assert_eq!(allocate_nonce(9, 4, &live(&[5])), 9);
        assert_eq!(allocate_nonce(u64::MAX, 0, &live(&[])), u64::MAX);
    }
}
