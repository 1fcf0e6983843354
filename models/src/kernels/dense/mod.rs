//! Products with `f32`, `f16` and `bf16` weights, in `f32`.
//!
//! Thirty-two rows of weights make a panel, column after column. Rows of activations are laid
//! out alike in strips of a few rows, so that the innermost loop reads both from front to back:
//! one vector of weights, and one activation for all its lanes, at a time. Every output is a
//! single chain of multiply-adds over the columns in order, whatever the strip.

mod product;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::parallel::{Shared, divide, part};
use super::tier::{Kernel, Lanes, Tier};
use product::{LONGEST, PANEL, Product, longest};

/// Strips that go through a panel before the next one is read.
const STRIPS: usize = 4;

/// A matrix of floating-point numbers.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    rows: usize,
    columns: usize,
    panels: Panels,
}

/// Panels, `[rows / 32, columns, 32]`, the last filled up with zeros.
#[derive(Debug, Clone)]
enum Panels {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Bf16(Vec<u16>),
}

impl Dense {
    /// `values` is `[rows, columns]`.
    pub fn from_f32(rows: usize, columns: usize, values: &[f32]) -> Self {
        let panels = pack(rows, columns, |at| values[at]);
        Self {
            rows,
            columns,
            panels: Panels::F32(panels),
        }
    }

    /// `data` is `[rows, columns]` in little-endian bytes.
    pub fn from_f32_bytes(rows: usize, columns: usize, data: &[u8]) -> Self {
        let (values, _) = data.as_chunks::<4>();
        let panels = pack(rows, columns, |at| f32::from_le_bytes(values[at]));
        Self {
            rows,
            columns,
            panels: Panels::F32(panels),
        }
    }

    /// `data` is `[rows, columns]` in little-endian bytes of `f16`.
    pub fn from_f16_bytes(rows: usize, columns: usize, data: &[u8]) -> Self {
        let (values, _) = data.as_chunks::<2>();
        let panels = pack(rows, columns, |at| u16::from_le_bytes(values[at]));
        Self {
            rows,
            columns,
            panels: Panels::F16(panels),
        }
    }

    /// `data` is `[rows, columns]` in little-endian bytes of `bf16`.
    pub fn from_bf16_bytes(rows: usize, columns: usize, data: &[u8]) -> Self {
        let (values, _) = data.as_chunks::<2>();
        let panels = pack(rows, columns, |at| u16::from_le_bytes(values[at]));
        Self {
            rows,
            columns,
            panels: Panels::Bf16(panels),
        }
    }

    /// The bytes that a matrix of this shape takes, of numbers of `width` bytes: whole panels.
    pub fn bytes_of(rows: usize, columns: usize, width: usize) -> usize {
        rows.next_multiple_of(PANEL) * columns * width
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        match &self.panels {
            Panels::F32(panels) => size_of_val(panels.as_slice()),
            Panels::F16(panels) | Panels::Bf16(panels) => size_of_val(panels.as_slice()),
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Writes row `index`, `[columns]`.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let start = index / PANEL * PANEL * self.columns + index % PANEL;
        for (column, out) in out.iter_mut().enumerate() {
            let at = start + column * PANEL;
            *out = match &self.panels {
                Panels::F32(panels) => panels[at],
                Panels::F16(panels) => f16::from_bits(panels[at]).to_f32(),
                Panels::Bf16(panels) => bf16::from_bits(panels[at]).to_f32(),
            };
        }
    }

    /// `out = x · Wᵀ`.
    pub fn multiply(&self, tier: Tier, x: &[f32], out: &mut [f32]) {
        thread_local! {
            // Taken while in use: a thread that waits for others may start another product.
            static STRIPED: Cell<Vec<f32>> = Cell::default();
        }
        let m = x.len() / self.columns;
        let strips = m.div_ceil(tier.run(Longest));
        if strips == m {
            return self.multiply_strips(tier, m, strips, x, out);
        }
        let mut striped = STRIPED.take();
        striped.resize(x.len(), 0.0);
        stripe(m, strips, self.columns, x, &mut striped);
        self.multiply_strips(tier, m, strips, &striped, out);
        STRIPED.set(striped);
    }

    fn multiply_strips(&self, tier: Tier, m: usize, strips: usize, x: &[f32], out: &mut [f32]) {
        let (rows, columns) = (self.rows, self.columns);
        let panels = rows.div_ceil(PANEL);
        let out = Shared::new(out);
        let cost = STRIPS.min(strips) * LONGEST.min(m) * PANEL * columns;
        divide(strips.div_ceil(STRIPS) * panels, cost, |units| {
            let mut products = [[0.0; PANEL]; LONGEST];
            for unit in units {
                let (group, panel) = (unit / panels * STRIPS, unit % panels);
                let width = PANEL.min(rows - panel * PANEL);
                for strip in group..strips.min(group + STRIPS) {
                    let Range { start: first, end } = part(strip, strips, m);
                    let products = &mut products[..end - first];
                    let x = &x[first * columns..end * columns];
                    self.panel(tier, panel, x, products);
                    for (row, products) in (first..end).zip(products) {
                        // SAFETY: every unit has its own rows and columns.
                        let out = unsafe { out.slice(row * rows + panel * PANEL, width) };
                        out.copy_from_slice(&products[..width]);
                    }
                }
            }
        });
    }

    fn panel(&self, tier: Tier, index: usize, x: &[f32], out: &mut [[f32; PANEL]]) {
        let size = self.columns * PANEL;
        let range = index * size..(index + 1) * size;
        match &self.panels {
            Panels::F32(panels) => tier.run(Product::<product::F32>::new(&panels[range], x, out)),
            Panels::F16(panels) => tier.run(Product::<product::F16>::new(&panels[range], x, out)),
            Panels::Bf16(panels) => {
                tier.run(Product::<product::Bf16>::new(&panels[range], x, out));
            }
        }
    }
}

fn pack<T: Copy + Default + Send>(
    rows: usize,
    columns: usize,
    value: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let size = PANEL * columns;
    let mut panels = vec![T::default(); rows.div_ceil(PANEL) * size];
    panels
        .par_chunks_mut(size.max(1))
        .enumerate()
        .for_each(|(panel, to)| {
            let first = panel * PANEL;
            for lane in 0..PANEL.min(rows - first) {
                for column in 0..columns {
                    to[column * PANEL + lane] = value((first + lane) * columns + column);
                }
            }
        });
    panels
}

/// Lays out `x`, `[m, columns]`, as strips, each `[columns, rows of the strip]`.
fn stripe(m: usize, strips: usize, columns: usize, x: &[f32], out: &mut [f32]) {
    let out = Shared::new(out);
    divide(strips, LONGEST * columns, |range| {
        for strip in range {
            let Range { start: first, end } = part(strip, strips, m);
            let height = end - first;
            // SAFETY: every strip has its own part.
            let to = unsafe { out.slice(first * columns, height * columns) };
            let from = &x[first * columns..end * columns];
            for (row, from) in from.chunks_exact(columns).enumerate() {
                for (x, to) in from.iter().zip(to[row..].iter_mut().step_by(height)) {
                    *to = *x;
                }
            }
        }
    });
}

/// How many rows a strip of a tier may have.
struct Longest;

impl Kernel for Longest {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) -> usize {
        longest::<L>()
    }
}
