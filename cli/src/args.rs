//! What the user may type.

mod agent;
mod bench;
mod eval;
mod mcp;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use agent::{AgentArgs, Approve, Means, ResumeArgs, RunsCommand, ToolName, typed};
#[cfg(feature = "edge")]
pub use bench::QuantizationKind;
pub use bench::{BenchCommand, BenchEmbedArgs, BenchGenerateArgs, BenchSearchArgs};
pub use eval::{
    Aids, EvalCallsArgs, EvalCommand, EvalCompareArgs, EvalRetrievalArgs, EvalToolsArgs,
    ResamplingArgs,
};
pub use mcp::{McpArgs, McpCommand, McpServer, ServeArgs};

/// Ask your documents: everything runs on this machine.
#[derive(Debug, Parser)]
#[command(name = "corbie", version, about, propagate_version = true)]
#[command(after_help = "Start with: corbie ask \"your question\" --docs FOLDER")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Form of the result on standard output
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    pub output: Option<OutputForm>,
    /// Show nothing but the result and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Never touch the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// Chat model: an alias, a path, hf:owner/repo:quant, wheel:…, openai:name
    #[arg(long, global = true, value_name = "NAME")]
    pub model: Option<String>,
    /// Embedding model, named like --model
    #[arg(long, global = true, value_name = "NAME")]
    pub embedder: Option<String>,
    /// What weighs the words of new collections: bm25, or a SPLADE model, named like --model
    #[arg(long, global = true, value_name = "NAME")]
    pub sparse: Option<String>,
    /// Where collections are kept
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Where the points of new collections are: edge, edge:FOLDER, memory, qdrant:URL, postgres:URL
    #[arg(long, global = true, value_name = "STORE")]
    pub store: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people
    Text,
    /// For programs: one object, or one line for each item
    Json,
    /// Markdown
    Md,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question from documents, with citations
    Ask(AskArgs),
    /// Read files and folders into a collection
    Ingest(IngestArgs),
    /// Find passages, without an answer
    Search(SearchArgs),
    /// Hold a conversation, with or without documents
    Chat(ChatArgs),
    /// Pursue a goal with tools
    Agent(Box<AgentArgs>),
    /// What agents did on this machine
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Serve collections and tools to other programs (Model Context Protocol)
    Mcp(McpArgs),
    /// The models on this machine and those that can be fetched
    #[command(subcommand)]
    Models(ModelsCommand),
    /// The collections on this machine
    #[command(subcommand)]
    Collections(CollectionsCommand),
    /// Repair and rebuild a collection
    #[command(subcommand)]
    Index(IndexCommand),
    /// Check this machine, its models and its collections
    Doctor,
    /// The settings in force
    #[command(subcommand)]
    Config(ConfigCommand),
    /// How fast this machine stores and finds
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Measure quality on data with known answers
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Show what the loader reads in a file (`-`: standard input)
    Parse(FileArgs),
    /// Show how a file is cut (`-`: standard input)
    Split(SplitArgs),
    /// Turn standard input into token ids
    Tokenize(TokenizeArgs),
    /// Render a chat template from JSON on standard input
    Template(TemplateArgs),
    /// Turn each line of standard input into a vector
    Embed(EmbedArgs),
    /// Score each line of standard input as an answer to a question, best first
    Rerank(RerankArgs),
    /// Complete a prompt, without a chat template
    Generate(GenerateArgs),
    /// Tell the text, the reasoning and the tool calls of what a model wrote apart
    ParseReply(ParseReplyArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Parse one document in this process; called by corbie itself
    #[command(name = "__parse", hide = true)]
    ParseWorker,
}

#[derive(Debug, Args)]
pub struct AskArgs {
    /// The question (`-`: standard input)
    pub question: String,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub search: SearchOptions,
    /// The most tokens of the answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_tokens: Option<u32>,
}

/// Where to look: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// A folder or file: it is indexed first, and again only where it changed
    #[arg(long, value_name = "PATH")]
    pub docs: Option<PathBuf>,
    /// A collection made by `corbie ingest`
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
}

