//! What is to be done next with a row of the outbox: the decision that no fee is paid twice rests on.
//!
//! [`next_action`] is a pure function of a row and of what was seen of the chain, so that it can be tried against every
//! history. Its rules, in the order in which they apply:
//!
//! 1. Seen in a finalized block: its fate is settled there.
//! 2. Seen in another block of the best chain: noted, and waited for.
//! 3. Seen nowhere, its era over at a finalized block and all of the era's blocks searched: it is dead, and only now may
//!    something else be signed for its purpose.
//! 4. Noted in a block, which is no longer in the best chain: it is on its way again.
//! 5. A block could still hold it: the same bytes are sent again, as often as the retry clock allows.
//!
//! A chain holds an extrinsic at most once, because of its nonce, and not outside its era, because the era's first block is
//! signed. Nothing that a node answers to a sending settles anything: only blocks do.

use crate::sqlite::outbox::rows::{Era, Placement, RowState};

/// What was seen of the chain that concerns one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// Number of the last finalized block.
    pub finalized: u64,
    /// Number of the best block.
    pub best: u64,
    /// The finalized blocks from the era's first one through this one were searched, without a gap.
    pub searched_through: Option<u64>,
    /// Where the extrinsic stands in the best chain, and how its call ended there.
    pub found: Option<Sighting>,
}

/// An extrinsic in a block of the best chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Where.
    pub placement: Placement,
    /// Whether its call succeeded.
    pub is_success: bool,
}

/// What to do with a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextAction {
    /// Note that it succeeded in a finalized block.
    Finalize(Placement),
    /// Note that it failed in a finalized block.
    Fail(Placement),
    /// Note the block of the best chain that holds it.
    NoteInBlock(Placement),
    /// Note that no block of the best chain holds it any more.
    BackToSubmitted,
    /// Note that it is dead, unpaid.
    Expire,
    /// Send its bytes.
    Send,
    /// Nothing until the next block.
    Wait,
}

/// Decides. `noted` is the row's placement, `is_due` what the retry clock says.
pub fn next_action(state: RowState, era: &Era, noted: Option<&Placement>, sight: &Sight, is_due: bool) -> NextAction {
    if !state.is_live() {
        return NextAction::Wait;
    }
    if let Some(Sighting { placement, is_success }) = sight.found {
        let is_noted = state == RowState::InBlock && noted == Some(&placement);
        return match (placement.block_number <= sight.finalized, is_success, is_noted) {
            (true, true, _) => NextAction::Finalize(placement),
            (true, false, _) => NextAction::Fail(placement),
            (false, _, true) => NextAction::Wait,
            (false, _, false) => NextAction::NoteInBlock(placement),
        };
    }
    if is_dead(era, sight) {
        return NextAction::Expire;
    }
    if state == RowState::InBlock {
        return NextAction::BackToSubmitted;
    }
    let next_block = sight.best.saturating_add(1);
    let fits_next_block = (era.first()..era.death()).contains(&next_block);
    if fits_next_block && is_due { NextAction::Send } else { NextAction::Wait }
}

/// Whether no block can ever hold the extrinsic, given that none was found that does.
fn is_dead(era: &Era, sight: &Sight) -> bool {
    // The era's last block has to be final, and the block after it too: one more than needed, at the price of one block.
    sight.finalized >= era.death() && sight.searched_through.is_some_and(|searched| searched >= era.last())
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
