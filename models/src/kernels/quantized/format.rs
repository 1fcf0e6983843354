//! GGML's block formats, one row of a table each, and how a block is taken apart.
//!
//! Every format is the same thing: unsigned codes in blocks of 16 or 32 columns, and for each
//! block `weight = scale · (code − offset)` or `weight = scale · code + minimum`. The formats of
//! 256 columns (k-quants) are nested: a block's scale is a small integer times the scale of its
//! superblock. Layouts as in ggml's `ggml-common.h` and `ggml-quants.c`.

use candle_core::quantized::GgmlDType;

/// One format: a row of [`FORMATS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub dtype: GgmlDType,
    /// Bytes of a superblock in a file.
    pub bytes: usize,
    /// Columns of a superblock.
    pub superblock: usize,
    /// Columns that share one scale.
    pub block: usize,
    /// Bits of a code as it is kept in memory: 4, 5, 6 or 8.
    pub bits: usize,
    /// What is taken from a code; zero where there is a minimum.
    pub offset: i32,
    /// Whether a block has a minimum.
    pub minimum: bool,
    /// Whether blocks have scales of their own within the superblock's.
    pub nested: bool,
    read: fn(&[u8], &mut Superblock),
}

/// A superblock taken apart.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    /// Scale, bits of an `f16`.
    pub scale: u16,
    /// Minimum, bits of an `f16`, to be added.
    pub minimum: u16,
    /// Multiplies the scale, by block.
    pub scales: [i8; 16],
    /// Multiplies the minimum, by block.
    pub minimums: [i8; 16],
    /// The codes, by column.
    pub codes: [u8; 256],
}

impl Default for Superblock {
    fn default() -> Self {
        Self {
            scale: 0,
            minimum: 0,
            scales: [0; 16],
            minimums: [0; 16],
            codes: [0; 256],
        }
    }
}

impl Format {
    /// The format of `dtype`, if it is one of blocks.
    pub fn of(dtype: GgmlDType) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.dtype == dtype)
    }

    /// Takes apart one superblock: `bytes` has [`Format::bytes`] bytes.
    pub fn read(&self, bytes: &[u8], to: &mut Superblock) {
        debug_assert_eq!(bytes.len(), self.bytes);
        (self.read)(bytes, to);
    }

    /// Bytes of the codes of 16 rows of one superblock.
    pub fn code_bytes(&self) -> usize {
        16 * self.superblock * self.bits / 8
    }

    /// Bytes of the scales of 16 rows of one superblock.
    pub fn scale_bytes(&self) -> usize {
        let parts = 1 + usize::from(self.minimum);
        let nested = if self.nested {
            16 * self.superblock / self.block
        } else {
            0
        };
        parts * (32 + nested)
    }
}

#[rustfmt::skip]
#[allow(clippy::too_many_arguments)] // They are the columns of the table.
const fn row(
    dtype: GgmlDType, bytes: usize, superblock: usize, block: usize, bits: usize, offset: i32,
    minimum: bool, nested: bool, read: fn(&[u8], &mut Superblock),
) -> Format {
    Format { dtype, bytes, superblock, block, bits, offset, minimum, nested, read }
}

/// Every block format.
#[rustfmt::skip]
pub(super) static FORMATS: [Format; 10] = [
    //                     bytes super block bits offset minimum nested
    row(GgmlDType::Q4_0,   18,   32,   32,   4,   8,     false,  false, q4_0),
    row(GgmlDType::Q4_1,   20,   32,   32,   4,   0,     true,   false, q4_1),
    row(GgmlDType::Q5_0,   22,   32,   32,   5,   16,    false,  false, q5_0),
    row(GgmlDType::Q5_1,   24,   32,   32,   5,   0,     true,   false, q5_1),
    row(GgmlDType::Q8_0,   34,   32,   32,   8,   128,   false,  false, q8_0),
    row(GgmlDType::Q2K,    84,   256,  16,   4,   0,     true,   true,  q2_k),
    row(GgmlDType::Q3K,    110,  256,  16,   4,   4,     false,  true,  q3_k),
    row(GgmlDType::Q4K,    144,  256,  32,   4,   0,     true,   true,  q4_k),
    row(GgmlDType::Q5K,    176,  256,  32,   5,   0,     true,   true,  q5_k),
    row(GgmlDType::Q6K,    210,  256,  16,   6,   32,    false,  true,  q6_k),
];

/// Flips the sign of an `f16`.
const NEGATE: u16 = 0x8000;

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn nibbles(packed: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(packed.len());
    for ((packed, low), high) in packed.iter().zip(low).zip(high) {
        *low = packed & 15;
        *high = packed >> 4;
    }
}

fn q4_0(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    nibbles(&bytes[2..18], &mut to.codes[..32]);
}

