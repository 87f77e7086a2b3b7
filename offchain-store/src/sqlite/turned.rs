//! [`Turned`]: where a run was last read, for questions that come in the order of their keys.
//!
//! Whoever puts a folder again asks for the blocks of one payload after the other, and the answers stand side by side. The page that
//! is asked for twice in a row is kept as entries, which are searched and not decoded again. Runs that end before what is asked
//! for are known by their last entry, which no fence tells.

use super::runs::Entry;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A page of a run, as one question after the other finds it.
pub(super) enum Turn {
    /// Another one was asked for before.
    First,
    /// It was asked for just now, and nothing is kept of it.
    Again,
    /// It is kept.
    Kept(Arc<[Entry]>),
}

/// The page that was asked for last, and its entries, if it was asked for again.
#[derive(Default, Debug)]
struct Open {
    page: Option<usize>,
    entries: Option<Arc<[Entry]>>,
}

/// What is remembered of a run's pages: at most one page.
#[derive(Default, Debug)]
pub(super) struct Turned {
    last: OnceLock<Entry>,
    open: Mutex<Open>,
}

impl Turned {
    /// Whether all entries are known to stand before this one.
    pub(super) fn ends_before(&self, entry: &Entry) -> bool {
        self.last.get().is_some_and(|last| last < entry)
    }

    /// Notes the run's last entry.
    pub(super) fn ends_with(&self, last: Entry) {
        // Whoever noted it meanwhile noted the same.
        let _ = self.last.set(last);
    }

    /// Turns to a page.
    pub(super) fn turn_to(&self, page: usize) -> Turn {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.page != Some(page) {
            *open = Open { page: Some(page), entries: None };
            return Turn::First;
        }
        open.entries.clone().map_or(Turn::Again, Turn::Kept)
    }

    /// Keeps a page, unless somebody has turned to another one meanwhile.
    pub(super) fn keep(&self, page: usize, entries: Arc<[Entry]>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.page == Some(page) {
            open.entries = Some(entries);
        }
    }
}

/// A run is the same wherever it was last read.
impl PartialEq for Turned {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Turned {}
