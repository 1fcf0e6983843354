//! Low-rank adapters (Hu et al., "LoRA", 2021): small matrices beside a decoder's weights.
//!
//! An adapter adds `scale · B · (A · x)` to what a weight makes of `x`. It is kept beside the
//! weights and chosen for each sequence, so that sequences with different adapters share a pass;
//! or it is merged into the weights while they are loaded.

mod merge;
mod read;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::DecoderConfig;
use crate::kernels::{Matrix, add};

pub use merge::MergeReport;
pub(super) use merge::MergedTensors;

/// An adapter, read and checked for decoders of one shape.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    /// Sequences remember differently by different adapters.
    id: u64,
    config: DecoderConfig,
    /// By block, then by [`Place`].
    layers: Vec<[Vec<LowRank>; 4]>,
}

/// Where in a block a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// What enters the mixing half.
    MixerInput,
    /// What leaves it.
    MixerOutput,
    /// What enters the feed-forward half.
    GateUp,
    /// What leaves it.
    Down,
}

/// A change of some outputs of a product.
#[derive(Debug)]
struct LowRank {
    /// The weight it changes.
    part: &'static str,
    /// The first output that it changes among those of the product.
    first: usize,
    /// `[rank, columns]`.
    a: Matrix,
    /// `[rows, rank]`, the scale in it.
    b: Matrix,
}

impl Adapter {
    fn new(name: String, config: &DecoderConfig, layers: Vec<[Vec<LowRank>; 4]>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            name,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            config: config.clone(),
            layers,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A number that no other adapter of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it was read for decoders of this shape.
    pub fn fits(&self, config: &DecoderConfig) -> bool {
        self.config == *config
    }

    /// How many weights it changes.
    pub fn weights(&self) -> usize {
        self.layers.iter().flatten().map(Vec::len).sum()
    }

    fn of(&self, layer: usize, place: Place) -> &[LowRank] {
        &self.layers[layer][place as usize]
    }
}

/// The rows of a pass that have an adapter.
pub(super) type Users = Vec<(Range<usize>, Arc<Adapter>)>;

/// Adds to each row of `out` what its adapter makes of its row of `input`, for one product of
/// block `layer`; `width` is the length of a row of `out`.
pub(super) fn adapt(
    users: &Users,
    layer: usize,
    place: Place,
    input: &[f32],
    out: &mut [f32],
    width: usize,
) {
    for (rows, adapter) in users {
        for change in adapter.of(layer, place) {
            let (rank, columns, changed) = (change.a.rows(), change.a.columns(), change.b.rows());
            let mut low = vec![0.0; rows.len() * rank];
            change
                .a
                .multiply(&input[rows.start * columns..rows.end * columns], &mut low);
            let mut high = vec![0.0; rows.len() * changed];
            change.b.multiply(&low, &mut high);
            let out = out[rows.start * width..rows.end * width].chunks_exact_mut(width);
            for (out, high) in out.zip(high.chunks_exact(changed)) {
                add(&mut out[change.first..change.first + changed], high);
            }
        }
    }
}
