//! Answers to possession challenges: each is searched for once, however often it is asked for.
//!
//! ```text
//!  asked ──► found before, its content still kept? ──► answered
//!              └─► being searched for? ──► waits for that
//!                    └─► a blocking thread reads the content to its end, whoever waits ──► found
//! ```
//!
//! To find an answer is to read the whole of a content, and that may take longer than an off-chain worker waits. Were the search
//! given up with its question, each question would begin anew beside those that still read, and a stake be slashed for a content
//! that is all there. So a search goes on when nobody waits any more, and whoever asks again has what it found.

use super::{
    Shared,
    problem::{Name, Problem},
};
use crate::challenge;
use axum::body::Bytes;
use codec::Encode;
use pakit_primitives::{ContentHash, Header};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::spawn_blocking,
    time::timeout,
};

/// Contents that are read at once.
const SEARCHES_MAX: usize = 4;
/// Answers that are remembered, of about 5 KiB at most: those of some rounds.
const FOUND_MAX: usize = 64;

/// Which slice is to be shown: the one at `position` among all of the log's first `size` blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Challenge {
    pub(super) size: u64,
    pub(super) position: u64,
}

#[derive(Clone)]
struct Found {
    challenge: Challenge,
    content_hash: ContentHash,
    /// In SCALE.
    bytes: Bytes,
}

/// What is known of answers.
pub(super) struct Answers {
    places: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Under way. A receiver's sender goes when the search has ended.
    searches: Vec<(Challenge, watch::Receiver<()>)>,
    /// The newest last.
    found: VecDeque<Found>,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(SEARCHES_MAX)), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing is half done in it whenever it is locked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer in SCALE, waited for as long as an answer may take.
pub(super) async fn answer(shared: &Arc<Shared>, challenge: Challenge) -> Result<Bytes, Problem> {
    match timeout(shared.options.limits.answer_time, find(shared, challenge)).await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::new(Name::TooSlow)),
    }
}

async fn find(shared: &Arc<Shared>, challenge: Challenge) -> Result<Bytes, Problem> {
    loop {
        let (found, search) = shared.answers.known().of(challenge);
        if let Some(Found { content_hash, bytes, .. }) = found {
            // Removed since, it is not shown any more, by whomever it was removed.
            let kept =
                move |shared: &Shared| Ok(shared.engine.backend().payload(&content_hash)?.is_some_and(|it| it.is_kept));
            if shared.ask(kept).await? {
                return Ok(bytes);
            }
            shared.answers.known().found.retain(|found| found.challenge != challenge);
        }
        match search {
            Some(mut search) => while search.changed().await.is_ok() {},
            None => {
                let place = shared.answers.places.clone().acquire_owned().await;
                let place = place.map_err(|_| Problem::new(Name::Stopping))?;
                // Unless another one has begun it meanwhile.
                if let Some(search) = Search::begin(shared, challenge, place) {
                    let found = spawn_blocking(move || search.run()).await;
                    return found.map_err(|error| Problem::failed(&error))?;
                }
            }
        }
    }
}

impl Known {
    fn of(&self, challenge: Challenge) -> (Option<Found>, Option<watch::Receiver<()>>) {
        let found = self.found.iter().find(|found| found.challenge == challenge).cloned();
        let search = self.searches.iter().find(|(other, _)| *other == challenge);
        (found, search.map(|(_, ended)| ended.clone()))
    }
}

/// A search under way, until it is dropped.
struct Search {
    shared: Arc<Shared>,
    challenge: Challenge,
    _place: OwnedSemaphorePermit,
    _ended: watch::Sender<()>,
}

impl Search {
    /// None if what is asked for is known, or somebody is at it.
    fn begin(shared: &Arc<Shared>, challenge: Challenge, place: OwnedSemaphorePermit) -> Option<Self> {
        let mut known = shared.answers.known();
        let (None, None) = known.of(challenge) else { return None };
        let (sender, ended) = watch::channel(());
        known.searches.push((challenge, ended));
        Some(Self { shared: shared.clone(), challenge, _place: place, _ended: sender })
    }

