//! The token that lets a client put.

use super::problem::{Name, Problem};
use crate::anchor::{KeyError, read_secret_file};
use axum::http::{HeaderMap, HeaderValue, header};
use std::{fmt, path::Path};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Shortest token, in characters: 120 bits in base64.
pub const TOKEN_CHARS_MIN: usize = 20;
/// Longest token, in characters.
pub const TOKEN_CHARS_MAX: usize = 1_024;

/// Why there is no token. The token itself is in none of the texts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read, or others can read it.
    #[error("no token: {0}")]
    File(#[from] KeyError),
    /// Too short to be hard to guess, or too long.
    #[error("a token has from {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters; `openssl rand -hex 32` makes one")]
    WrongLength,
    /// A character that RFC 6750 does not have in tokens.
    #[error("a token is made of letters, digits and -._~+/=; `openssl rand -hex 32` makes one")]
    WrongCharacter,
}

/// What is kept of a token: enough to know it again.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    hash: [u8; 32],
}

impl Token {
    /// Reads the token in a file, or a pipe, that only its owner can read. A newline at the end does not count.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        Self::new(&read_secret_file(path)?)
    }

    /// Takes a token that was read otherwise.
    pub fn new(secret: &Zeroizing<String>) -> Result<Self, TokenError> {
        let secret = secret.trim();
        if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&secret.len()) {
            return Err(TokenError::WrongLength);
        }
        let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        match secret.bytes().all(is_of_tokens) {
            true => Ok(Self { hash: *blake3::hash(secret.as_bytes()).as_bytes() }),
            false => Err(TokenError::WrongCharacter),
        }
    }

    /// Refuses whoever does not have the token. Hashes are compared, in a time that does not depend on where they differ; none
    /// given, or none that is one, is compared like one that is wrong, and answered like it.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = blake3::hash(bearer(headers).unwrap_or_default());
        match bool::from(given.as_bytes().ct_eq(&self.hash)) {
            true => Ok(()),
            false => {
                let scheme = HeaderValue::from_static("Bearer realm=\"pakit\"");
                Err(Problem::new(Name::Unauthorized).with_header(header::WWW_AUTHENTICATE, scheme))
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What stands behind `Bearer` in the one header Authorization.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn token(secret: &str) -> Result<Token, TokenError> {
        Token::new(&Zeroizing::new(secret.to_owned()))
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_token_is_taken_and_nothing_else_with_one_answer_for_all() {
        let token = token(&format!("{SECRET}\n")).unwrap();
        for right in [format!("Bearer {SECRET}"), format!("bearer  {SECRET} ")] {
            assert!(token.check(&headers(&[&right])).is_ok(), "{right}");
        }
        let (right, shorter) = (format!("Bearer {SECRET}"), format!("Bearer {}", &SECRET[1..]));
        let longer = format!("{right}0");
        let wrong: [&[&str]; 8] =
            [&[], &[""], &["Bearer"], &["Bearer "], &[SECRET], &[&shorter], &[&longer], &[&right, &right]];
        let answers: Vec<_> = wrong
            .iter()
            .map(|values| {
                let problem = token.check(&headers(values)).unwrap_err();
                format!("{problem:?} {:?}", problem.to_json())
            })
            .collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }

    #[test]
    fn what_is_easily_guessed_or_cannot_be_sent_is_no_token_and_is_not_repeated() {
        for secret in
            ["", "short", "nineteen characters", "a token with spaces in it", "a-token-with-\u{fc}mlauts-in-it"]
        {
            let error = token(secret).unwrap_err().to_string();
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
        assert!(matches!(token(&"x".repeat(TOKEN_CHARS_MAX + 1)), Err(TokenError::WrongLength)));
        assert_eq!(format!("{:?}", token(SECRET).unwrap()), "Token(..)");
    }
}
