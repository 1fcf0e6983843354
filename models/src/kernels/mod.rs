//! The arithmetic of the local engine on a CPU: matrix products, attention, and the small
//! operations between them, on slices of `f32`.
//!
//! Batch invariance is law here: a row of output is computed by the same operations in the same
//! order whatever the other rows are, however many there are, and on however many threads.
//!
//! Work is divided among as many threads as the caller's pool of rayon's has: those of a team that
//! stays awake between one piece of work and the next, or those of the pool while the team serves
//! somebody else.
//!
//! All buffers are row-major; `[m, k]` in a comment means `m` rows of `k` numbers.

mod attention;
mod convolution;
mod dense;
mod elementwise;
mod math;
mod matrix;
mod parallel;
mod quantized;
mod rope;
mod team;
mod tier;

pub use attention::{
    AttentionShape, BLOCK_POSITIONS, CacheMeter, KvBlock, KvCache, bidirectional_attention,
    causal_attention, causal_segment_attention,
};
pub use convolution::causal_convolution;
pub use elementwise::{
    add, add_scaled, exact_gelu_mul, gelu, gelu_mul, gelu_tanh, layer_norm, relu_squared,
    relu_squared_mul, rms_norm, silu, silu_mul,
};
pub use matrix::{Matrix, Precision};
pub use rope::{RopeLayout, RopeTable, rope};

/// The instructions that the kernels use on this machine, in a few words.
pub fn instructions() -> &'static str {
    tier::Tier::best().name()
}
