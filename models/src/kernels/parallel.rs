//! Work divided among threads: those of the team, or while that is at work for others those of
//! rayon's pool.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::team;

/// Below this many multiplications a piece of work is not worth handing to another thread.
const PIECE: usize = 200_000;

/// An operation on a number from memory takes as long as so many multiplications in a product.
const ELEMENTWISE: usize = 8;

/// Calls `work` with ranges that together make up `0..count`, on one or several threads.
///
/// `cost` is the number of multiplications, or what takes as long, of one of the `count` units.
pub(super) fn divide(count: usize, cost: usize, work: impl Fn(Range<usize>) + Sync) {
    let threads = rayon::current_num_threads();
    let pieces = (count.saturating_mul(cost) / PIECE)
        .min(4 * threads)
        .min(count);
    if threads == 1 || pieces < 2 {
        return work(0..count);
    }
    let piece = |piece| work(part(piece, pieces, count));
    if !team::share(pieces, threads - 1, &piece) {
        (0..pieces).into_par_iter().for_each(piece);
    }
}

/// Part `index` of `parts` parts of `0..count`, which differ by at most one in length.
pub(super) fn part(index: usize, parts: usize, count: usize) -> Range<usize> {
    index * count / parts..(index + 1) * count / parts
}

/// Calls `work` with parts of `data` and where each starts, on one or several threads.
///
/// Parts are whole numbers of pieces of `width` numbers, but for the end; `cost` is what one
/// number takes, in multiplications.
pub(super) fn pieces(
    data: &mut [f32],
    width: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let length = data.len();
    let data = Shared::new(data);
    divide(
        length.div_ceil(width),
        width * cost * ELEMENTWISE,
        |range| {
            let start = range.start * width;
            let end = length.min(range.end * width);
            // SAFETY: the ranges of `divide` do not overlap.
            work(start, unsafe { data.slice(start, end - start) });
        },
    );
}

/// A slice that several threads write, each its own parts.
pub(super) struct Shared<'a, T> {
    pointer: *mut T,
    length: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: access is through `slice`, whose callers keep the parts of different threads apart.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self {
            pointer: slice.as_mut_ptr(),
            length: slice.len(),
            borrow: PhantomData,
        }
    }

    /// `length` items from `start` on.
    ///
    /// # Safety
    ///
    /// While the result lives, no other call may hand out any of the same items.
    #[allow(clippy::mut_from_ref)] // Disjoint parts of one exclusive borrow.
    pub unsafe fn slice(&self, start: usize, length: usize) -> &mut [T] {
        assert!(
            start <= self.length && length <= self.length - start,
            "{length} items from {start} on of {}",
            self.length
        );
        // SAFETY: within the borrowed slice by the assertion, and exclusive by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), length) }
    }
}
