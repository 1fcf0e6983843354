//! What kind of document bytes are, judged by the bytes.
//!
//! A file's extension settles only what content cannot: whether text is Markdown or plain.

use corbie_core::MediaType;

/// The media type of `bytes`, which came from a thing called `source`.
///
/// ```
/// use corbie_core::MediaType;
/// use corbie_loaders::media_type::detect;
///
/// assert_eq!(detect("report.txt", b"%PDF-1.7\n..."), MediaType::PDF);
/// assert_eq!(detect("notes.md", b"Just words."), MediaType::MARKDOWN);
/// assert_eq!(detect("photo.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").to_string(), "image/png");
/// ```
pub fn detect(source: &str, bytes: &[u8]) -> MediaType {
    if is_pdf(bytes) {
        return MediaType::PDF;
    }
    // Text first: some magic numbers are words (`BM` opens a bitmap and many a sentence).
    if !is_text(bytes) {
        let known = infer::get(bytes).map(|found| found.mime_type());
        let known = match known {
            Some("application/zip") => inside_zip(bytes),
            other => other.unwrap_or("application/octet-stream"),
        };
        return MediaType(known.into());
    }
    let head = head_as_text(bytes);
    for (start, media_type) in TEXT_MAGIC {
        if head.starts_with(start) {
            return MediaType((*media_type).into());
        }
    }
    text_type(extension(source).as_deref(), &head)
}

/// What a ZIP archive is, by the names of its members.
fn inside_zip(bytes: &[u8]) -> &'static str {
    const OFFICE: [(&[u8], &str); 4] = [
        (
            b"word/document",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (
            b"xl/workbook",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (
            b"ppt/presentation",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        (b"META-INF/container.xml", "application/epub+zip"),
    ];
    // The directory of members is at the end.
    let directory = &bytes[bytes.len().saturating_sub(64 << 10)..];
    let holds = |name: &[u8]| directory.windows(name.len()).any(|window| window == name);
    let found = OFFICE.iter().find(|(member, _)| holds(member));
    found.map_or("application/zip", |(_, media_type)| media_type)
}

/// Text formats that are not meant to be read, by how they begin.
const TEXT_MAGIC: &[(&str, &str)] = &[
    ("{\\rtf", "application/rtf"),
    ("%!PS", "application/postscript"),
    ("-----BEGIN PGP", "application/pgp-encrypted"),
];

/// A PDF begins with its header, or after at most a kilobyte of something else.
fn is_pdf(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024 + 8)];
    let header = head.windows(7).position(|window| {
        window.starts_with(b"%PDF-") && window[5].is_ascii_digit() && window[6] == b'.'
    });
    match header {
        Some(0) => true,
        // A text about PDF quotes the header, but has no objects.
        Some(place) => bytes[place..].windows(4).any(|window| window == b" obj"),
        None => bytes.starts_with(b"%PDF-"),
    }
}

/// Whether bytes are text in some encoding: no control characters beyond those of text files.
fn is_text(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(16 << 10)];
    if sample.contains(&0) {
        // UTF-16 and UTF-32 hold zeros, and decode to characters all the same.
        let even = &sample[..sample.len() / 4 * 4];
        let decoded = crate::encoding::decode(even, None);
        let is_wide =
            decoded.encoding.starts_with("UTF-16") || decoded.encoding.starts_with("UTF-32");
        return is_wide && !decoded.damaged;
    }
    let controls = sample.iter().filter(|byte| is_control(**byte)).count();
    let escapes = sample.iter().filter(|byte| **byte == 0x1b).count();
    // ISO-2022 text and terminal logs escape; a stray control byte is no reason to refuse.
    (controls - escapes) * 500 <= sample.len() && escapes * 8 <= sample.len()
}

fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0e..=0x1f | 0x7f)
}

/// The beginning, decoded, without leading white space.
fn head_as_text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(4096)];
    let head = match bytes.contains(&0) {
        true => crate::encoding::decode(&head[..head.len() / 4 * 4], None).text,
        false => String::from_utf8_lossy(head).into_owned(),
    };
    head.trim_start_matches('\u{feff}').trim_start().to_owned()
}

fn text_type(extension: Option<&str>, head: &str) -> MediaType {
    let is_markdown = matches!(
        extension,
        Some("md" | "markdown" | "mdown" | "mkd" | "mkdn" | "qmd")
    );
    let is_html = matches!(extension, Some("html" | "htm" | "xhtml" | "shtml"));
    match html_likeness(head) {
        HtmlLikeness::Certain => MediaType::HTML,
        // Markdown may open with a tag; so may a note about tags.
        HtmlLikeness::Possible if is_html || extension.is_none() => MediaType::HTML,
        _ if is_html => MediaType::HTML,
        _ if is_markdown => MediaType::MARKDOWN,
        _ if matches!(extension, None | Some("txt" | "text")) && looks_like_markdown(head) => {
            MediaType::MARKDOWN
        }
        _ => MediaType::TEXT,
    }
}

