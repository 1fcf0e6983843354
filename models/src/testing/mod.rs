//! A test kit: model files of any shape with random weights, sound or to be damaged.
//!
//! ```
//! use candle_core::quantized::GgmlDType;
//! use corbie_models::decoder::Decoder;
//! use corbie_models::gguf::GgufFile;
//! use corbie_models::kernels::Precision;
//! use corbie_models::testing::RandomModel;
//!
//! let bytes = RandomModel::new("qwen3")?.gguf(GgmlDType::Q8_0).to_bytes();
//! let file = GgufFile::from_bytes("random", bytes)?;
//! let decoder = Decoder::load(&file, Precision::Quantized)?;
//! assert_eq!(decoder.config().layers, 4);
//! # Ok::<(), corbie_core::Error>(())
//! ```

mod random_model;
mod safetensors;
mod weights;

pub use random_model::RandomModel;
pub use safetensors::SafetensorsWriter;
pub use weights::{random_weights, stored};
