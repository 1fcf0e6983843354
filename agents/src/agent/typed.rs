//! Tools whose arguments are a Rust type, and what `#[tool]` expands to.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

pub use corbie_core::{Effects, Invocation};
use corbie_core::{Error, ErrorKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
#[doc(hidden)]
pub use {schemars, serde};

use super::FunctionTool;

/// A tool of typed arguments: the type's schema is the tool's, its comments describe the fields.
///
/// ```
/// use corbie_agents::typed::{self, Invocation};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Sum {
///     /// What to add up.
///     numbers: Vec<i64>,
/// }
///
/// let tool = typed::tool("sum", "Adds numbers up. 求和。", |sum: Sum, _run: Invocation| async move {
///     Ok::<_, String>(sum.numbers.iter().sum::<i64>())
/// });
/// ```
pub fn tool<A, T, E, F, R>(name: &str, description: &str, work: F) -> FunctionTool
where
    A: DeserializeOwned + JsonSchema,
    T: Serialize,
    E: Display,
    F: Fn(A, Invocation) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, E>> + Send + 'static,
{
    let work = Arc::new(work);
    let tool = name.to_owned();
    FunctionTool::new(name, description, schema::<A>(), move |run: Invocation| {
        let (work, tool) = (Arc::clone(&work), tool.clone());
        async move {
            let subject = || format!("tool `{tool}`");
            let arguments = A::deserialize(&run.arguments).map_err(|error| {
                let cause = format!("its arguments do not fit: {error}");
                Error::new(ErrorKind::BadInput, subject(), cause)
            })?;
            let value = work(arguments, run)
                .await
                .map_err(|error| Error::new(ErrorKind::Unavailable, subject(), error))?;
            serde_json::to_value(value)
                .map_err(|error| Error::new(ErrorKind::Internal, subject(), error))
        }
    })
}

/// The JSON Schema of a type, whole in itself.
pub fn schema<A: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let settings = settings.with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>();
    schema.remove("title");
    schema.into()
}