#[derive(Debug, Args)]
pub struct SearchOptions {
    /// The most passages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: Option<u32>,
    /// How passages are found
    #[arg(long, value_enum)]
    pub mode: Option<SearchMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SearchMode {
    /// By meaning
    Dense,
    /// By words (BM25)
    Keyword,
    /// Both, fused
    Hybrid,
}

#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Files and folders
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The collection; made when it is not there
    #[arg(long, value_name = "NAME")]
    pub collection: String,
    /// What becomes of files that the collection knows
    #[arg(long, value_enum, default_value_t)]
    pub cleanup: Cleanup,
    /// Write nothing; say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Cleanup {
    /// Nothing is replaced or deleted, only new files are added
    None,
    /// Changed files are replaced, vanished ones stay
    Incremental,
    /// Changed files are replaced; what vanished from these folders is deleted
    #[default]
    Scoped,
    /// What these paths do not hold is deleted, wherever it came from
    Full,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What to look for (`-`: standard input)
    pub query: String,
    /// The collection
    #[arg(long, value_name = "NAME")]
    pub collection: String,
    #[command(flatten)]
    pub options: SearchOptions,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    /// Answer from this collection
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Which models are here and which have an alias
    List,
    /// Fetch a model
    Pull {
        /// The model
        name: String,
    },
    /// What a model is
    Show {
        /// The model
        name: String,
    },
    /// How families of models write tool calls
    Dialects,
    /// Delete a fetched model
    Rm {
        /// The model
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum CollectionsCommand {
    /// All collections
    List,
    /// What a collection holds
    Show {
        /// The collection
        name: String,
    },
    /// Delete a collection
    Rm {
        /// The collection
        name: String,
    },
    /// Copy a collection, point by point compared, to another name or (with --store) another store;
    /// under its own name it moves there
    Copy {
        /// The collection
        name: String,
        /// What the copy is called
        to: String,
    },
    /// Copy a collection into a folder of its own, from which it can be restored
    Backup {
        /// The collection
        name: String,
        /// The folder
        folder: PathBuf,
    },
    /// Bring back a collection from a folder that `backup` wrote
    Restore {
        /// The folder
        folder: PathBuf,
        /// The collection
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Compare everything with everything: ledger, texts, chunks, points; 1 if something is wrong
    Verify {
        /// The collection
        #[arg(long, value_name = "NAME")]
        collection: String,
        /// Embed every chunk again and compare the vectors
        #[arg(long)]
        vectors: bool,
        /// Mend what can be mended without the files
        #[arg(long)]
        repair: bool,
    },
    /// Embed every stored text again, with --embedder if it is given
    Rebuild {
        /// The collection
        #[arg(long, value_name = "NAME")]
        collection: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting and its value
    Show {
        /// Also where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Args)]
pub struct FileArgs {
    /// The file (`-`: standard input)
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct SplitArgs {
    /// The file (`-`: standard input)
    pub file: PathBuf,
    /// The most tokens of a chunk
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_tokens: Option<u32>,
}

#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// Leave out the tokens a model adds by itself
    #[arg(long)]
    pub no_special: bool,
    /// Read special tokens in the text as such
    #[arg(long)]
    pub parse_special: bool,
}

#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// A template in Jinja, instead of a model's own
    #[arg(long, value_name = "F.jinja")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ParseReplyArgs {
    /// The family whose syntax the reply has: a row of `corbie models dialects`
    #[arg(long, value_name = "NAME", value_parser = dialects())]
    pub dialect: String,
    /// The tools that were offered: a JSON list, in the form of OpenAI's API or bare
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
    /// The prompt opened the block of thinking already
    #[arg(long)]
    pub thinking: bool,
}

fn dialects() -> clap::builder::PossibleValuesParser {
    let names = corbie_models::dialect::DIALECTS.iter().map(|row| row.name);
    clap::builder::PossibleValuesParser::new(names)
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Embed as questions, where the model makes a difference
    #[arg(long)]
    pub query: bool,
}

#[derive(Debug, Args)]
pub struct RerankArgs {
    /// The question (`-`: the first line of standard input)
    pub question: String,
    /// The model that scores: a folder or hf:owner/repository
    #[arg(long, value_name = "NAME")]
    pub reranker: Option<String>,
    /// Print only the best so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// The most tokens to write
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_tokens: usize,
    /// Always the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "seed"])]
    pub greedy: bool,
    /// Divides the logits
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Keep the K likeliest tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Keep the likeliest tokens that together have this probability
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Drop tokens less likely than this share of the likeliest
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Makes repetition less likely
    #[arg(long, value_name = "R")]
    pub repetition_penalty: Option<f32>,
    /// Makes the choice repeatable
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub form: FormArgs,
}

/// What the text must be: at most one kind.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
pub struct FormArgs {
    /// JSON by the JSON Schema in this file
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// A text that this regular expression matches
    #[arg(long, value_name = "R")]
    pub regex: Option<String>,
    /// A text of the Lark grammar in this file
    #[arg(long, value_name = "FILE")]
    pub grammar: Option<PathBuf>,
    /// This text, or another one given so
    #[arg(long, value_name = "TEXT")]
    pub choice: Vec<String>,
    /// Calls of the tools in this JSON file, in the model's dialect
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
}

/// What to complete: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct PromptArgs {
    /// A text (`-`: standard input)
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Token ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub prompt_ids: Option<Vec<u32>>,
}
