//! Models behind OpenAI-compatible services.
//!
//! One client serves every service: what tells them apart are the rows of
//! [`PROVIDERS`](crate::provider::PROVIDERS). Only this module knows their JSON.
//!
//! Keys stay secret: they are in no `Debug` output, error or log. Prompts go to the service's
//! address and nowhere else: redirects are not followed.
//!
//! What a service does not hold an answer to is refused here;
//! [`Validated`](crate::validated::Validated) asks for it in words and checks the answer.
//!
//! ```
//! use corbie_models::openai::{OpenAiChatModel, RemoteOptions};
//!
//! let options = RemoteOptions::from_env("ollama", "llama3.2", |name| std::env::var(name).ok())?;
//! let model = OpenAiChatModel::new(options)?;
//! # Ok::<(), corbie_core::Error>(())
//! ```

mod options;

mod chat;
mod embed;

mod client;
mod estimate;
mod failure;
mod request;
mod stream;

#[cfg(test)]
mod tests;

pub use chat::OpenAiChatModel;
pub use embed::{EmbedOptions, OpenAiEmbedder};
pub use estimate::TokenEstimate;
pub use options::RemoteOptions;
