//! The product of one strip with one panel.

use crate::kernels::tier::{Kernel, Lanes};
use std::marker::PhantomData;

/// Rows of weights in a panel.
pub(super) const PANEL: usize = 32;

/// Rows of a strip, at most, in any tier.
pub(super) const LONGEST: usize = 12;

/// Rows of a strip, at most: with two vectors of sums each, two of weights and one activation
/// they must fit the registers.
pub(super) const fn longest<L: Lanes>() -> usize {
    let fitting = (L::REGISTERS - 4) / 2;
    if fitting < LONGEST { fitting } else { LONGEST }
}

/// A stored number that is computed with as `f32`.
pub(super) trait Element {
    type Stored: Copy;

    /// Widens the `L::LANES` numbers at `from`.
    ///
    /// # Safety
    ///
    /// They can be read there.
    unsafe fn load<L: Lanes>(lanes: L, from: *const Self::Stored) -> L::Vector;
}

macro_rules! element {
    ($name:ident, $stored:ty, $load:ident) => {
        pub(super) struct $name;

        impl Element for $name {
            type Stored = $stored;

            #[inline(always)]
            unsafe fn load<L: Lanes>(lanes: L, from: *const $stored) -> L::Vector {
                // SAFETY: by the contract.
                unsafe { lanes.$load(from) }
            }
        }
    };
}

element!(F32, f32, load);
element!(F16, u16, load_f16);
element!(Bf16, u16, load_bf16);

/// Products of a panel, `[columns, 32]`, with a strip, `[columns, rows of out]`.
pub(super) struct Product<'a, E: Element> {
    panel: &'a [E::Stored],
    x: &'a [f32],
    out: &'a mut [[f32; PANEL]],
    element: PhantomData<E>,
}

impl<'a, E: Element> Product<'a, E> {
    pub fn new(panel: &'a [E::Stored], x: &'a [f32], out: &'a mut [[f32; PANEL]]) -> Self {
        Self {
            panel,
            x,
            out,
            element: PhantomData,
        }
    }
}

impl<E: Element> Kernel for Product<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        macro_rules! by_rows {
            ($($rows:literal)*) => {
                match self.out.len() {
                    $($rows if $rows <= longest::<L>() => rows::<L, E, $rows>(lanes, self),)*
                    rows => unreachable!("a strip has {rows} rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

#[inline(always)]
fn rows<L: Lanes, E: Element, const ROWS: usize>(lanes: L, product: Product<'_, E>) {
    let Product { panel, x, out, .. } = product;
    let columns = panel.len() / PANEL;
    assert!(x.len() == columns * ROWS && out.len() == ROWS);
    for part in (0..PANEL).step_by(2 * L::LANES) {
        let mut sums = [[lanes.splat(0.0); 2]; ROWS];
        // SAFETY: `panel` has `columns` times 32 numbers, `x` as many times `ROWS`.
        unsafe {
            let mut weights = panel.as_ptr().add(part);
            let mut x = x.as_ptr();
            for _ in 0..columns {
                let w = [
                    E::load(lanes, weights),
                    E::load(lanes, weights.add(L::LANES)),
                ];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = lanes.splat(*x.add(row));
                    sums[0] = lanes.mul_add(w[0], x, sums[0]);
                    sums[1] = lanes.mul_add(w[1], x, sums[1]);
                }
                weights = weights.wrapping_add(PANEL);
                x = x.add(ROWS);
            }
        }
        for (sums, out) in sums.iter().zip(&mut *out) {
            let out = &mut out[part..part + 2 * L::LANES];
            // SAFETY: `out` has two vectors of numbers.
            unsafe {
                lanes.store(out.as_mut_ptr(), sums[0]);
                lanes.store(out[L::LANES..].as_mut_ptr(), sums[1]);
            }
        }
    }
}
