//! Writing small model files.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, Result};

use super::metadata::ValueKind;
use super::tensor;

/// Makes model files: the test kit's tool, for tiny models with chosen weights and for damaged
/// ones. It writes what it is told; only [`GgufFile`](super::GgufFile) checks.
///
/// ```
/// use corbie_models::gguf::GgufWriter;
///
/// let bytes = GgufWriter::new().string("general.architecture", "llama").to_bytes();
/// assert_eq!(&bytes[..4], b"GGUF");
/// ```
#[derive(Debug, Clone)]
pub struct GgufWriter {
    version: u32,
    alignment: usize,
    /// Keys with their kind and content.
    metadata: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

#[derive(Debug, Clone)]
struct Tensor {
    name: String,
    dtype: GgmlDType,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self {
            version: 3,
            alignment: 32,
            metadata: Vec::new(),
            tensors: Vec::new(),
        }
    }
}

impl GgufWriter {
    /// An empty file of version 3.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the format's version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets where tensors may begin: at multiples of `alignment` bytes (at least 1).
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = alignment.max(1) as usize;
        self.u32("general.alignment", alignment)
    }

    /// Adds an unsigned integer.
    #[must_use]
    pub fn u32(self, key: &str, value: u32) -> Self {
        self.value(key, ValueKind::U32, &value.to_le_bytes())
    }

    /// Adds a long unsigned integer.
    #[must_use]
    pub fn u64(self, key: &str, value: u64) -> Self {
        self.value(key, ValueKind::U64, &value.to_le_bytes())
    }

    /// Adds a floating-point number.
    #[must_use]
    pub fn f32(self, key: &str, value: f32) -> Self {
        self.value(key, ValueKind::F32, &value.to_le_bytes())
    }

    /// Adds true or false.
    #[must_use]
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.value(key, ValueKind::Bool, &[u8::from(value)])
    }

    /// Adds a string.
    #[must_use]
    pub fn string(self, key: &str, value: &str) -> Self {
        let mut content = Vec::new();
        push_string(&mut content, value);
        self.value(key, ValueKind::String, &content)
    }

    /// Adds a list of strings.
    #[must_use]
    pub fn strings<S: AsRef<str>>(self, key: &str, values: &[S]) -> Self {
        self.list(key, ValueKind::String, values, |content, value| {
            push_string(content, value.as_ref());
        })
    }

    /// Adds a list of floating-point numbers.
    #[must_use]
    pub fn f32s(self, key: &str, values: &[f32]) -> Self {
        self.list(key, ValueKind::F32, values, |content, value| {
            content.extend(value.to_le_bytes());
        })
    }

    /// Adds a list of signed integers.
    #[must_use]
    pub fn i32s(self, key: &str, values: &[i32]) -> Self {
        self.list(key, ValueKind::I32, values, |content, value| {
            content.extend(value.to_le_bytes());
        })
    }

    /// Adds a list of booleans.
    #[must_use]
    pub fn bools(self, key: &str, values: &[bool]) -> Self {
        self.list(key, ValueKind::Bool, values, |content, value| {
            content.push(u8::from(*value));
        })
    }

    /// Adds a value of any kind, its content as bytes.
    #[must_use]
    pub fn value(mut self, key: &str, kind: ValueKind, content: &[u8]) -> Self {
        let value = [&kind.code().to_le_bytes(), content].concat();
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// Takes a key out.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.iter().map(|(key, _)| key.as_str())
    }

    fn list<T>(
        self,
        key: &str,
        item: ValueKind,
        values: &[T],
        push: impl Fn(&mut Vec<u8>, &T),
    ) -> Self {
        let mut content = item.code().to_le_bytes().to_vec();
        content.extend((values.len() as u64).to_le_bytes());
        for value in values {
            push(&mut content, value);
        }
        self.value(key, ValueKind::Array, &content)
    }

    /// Adds a tensor: its shape outermost first, its data as stored.
    #[must_use]
    pub fn tensor(mut self, name: &str, dtype: GgmlDType, shape: &[usize], data: Vec<u8>) -> Self {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            data,
        });
        self
    }

    /// Adds a tensor of plain numbers.
    #[must_use]
    pub fn f32_tensor(self, name: &str, shape: &[usize], numbers: &[f32]) -> Self {
        let data = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, GgmlDType::F32, shape, data)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            push_string(&mut bytes, key);
            bytes.extend(value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            push_string(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            for length in tensor.shape.iter().rev() {
                bytes.extend((*length as u64).to_le_bytes());
            }
            bytes.extend(tensor::code(tensor.dtype).to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset += tensor.data.len().next_multiple_of(self.alignment);
        }
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&tensor.data);
        }
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

fn push_string(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value.as_bytes());
}
