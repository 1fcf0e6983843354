//! Keys and values as attention reads them.
//!
//! Positions come in tiles of 16. A tile of one head has its keys turned, `[head_dim, 16]`, so
//! that 16 scores are computed side by side, then its values, `[16, padded head_dim]`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Positions of a tile.
pub(super) const TILE: usize = 16;

/// Tiles that are allocated together.
const BLOCK: usize = 4;

/// Positions that are allocated, shared and forgotten together.
pub const BLOCK_POSITIONS: usize = BLOCK * TILE;

/// How many bytes the caches of one model take. What clones share is counted once.
#[derive(Debug, Clone, Default)]
pub struct CacheMeter(Arc<AtomicUsize>);

impl CacheMeter {
    /// The bytes in use now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a [`KvCache`] holds of [`BLOCK_POSITIONS`] positions. Clones share it.
#[derive(Debug, Clone)]
pub struct KvBlock(Arc<Block>);

/// `[4 tiles, kv_heads, tile]`.
#[derive(Debug)]
struct Block {
    numbers: Box<[f32]>,
    meter: CacheMeter,
}

impl Block {
    fn new(numbers: Box<[f32]>, meter: &CacheMeter) -> Self {
        let bytes = size_of_val::<[f32]>(&numbers);
        meter.0.fetch_add(bytes, Ordering::Relaxed);
        Self {
            numbers,
            meter: meter.clone(),
        }
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self::new(self.numbers.clone(), &self.meter)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = size_of_val::<[f32]>(&self.numbers);
        self.meter.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Lays out positions of one sequence as tiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Whether there are keys beside the values.
    pub keys: bool,
}

impl Layout {
    /// Numbers of a head's keys.
    fn key_dim(&self) -> usize {
        if self.keys { self.head_dim } else { 0 }
    }

    /// Numbers of a head's values with their padding.
    pub fn padded(&self) -> usize {
        self.head_dim.next_multiple_of(16)
    }

    /// Numbers of a tile of one head.
    pub fn tile(&self) -> usize {
        TILE * (self.key_dim() + self.padded())
    }

    /// Numbers of a tile of all heads.
    pub fn tiles(&self) -> usize {
        self.kv_heads * self.tile()
    }

    /// Numbers of one position of values as they come, and of keys where there are keys.
    pub fn width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Writes one position, `[kv_heads · head_dim]` each, to place `at` of `tiles`.
    fn put(&self, tiles: &mut [f32], at: usize, keys: &[f32], values: &[f32]) {
        let heads = values.chunks_exact(self.head_dim).enumerate();
        for ((head, values), tile) in heads.zip(tiles.chunks_exact_mut(self.tile())) {
            let (turned, rows) = tile.split_at_mut(TILE * self.key_dim());
            rows[at * self.padded()..][..self.head_dim].copy_from_slice(values);
            if self.keys {
                let keys = &keys[head * self.head_dim..][..self.head_dim];
                for (key, to) in keys.iter().zip(turned[at..].iter_mut().step_by(TILE)) {
                    *to = *key;
                }
            }
        }
    }
}

/// The keys and values of one layer of one sequence, or the rows that a convolution mixes.
///
/// Clones share the blocks they have in common; whoever writes to a shared block copies it first.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) layout: Layout,
    len: usize,
    /// None where positions were forgotten.
    blocks: Vec<Option<KvBlock>>,
    meter: CacheMeter,
}

impl KvCache {
    /// An empty cache that `meter` measures.
    ///
    /// # Panics
    ///
    /// When a number is zero.
    pub fn new(kv_heads: usize, head_dim: usize, meter: &CacheMeter) -> Self {
        let keys = true;
        Self::with_layout(
            Layout {
                kv_heads,
                head_dim,
                keys,
            },
            meter,
        )
    }

    /// An empty cache of one row of `width` numbers a position, without keys.
    ///
    /// # Panics
    ///
    /// When the width is zero.
    pub fn of_rows(width: usize, meter: &CacheMeter) -> Self {
        let layout = Layout {
            kv_heads: 1,
            head_dim: width,
            keys: false,
        };
        Self::with_layout(layout, meter)
    }

    fn with_layout(layout: Layout, meter: &CacheMeter) -> Self {
        assert!(layout.width() > 0, "{layout:?} holds nothing");
        Self {
            layout,
            len: 0,
            blocks: Vec::new(),
            meter: meter.clone(),
        }
    }

    /// The bytes of one block of a cache of keys and values.
    pub fn block_bytes(kv_heads: usize, head_dim: usize) -> usize {
        Self::new(kv_heads, head_dim, &CacheMeter::default()).bytes_of_a_block()
    }

    /// The bytes of each of its blocks.
    pub fn bytes_of_a_block(&self) -> usize {
        BLOCK * self.layout.tiles() * size_of::<f32>()
    }

