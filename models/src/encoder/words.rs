//! The table of tokens, read where it lies in its file.

use std::fs::File;
use std::ops::Range;

use candle_core::DType;
use half::{bf16, f16};
use memmap2::{Mmap, MmapOptions};

/// A vector for each token, `[vocabulary, hidden]`, mapped into memory: a text touches a few rows
/// of what is the largest part of many encoders, so only those are read, and the system takes them
/// back when it needs the memory.
pub(super) struct WordTable {
    map: Mmap,
    dtype: DType,
    hidden: usize,
}

impl WordTable {
    /// Maps the bytes `place` of `file`, rows of `hidden` numbers of a type: F32, F16 or BF16.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn map(
        file: &File,
        place: Range<usize>,
        dtype: DType,
        hidden: usize,
    ) -> std::io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(place.start as u64).len(place.len());
        // SAFETY: the map is read-only and the file is open for reading. Model files are put in
        // place by renaming whole files, never written to; a process that cuts one short while it
        // is mapped can end this one with SIGBUS, but not make it read what is not the file's.
        let map = unsafe { options.map(file) }?;
        Ok(Self { map, dtype, hidden })
    }

    /// Writes the vector of token `id` into `out`, `[hidden]`; gives whether there is one.
    pub fn row(&self, id: u32, out: &mut [f32]) -> bool {
        let size = self.hidden * self.dtype.size_in_bytes();
        let start = (id as usize).checked_mul(size);
        let row = start.and_then(|start| self.map.get(start..start.checked_add(size)?));
        let Some(row) = row else {
            return false;
        };
        match self.dtype {
            DType::F16 => fill(out, row, |bytes| f16::from_le_bytes(bytes).to_f32()),
            DType::BF16 => fill(out, row, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            _ => fill(out, row, f32::from_le_bytes),
        }
        true
    }
}

fn fill<const N: usize>(out: &mut [f32], row: &[u8], number: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = row.as_chunks::<N>();
    for (out, bytes) in out.iter_mut().zip(numbers) {
        *out = number(*bytes);
    }
}
