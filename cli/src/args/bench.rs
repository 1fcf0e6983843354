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
    /// The local chat model in force: reading a prompt, and writing
    Generate(BenchGenerateArgs),
    /// The embedding model in force
    Embed(BenchEmbedArgs),
}

#[derive(Debug, Args)]
pub struct BenchGenerateArgs {
    /// Tokens of a prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt_tokens: usize,
    /// Tokens that are written
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub tokens: usize,
    /// Tokens of context before what is written
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub depth: usize,
    /// Write on what the context has before: its last tokens are those of its beginning
    #[arg(long, requires = "depth")]
    pub quote: bool,
    /// How many tokens are guessed from the text at a time; 0: none
    #[arg(long, value_name = "N")]
    pub guesses: Option<usize>,
    /// How many read and write at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: usize,
    /// How many threads compute; without it as many as there are cores
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How often; figures are medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub runs: usize,
}

#[derive(Debug, Args)]
pub struct BenchEmbedArgs {
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub tokens: usize,
    /// Texts of a call
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// How often; figures are medians
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub runs: usize,
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
