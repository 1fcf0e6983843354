#![allow(clippy::unwrap_used)]
use super::*;
use corbie_core::testing::{WordCounter, conformance};
use proptest::prelude::*;

/// Counts as WordPiece and BPE do, roughly: CJK characters alone, words in pieces of four
/// letters, an overlong word as one.
struct PieceCounter;

impl TokenCounter for PieceCounter {
    fn count(&self, text: &str) -> usize {
        let mut tokens = 0;
        let mut word = 0;
        for character in text.chars().chain([' ']) {
            if character.is_ascii_alphanumeric() {
                word += 1;
                continue;
            }
            tokens += if word > 100 {
                1
            } else {
                usize::div_ceil(word, 4)
            };
            tokens += usize::from(!character.is_whitespace());
            word = 0;
        }
        tokens
    }

    fn limit(&self) -> usize {
        254
    }
}

/// Counts more for the whole than for its parts, as no tokenizer should.
struct SpitefulCounter;

impl TokenCounter for SpitefulCounter {
    fn count(&self, text: &str) -> usize {
        text.chars().count() + text.matches(['.', '\n']).count() * 2
    }

    fn limit(&self) -> usize {
        1000
    }
}

fn markdown(text: &str) -> Document {
    let parsed = crate::Parsers::standard().parse_now("a.md", text.as_bytes());
    parsed.unwrap()
}

fn cut(text: &str, max_tokens: usize) -> Vec<String> {
    let document = markdown(text);
    let splitter = TokenSplitter::new(Arc::new(PieceCounter), max_tokens.into());
    conformance::splitter(&splitter, &PieceCounter, max_tokens, &document);
    let spans = splitter.split(&document).unwrap().into_iter();
    spans
        .map(|span| document.text[span.start..span.end].to_owned())
        .collect()
}

#[test]
fn spans_end_at_headings_paragraphs_and_sentences() {
    let text = "# 手册\n\n## 安装\n\n第一步。第二步很长很长很长。\n\n## 使用\n\n点击按钮。";
    assert_eq!(
        cut(text, 100),
        [
            "# 手册\n\n## 安装\n\n第一步。第二步很长很长很长。",
            "## 使用\n\n点击按钮。"
        ]
    );
    assert_eq!(
        cut(text, 14),
        [
            "# 手册\n\n## 安装\n\n第一步。",
            "第二步很长很长很长。",
            "## 使用\n\n点击按钮。"
        ]
    );
    let text = "One two. Three four.\n\nFive six seven. Eight.";
    assert_eq!(
        cut(text, 8),
        ["One two. Three four.", "Five six seven. Eight."]
    );
}

#[test]
fn code_and_tables_stay_whole_where_they_fit() {
    let text = "Some words of text here.\n\n```\nlet a = 1;\nlet b = 2;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |";
    let parts = cut(text, 20);
    assert_eq!(parts[0], "Some words of text here.");
    assert!(parts[1].starts_with("```") && parts[1].ends_with("```"));
    assert!(parts[2].starts_with("| a |") && parts[2].ends_with("| 2 |"));
}

#[test]
fn long_code_is_cut_at_line_ends() {
    let code: String = (0..40).map(|n| format!("let value{n} = {n};\n")).collect();
    let parts = cut(&format!("```\n{code}```"), 50);
    assert!(parts.len() > 3);
    assert!(
        parts[..parts.len() - 1]
            .iter()
            .all(|part| part.ends_with(';')),
        "{parts:?}"
    );
}

#[test]
fn an_empty_section_does_not_lend_its_heading() {
    assert_eq!(cut("## A\n\n## B\n\ntext", 50), ["## A", "## B\n\ntext"]);
}

#[test]
fn spans_share_sentences_where_told() {
    let document = Document::new("a.txt", "One a. Two b. Three c. Four d.");
    let options = SplitOptions {
        max_tokens: 4,
        overlap_tokens: 2,
    };
    let counter = Arc::new(WordCounter { limit: 100 });
    let splitter = TokenSplitter::new(counter.clone(), options);
    conformance::splitter(&splitter, counter.as_ref(), 4, &document);
    let spans = splitter.split(&document).unwrap().into_iter();
    let texts: Vec<&str> = spans
        .map(|span| &document.text[span.start..span.end])
        .collect();
    assert_eq!(
        texts,
        ["One a. Two b.", "Two b. Three c.", "Three c. Four d."]
    );
}

#[test]
fn no_text_has_no_spans_and_no_limit_is_an_error() {
    let splitter = |max: usize| TokenSplitter::new(Arc::new(PieceCounter), max.into());
    for text in ["", " \n\n\t", "\u{3000}"] {
        assert_eq!(splitter(9).split(&Document::new("a", text)).unwrap(), []);
    }
    assert!(splitter(0).split(&Document::new("a", "x")).is_err());
    let spiteful = TokenSplitter::new(Arc::new(SpitefulCounter), 2.into());
    let error = spiteful.split(&Document::new("a", ". .")).unwrap_err();
    assert!(error.to_string().contains("'.'"), "{error}");
}

#[test]
fn endless_strings_are_cut() {
    for unit in ["a", "中", "ab1", "e\u{301}", "\u{1f468}\u{200d}"] {
        let text = unit.repeat(100_000 / unit.chars().count());
        let document = Document::new("a.txt", text);
        let splitter = TokenSplitter::new(Arc::new(PieceCounter), SplitOptions::default());
        conformance::splitter(&splitter, &PieceCounter, 200, &document);
        assert!(splitter.split(&document).unwrap().len() > 10, "{unit}");
    }
}

#[test]
fn the_identity_names_the_options() {
    let identity = |max: usize| TokenSplitter::new(Arc::new(PieceCounter), max.into()).identity();
    assert_ne!(identity(100), identity(200));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_laws_hold_on_any_text(
        text in "(\n|\n\n|# |## |- |```\n|\\| a |1\\. |[a-z]{1,9}[ .,]|[中文字。，！]{1,9}|\\PC){0,80}",
        max in 4usize..60,
        overlap in 0usize..20,
    ) {
        let document = markdown(&text);
        let options = SplitOptions { max_tokens: max, overlap_tokens: overlap };
        let splitter = TokenSplitter::new(Arc::new(PieceCounter), options.clone());
        conformance::splitter(&splitter, &PieceCounter, max, &document);
        let splitter = TokenSplitter::new(Arc::new(SpitefulCounter), options);
        conformance::splitter(&splitter, &SpitefulCounter, max, &document);
    }

    #[test]
    fn the_laws_hold_with_any_pages_and_headings(
        text in "([a-z 中。\n]|\\PC){1,60}",
        marks in prop::collection::vec((0usize..80, 0usize..80, 1u8..5), 0..6),
    ) {
        let mut document = Document::new("a.pdf", text);
        let mut marks = marks;
        marks.sort_unstable();
        for (start, end, level) in marks {
            document.headings.push(corbie_core::Heading { level, start, end, title: level.to_string() });
            document.pages.push(corbie_core::Page { number: level.into(), start, end });
        }
        let splitter = TokenSplitter::new(Arc::new(PieceCounter), 10.into());
        conformance::splitter(&splitter, &PieceCounter, 10, &document);
    }
}
