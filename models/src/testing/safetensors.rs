//! Writing small safetensors files.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, Result};
use serde_json::{Map, json};

/// Makes safetensors files. It writes what it is told; only readers check.
///
/// The format: <https://github.com/huggingface/safetensors>.
///
/// ```
/// use candle_core::quantized::GgmlDType;
/// use corbie_models::testing::SafetensorsWriter;
///
/// let writer = SafetensorsWriter::new().tensor("x", GgmlDType::F32, &[1], vec![0, 0, 128, 63]);
/// assert_eq!(writer.to_bytes()[9..12], *b"\"x\"");
/// ```
#[derive(Debug, Clone, Default)]
pub struct SafetensorsWriter {
    header: Map<String, serde_json::Value>,
    data: Vec<u8>,
}

impl SafetensorsWriter {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor: its shape outermost first, its data as stored. Types other than F32, F16
    /// and BF16 are called bytes.
    #[must_use]
    pub fn tensor(mut self, name: &str, dtype: GgmlDType, shape: &[usize], data: Vec<u8>) -> Self {
        let dtype = match dtype {
            GgmlDType::F32 => "F32",
            GgmlDType::F16 => "F16",
            GgmlDType::BF16 => "BF16",
            _ => "U8",
        };
        let start = self.data.len();
        self.data.extend(data);
        let offsets = [start, self.data.len()];
        let about = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        self.header.insert(name.to_owned(), about);
        self
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = serde_json::Value::from(self.header.clone()).to_string();
        while !header.len().is_multiple_of(8) {
            header.push(' ');
        }
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(&self.data);
        bytes
    }

    /// Writes the file to `path`.
    ///
    /// # Errors
    ///
    /// [`Io`](corbie_core::ErrorKind::Io) when the system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.to_bytes())
            .map_err(|error| Error::io(format!("model file `{}`", path.display()), error))
    }
}
