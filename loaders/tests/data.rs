//! How well real files are read. Needs the evaluation data: `CORBIE_DATA` names its folder.
//!
//! `cargo test -p corbie-loaders --test data -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use corbie_core::testing::{WordCounter, conformance};
use corbie_core::{Document, Splitter};
use corbie_loaders::encoding::{decode, normalize};
use corbie_loaders::{Parsers, SplitOptions, TokenSplitter};

/// The evaluation data, or a visible line that it is missing.
fn data() -> Option<PathBuf> {
    let data = std::env::var_os("CORBIE_DATA").map(PathBuf::from);
    if data.is_none() {
        println!("skipped: CORBIE_DATA is not set");
    }
    data
}

/// All files below a folder with one of these extensions, sorted.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if extensions.contains(&extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Precision and recall of one bag of things against another.
fn overlap<T: Eq + Hash>(
    found: impl Iterator<Item = T>,
    expected: impl Iterator<Item = T>,
) -> (f64, f64) {
    let mut bag: HashMap<T, usize> = HashMap::new();
    let mut expected_count = 0;
    for thing in expected {
        *bag.entry(thing).or_default() += 1;
        expected_count += 1;
    }
    let (mut found_count, mut right) = (0, 0);
    for thing in found {
        found_count += 1;
        if let Some(left) = bag.get_mut(&thing).filter(|left| **left > 0) {
            *left -= 1;
            right += 1;
        }
    }
    let share = |whole: usize| {
        if whole == 0 {
            f64::from(right == 0)
        } else {
            right as f64 / whole as f64
        }
    };
    (share(found_count), share(expected_count))
}

fn f1((precision, recall): (f64, f64)) -> f64 {
    match precision + recall {
        sum if sum > 0.0 => 2.0 * precision * recall / sum,
        _ => 0.0,
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// Folders of the encoding collection whose names the Encoding Standard does not know.
const LABELS: &[(&str, &str)] = &[
    ("CP932", "shift_jis"),
    ("CP949", "euc-kr"),
    ("TIS-620", "windows-874"),
    ("MacCyrillic", "x-mac-cyrillic"),
    ("utf-8-sig", "utf-8"),
    ("GB2312", "gb18030"),
    ("IBM866", "ibm866"),
];

#[test]
fn encodings_are_told() {
    let Some(data) = data() else { return };
    let (mut right, mut all, mut foreign) = (0, 0, 0);
    let mut wrong: HashMap<String, Vec<&str>> = HashMap::new();
    for path in files(
        &data.join("loaders/encodings/tests"),
        &["txt", "xml", "html", "srt"],
    ) {
        let folder = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let listed = LABELS
            .iter()
            .find(|(name, _)| *name == folder)
            .map(|(_, label)| *label);
        let label = listed.unwrap_or_else(|| {
            folder.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '-')
        });
        let label = if encoding_rs::Encoding::for_label(label.as_bytes()).is_some() {
            label
        } else {
            folder
        };
        let label = match folder
            .strip_prefix("iso-")
            .or(folder.strip_prefix("windows-"))
        {
            Some(rest) if listed.is_none() => {
                let kept = rest
                    .trim_end_matches(|c: char| c.is_ascii_alphabetic())
                    .trim_end_matches('-');
                &folder[..folder.len() - rest.len() + kept.len()]
            }
            _ => label,
        };
        let bytes = std::fs::read(&path).unwrap();
        let expected = match encoding_rs::Encoding::for_label(label.as_bytes()) {
            Some(encoding) => normalize(&encoding.decode(&bytes).0),
            None if folder.starts_with("UTF-32") => utf32(folder, &bytes),
            // Encodings that browsers do not know either.
            None => {
                foreign += 1;
                continue;
            }
        };
        let decoded = decode(&bytes, None);
        all += 1;
        match decoded.text == expected {
            true => right += 1,
            false => wrong
                .entry(folder.to_owned())
                .or_default()
                .push(decoded.encoding),
        }
    }
    println!(
        "encodings: {right} of {all} files decoded right; {foreign} in encodings outside the standard"
    );
    println!("wrong: {wrong:?}");
    assert!(right * 100 >= all * 94);
}

fn utf32(folder: &str, bytes: &[u8]) -> String {
    let little = folder != "UTF-32BE" && !bytes.starts_with(&[0, 0, 0xfe, 0xff]);
    let numbers = bytes.chunks_exact(4).map(|four| {
        let four = [four[0], four[1], four[2], four[3]];
        if little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        }
    });
    normalize(&numbers.filter_map(char::from_u32).collect::<String>())
}

