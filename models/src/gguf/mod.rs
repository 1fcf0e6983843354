//! Model files: reading GGUF, the format of llama.cpp, with distrust.
//!
//! A model file comes from strangers, so everything in it is checked before anything is believed:
//! counts against the bytes that are there, products for overflow, lengths against caps, offsets
//! against the file's end, tensors against one another. Whatever the bytes are, opening gives a
//! file whose every tensor lies inside it, or an error, in well under a second and without
//! reserving memory that the file's own size does not justify.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3,
//! little-endian.
//!
//! ```
//! use candle_core::quantized::GgmlDType;
//! use corbie_models::gguf::{GgufFile, GgufWriter};
//!
//! let bytes = GgufWriter::new()
//!     .string("general.architecture", "llama")
//!     .u32("llama.block_count", 2)
//!     .f32_tensor("output_norm.weight", &[3], &[1.0, 2.0, 3.0])
//!     .to_bytes();
//! let file = GgufFile::from_bytes("tiny", bytes)?;
//! assert_eq!(file.architecture()?, "llama");
//! assert_eq!(file.metadata().u32("llama.block_count")?, Some(2));
//!
//! let norm = file.tensor("output_norm.weight").expect("it was written");
//! assert_eq!((norm.dtype, norm.shape), (GgmlDType::F32, &[3][..]));
//! assert_eq!(norm.to_f32s()?, [1.0, 2.0, 3.0]);
//! # Ok::<(), corbie_core::Error>(())
//! ```

mod cursor;
mod encode;
mod file;
mod metadata;
mod tensor;
mod writer;

pub(crate) use encode::encode;
pub use file::GgufFile;
pub use metadata::{Metadata, Value, ValueKind};
pub use tensor::GgufTensor;
pub use writer::GgufWriter;