enum HtmlLikeness {
    Certain,
    Possible,
    None,
}

/// Whether text opens as HTML does (the tags are those of the MIME Sniffing Standard, 7.1).
fn html_likeness(head: &str) -> HtmlLikeness {
    let mut rest = head;
    // Comments and XML declarations may come first.
    loop {
        let after = if rest.starts_with("<!--") {
            rest.split_once("-->")
        } else if rest.starts_with("<?xml") {
            rest.split_once("?>")
        } else {
            break;
        };
        match after {
            Some((_, after)) => rest = after.trim_start(),
            None => return HtmlLikeness::None,
        }
    }
    let Some(tag) = rest.strip_prefix('<') else {
        return HtmlLikeness::None;
    };
    let end = tag
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '!'))
        .unwrap_or(tag.len());
    let name = tag[..end].to_ascii_lowercase();
    match name.as_str() {
        "!doctype"
            if tag[end..]
                .trim_start()
                .get(..4)
                .is_some_and(|kind| kind.eq_ignore_ascii_case("html")) =>
        {
            HtmlLikeness::Certain
        }
        "html" | "head" | "body" => HtmlLikeness::Certain,
        "script" | "iframe" | "h1" | "h2" | "div" | "font" | "table" | "a" | "style" | "title"
        | "b" | "br" | "p" | "meta" | "link" | "article" | "main" | "section" | "ul" | "ol" => {
            HtmlLikeness::Possible
        }
        _ => HtmlLikeness::None,
    }
}

/// Whether text without a telling extension has Markdown's headings: two of them, each after an
/// empty line, so that the comments of a script do not count.
fn looks_like_markdown(head: &str) -> bool {
    let mut after_empty = true;
    let mut headings = 0;
    for line in head.lines() {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        let is_heading = (1..=6).contains(&level) && title.starts_with(' ');
        headings += usize::from(is_heading && after_empty);
        after_empty = line.trim().is_empty();
    }
    headings >= 2 && !head.starts_with("#!")
}

fn extension(source: &str) -> Option<String> {
    let name = source.rsplit(['/', '\\']).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn content_decides_and_extensions_break_ties() {
        let gbk = encoding_rs::GBK
            .encode("你好，世界。这是一个测试文件。")
            .0
            .into_owned();
        let utf16: Vec<u8> = "<html><p>你好</p></html>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let cases: &[(&str, &[u8], &str)] = &[
            ("a.txt", b"%PDF-1.4\n%\xe2\xe3", "application/pdf"),
            (
                "a.txt",
                b"HTTP/1.1 200\r\n\r\n%PDF-1.4\n1 0 obj\n<<>>",
                "application/pdf",
            ),
            (
                "a.md",
                b"A PDF opens with `%PDF-1.4` and a version.",
                "text/markdown",
            ),
            ("a.md", b"<!DOCTYPE html>\n<p>x", "text/html"),
            ("a.pdf", b"<HTML><body>x", "text/html"),
            (
                "a",
                b"<?xml version=\"1.0\"?>\n<!-- c -->\n<html>",
                "text/html",
            ),
            ("a.md", b"<div align=center>\n\n# Title", "text/markdown"),
            ("a.html", b"<div>x</div>", "text/html"),
            ("a", b"<p>x</p>", "text/html"),
            ("a.html", b"Hello <b>x</b>", "text/html"),
            ("a.bin", &utf16, "text/html"),
            ("a.txt", b"BM25 is a ranking function.", "text/plain"),
            ("a.txt", &gbk, "text/plain"),
            ("a.markdown", b"words", "text/markdown"),
            ("a.txt", b"# One\n\nx\n\n## Two\n", "text/markdown"),
            ("run.sh", b"# One\n\n# Two\n", "text/plain"),
            ("a.json", b"{\"a\": 1}", "text/plain"),
            ("a.txt", b"", "text/plain"),
            ("a.txt", b"{\\rtf1\\ansi", "application/rtf"),
            ("a.txt", b"PK\x03\x04\x14\0\0\0\x08\0", "application/zip"),
            (
                "a.zip",
                b"PK\x03\x04\x14\0\0\0\x08\0PK\x01\x02\0\0META-INF/container.xml",
                "application/epub+zip",
            ),
            ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            ("a.txt", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
            (
                "a.txt",
                b"\x01\x02\x03\x04\0\0\0\xff\xfe\xfd\0\0",
                "application/octet-stream",
            ),
        ];
        for (source, bytes, expected) in cases {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
            assert_eq!(
                detect(source, bytes).to_string(),
                *expected,
                "{source}: {head}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_type(source in "\\PC{0,12}", bytes: Vec<u8>) {
            prop_assert!(!detect(&source, &bytes).to_string().is_empty());
        }

        #[test]
        fn any_text_is_text(text in "[^\\x00-\\x1f\\x7f<{%-]{1,80}") {
            prop_assert_eq!(detect("a.txt", text.as_bytes()), MediaType::TEXT);
        }
    }
}
