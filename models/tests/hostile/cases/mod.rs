//! What strangers may send: model files, templates, forms, tokenizers, adapters.
//!
//! The tests ask that each ends well or in a typed error; `examples/hostile.rs` measures them.

#![allow(dead_code)]

pub mod forms;
pub mod gguf;
pub mod parts;
pub mod templates;

use corbie_core::Result;

/// One attempt. It calls `step` after each part of its work that has to end in time by itself.
pub struct Case {
    pub name: String,
    pub run: Box<Attempt>,
}

pub type Attempt = dyn Fn(&mut dyn FnMut()) -> Result<()>;

impl Case {
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&mut dyn FnMut()) -> Result<()> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// All of them, by subject.
pub fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("model file", gguf::cases()),
        ("template", templates::cases()),
        ("form", forms::cases()),
        ("part", parts::cases()),
    ]
}
