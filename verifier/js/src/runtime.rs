//! What std brings elsewhere, and `wasm32v1-none` leaves to the program: memory, and an end.

/// The allocator that Rust's own standard library has for Wasm. Memory that cannot be had ends in [`end`].
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Nothing here panics, so this is for memory that ran out: the caller sees a `RuntimeError`.
#[panic_handler]
fn end(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
