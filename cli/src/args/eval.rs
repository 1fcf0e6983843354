//! What may be typed after `corbie eval`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SearchMode;

#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// nDCG, recall, MRR and MAP on a data set in BEIR's layout
    Retrieval(EvalRetrievalArgs),
    /// Whether one of two evaluations of retrieval is better, or was lucky
    Compare(EvalCompareArgs),
    /// Calls of functions, by the rules of the Berkeley Function Calling Leaderboard
    Tools(EvalToolsArgs),
    /// Calls that answer simple questions, each with the one that is right or none
    Calls(EvalCallsArgs),
}

#[derive(Debug, Args)]
pub struct EvalRetrievalArgs {
    /// The folder with corpus.jsonl, queries.jsonl and qrels/
    pub folder: PathBuf,
    /// Which judgements: qrels/SPLIT.tsv; by default the only one there is, or `test`
    #[arg(long)]
    pub split: Option<String>,
    /// How passages are found
    #[arg(long, value_enum)]
    pub mode: Option<SearchMode>,
    /// Split the documents, and score each by its best chunk
    #[arg(long)]
    pub chunked: bool,
    /// Write the measures and the ranking of each query to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub per_query: Option<PathBuf>,
    /// Write the rankings to this file, as a run for trec_eval
    #[arg(long, value_name = "FILE")]
    pub trec: Option<PathBuf>,
    #[command(flatten)]
    pub resampling: ResamplingArgs,
}

#[derive(Debug, Args)]
pub struct EvalCompareArgs {
    /// What `corbie eval retrieval --per-query FILE` wrote of one way to retrieve
    pub a: PathBuf,
    /// What it wrote of the other, on the same queries
    pub b: PathBuf,
    #[command(flatten)]
    pub resampling: ResamplingArgs,
}

/// How sure a figure is.
#[derive(Debug, Clone, Copy, Args)]
pub struct ResamplingArgs {
    /// How many samples intervals and probabilities are taken from
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub resamples: u32,
    /// Where the random numbers begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

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
