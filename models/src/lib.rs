//! Models: the local engine, remote models, and the hub that finds and fetches model files.

pub mod dialect;
mod machine;
mod name;
pub mod provider;
pub mod record;

#[cfg(feature = "hub")]
pub mod hub;

#[cfg(feature = "local")]
pub mod gguf;

#[cfg(feature = "local")]
pub mod estimate;
#[cfg(feature = "local")]
pub mod template;
#[cfg(feature = "local")]
pub mod tokenizer;

#[cfg(feature = "local")]
pub mod kernels;

#[cfg(feature = "local")]
pub mod decoder;
#[cfg(feature = "local")]
pub mod encoder;
#[cfg(feature = "local")]
pub mod engine;
#[cfg(feature = "local")]
pub mod sampling;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "local")]
pub mod constraint;

#[cfg(feature = "local")]
pub mod chat;

#[cfg(feature = "openai")]
pub mod openai;

#[cfg(feature = "validated")]
pub mod validated;

#[cfg(all(feature = "hub", feature = "local"))]
mod about;
#[cfg(all(feature = "hub", feature = "local"))]
mod load;
#[cfg(all(feature = "hub", feature = "local"))]
mod plans;
#[cfg(all(feature = "hub", feature = "local"))]
pub mod pool;

#[cfg(all(feature = "hub", feature = "local"))]
pub use about::describe;
#[cfg(all(feature = "hub", feature = "local"))]
pub use load::Models;
pub use machine::memory_bytes;
pub use name::{HubName, ModelName, WheelName, WheelPart};

#[cfg(all(test, any(feature = "hub", feature = "openai")))]
mod loopback;
