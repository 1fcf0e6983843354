//! What may be typed after `corbie eval tools` and `corbie eval calls`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct EvalToolsArgs {
    /// The folder bfcl_eval/data of the package bfcl-eval
    pub folder: PathBuf,
    /// The file with the cases' ids, one a line
    #[arg(long, value_name = "FILE")]
    pub ids: PathBuf,
    /// Only these categories, such as simple_python,multiple
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// At most N cases, spread evenly over the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Judge the answers in this file instead of asking a model: lines of {"id", "calls"}
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    #[command(flatten)]
    pub aids: Aids,
}

#[derive(Debug, Args)]
pub struct EvalCallsArgs {
    /// The file with tools and cases
    pub file: PathBuf,
    /// At most N cases, spread evenly over the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Ask each case K times, each time with another seed, and say how often all are right (pass^k)
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub times: u32,
    /// How freely tokens are chosen when a case is asked several times
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    pub temperature: f32,
    #[command(flatten)]
    pub aids: Aids,
}

/// What helps a local model to call tools.
#[derive(Debug, Args)]
pub struct Aids {
    /// Leave calls to the model, held by no grammar and chosen by no scores
    #[arg(long)]
    pub unconstrained: bool,
    /// Let no scores choose the tool
    #[arg(long)]
    pub no_calibration: bool,
    /// Show no calls of tools like those of the case
    #[arg(long)]
    pub no_demonstrations: bool,
    /// Offer only the likeliest N tools, by the embedding model
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Write each answer to this file, one a line
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}