#[test]
fn pdf_text_is_read() {
    let Some(data) = data() else { return };
    let parsers = Parsers::standard();
    let (mut scores, start) = (Vec::new(), Instant::now());
    for path in files(&data.join("loaders/pdf/pdfbox"), &["pdf"]) {
        let expected = std::fs::read(path.with_extension("pdf.txt"));
        let Ok(expected) = expected.map(|bytes| decode(&bytes, None).text) else {
            continue;
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = parsers.parse_now(name, &std::fs::read(&path).unwrap());
        let text = text.map(|document| document.text).unwrap_or_else(|error| {
            println!("{error}");
            String::new()
        });
        let score = f1(overlap(words(&text), words(&expected)));
        println!("{score:.3} {name}");
        scores.push(score);
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    println!(
        "pdf: mean F1 of words {mean:.3} over {} files in {:?}",
        scores.len(),
        start.elapsed()
    );
    assert!(mean > 0.78);
}

#[test]
fn main_content_is_found() {
    let Some(data) = data() else { return };
    let folder = data.join("loaders/html-article-extraction");
    let truth: HashMap<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(folder.join("ground-truth.json")).unwrap()).unwrap();
    let parsers = Parsers::standard();
    let (mut precisions, mut recalls) = (Vec::new(), Vec::new());
    for path in files(&folder.join("html"), &["gz"]) {
        let unpacked = Command::new("gzip").arg("-dc").arg(&path).output();
        let Ok(unpacked) = unpacked else {
            println!("skipped: gzip is not here");
            return;
        };
        let name = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".html.gz");
        let expected = truth[name]["articleBody"].as_str().unwrap();
        let text = parsers.parse_now("page.html", &unpacked.stdout);
        let text = text.map(|document| document.text).unwrap_or_default();
        // The measure of that benchmark: runs of four words.
        let shingles = |text: &str| {
            let words: Vec<String> = words(text).map(str::to_owned).collect();
            let length = words.len().clamp(1, 4);
            words
                .windows(length)
                .map(<[String]>::to_vec)
                .collect::<Vec<_>>()
        };
        let (precision, recall) =
            overlap(shingles(&text).into_iter(), shingles(expected).into_iter());
        if f1((precision, recall)) < 0.6 {
            println!("{precision:.2} {recall:.2} {name}");
        }
        precisions.push(precision);
        recalls.push(recall);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (precision, recall) = (mean(&precisions), mean(&recalls));
    let score = f1((precision, recall));
    println!(
        "html: precision {precision:.3} recall {recall:.3} F1 {score:.3} over {} pages",
        recalls.len()
    );
    assert!(score > 0.88);
}

#[test]
fn spans_end_where_sentences_do() {
    let Some(data) = data() else { return };
    let parsers = Parsers::standard();
    let mut documents: Vec<(&str, Document)> = Vec::new();
    for path in files(&data.join("loaders"), &["md"]) {
        let bytes = std::fs::read(&path).unwrap();
        if let Ok(document) = parsers.parse_now(path.to_str().unwrap(), &bytes) {
            documents.push(("markdown", document));
        }
    }
    for set in ["cmrc2018-trial", "drcd-dev", "xquad-en"] {
        let corpus =
            std::fs::read_to_string(data.join("retrieval").join(set).join("corpus.jsonl")).unwrap();
        for line in corpus.lines().take(256) {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            documents.push((
                set,
                Document::new("x", normalize(entry["text"].as_str().unwrap())),
            ));
        }
    }
    let counter = Arc::new(WordCounter { limit: 254 });
    let splitter = TokenSplitter::new(counter.clone(), SplitOptions::default());
    let mut ends: HashMap<&str, (usize, usize)> = HashMap::new();
    let start = Instant::now();
    for (set, document) in &documents {
        conformance::splitter(&splitter, counter.as_ref(), 200, document);
        for span in splitter.split(document).unwrap() {
            let (good, all) = ends.entry(set).or_default();
            *all += 1;
            *good += usize::from(ends_well(&document.text, span.end));
        }
    }
    for (set, (good, all)) in &ends {
        println!(
            "split {set}: {good} of {all} spans end well ({:.1} %)",
            100.0 * *good as f64 / *all as f64
        );
        assert!(good * 100 >= all * 95, "{set}");
    }
    println!("split in {:?}", start.elapsed());
}

/// Whether a sentence, a heading, a paragraph or a line of a list ends here.
fn ends_well(text: &str, end: usize) -> bool {
    let after = &text[end..];
    let gap = &after[..after.len() - after.trim_start().len()];
    let closers = [
        '"', '\'', '”', '’', '」', '』', '》', '）', ')', ']', '*', '_', '`',
    ];
    let sentence = text[..end].trim_end_matches(closers);
    after.trim().is_empty()
        || gap.matches('\n').count() >= 2
        || sentence.ends_with(['.', '!', '?', '。', '！', '？', '…', '；', ':', '：'])
        || (gap.contains('\n')
            && after
                .trim_start()
                .starts_with(['-', '*', '|', '#', '+', '<', '`']))
        || (gap.contains('\n') && after.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}
