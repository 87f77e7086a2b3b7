//! Tests of the pallet, by topic.
