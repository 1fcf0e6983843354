//! What becomes of the vectors of a text's tokens: pooling, and the layers after it.

use std::path::Path;

use candle_core::Device;
use corbie_core::{Embedding, Error, ErrorKind, Result};

use super::architecture::Activation;
use super::files::malformed;
use super::layers::{Affine, activate};
use super::pooling::{Pooling, normalize};
use super::recipe::{DenseConfig, Recipe, Step};
use super::weights::WeightFile;

/// The files of weights of a recipe's steps: those of Dense layers have one.
pub(super) struct StepFiles(Vec<Option<WeightFile>>);

impl StepFiles {
    pub fn open(dir: &Path, recipe: &Recipe) -> Result<Self> {
        let open = |step: &Step| match step {
            Step::Dense(config) => {
                let name = format!("{}/model.safetensors", config.folder);
                WeightFile::open_in(dir, &name).map(Some)
            }
            Step::Normalize => Ok(None),
        };
        Ok(Self(recipe.steps.iter().map(open).collect::<Result<_>>()?))
    }

    pub fn weights(&self) -> impl Iterator<Item = &WeightFile> {
        self.0.iter().flatten()
    }
}

/// Pooling and the steps after it.
pub(super) struct After {
    hidden: usize,
    pooling: Vec<Pooling>,
    steps: Vec<Work>,
    dimension: usize,
}

enum Work {
    Normalize,
    Dense(Affine, Option<Activation>),
}

impl After {
    /// Loads the layers of `recipe` after an encoder of vectors of `hidden` numbers.
    pub fn new(hidden: usize, recipe: &Recipe, files: &StepFiles) -> Result<Self> {
        let mut dimension = hidden * recipe.pooling.len();
        let mut steps = Vec::new();
        for (step, file) in recipe.steps.iter().zip(&files.0) {
            if let (Step::Dense(config), Some(file)) = (step, file) {
                steps.push(Work::Dense(
                    dense(config, file, dimension)?,
                    config.activation,
                ));
                dimension = config.outputs;
            } else {
                steps.push(Work::Normalize);
            }
        }
        Ok(Self {
            hidden,
            pooling: recipe.pooling.clone(),
            steps,
            dimension,
        })
    }

    /// The length of the vectors.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The vector of a text from those of its tokens, `[tokens, hidden]`.
    pub fn apply(&self, rows: &[f32]) -> Embedding {
        let mut vector = vec![0.0; self.hidden * self.pooling.len()];
        for (pooling, out) in self
            .pooling
            .iter()
            .zip(vector.chunks_exact_mut(self.hidden))
        {
            pooling.pool(rows, out);
        }
        for step in &self.steps {
            match step {
                Work::Normalize => normalize(&mut vector),
                Work::Dense(affine, activation) => {
                    let mut out = Vec::new();
                    affine.apply(&vector, &mut out);
                    if let Some(activation) = activation {
                        activate(*activation, &mut out);
                    }
                    vector = out;
                }
            }
        }
        vector
    }
}

fn dense(config: &DenseConfig, file: &WeightFile, dimension: usize) -> Result<Affine> {
    if config.inputs != dimension {
        let cause = format!(
            "the Dense layer in `{}` takes {} numbers and is given {dimension}",
            config.folder, config.inputs
        );
        return Err(malformed(file.path(), cause));
    }
    let tensors = file.tensors(&Device::Cpu)?;
    let tensors = tensors.configured_by("its config.json");
    let linear = tensors.linear("linear", config.outputs, config.inputs, config.bias)?;
    Affine::new(&linear).map_err(|error| {
        let subject = file.path().display().to_string();
        Error::new(ErrorKind::Internal, subject, &error).caused_by(error)
    })
}
