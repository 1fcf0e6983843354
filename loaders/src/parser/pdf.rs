//! PDF: the text of each page, its lines joined to paragraphs.
//!
//! Headings are not marked in PDF and none are guessed. The text is what the file's own text
//! layer says: scanned pages have none.

mod lines;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corbie_core::{ErrorKind, Metadata, Page};
use pdf_oxide::PdfDocument;
use pdf_oxide::converters::ConversionOptions;

use super::{Extract, Trouble};
use crate::blocking::panic_message;
use crate::encoding::normalize;
use lines::Paragraphs;

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let malformed = |error| Trouble::new(ErrorKind::Malformed, error);
    let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(malformed)?;
    // Many files are encrypted with no password at all.
    if document.is_encrypted() && !matches!(document.authenticate(b""), Ok(true)) {
        let cause = "it is encrypted and needs a password";
        let trouble = Trouble::new(ErrorKind::Unsupported, cause);
        return Err(trouble.hint("save a copy without the password"));
    }
    let count = document.page_count().map_err(malformed)?;
    if count == 0 {
        return Err(Trouble::new(ErrorKind::Malformed, "it has no pages"));
    }
    let pages: Vec<PageText> = (0..count).map(|page| read_page(&document, page)).collect();
    let texts: Vec<String> = pages.iter().map(|page| page.text.clone()).collect();
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Err(match pages.into_iter().find_map(|page| page.damage) {
            Some(damage) => Trouble::new(ErrorKind::Malformed, damage),
            None => {
                let cause = format!("no text in its {count} pages (scanned?)");
                let trouble = Trouble::new(ErrorKind::Unsupported, cause);
                trouble.hint("run text recognition on it first")
            }
        });
    }
    let mut extract = Extract {
        metadata: information(&document),
        ..Extract::default()
    };
    let damaged = (1_u32..).zip(&pages);
    let damaged = damaged.filter_map(|(number, page)| page.damage.as_ref().map(|_| number));
    let damaged: Vec<u32> = damaged.collect();
    if !damaged.is_empty() {
        let key = "damaged_pages".to_owned();
        extract.metadata.insert(key, damaged.into());
    }
    let paragraphs = Paragraphs::of(&texts);
    for (number, text) in (1..).zip(&texts) {
        let text = paragraphs.join(text);
        if !extract.text.is_empty() && !text.is_empty() {
            extract.text.push_str("\n\n");
        }
        let start = extract.text.len();
        extract.text.push_str(&text);
        let end = extract.text.len();
        extract.pages.push(Page { number, start, end });
    }
    Ok(extract)
}

struct PageText {
    /// Its lines, as far as they could be read.
    text: String,
    /// Why the rest could not.
    damage: Option<String>,
}

/// One damaged page does not take the others along.
fn read_page(document: &PdfDocument, page: usize) -> PageText {
    let by_lines = attempt(|| document.extract_text(page));
    // Reading by lines keeps columns apart, but can lose the text around tables; reading by
    // layout loses nothing.
    let by_layout = attempt(|| document.to_plain_text(page, &ConversionOptions::default()));
    let letters = |text: &Result<String, String>| {
        let text = text.as_deref().unwrap_or_default();
        text.chars().filter(|c| c.is_alphanumeric()).count()
    };
    let is_lost = letters(&by_lines) * 10 < letters(&by_layout) * 9;
    let (text, damage) = match if is_lost { by_layout } else { by_lines } {
        Ok(text) => (text, None),
        Err(damage) => (String::new(), Some(damage)),
    };
    // A soft hyphen at a line end was put there by the typesetter.
    let text: Cow<'_, str> = match text.contains('\u{ad}') {
        true => text
            .replace("\u{ad}\r\n", "")
            .replace("\u{ad}\n", "")
            .into(),
        false => text.into(),
    };
    let text = normalize(&text);
    PageText { text, damage }
}

fn attempt<E: std::fmt::Display>(
    work: impl FnOnce() -> Result<String, E>,
) -> Result<String, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(text) => text.map_err(|error| error.to_string()),
        Err(payload) => Err(panic_message(payload.as_ref())),
    }
}

/// Title and author from the file's own information.
fn information(document: &PdfDocument) -> Metadata {
    let mut metadata = Metadata::new();
    let entry = document.trailer().as_dict().and_then(|it| it.get("Info"));
    let Some(Ok(information)) = entry.map(|entry| document.resolve_object(entry)) else {
        return metadata;
    };
    for (key, name) in [("Title", "title"), ("Author", "author")] {
        let value = information.as_dict().and_then(|it| it.get(key));
        let Some(Ok(value)) = value.map(|value| document.resolve_object(value)) else {
            continue;
        };
        let value = text_string(value.as_string().unwrap_or_default());
        let value = normalize(value.trim());
        if !value.is_empty() {
            metadata.insert(name.to_owned(), value.into());
        }
    }
    metadata
}

/// A text string (ISO 32000-2, 7.9.2.2): UTF-16 or UTF-8 with its mark, PDFDocEncoding without.
fn text_string(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes) {
        let text = encoding.decode_without_bom_handling(&bytes[mark..]).0;
        return text.into_owned();
    }
    /// What PDFDocEncoding has from 0x80 to 0xA0; above and below it is Latin-1.
    const HIGH: &str = "•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž\u{fffd}€";
    let decode = |byte: &u8| match byte {
        0x80..=0xa0 => HIGH.chars().nth(usize::from(byte - 0x80)),
        _ => Some(char::from(*byte)),
    };
    bytes.iter().filter_map(decode).collect()
}

#[cfg(test)]
mod tests;
