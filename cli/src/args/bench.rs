//! What `corbie bench` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The embedded vector store on made points: speed, and what is missed
    Search(BenchSearchArgs),
    /// A folder into a collection of its own, and where the time goes
    Ingest {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct BenchSearchArgs {
    /// How many points
    #[arg(long, default_value_t = 100_000)]
    pub points: usize,
    /// Of how many dimensions
    #[arg(long, default_value_t = 384)]
    pub dimension: usize,
    /// How many searches of each kind
    #[arg(long, default_value_t = 1000)]
    pub queries: usize,
    /// Vectors of the points and then of the questions, instead of made ones: numbers of 32 bits
    #[arg(long, value_name = "FILE")]
    pub vectors: Option<PathBuf>,
    /// In which smaller form vectors are searched
    #[arg(long, value_enum, default_value_t)]
    pub quantization: QuantizationKind,
    /// Leave the exact vectors on disk
    #[arg(long)]
    pub on_disk: bool,
    /// Where the points stay afterwards; those of an equal run before are searched as they are
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// How many candidates a search keeps
    #[arg(long, value_name = "N")]
    pub effort: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum QuantizationKind {
    /// As they are
    #[default]
    None,
    /// A byte for each dimension
    Scalar,
    /// A bit for each dimension
    Binary,
}
