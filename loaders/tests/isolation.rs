//! A document that aborts, hangs or eats memory is named with the reason, and the next one is
//! parsed all the same.
//!
//! With `CORBIE_DATA`, the folder of the evaluation data, 200 real files go through as well; with
//! `CORBIE_FULL` all of them.
//!
//! The program is its own worker, so it has a `main` of its own instead of the test harness.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use corbie_core::{Document, Error, ErrorKind, Parser, Result, Skipped, Source};
use corbie_loaders::isolated::worker_main;
use corbie_loaders::{
    FolderOptions, IsolatedParser, IsolationOptions, Parsers, Sources, WorkerCommand,
};
use futures::StreamExt;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "worker") {
        worker_main(hostile).unwrap();
        return;
    }
    if arguments.iter().any(|argument| argument == "parse-worker") {
        let parsers = Parsers::standard();
        worker_main(|source, bytes| parsers.parse_now(source, bytes)).unwrap();
        return;
    }
    // What test runners ask for.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("isolation: test");
        }
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        every_failure_is_named_and_survived().await;
        a_wrong_command_is_named().await;
        the_environment_stays_here().await;
        real_files_are_read_or_named().await;
    });
    println!("isolation: ok");
}

/// A parser whose documents do what their names say.
fn hostile(source: &str, bytes: &[u8]) -> Result<Document> {
    match source {
        "abort.pdf" => std::process::abort(),
        "panic.pdf" => panic!("a broken promise"),
        "hang.pdf" => loop {
            std::thread::park();
        },
        "spin.pdf" => loop {
            std::hint::spin_loop();
        },
        "memory.pdf" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 16 << 20]);
            }
        }
        "stack.pdf" => Ok(Document::new(source, descend(1).to_string())),
        "large.pdf" => Ok(Document::new(source, "x".repeat(3 << 20))),
        "exit.pdf" => std::process::exit(3),
        "environment.pdf" => Ok(Document::new(source, std::env::vars().count().to_string())),
        "print.pdf" => {
            println!("not an answer");
            Ok(Document::new(source, "printed"))
        }
        "refused.pdf" => Err(Error::new(ErrorKind::Malformed, source, "no pages").hint("look")),
        _ => Ok(Document::new(source, bytes.len().to_string())),
    }
}

#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    descend(depth + 1) + frame[depth as usize % 512]
}

fn parser(wall_time: Duration) -> IsolatedParser {
    let options = IsolationOptions {
        memory_bytes: 1 << 30,
        processor_time: Duration::from_secs(1),
        wall_time,
        max_output_bytes: 2 << 20,
        workers: 2,
        documents_per_worker: 5,
    };
    IsolatedParser::new(WorkerCommand::this_program("worker").unwrap(), options)
}

const PDF: &[u8] = b"%PDF-1.4\n";

async fn every_failure_is_named_and_survived() {
    let cases = [
        ("abort.pdf", ErrorKind::Malformed, "signal 6"),
        ("panic.pdf", ErrorKind::Malformed, "a broken promise"),
        ("spin.pdf", ErrorKind::LimitExceeded, "processor time"),
        ("memory.pdf", ErrorKind::LimitExceeded, "memory"),
        ("stack.pdf", ErrorKind::Malformed, "nested too deeply"),
        ("large.pdf", ErrorKind::LimitExceeded, "larger than 2 MiB"),
        ("exit.pdf", ErrorKind::Internal, "worker ended"),
        ("refused.pdf", ErrorKind::Malformed, "no pages (look)"),
    ];
    let patient = parser(Duration::from_secs(300));
    for (source, kind, words) in cases {
        // Once in a new worker and once in one that has served.
        for _ in 0..2 {
            let error = patient.parse(source, PDF).await.unwrap_err();
            assert_eq!(*error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().starts_with(source), "{error}");
            let good = patient.parse("good.pdf", PDF).await.unwrap();
            assert_eq!(good.text, PDF.len().to_string());
        }
    }
    assert_eq!(
        patient.parse("print.pdf", PDF).await.unwrap().text,
        "printed"
    );
    let many = (0..20).map(|_| patient.parse("good.pdf", PDF));
    assert!(
        futures::future::join_all(many)
            .await
            .into_iter()
            .all(|result| result.is_ok())
    );

    let hasty = parser(Duration::from_millis(50));
    let error = hasty.parse("hang.pdf", PDF).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::LimitExceeded, "{error}");
    // Trusted formats need no worker.
    assert_eq!(
        hasty.parse("a.txt", b"abort.pdf").await.unwrap().text,
        "abort.pdf"
    );
}

async fn a_wrong_command_is_named() {
    let command = |program: &str| WorkerCommand {
        program: program.into(),
        arguments: Vec::new(),
    };
    let missing = IsolatedParser::new(command("/no/such/program"), IsolationOptions::default());
    let error = missing.parse("a.pdf", PDF).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    let silent = IsolatedParser::new(command("/bin/true"), IsolationOptions::default());
    let error = silent.parse("a.pdf", PDF).await.unwrap_err();
    assert!(error.to_string().contains("a.pdf"), "{error}");
    assert!(
        Parsers::standard()
            .parse("a.zip", b"PK\x03\x04\0\0")
            .await
            .is_err()
    );
}

async fn the_environment_stays_here() {
    let document = parser(Duration::from_secs(300))
        .parse("environment.pdf", PDF)
        .await;
    assert_eq!(document.unwrap().text, "0");
}

async fn real_files_are_read_or_named() {
    let Some(data) = std::env::var_os("CORBIE_DATA").map(PathBuf::from) else {
        println!("skipped: CORBIE_DATA is not set");
        return;
    };
    let folders = [
        "pdf",
        "markdown",
        "html-readability",
        "docling",
        "encodings",
    ];
    let folders = folders.map(|name| data.join("loaders").join(name));
    let sources = Sources::new(&folders, &FolderOptions::default()).unwrap();
    let listing = sources.list().await.unwrap();
    let all = listing.items.len();
    let step = match std::env::var_os("CORBIE_FULL") {
        Some(_) => 1,
        None => (all / 200).max(1),
    };
    let command = WorkerCommand::this_program("parse-worker").unwrap();
    let parser = IsolatedParser::new(command, IsolationOptions::default());
    let start = Instant::now();
    let results = futures::stream::iter(listing.items.iter().step_by(step)).map(async |item| {
        let begun = Instant::now();
        let bytes = sources.read(item).await.unwrap();
        let result = parser.parse(&item.source, &bytes).await;
        let result = result.map_err(|error| Skipped::because(&item.source, &error));
        (&item.source, result, begun.elapsed())
    });
    let results: Vec<_> = results.buffer_unordered(4).collect().await;
    let took = start.elapsed();
    let (mut read, mut pages) = (0, 0);
    for (source, result, time) in &results {
        match result {
            Ok(document) => {
                read += 1;
                pages += document.pages.len();
                assert!(document.metadata.contains_key("media_type"));
            }
            Err(skipped) => {
                println!("{source}: {}", skipped.reason);
                assert!(!skipped.reason.is_empty());
                assert!(
                    !skipped.reason.contains("worker ended"),
                    "the worker is fine"
                );
            }
        }
        if *time > Duration::from_secs(5) {
            println!("{source}: {time:?}");
        }
    }
    println!(
        "{} of {all} files: {read} read with {pages} PDF pages, {} named with a reason, in {took:?}",
        results.len(),
        results.len() - read,
    );
    assert!(read * 2 > results.len());
}
