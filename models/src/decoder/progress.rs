//! How far loading is.

use std::cell::Cell;

use corbie_core::Result;

use super::source::{Tensor, Tensors};

/// Told of the share that is done, from 0 to 1.
pub(crate) type Progress<'a> = &'a (dyn Fn(f32) + Send + Sync);

/// Tensors that tell how far their reader is: by the block it asks for.
pub(super) struct WatchedTensors<'a> {
    tensors: &'a dyn Tensors,
    layers: usize,
    progress: Progress<'a>,
    block: Cell<Option<usize>>,
}

impl<'a> WatchedTensors<'a> {
    pub fn new(tensors: &'a dyn Tensors, layers: usize, progress: Progress<'a>) -> Self {
        Self {
            tensors,
            layers,
            progress,
            block: Cell::new(None),
        }
    }
}

impl Tensors for WatchedTensors<'_> {
    fn subject(&self) -> &str {
        self.tensors.subject()
    }

    fn name_of(&self, name: &str) -> String {
        self.tensors.name_of(name)
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let block = name.strip_prefix("blk.").and_then(|it| it.split_once('.'));
        let block = block.and_then(|(index, _)| index.parse::<usize>().ok());
        if block.is_some() && block != self.block.get() {
            self.block.set(block);
            let done = block.unwrap_or(0) as f32 / self.layers as f32;
            (self.progress)(done);
        }
        self.tensors.tensor(name)
    }

    fn unread(&self) -> Option<String> {
        self.tensors.unread()
    }
}
