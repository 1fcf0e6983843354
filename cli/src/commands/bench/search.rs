//! The embedded vector store on made points.

#[cfg(feature = "edge")]
use std::path::Path;

use anyhow::Result;
use corbie_core::Error;
use serde_json::Value;
#[cfg(feature = "edge")]
use serde_json::json;

#[cfg(feature = "edge")]
use super::{Scratch, memory};

#[cfg(feature = "edge")]
pub async fn run(args: &crate::args::BenchSearchArgs) -> Result<Value> {
    use corbie_vectorstores::bench::{BenchOptions, bench_field, search_bench};
    use corbie_vectorstores::{EdgeOptions, EdgeStore, FieldKind, IndexedField, Quantization};

    let options = BenchOptions {
        points: args.points,
        dimension: args.dimension,
        queries: args.queries,
        ..BenchOptions::default()
    };
    let edge = EdgeOptions {
        dimension: Some(options.dimension),
        // Tidying up is measured by itself.
        optimize_after: usize::MAX,
        quantization: match args.quantization {
            crate::args::QuantizationKind::None => Quantization::None,
            crate::args::QuantizationKind::Scalar => Quantization::Scalar,
            crate::args::QuantizationKind::Binary => Quantization::Binary,
        },
        on_disk: args.on_disk,
        search_effort: args.effort.unwrap_or(EdgeOptions::default().search_effort),
        indexed: vec![IndexedField {
            field: bench_field().into(),
            kind: FieldKind::Integer,
        }],
        ..EdgeOptions::default()
    };
    let given = args.vectors.as_deref().map(numbers).transpose()?;
    let scratch;
    let folder = match &args.folder {
        Some(folder) => folder,
        None => {
            scratch = Scratch::new()?;
            &scratch.0
        }
    };
    let store = EdgeStore::open(folder, edge)?;
    let figures = search_bench(&store, &options, given, async || store.optimize().await).await?;
    let mut row = json!({ "v": 1 });
    if let (Some(row), Value::Object(figures)) =
        (row.as_object_mut(), serde_json::to_value(figures)?)
    {
        row.extend(figures);
        row.insert("rss_mb".into(), json!(memory("VmRSS:")));
        row.insert("peak_rss_mb".into(), json!(memory("VmHWM:")));
    }
    Ok(row)
}

/// The numbers in a file: four bytes each, the least first.
#[cfg(feature = "edge")]
fn numbers(file: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(file).map_err(|e| Error::io(format!("`{}`", file.display()), e))?;
    let (numbers, _) = bytes.as_chunks::<4>();
    Ok(numbers
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect())
}

#[cfg(not(feature = "edge"))]
pub async fn run(_: &crate::args::BenchSearchArgs) -> Result<Value> {
    let cause = "this build has no embedded engine to measure";
    Err(Error::new(corbie_core::ErrorKind::Unsupported, "bench search", cause).into())
}
