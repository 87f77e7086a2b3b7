//! What `polkadot-omni-node` asks of a runtime before it makes a block of it, besides what every node asks.

/// The time for a block as the runtime tells a node that makes blocks by slots.
pub const SLOT_DURATION_MS: u64 = 6_000;

/// The number of the parachain that this runtime says it is: one of those that nobody has to register.
///
/// There is no relay chain behind it. A node in its development mode wants a number for the inherents that it makes up, and
/// this runtime takes none of them.
pub const PARACHAIN_ID: u32 = 2_000;

sp_api::decl_runtime_apis! {
    /// Which parachain this is.
    ///
    /// A node knows an API by the hash of its name, its version and the encoding of what goes in and out, and of all three this
    /// is the one in `cumulus-primitives-core`. That crate brings the relay chain's types and XCM, which take longer to compile
    /// than the whole runtime, and nothing else of it is wanted here.
    pub trait GetParachainInfo {
        /// The parachain's number.
        fn parachain_id() -> u32;
    }
}
