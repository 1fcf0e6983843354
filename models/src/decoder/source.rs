//! Where tensors come from: the seam between file formats and the decoder's weights.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};

use crate::gguf::{GgufFile, GgufTensor};

/// A tensor of a model, by whatever format.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    /// What its file calls it.
    pub name: String,
    pub dtype: GgmlDType,
    /// Outermost first.
    pub shape: Vec<usize>,
    /// Exactly the bytes of type and shape.
    pub data: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// The numbers of an F32, F16 or BF16 tensor.
    pub fn to_f32s(&self) -> Result<Vec<f32>> {
        let tensor = GgufTensor {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            data: &self.data,
        };
        tensor.to_f32s()
    }

    /// A vector that no file holds.
    pub fn from_f32s(name: &str, numbers: &[f32]) -> Self {
        Self {
            name: name.to_owned(),
            dtype: GgmlDType::F32,
            shape: vec![numbers.len()],
            data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// The tensors of a model, by GGUF's names.
pub(super) trait Tensors {
    /// The model, for messages.
    fn subject(&self) -> &str;

    /// What the file calls the tensor that GGUF calls `name`.
    fn name_of(&self, name: &str) -> String;

    /// The tensor that GGUF calls `name`, if there is one.
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>>;

    /// Whether there is a tensor that GGUF calls `name`.
    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.tensor(name)?.is_some())
    }

    /// A tensor of some block that nobody asked for: it belongs to a variant we do not know.
    fn unread(&self) -> Option<String>;
}

/// The tensors of a GGUF file.
pub(super) struct GgufTensors<'a> {
    file: &'a GgufFile,
    layers: usize,
    read: RefCell<HashSet<String>>,
}

impl<'a> GgufTensors<'a> {
    /// The tensors of `file`, a model of so many layers.
    pub fn new(file: &'a GgufFile, layers: usize) -> Self {
        Self {
            file,
            layers,
            read: RefCell::default(),
        }
    }
}

impl Tensors for GgufTensors<'_> {
    fn subject(&self) -> &str {
        self.file.name()
    }

    fn name_of(&self, name: &str) -> String {
        name.to_owned()
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some(tensor) = self.file.tensor(name) else {
            return Ok(None);
        };
        self.read.borrow_mut().insert(name.to_owned());
        Ok(Some(Tensor {
            name: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.to_vec(),
            data: Cow::Borrowed(tensor.data),
        }))
    }

    fn unread(&self) -> Option<String> {
        let read = self.read.borrow();
        let is_unread = |name: &&str| {
            let block = name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split_once('.'));
            // Blocks past the last serve other ends; old files have frequencies in every block.
            block.is_some_and(|(index, part)| {
                index.parse().is_ok_and(|index: usize| index < self.layers)
                    && part != "attn_rot_embd.freqs"
                    && !read.contains(*name)
            })
        };
        self.file
            .tensors()
            .map(|it| it.name)
            .find(is_unread)
            .map(str::to_owned)
    }
}

/// The error of a tensor that is not as it should be.
pub(super) fn malformed(tensors: &dyn Tensors, cause: String) -> Error {
    Error::new(ErrorKind::Malformed, tensors.subject(), cause)
}