    fn run(self) -> Result<Bytes, Problem> {
        let Challenge { size, position } = self.challenge;
        let answer = challenge::answer(self.shared.engine.backend(), size, position)?;
        let header = Header::decode(&answer.header).map_err(|error| Problem::failed(&error))?;
        let bytes = Bytes::from(answer.encode());
        let found = Found { challenge: self.challenge, content_hash: header.content_hash, bytes: bytes.clone() };
        let mut known = self.shared.answers.known();
        if known.found.len() == FOUND_MAX {
            known.found.pop_front();
        }
        known.found.push_back(found);
        drop(known);
        Ok(bytes)
    }
}

impl Drop for Search {
    /// Before its sender goes: who hears of the end finds no search any more.
    fn drop(&mut self) {
        self.shared.answers.known().searches.retain(|(challenge, _)| *challenge != self.challenge);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        Config, InitOptions, StorageEngine,
        serve::{Metrics, Options},
    };
    use std::{
        io::Cursor,
        sync::atomic::AtomicBool,
        time::{Duration, Instant},
    };

    const CONTENT_BYTES: usize = 64 << 20;

    /// A service of one content beside genesis, whose clients wait so long.
    fn service(answer_time: Duration) -> Arc<Shared> {
        let init = InitOptions { seed: Some(1), ..InitOptions::default() };
        let engine = StorageEngine::in_memory(&init, Config::default()).unwrap().0;
        let mut content = vec![0; CONTENT_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        engine.store(Cursor::new(content), None).unwrap();
        let mut options = Options::default();
        options.limits.answer_time = answer_time;
        let questions = Arc::new(Semaphore::new(options.limits.questions_max));
        Arc::new(Shared {
            engine: Arc::new(engine),
            outbox: None,
            writing: None,
            options,
            metrics: Metrics::new(),
            questions,
            answers: Answers::new(),
            is_stopping: AtomicBool::new(false),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_content_that_takes_longer_to_read_than_anyone_waits_is_answered_for_when_it_is_asked_for_again() {
        let shared = service(Duration::from_millis(2));
        // On a busy machine who asks may come to its turn again only when all is read: then another slice is asked for.
        let mut challenge = Challenge { size: 2, position: 7_000 };
        let problem = loop {
            match answer(&shared, challenge).await {
                Ok(_) => challenge.position += 1,
                Err(problem) => break problem,
            }
        };
        assert!(String::from_utf8(problem.to_json()).unwrap().contains("too-slow"));
        let begin = Instant::now();
        let bytes = loop {
            // However often it is asked for, one thread reads.
            assert!(shared.answers.known().searches.len() <= 1);
            match answer(&shared, challenge).await {
                Ok(bytes) => break bytes,
                Err(_) => assert!(begin.elapsed() < Duration::from_secs(60), "it is never answered"),
            }
        };
        assert_eq!(bytes, challenge::answer(shared.engine.backend(), 2, challenge.position).unwrap().encode());
        let known = shared.answers.known();
        assert_eq!(known.found.iter().filter(|found| found.challenge == challenge).count(), 1);
        assert!(known.searches.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_ask_for_the_same_at_once_wait_for_one_search_and_what_fails_is_not_remembered() {
        let shared = service(Duration::from_secs(60));
        let asked: Vec<_> = (0..16)
            .map(|_| {
                let shared = shared.clone();
                tokio::spawn(async move { answer(&shared, Challenge { size: 2, position: 9 }).await })
            })
            .collect();
        for asked in asked {
            assert!(asked.await.unwrap().is_ok());
        }
        assert_eq!(shared.answers.known().found.len(), 1);
        for _ in 0..2 {
            let problem = answer(&shared, Challenge { size: 3, position: 9 }).await.unwrap_err();
            assert!(String::from_utf8(problem.to_json()).unwrap().contains("beyond-log"));
        }
        let known = shared.answers.known();
        assert_eq!((known.found.len(), known.searches.len()), (1, 0));
        assert_eq!(shared.answers.places.available_permits(), SEARCHES_MAX);
    }
}