    /// How many positions it holds, forgotten ones among them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends positions: `keys` and `values` are `[t, kv_heads · head_dim]`; a cache of rows
    /// has no keys.
    ///
    /// # Panics
    ///
    /// When the lengths do not fit, or the last block was forgotten.
    pub fn push(&mut self, keys: &[f32], values: &[f32]) {
        let (layout, width) = (self.layout, self.layout.width());
        let key_width = if layout.keys { width } else { 0 };
        let count = values.len() / width;
        assert!(
            values.len() == count * width && keys.len() == count * key_width,
            "{} keys and {} values in positions of {width}",
            keys.len(),
            values.len()
        );
        for (index, values) in values.chunks_exact(width).enumerate() {
            let keys = &keys[index * key_width..][..key_width];
            let (tile, at) = (self.len / TILE, self.len % TILE);
            if tile / BLOCK == self.blocks.len() {
                let numbers = vec![0.0; BLOCK * layout.tiles()].into_boxed_slice();
                let block = Block::new(numbers, &self.meter);
                self.blocks.push(Some(KvBlock(Arc::new(block))));
            }
            let Some(block) = &mut self.blocks[tile / BLOCK] else {
                panic!("position {} goes on from a forgotten block", self.len);
            };
            let block = Arc::make_mut(&mut block.0);
            let tiles = &mut block.numbers[tile % BLOCK * layout.tiles()..][..layout.tiles()];
            layout.put(tiles, at, keys, values);
            self.len += 1;
        }
    }

    /// The row of `position` in a cache of rows, which was not forgotten.
    pub(in crate::kernels) fn row(&self, position: usize) -> &[f32] {
        let layout = self.layout;
        debug_assert!(!layout.keys && position < self.len);
        let numbers = self.numbers(position / BLOCK_POSITIONS);
        // One head without keys: the rows lie one after the other.
        &numbers[position % BLOCK_POSITIONS * layout.padded()..][..layout.head_dim]
    }

    /// Numbers of a row.
    pub(in crate::kernels) fn width(&self) -> usize {
        self.layout.width()
    }

    /// Forgets the positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.blocks.truncate(self.len.div_ceil(BLOCK_POSITIONS));
    }

    /// Frees the blocks that lie wholly before `position`.
    pub fn forget_before(&mut self, position: usize) {
        let count = (position / BLOCK_POSITIONS).min(self.blocks.len());
        // Those before a forgotten one are forgotten already.
        let known = self.blocks[..count].iter_mut().rev();
        known
            .take_while(|block| block.is_some())
            .for_each(|block| *block = None);
    }

    /// Whether all positions from `position` on are there.
    pub fn reaches_back_to(&self, position: usize) -> bool {
        let from = (position / BLOCK_POSITIONS).min(self.blocks.len());
        self.blocks[from..].iter().all(Option::is_some)
    }

    /// Block `index`, if there is one and it was not forgotten.
    pub fn block(&self, index: usize) -> Option<KvBlock> {
        self.blocks.get(index).cloned().flatten()
    }

    /// Becomes a cache of the first `len` positions of `blocks`, which come from caches of the
    /// same shape.
    ///
    /// # Panics
    ///
    /// When there are fewer blocks than positions, or one of another shape.
    pub fn restore(&mut self, len: usize, blocks: Vec<Option<KvBlock>>) {
        assert_eq!(blocks.len(), len.div_ceil(BLOCK_POSITIONS));
        let numbers = BLOCK * self.layout.tiles();
        let fits = |block: &KvBlock| block.0.numbers.len() == numbers;
        assert!(
            blocks.iter().flatten().all(fits),
            "a block of another shape"
        );
        self.len = len;
        self.blocks = blocks;
    }

    /// The numbers of block `index`, which attention sees and so was not forgotten.
    #[inline(always)]
    fn numbers(&self, index: usize) -> &[f32] {
        match &self.blocks[index] {
            Some(block) => &block.0.numbers,
            None => panic!("block {index} is seen and was forgotten"),
        }
    }
}

/// Where attention finds the tiles of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tiles<'a> {
    Cache(&'a KvCache),
    /// `[tiles, kv_heads, tile]`.
    Flat(Layout, &'a [f32]),
}

impl<'a> Tiles<'a> {
    pub fn layout(&self) -> Layout {
        match self {
            Self::Cache(cache) => cache.layout,
            Self::Flat(layout, _) => *layout,
        }
    }

    /// The keys, `[head_dim, 16]`, and the values, `[16, padded head_dim]`, of a head in a tile.
    #[inline(always)]
    pub fn tile(&self, kv_head: usize, index: usize) -> (&'a [f32], &'a [f32]) {
        let layout = self.layout();
        let (numbers, tile) = match self {
            Self::Cache(cache) => (cache.numbers(index / BLOCK), index % BLOCK),
            Self::Flat(_, numbers) => (*numbers, index),
        };
        let start = (tile * layout.kv_heads + kv_head) * layout.tile();
        numbers[start..start + layout.tile()].split_at(TILE * layout.key_dim())
    }
}

/// Lays out the rows of `segment` of `keys` and `values` as tiles of their own; what is left of
/// the last tile is zero.
pub(super) fn lay_out(
    layout: Layout,
    segment: Range<usize>,
    keys: &[f32],
    values: &[f32],
    tiles: &mut [f32],
) {
    let width = layout.width();
    tiles.fill(0.0);
    for (at, row) in segment.enumerate() {
        let row = row * width..(row + 1) * width;
        let tiles = &mut tiles[at / TILE * layout.tiles()..][..layout.tiles()];
        layout.put(tiles, at % TILE, &keys[row.clone()], &values[row]);
    }
}
