//! How numbers, hashes and parents stand in rows.

use super::fault::{Fault, Result};
use crate::{
    backend::Hop,
    pack::{Place, Stored},
};
use pakit_primitives::Compression;
use rusqlite::Row;

/// A number below 2^63 as SQLite's signed one. Greater ones only come from callers who ask for what cannot be there, and
/// find nothing at 2^63 - 1 either.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count of rows as a LIMIT.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that was stored with [`int`].
pub(super) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// All 64 bits.
pub(super) fn from_bits(value: u64) -> i64 {
    value.cast_signed()
}

/// All 64 bits.
pub(super) fn to_bits(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// A time so that signed numbers are in the order of unsigned times.
pub(super) fn time_key(timestamp_ms: u64) -> i64 {
    (timestamp_ms ^ 1 << 63).cast_signed()
}

/// Back from [`time_key`].
pub(super) fn from_time_key(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    to_bits(row, column).map(|bits| bits ^ 1 << 63)
}

/// Distances to the parents from the nearest on, each from the one before, as LEB128.
pub(super) fn encode_parents(leaf_index: u64, parents: impl DoubleEndedIterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    let mut from = leaf_index;
    for parent in parents.rev() {
        let mut distance = from - parent;
        while distance >= 0x80 {
            bytes.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        bytes.push(distance as u8);
        from = parent;
    }
    bytes
}

/// Leaf indices of the parents, ascending.
pub(super) fn decode_parents(leaf_index: u64, mut bytes: &[u8]) -> Result<Vec<u64>> {
    let damaged = || Fault::damaged(format!("the parents of block {leaf_index} cannot be read"));
    let mut parents = Vec::new();
    let mut from = leaf_index;
    while !bytes.is_empty() {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).ok_or_else(damaged)? + 1;
        let (digits, rest) = bytes.split_at_checked(length).filter(|_| length <= 7).ok_or_else(damaged)?;
        // 7 digits of 7 bits: below 2^49, as all distances are.
        let distance = digits.iter().rev().fold(0u64, |distance, digit| distance << 7 | u64::from(digit & 0x7f));
        from = from.checked_sub(distance).filter(|_| distance > 0).ok_or_else(damaged)?;
        parents.push(from);
        bytes = rest;
    }
    parents.reverse();
    Ok(parents)
}

/// What is added to a compression's code where a chunk's row holds its place in a pack.
pub(super) const PACKED: u8 = 16;

/// How a chunk's stored bytes are compressed, whether they stand in its row or not.
pub(super) fn compression_of(code: u8) -> Option<Compression> {
    Compression::from_code(code & !PACKED)
}

/// What a chunk's row says of its stored bytes.
pub(super) fn stored_of(code: u8, bytes: Vec<u8>) -> Option<Stored> {
    match code & PACKED {
        0 => Some(Stored::Here(bytes)),
        _ => Place::from_bytes(&bytes).map(Stored::Packed),
    }
}

/// The first step of a way to genesis, from a block with these parents.
pub(super) fn encode_way(hop: Option<Hop>, parents: impl Iterator<Item = u64>) -> u64 {
    let Some(Hop { steps, parent }) = hop else { return 0 };
    let place = parents.take_while(|other| *other != parent).count() as u64;
    u64::from(steps) << WAY_PLACE_BITS | place
}

/// Back from [`encode_way`]; `None` for genesis.
pub(super) fn decode_way(leaf_index: u64, way: u64, parents: &[u64]) -> Result<Option<Hop>> {
    if way == 0 {
        return Ok(None);
    }
    let place = way & ((1 << WAY_PLACE_BITS) - 1);
    let found = parents.get(place as usize).copied().zip(u32::try_from(way >> WAY_PLACE_BITS).ok());
    let hop = found.map(|(parent, steps)| Hop { steps, parent });
    hop.map(Some).ok_or_else(|| Fault::damaged(format!("the way from block {leaf_index} to genesis cannot be read")))
}

/// Steps to genesis.
pub(super) fn steps_of_way(way: u64) -> u32 {
    u32::try_from(way >> WAY_PLACE_BITS).unwrap_or(u32::MAX)
}

/// Bits of a parent's place.
const WAY_PLACE_BITS: u32 = 3;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parents_come_back_in_order() {
        let last = (1 << 48) - 1;
        for (leaf_index, parents) in
            [(0, vec![]), (1, vec![0]), (300, vec![0, 1, 172, 299]), (last, vec![0, 127, 128, 1 << 40, last - 1])]
        {
            let bytes = encode_parents(leaf_index, parents.iter().copied());
            assert_eq!(decode_parents(leaf_index, &bytes).unwrap(), parents);
        }
        assert_eq!(encode_parents(300, [0, 299].into_iter()), [1, 0xab, 2]);
    }

    #[test]
    fn parents_that_cannot_be_are_damage() {
        for bytes in [&[0][..], &[0x80], &[6], &[1, 0], &[5, 1], &[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
            assert!(decode_parents(5, bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_order_of_time_keys_is_that_of_times() {
        let times = [0, 1, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX];
        assert!(times.windows(2).all(|pair| time_key(pair[0]) < time_key(pair[1])));
    }
}
