//! JSON as proof documents need it: every number an integer, every key unique, at any depth and under unknown keys too.
//!
//! Written out here because a lenient reader and a strict one can be shown two documents in the same bytes, and because what
//! `serde_json` makes of a number depends on features that any other crate of a build may switch on.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

/// Deepest nesting of arrays and objects. A document itself has three levels; the rest is for keys unknown here.
pub(super) const NESTING_MAX: usize = 64;

/// Longest number: the digits of 2^64 - 1.
const NUMBER_BYTES_MAX: usize = 20;

/// Most characters of a document that an error repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// Why bytes are not JSON, or not of the strict kind.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where.
        offset: usize,
    },
    /// Not JSON.
    #[error("not JSON at byte {offset}")]
    Syntax {
        /// Where.
        offset: usize,
    },
    /// A value and then something else.
    #[error("bytes follow the JSON value at byte {offset}")]
    TrailingBytes {
        /// Where.
        offset: usize,
    },
    /// Arrays and objects nested too deeply.
    #[error("nested deeper than {NESTING_MAX} levels at byte {offset}")]
    TooDeep {
        /// Where.
        offset: usize,
    },
    /// A key that occurs twice in one object.
    #[error("the key {key:?} occurs twice")]
    DuplicateKey {
        /// The key, cut if it is long.
        key: String,
    },
    /// A number with a fraction, an exponent or a negative zero.
    #[error("not an integer at byte {offset}")]
    NotAnInteger {
        /// Where.
        offset: usize,
    },
    /// A number with more digits than any number of a document.
    #[error("a number with more than {NUMBER_BYTES_MAX} digits at byte {offset}")]
    NumberTooLong {
        /// Where.
        offset: usize,
    },
}

/// A JSON value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// Within 20 characters, hence within this type.
    Integer(i128),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// The beginning of a text that an error repeats.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

/// Reads one value that fills `bytes`. The caller bounds their number; time and memory are linear in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let text = str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at == text.len() { Ok(value) } else { Err(JsonError::TrailingBytes { offset: parser.at }) }
}

