//! Measures the embedded engine: `cargo run --release -p corbie-vectorstores --features edge
//! --example measure_search -- [POINTS] [none|scalar|binary] [disk]`
#![allow(clippy::print_stdout)]

use corbie_vectorstores::bench::{BenchOptions, bench_field, search_bench};
use corbie_vectorstores::{EdgeOptions, EdgeStore, FieldKind, IndexedField, Quantization};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = BenchOptions {
        points: arguments.first().map_or(Ok(100_000), |n| n.parse())?,
        ..BenchOptions::default()
    };
    let folder = std::env::temp_dir().join(format!("corbie-bench-{}", std::process::id()));
    let edge = EdgeOptions {
        dimension: Some(options.dimension),
        optimize_after: usize::MAX,
        quantization: match arguments.get(1).map(String::as_str) {
            Some("scalar") => Quantization::Scalar,
            Some("binary") => Quantization::Binary,
            _ => Quantization::None,
        },
        on_disk: arguments.iter().any(|argument| argument == "disk"),
        indexed: vec![IndexedField {
            field: bench_field().into(),
            kind: FieldKind::Integer,
        }],
        ..EdgeOptions::default()
    };
    let store = EdgeStore::open(&folder, edge)?;
    let figures = search_bench(&store, &options, None, async || store.optimize().await);
    let figures = futures::executor::block_on(figures);
    drop(store);
    std::fs::remove_dir_all(&folder)?;
    println!("{}", serde_json::to_string_pretty(&figures?)?);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM"))
        .for_each(|line| println!("{line}"));
    Ok(())
}
