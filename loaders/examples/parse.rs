//! Shows what is read from a file: `cargo run -p corbie-loaders --example parse -- FILE`
#![allow(clippy::print_stdout)]

use corbie_core::Parser;
use corbie_loaders::{IsolatedParser, Parsers, WorkerCommand, isolated::worker_main};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("usage: parse FILE")?;
    // The program is its own worker.
    if argument == "__parse" {
        let parsers = Parsers::standard();
        return Ok(worker_main(|source, bytes| {
            parsers.parse_now(source, bytes)
        })?);
    }
    let bytes = std::fs::read(&argument)?;
    let parser = IsolatedParser::new(WorkerCommand::this_program("__parse")?, Default::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let document = runtime.block_on(parser.parse(&argument, &bytes))?;
    println!("{}", serde_json::to_string(&document)?);
    Ok(())
}
