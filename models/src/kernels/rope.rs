//! Rotary position embedding.

use super::math::sin_cos;
use super::parallel::pieces;
use super::tier::{Kernel, Lanes, Tier};

/// Which pairs of a head's numbers rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Neighbours: `(0, 1), (2, 3), …`: GGUF's layout of `llama`.
    Neighbours,
    /// Halves: `(0, d/2), (1, d/2 + 1), …`: GPT-NeoX, `gemma3` and most others.
    Halves,
}

/// The angles of rotary position embedding (Su et al., 2021).
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// Which numbers turn together.
    pub layout: RopeLayout,
    /// One angle per pair and position: `position · frequencies[pair]`. Numbers of a head beyond
    /// these pairs stay as they are.
    pub frequencies: Vec<f32>,
    /// Multiplies every number that turns: 1, but for methods that stretch contexts.
    pub magnitude: f32,
}

/// Turns every head of each row of `x`, `[m, heads · head_dim]`, by its position.
///
/// The angle is a product of two `f32`, as in transformers and llama.cpp; its sine and cosine
/// are exact at any position.
///
/// # Panics
///
/// When the lengths do not fit, or a head has fewer numbers than the pairs of the table.
pub fn rope(x: &mut [f32], head_dim: usize, table: &RopeTable, positions: &[usize]) {
    let pairs = table.frequencies.len();
    assert!(
        2 * pairs <= head_dim,
        "{pairs} pairs in a head of {head_dim}"
    );
    if x.is_empty() && positions.is_empty() {
        return;
    }
    let width = x.len() / positions.len().max(1);
    assert!(
        width > 0 && width * positions.len() == x.len() && width.is_multiple_of(head_dim),
        "{} numbers in {} rows of heads of {head_dim}",
        x.len(),
        positions.len()
    );
    pieces(x, width, 1, |first, x| {
        let positions = &positions[first / width..];
        Tier::best().run(Turn {
            x,
            width,
            head_dim,
            table,
            positions,
        });
    });
}

struct Turn<'a> {
    x: &'a mut [f32],
    width: usize,
    head_dim: usize,
    table: &'a RopeTable,
    positions: &'a [usize],
}

impl Kernel for Turn<'_> {
    type Output = ();

    // Plain loops, which compilers turn into vector instructions.
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let pairs = self.table.frequencies.len();
        let magnitude = self.table.magnitude;
        let (mut sines, mut cosines) = (vec![0.0; pairs], vec![0.0; pairs]);
        for (x, position) in self.x.chunks_exact_mut(self.width).zip(self.positions) {
            let position = *position as f32;
            let turns = sines.iter_mut().zip(&mut cosines);
            for (frequency, (sin, cos)) in self.table.frequencies.iter().zip(turns) {
                let (s, c) = sin_cos(position * frequency);
                (*sin, *cos) = (s * magnitude, c * magnitude);
            }
            for head in x.chunks_exact_mut(self.head_dim) {
                let turns = sines.iter().zip(&cosines);
                match self.table.layout {
                    RopeLayout::Neighbours => {
                        let (couples, _) = head.as_chunks_mut::<2>();
                        for ([a, b], (sin, cos)) in couples.iter_mut().zip(turns) {
                            (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                        }
                    }
                    RopeLayout::Halves => {
                        let (low, high) = head[..2 * pairs].split_at_mut(pairs);
                        for ((a, b), (sin, cos)) in low.iter_mut().zip(high).zip(turns) {
                            (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_turned_by_their_positions() {
        let frequencies: Vec<f32> = (0..8)
            .map(|i| 10_000f32.powf(-f32::from(i as u8) / 8.0))
            .collect();
        for layout in [RopeLayout::Neighbours, RopeLayout::Halves] {
            let table = RopeTable {
                layout,
                frequencies: frequencies.clone(),
                magnitude: 1.25,
            };
            // Heads of 20 numbers, of which 16 turn.
            let positions = [0, 1, 17, 100_000];
            let mut x: Vec<f32> = (0..4 * 40).map(|i| (i as f32 * 0.37).sin()).collect();
            let before = x.clone();
            rope(&mut x, 20, &table, &positions);
            for (at, (after, old)) in x.chunks(20).zip(before.chunks(20)).enumerate() {
                for (pair, frequency) in frequencies.iter().enumerate() {
                    let angle = f64::from(positions[at / 2] as f32 * frequency);
                    let (a, b) = match layout {
                        RopeLayout::Neighbours => (2 * pair, 2 * pair + 1),
                        RopeLayout::Halves => (pair, pair + 8),
                    };
                    let (x, y) = (f64::from(old[a]), f64::from(old[b]));
                    let real = 1.25 * (x * angle.cos() - y * angle.sin());
                    let imaginary = 1.25 * (x * angle.sin() + y * angle.cos());
                    assert!((f64::from(after[a]) - real).abs() < 3e-7);
                    assert!((f64::from(after[b]) - imaginary).abs() < 3e-7);
                }
                assert_eq!(after[16..], old[16..]);
            }
        }
    }
}
