//! Scaled dot-product attention without a score matrix.

mod cache;
mod strip;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

pub use cache::{BLOCK_POSITIONS, CacheMeter, KvBlock, KvCache};

use super::parallel::{Shared, divide, part};
use super::tier::{Kernel, Lanes, Tier};
use cache::{Layout, TILE, Tiles, lay_out};
use strip::{LONGEST, Strip, longest};

/// The shape of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers in one head.
    pub head_dim: usize,
    /// Multiplies every score.
    pub scale: f32,
    /// A query at position `p` sees the keys at `p - window + 1 ..= p`; `None`: all up to `p`.
    pub window: Option<usize>,
    /// Scores `s` become `cap · tanh(s / cap)`.
    pub softcap: Option<f32>,
}

impl AttentionShape {
    fn layout(&self) -> Layout {
        assert!(
            self.kv_heads > 0 && self.head_dim > 0 && self.heads.is_multiple_of(self.kv_heads),
            "{} heads of {} over {} of keys",
            self.heads,
            self.head_dim,
            self.kv_heads
        );
        Layout {
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            keys: true,
        }
    }
}

/// Attention of the last positions of several sequences over all that each may see.
///
/// `caches` has each sequence's cache and how many rows of `q` are its last positions, whose keys
/// and values are in it already. `q` and `out` are `[m, heads · head_dim]`, the sequences one
/// after the other. A window of zero counts as one.
///
/// # Panics
///
/// When the lengths do not fit.
pub fn causal_attention(
    shape: &AttentionShape,
    q: &[f32],
    caches: &[(&KvCache, usize)],
    out: &mut [f32],
) {
    causal(Tier::best(), shape, q, caches, out);
}

fn causal(
    tier: Tier,
    shape: &AttentionShape,
    q: &[f32],
    caches: &[(&KvCache, usize)],
    out: &mut [f32],
) {
    let layout = shape.layout();
    let width = shape.heads * shape.head_dim;
    let m: usize = caches.iter().map(|(_, rows)| rows).sum();
    assert!(
        width > 0 && q.len() == out.len() && q.len() == m * width,
        "{} numbers of queries and {} of outputs in {m} rows of {width}",
        q.len(),
        out.len()
    );
    let window = shape.window.unwrap_or(usize::MAX).max(1);
    let seen: Vec<_> = caches
        .iter()
        .map(|(cache, rows)| {
            assert!(
                cache.layout == layout && *rows <= cache.len(),
                "{rows} queries over {} positions of {:?}",
                cache.len(),
                cache.layout
            );
            let first = cache.len() - rows;
            move |row: usize| (first + row + 1).saturating_sub(window)..first + row + 1
        })
        .collect();
    let mut start = 0;
    let sequences: Vec<_> = caches
        .iter()
        .zip(&seen)
        .map(|((cache, rows), seen)| {
            start += rows;
            Sequence {
                tiles: Tiles::Cache(cache),
                rows: start - rows..start,
                seen,
            }
        })
        .collect();
    let longest = caches.iter().map(|(cache, _)| cache.len().min(window));
    let longest = longest.max().unwrap_or(0);
    attend(tier, shape, q, &sequences, None, longest, out);
}

/// Attention within segments: each row sees every row of its own segment, or with a window those
/// less than the window away, before and after it.
///
/// `bias`, where there is one, is `[heads, 2 · reach - 1]`: what is added to the score of a key
/// that stands so far after its query, from `1 - reach` to `reach - 1`. No segment may be longer
/// than the reach.
///
/// `q` and `out` are `[t, heads · head_dim]`, `k` and `v` are `[t, kv_heads · head_dim]`;
/// `segments` divide `0..t`.
///
/// # Panics
///
/// When the lengths do not fit, or the segments do not divide the rows.
pub fn bidirectional_attention(
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Range<usize>],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let window = shape.window.unwrap_or(usize::MAX).max(1);
    let seen = |row: usize, length: usize| {
        (row + 1).saturating_sub(window)..length.min(row.saturating_add(window))
    };
    within(Tier::best(), shape, [q, k, v], segments, &seen, bias, out);
}

/// Attention within segments: each row sees its own segment up to itself, or with a window the
/// last rows of that. Otherwise like [`bidirectional_attention`], for sequences that are never
/// continued and so need no cache.
///
/// # Panics
///
/// As [`bidirectional_attention`].
pub fn causal_segment_attention(
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Range<usize>],
    out: &mut [f32],
) {
    let window = shape.window.unwrap_or(usize::MAX).max(1);
    let seen = |row: usize, _| (row + 1).saturating_sub(window)..row + 1;
    within(Tier::best(), shape, [q, k, v], segments, &seen, None, out);
}