fn q4_1(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    to.minimum = half(bytes, 2);
    nibbles(&bytes[4..20], &mut to.codes[..32]);
}

/// Sets the fifth bit of 32 codes.
fn fifth_bits(bits: &[u8], codes: &mut [u8]) {
    for (column, code) in codes.iter_mut().enumerate() {
        *code |= (bits[column / 8] >> (column % 8) & 1) << 4;
    }
}

fn q5_0(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    nibbles(&bytes[6..22], &mut to.codes[..32]);
    fifth_bits(&bytes[2..6], &mut to.codes[..32]);
}

fn q5_1(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    to.minimum = half(bytes, 2);
    nibbles(&bytes[8..24], &mut to.codes[..32]);
    fifth_bits(&bytes[4..8], &mut to.codes[..32]);
}

fn q8_0(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    for (code, byte) in to.codes.iter_mut().zip(&bytes[2..34]) {
        *code = byte ^ 0x80;
    }
}

fn q2_k(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 80);
    to.minimum = half(bytes, 82) ^ NEGATE;
    for (block, byte) in bytes[..16].iter().enumerate() {
        to.scales[block] = (byte & 15) as i8;
        to.minimums[block] = (byte >> 4) as i8;
    }
    two_bits(&bytes[16..80], &mut to.codes);
}

/// The low two bits of 256 codes: column `128h + 32s + l` is at bit `2s` of byte `32h + l`.
fn two_bits(packed: &[u8], codes: &mut [u8; 256]) {
    for (part, codes) in codes.chunks_exact_mut(32).enumerate() {
        let packed = &packed[part / 4 * 32..][..32];
        for (code, byte) in codes.iter_mut().zip(packed) {
            *code = byte >> (2 * (part % 4)) & 3;
        }
    }
}

/// Sets bit `to` of 256 codes: that of column `32s + l` is bit `s` of byte `l`.
fn one_bit(packed: &[u8], to: usize, codes: &mut [u8; 256]) {
    for (part, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (code, byte) in codes.iter_mut().zip(packed) {
            *code |= (byte >> part & 1) << to;
        }
    }
}

fn q3_k(bytes: &[u8], to: &mut Superblock) {
    let (mask, scales) = (&bytes[..32], &bytes[96..108]);
    to.scale = half(bytes, 108);
    for block in 0..16 {
        let low = scales[block % 8] >> (4 * (block / 8)) & 15;
        let high = scales[8 + block % 4] >> (2 * (block / 4)) & 3;
        to.scales[block] = (low | high << 4) as i8 - 32;
    }
    two_bits(&bytes[32..96], &mut to.codes);
    one_bit(mask, 2, &mut to.codes);
}

/// The scales and minimums of `Q4_K` and `Q5_K`: eight of six bits each in twelve bytes.
fn six_bit_scales(packed: &[u8], to: &mut Superblock) {
    for block in 0..8 {
        let (scale, minimum) = if block < 4 {
            (packed[block] & 63, packed[block + 4] & 63)
        } else {
            let low = packed[block + 4];
            (
                (low & 15) | (packed[block - 4] >> 6) << 4,
                (low >> 4) | (packed[block] >> 6) << 4,
            )
        };
        to.scales[block] = scale as i8;
        to.minimums[block] = minimum as i8;
    }
}

fn q4_k(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    to.minimum = half(bytes, 2) ^ NEGATE;
    six_bit_scales(&bytes[4..16], to);
    for (packed, codes) in bytes[16..144].chunks(32).zip(to.codes.chunks_mut(64)) {
        nibbles(packed, codes);
    }
}

fn q5_k(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 0);
    to.minimum = half(bytes, 2) ^ NEGATE;
    six_bit_scales(&bytes[4..16], to);
    for (packed, codes) in bytes[48..176].chunks(32).zip(to.codes.chunks_mut(64)) {
        nibbles(packed, codes);
    }
    one_bit(&bytes[16..48], 4, &mut to.codes);
}

fn q6_k(bytes: &[u8], to: &mut Superblock) {
    to.scale = half(bytes, 208);
    for (scale, byte) in to.scales.iter_mut().zip(&bytes[192..208]) {
        *scale = *byte as i8;
    }
    let (low, high) = (&bytes[..128], &bytes[128..192]);
    for (part, codes) in to.codes.chunks_exact_mut(32).enumerate() {
        let (h, s) = (part / 4, part % 4);
        let low = &low[64 * h + 32 * (s % 2)..][..32];
        let high = &high[32 * h..][..32];
        for ((code, low), high) in codes.iter_mut().zip(low).zip(high) {
            *code = (low >> (4 * (s / 2)) & 15) | (high >> (2 * s) & 3) << 4;
        }
    }
}
