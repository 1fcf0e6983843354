#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn parse(source: &str, bytes: &[u8]) -> Result<Document> {
    Parsers::standard().parse_now(source, bytes)
}

#[test]
fn what_is_not_supported_is_named() {
    let error = parse("a.docx", b"PK\x03\x04\x14\0\0\0\x08\0").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.cause(), "application/zip is not supported");
    assert_eq!(error.subject(), "a.docx");
    assert!(error.next_step().unwrap().contains("text/markdown"));
}

#[test]
fn a_document_says_what_it_is() {
    let document = parse("docs/手册.md", "# 手册\n\n内容。\n".as_bytes()).unwrap();
    assert_eq!(document.source, "docs/手册.md");
    assert_eq!(document.metadata["media_type"], "text/markdown");
    assert_eq!(document.metadata["title"], "手册");
    assert_eq!(document.metadata["encoding"], "UTF-8");
}

#[cfg(feature = "html")]
#[test]
fn markdown_and_html_give_the_same_text() {
    let paragraphs = [
        "渡鸦是鸦科鸟类，能记住藏食的地点，也会使用工具。",
        "“它们很聪明，”研究者说，“甚至会为将来打算。”",
        "It costs 3.50 euros (about 4 dollars), e.g. in shops; 价格是3.5欧元。",
    ];
    let markdown = format!(
        "# 渡鸦手册\n\n{}\n\n## 记忆\n\n{}\n\n- 一、种子\n- 二、坚果\n\n{}\n",
        paragraphs[0], paragraphs[1], paragraphs[2]
    );
    let html = format!(
        "<!DOCTYPE html><html><head><meta charset=utf-8><title>渡鸦手册</title></head><body><h1>渡鸦手册</h1>\
        <p>{}</p>\n<h2>记忆</h2><p>{}</p><ul><li>一、种子</li><li>二、坚果</li></ul><p>{}</p></body></html>",
        paragraphs[0], paragraphs[1], paragraphs[2],
    );
    let markdown = parse("a.md", markdown.as_bytes()).unwrap();
    let html = parse("a.html", html.as_bytes()).unwrap();
    assert_eq!(html.text, markdown.text);
    assert_eq!(html.headings, markdown.headings);
    assert_eq!(html.metadata["title"], markdown.metadata["title"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec!["", "%PDF-1.4\n", "<!doctype html>", "---\n", "# x\n", "\u{feff}"]),
        bytes: Vec<u8>,
        name in prop::sample::select(vec!["a", "a.md", "a.txt", "a.html", "a.pdf"]),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        if let Ok(document) = runtime.block_on(Parsers::standard().parse(name, &bytes)) {
            prop_assert_eq!(crate::encoding::normalize(&document.text), document.text);
        }
    }
}
