//! Consistency proofs: a later log begins with all of an earlier one (RFC 9162, section 2.1.4).

use super::{Head, LogError, Subtree, check_len, check_size, hash_node, inclusion::sibling_sides};
use crate::hasher::{Digest, Hasher};
use alloc::vec::Vec;

/// Hashes in the consistency proof from `old_size` to `new_size`; `None` unless 1 <= old <= new.
pub fn consistency_path_len(old_size: u64, new_size: u64) -> Option<usize> {
    if old_size == 0 || old_size > new_size {
        return None;
    }
    if old_size == new_size {
        return Some(0);
    }
    let shape = Shape::of(old_size, new_size);
    Some(usize::from(!shape.old_is_complete) + shape.inner + shape.border)
}

/// The subtrees whose hashes are the consistency proof, in the RFC's order.
pub fn consistency_subtrees(old_size: u64, new_size: u64) -> Result<Vec<Subtree>, LogError> {
    check_sizes(old_size, new_size)?;
    let mut path = Vec::new();
    let mut around = Subtree { start: 0, end: new_size };
    // SUBPROOF of RFC 9162: whether the subtree reached is one whose hash the verifier has, being the whole old log.
    let mut is_old_log = true;
    while around.end != old_size {
        let Some((left, right)) = around.halves() else { break };
        if old_size <= left.end {
            path.push(right);
            around = left;
        } else {
            path.push(left);
            around = right;
            is_old_log = false;
        }
    }
    if !is_old_log {
        path.push(around);
    }
    path.reverse();
    Ok(path)
}

/// Verifies that the log at `new` begins with all leaves of the log at `old`. At most 96 hashes.
///
/// [`LogError::NotAppendOnly`] and [`LogError::NewRootMismatch`] both mean that no such thing was shown; only where the
/// earlier size is no power of two does the difference tell a rewritten log from a proof that belongs to another head.
///
/// Equal sizes are consistent with an empty path if the roots are equal. Whether a log may stand still is for the caller.
pub fn verify_consistency<H: Hasher>(old: &Head, new: &Head, path: &[Digest]) -> Result<(), LogError> {
    check_sizes(old.size, new.size)?;
    check_len(consistency_path_len(old.size, new.size).unwrap_or(usize::MAX), path.len())?;
    if old.size == new.size {
        return if old.root == new.root { Ok(()) } else { Err(LogError::NotAppendOnly) };
    }
    let shape = Shape::of(old.size, new.size);
    let (seed, rest) = match path.split_first() {
        Some((first, rest)) if !shape.old_is_complete => (*first, rest),
        _ => (old.root.to_bytes(), path),
    };
    let (mut old_node, mut new_node) = (seed, seed);
    for (step, sibling) in rest.iter().enumerate() {
        // Left siblings belong to both logs, right ones only to the later log.
        if shape.is_left(step) {
            old_node = hash_node::<H>(sibling, &old_node);
            new_node = hash_node::<H>(sibling, &new_node);
        } else {
            new_node = hash_node::<H>(&new_node, sibling);
        }
    }
    if old_node != *old.root.as_bytes() {
        Err(LogError::NotAppendOnly)
    } else if new_node != *new.root.as_bytes() {
        Err(LogError::NewRootMismatch)
    } else {
        Ok(())
    }
}

fn check_sizes(old_size: u64, new_size: u64) -> Result<(), LogError> {
    check_size(old_size)?;
    check_size(new_size)?;
    if old_size <= new_size { Ok(()) } else { Err(LogError::SizeShrinks) }
}

/// A consistency proof is the audit path, in the later log, of the largest complete subtree that ends the earlier one,
/// preceded by that subtree's own hash unless it is the whole earlier log, whose root the verifier has.
struct Shape {
    /// Bits of the last old leaf's index, from the level of the starting subtree up.
    bits: u64,
    inner: usize,
    border: usize,
    old_is_complete: bool,
}

impl Shape {
    /// For 1 <= old < new.
    fn of(old_size: u64, new_size: u64) -> Self {
        let level = old_size.trailing_zeros();
        let sides = sibling_sides(old_size.wrapping_sub(1), new_size);
        Self {
            bits: old_size.wrapping_sub(1) >> level,
            // The last old leaf and the first new one part above `level`, so this does not saturate.
            inner: sides.inner.saturating_sub(level as usize),
            border: sides.border,
            old_is_complete: old_size.is_power_of_two(),
        }
    }

    fn is_left(&self, step: usize) -> bool {
        step >= self.inner || (self.bits >> step) & 1 == 1
    }
}