struct Parser<'a> {
    text: &'a str,
    /// Always at the boundary of a character: it only moves past ASCII bytes, or whole runs of a string.
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn syntax(&self) -> JsonError {
        JsonError::Syntax { offset: self.at }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Moves past `byte` if it is next.
    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.accept(byte) { Ok(()) } else { Err(self.syntax()) }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == NESTING_MAX => Err(JsonError::TooDeep { offset: self.at }),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.integer().map(Json::Integer),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.syntax()),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.expect(b'{')?;
        let mut members = BTreeMap::new();
        self.skip_space();
        if self.accept(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            if members.contains_key(&key) {
                return Err(JsonError::DuplicateKey { key: shortened(&key) });
            }
            let value = self.value(depth)?;
            members.insert(key, value);
            self.skip_space();
            if self.accept(b'}') {
                return Ok(Json::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        self.skip_space();
        if self.accept(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            if self.accept(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn integer(&mut self) -> Result<i128, JsonError> {
        let offset = self.at;
        let is_negative = self.accept(b'-');
        let first_digit = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let has_leading_zero = self.text.as_bytes().get(first_digit) == Some(&b'0');
        match self.at - first_digit {
            0 => return Err(self.syntax()),
            digits if has_leading_zero && digits > 1 => return Err(JsonError::Syntax { offset }),
            _ => {}
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) || (is_negative && has_leading_zero) {
            return Err(JsonError::NotAnInteger { offset });
        }
        if self.at - offset > NUMBER_BYTES_MAX {
            return Err(JsonError::NumberTooLong { offset });
        }
        // 20 characters fit into an i128, and they are a sign and digits.
        self.text.get(offset..self.at).and_then(|digits| digits.parse().ok()).ok_or(JsonError::NotAnInteger { offset })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let run = self.rest().bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            out.push_str(self.text.get(self.at..self.at + run).unwrap_or_default());
            self.at += run;
            if self.accept(b'"') {
                return Ok(out);
            }
            self.expect(b'\\')?;
            out.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, JsonError> {
        let escaped = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.escaped_utf16(),
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// One character as `uXXXX`, or as two such halves of a surrogate pair. A lone half is no character and is refused.
    fn escaped_utf16(&mut self) -> Result<char, JsonError> {
        let offset = self.at;
        let first = self.utf16_unit()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            units.push(self.utf16_unit()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(JsonError::Syntax { offset }),
        }
    }

    fn utf16_unit(&mut self) -> Result<u16, JsonError> {
        self.expect(b'u')?;
        let digits = self.rest().get(..4).ok_or(self.syntax())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(self.syntax());
        }
        let unit = u16::from_str_radix(digits, 16).map_err(|_| self.syntax())?;
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn offset(error: &JsonError) -> Option<usize> {
        match error {
            JsonError::Syntax { offset } => Some(*offset),
            _ => None,
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let read =
            parse(br#" { "a" : [ ] , "b":[1,-2, 18446744073709551615], "c":{},"d":null,"e":true,"f":false} "#).unwrap();
        let expected = [
            ("a", Json::Array(vec![])),
            ("b", Json::Array([1, -2, u64::MAX.into()].into_iter().map(Json::Integer).collect())),
            ("c", Json::Object(BTreeMap::new())),
            ("d", Json::Null),
            ("e", Json::Bool(true)),
            ("f", Json::Bool(false)),
        ];
        assert_eq!(read, Json::Object(expected.map(|(key, value)| (key.to_string(), value)).into()));
    }

    #[test]
    fn escapes_are_read_and_lone_halves_of_a_pair_refused() {
        let read = parse(br#""\"\\\/\b\f\n\r\t\u0041\u00e9\uD83D\uDE00 \u0000""#).unwrap();
        assert_eq!(read, Json::Text("\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1f600} \0".into()));
        for broken in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\ud83dx""#, r#""\u00g0""#, r#""\u+041""#]
        {
            assert!(offset(&parse(broken.as_bytes()).unwrap_err()).is_some(), "{broken}");
        }
    }

    #[test]
    fn a_key_written_differently_is_the_same_key() {
        assert_eq!(parse(br#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateKey { key: "a".into() }));
        assert_eq!(parse(br#"[{"x":{"a":1,"a":1}}]"#), Err(JsonError::DuplicateKey { key: "a".into() }));
        assert!(parse(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn only_integers_are_numbers() {
        for (number, is_integer) in
            [("0", true), ("-1", true), ("-0", false), ("1.0", false), ("1e3", false), ("0E0", false)]
        {
            assert_eq!(parse(number.as_bytes()).is_ok(), is_integer, "{number}");
            if !is_integer {
                assert_eq!(parse(number.as_bytes()), Err(JsonError::NotAnInteger { offset: 0 }), "{number}");
            }
        }
        assert_eq!(parse(b"99999999999999999999"), Ok(Json::Integer(99_999_999_999_999_999_999)));
        assert_eq!(parse(b"100000000000000000000"), Err(JsonError::NumberTooLong { offset: 0 }));
        for broken in ["01", "-", "+1", "-a", "NaN", "Infinity", "-Infinity", ".5"] {
            assert!(offset(&parse(broken.as_bytes()).unwrap_err()).is_some(), "{broken}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for broken in [
            "",
            " ",
            "{",
            "[",
            "\"",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[,]",
            "[1 2]",
            "{a:1}",
            "'a'",
            "tru",
            "nul",
            "\"\n\"",
            "\"\\x\"",
            "// x\n1",
            "\u{feff}{}",
        ] {
            assert!(offset(&parse(broken.as_bytes()).unwrap_err()).is_some(), "{broken}");
        }
        assert_eq!(parse(b"{} {}"), Err(JsonError::TrailingBytes { offset: 3 }));
        assert_eq!(parse(b"\"\xff\""), Err(JsonError::NotUtf8 { offset: 1 }));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(NESTING_MAX).as_bytes()).is_ok());
        let offset = NESTING_MAX;
        assert_eq!(parse(nested(NESTING_MAX + 1).as_bytes()), Err(JsonError::TooDeep { offset }));
        assert_eq!(parse("[".repeat(1 << 20).as_bytes()), Err(JsonError::TooDeep { offset }));
    }

    #[test]
    fn an_error_repeats_only_the_beginning_of_a_long_key() {
        let key = "é".repeat(1000);
        let error = parse(format!("{{\"{key}\":1,\"{key}\":1}}").as_bytes()).unwrap_err();
        assert_eq!(error, JsonError::DuplicateKey { key: "é".repeat(QUOTED_CHARS_MAX) });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn text_that_looks_like_json_is_read_as_serde_json_reads_it(text in r#"[\[\]{}",:0-9a\\u -]{0,24}"#) {
            // A stricter reader: whatever it accepts, serde_json accepts with the same meaning.
            if let Ok(read) = parse(text.as_bytes()) {
                let other: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert!(is_same(&read, &other), "{read:?} and {other:?}");
            }
        }
    }

    fn is_same(ours: &Json, other: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (ours, other) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            // A number beyond 64 bits is a float there.
            (Json::Integer(a), Value::Number(b)) => b.as_i128().is_none_or(|b| *a == b),
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
            }
            _ => false,
        }
    }
}