/// Attention within segments, where `seen` gives what a row of a segment of some length sees.
fn within(
    tier: Tier,
    shape: &AttentionShape,
    [q, k, v]: [&[f32]; 3],
    segments: &[Range<usize>],
    seen: &(dyn Fn(usize, usize) -> Range<usize> + Sync),
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    thread_local! {
        // Taken while in use: a thread that waits for others may start another call.
        static TILES: Cell<Vec<f32>> = Cell::default();
    }
    let layout = shape.layout();
    let width = shape.heads * shape.head_dim;
    let mut rows = 0;
    let mut starts = vec![0];
    for segment in segments {
        assert!(
            segment.start == rows && segment.end >= rows,
            "segment {segment:?} after {rows} rows"
        );
        rows = segment.end;
        starts.push(starts[starts.len() - 1] + segment.len().div_ceil(TILE) * layout.tiles());
    }
    assert!(
        q.len() == rows * width
            && out.len() == q.len()
            && k.len() == rows * layout.width()
            && v.len() == k.len(),
        "queries, keys, values and outputs of {rows} rows"
    );
    let mut tiles = TILES.take();
    tiles.resize(starts[segments.len()].max(tiles.len()), 0.0);
    {
        let tiles = Shared::new(&mut tiles);
        let cost = 8 * rows / segments.len().max(1) * layout.width();
        divide(segments.len(), cost, |range| {
            for (index, segment) in range.clone().zip(&segments[range]) {
                let start = starts[index];
                // SAFETY: every segment has its own part.
                let tiles = unsafe { tiles.slice(start, starts[index + 1] - start) };
                lay_out(layout, segment.clone(), k, v, tiles);
            }
        });
    }
    let seen: Vec<_> = segments
        .iter()
        .map(|segment| {
            let length = segment.len();
            move |row| seen(row, length)
        })
        .collect();
    let sequences: Vec<_> = segments
        .iter()
        .zip(&seen)
        .zip(starts.windows(2))
        .map(|((segment, seen), starts)| Sequence {
            tiles: Tiles::Flat(layout, &tiles[starts[0]..starts[1]]),
            rows: segment.clone(),
            seen,
        })
        .collect();
    let longest = segments.iter().map(Range::len).max().unwrap_or(0);
    let bias = bias.map(|table| {
        let bias = RelativeBias::new(table, shape.heads);
        assert!(longest <= bias.reach, "{longest} rows in reach");
        bias
    });
    attend(tier, shape, q, &sequences, bias, longest, out);
    drop(sequences);
    TILES.set(tiles);
}

/// Rows of queries over one sequence of keys and values.
struct Sequence<'a> {
    tiles: Tiles<'a>,
    /// Its rows of queries among all.
    rows: Range<usize>,
    /// The positions that each of its rows, counted from its first, sees.
    seen: &'a (dyn Fn(usize) -> Range<usize> + Sync),
}

/// What is added to scores by how far a key stands after its query.
#[derive(Clone, Copy)]
struct RelativeBias<'a> {
    /// `[heads, 2 · reach - 1]`.
    table: &'a [f32],
    reach: usize,
}

impl<'a> RelativeBias<'a> {
    fn new(table: &'a [f32], heads: usize) -> Self {
        let reach = (table.len() / heads).div_ceil(2);
        assert!(
            reach > 0 && table.len() == heads * (2 * reach - 1),
            "{} biases of {heads} heads",
            table.len()
        );
        Self { table, reach }
    }

    /// The biases of a head and a query at this position, by the position of the key.
    fn of(&self, head: usize, query: usize) -> &'a [f32] {
        let row = 2 * self.reach - 1;
        &self.table[head * row..][self.reach - 1 - query..row]
    }
}

/// Attention of every sequence; `longest` is about how many positions a row sees.
fn attend(
    tier: Tier,
    shape: &AttentionShape,
    q: &[f32],
    sequences: &[Sequence<'_>],
    bias: Option<RelativeBias<'_>>,
    longest: usize,
    out: &mut [f32],
) {
    let layout = shape.layout();
    let (dim, padded) = (layout.head_dim, layout.padded());
    let (width, group) = (shape.heads * dim, shape.heads / shape.kv_heads);
    // The queries of a sequence and a head of keys are its rows times the head's query heads.
    let strip = tier.run(Longest);
    let mut strips = Vec::new();
    for (index, sequence) in sequences.iter().enumerate() {
        let queries = sequence.rows.len() * group;
        for kv_head in 0..shape.kv_heads {
            let parts = queries.div_ceil(strip);
            strips.extend((0..parts).map(|i| (index, kv_head, part(i, parts, queries))));
        }
    }
    let out = Shared::new(out);
    divide(
        strips.len(),
        2 * strip.min(group) * longest * dim,
        |range| {
            let mut turned = vec![0.0; LONGEST * dim];
            let mut result = vec![0.0; LONGEST * padded];
            for (index, kv_head, queries) in &strips[range] {
                let sequence = &sequences[*index];
                let count = queries.len();
                let place = |query: usize| {
                    let row = sequence.rows.start + query / group;
                    row * width + (kv_head * group + query % group) * dim
                };
                let mut seen = [const { 0..0 }; LONGEST];
                let mut biases: [&[f32]; LONGEST] = [&[]; LONGEST];
                for (at, query) in queries.clone().enumerate() {
                    seen[at] = (sequence.seen)(query / group);
                    if let Some(bias) = &bias {
                        biases[at] = bias.of(kv_head * group + query % group, query / group);
                    }
                    let from = &q[place(query)..][..dim];
                    for (x, to) in from.iter().zip(turned[at..].iter_mut().step_by(count)) {
                        *to = *x;
                    }
                }
                tier.run(Strip {
                    tiles: sequence.tiles,
                    kv_head: *kv_head,
                    scale: shape.scale,
                    softcap: shape.softcap,
                    biases: bias.is_some().then_some(&biases[..count]),
                    queries: &turned[..count * dim],
                    seen: &seen[..count],
                    out: &mut result[..count * padded],
                });
                for (query, result) in queries.clone().zip(result.chunks_exact(padded)) {
                    // SAFETY: every query has its own place.
                    let out = unsafe { out.slice(place(query), dim) };
                    out.copy_from_slice(&result[..dim]);
                }
            }
        },
    );
}

/// How many queries a strip of a tier may have.
struct Longest;

impl Kernel for Longest {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) -> usize {
        longest::<L>()
    }
}
