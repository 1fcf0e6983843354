use std::sync::Arc;

use corbie_core::{ChatModel, Embedder, Result};
use corbie_models::Models;
use corbie_models::hub::{Hub, HubOptions, silent};

/// The models of this machine and the places they come from, as the environment says: the
/// variables of Hugging Face's tools, and the keys of remote services.
///
/// # Errors
///
/// When the environment does not say where the model cache is.
pub fn models_from_env() -> Result<Models> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(Models::new(
        Hub::new(HubOptions::from_env(variable)?),
        variable,
    ))
}

/// The chat model called `name` (such as `smollm2`), fetched where it is not here yet.
///
/// # Errors
///
/// Those of [`Models::chat`].
pub async fn chat_model(name: &str) -> Result<Arc<dyn ChatModel>> {
    models_from_env()?.chat(name, &silent).await
}

/// The embedding model called `name` (such as `minilm`), fetched where it is not here yet.
///
/// # Errors
///
/// Those of [`Models::embedder`].
pub async fn embedder(name: &str) -> Result<Arc<dyn Embedder>> {
    models_from_env()?.embedder(name, &silent).await
}
