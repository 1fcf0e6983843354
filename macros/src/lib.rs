//! The attribute `#[tool]`: a documented function becomes a tool.
//!
//! Use it through `corbie::tool`; its documentation and examples are there.

mod options;
mod parts;

use proc_macro::TokenStream;
use quote::quote;
use syn::{ItemFn, parse_macro_input};

use options::Options;

/// Turns an asynchronous function into one that returns a tool.
///
/// The function's comment is the tool's description, its parameters become a JSON Schema, and
/// comments on parameters describe them. `Option` parameters may be left out. A parameter of type
/// `Invocation` is the run itself, with its key and a way to report progress. The function returns
/// a `Result` whose value is JSON or can be made JSON, and whose error is shown to the model.
///
/// | attribute | meaning |
/// |---|---|
/// | `read_only` | it changes nothing |
/// | `destructive` | it may destroy something |
/// | `egress` | it sends data out of this process |
/// | `idempotent` | twice with the same key is the same as once |
/// | `trusted` | its results are the application's own words |
/// | `approval` | a person is asked each time |
/// | `timeout = 10` | the most seconds one run may take |
/// | `name = "…"` | another name than the function's |
/// | `crate = path` | where Corbie is found, if not at `::corbie` |
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as Options);
    let function = parse_macro_input!(item as ItemFn);
    match parts::expand(options, function) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            let error = error.to_compile_error();
            quote!(#error).into()
        }
    }
}
