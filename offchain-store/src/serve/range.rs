//! The header Range of RFC 9110, section 14: one range of bytes.

use std::ops::Range;

/// What a request wants of a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// All of it: there is no range, or one that RFC 9110 lets a server ignore, such as several at once or another unit.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the content does not have.
    Nothing,
}

/// Reads the header's value for a content of `size` bytes.
pub(super) fn wanted(value: &[u8], size: u64) -> Wanted {
    let Some(spec) = std::str::from_utf8(value).ok().and_then(byte_spec) else { return Wanted::Whole };
    let range = match spec {
        Spec::From(first) => first..size,
        // An end beyond the content means its end.
        Spec::FromTo(first, last) if first <= last => first..last.saturating_add(1).min(size),
        Spec::FromTo(..) => return Wanted::Whole,
        Spec::Last(count) => size.saturating_sub(count)..size,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing }
}

enum Spec {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

/// The one range of `bytes=...`, if it is one.
fn byte_spec(value: &str) -> Option<Spec> {
    let (unit, ranges) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    match (first, last) {
        ("", last) => Some(Spec::Last(number(last)?)),
        (first, "") => Some(Spec::From(number(first)?)),
        (first, last) => Some(Spec::FromTo(number(first)?, number(last)?)),
    }
}

/// Digits only, where `parse` would take a sign. A number beyond 64 bits is beyond any content.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let cases: [(&str, Wanted); 14] = [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("Bytes=9-99", Wanted::Part(9..10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(wanted(value.as_bytes(), 10), expected, "{value}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted(b"bytes=\xff-", 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_lies_within_the_content(value in proptest::collection::vec(any::<u8>(), 0..24), size: u64) {
            let mut header = b"bytes=".to_vec();
            header.extend_from_slice(&value);
            for value in [value, header] {
                if let Wanted::Part(range) = wanted(&value, size) {
                    prop_assert!(range.start < range.end && range.end <= size);
                }
            }
        }

        #[test]
        fn first_and_last_byte_are_both_included(size in 1..u64::MAX, first: u64, last: u64) {
            let expected = match first {
                _ if first > last => Wanted::Whole,
                _ if first >= size => Wanted::Nothing,
                _ => Wanted::Part(first..last.min(size - 1) + 1),
            };
            prop_assert_eq!(wanted(format!("bytes={first}-{last}").as_bytes(), size), expected);
        }
    }
}
