//! PDF: the text of each page, its lines joined to paragraphs.
//!
//! Headings are not marked in PDF and none are guessed. The text is what the file's own text
//! layer says: scanned pages have none.

mod lines;

use std::panic::{AssertUnwindSafe, catch_unwind};

use corbie_core::{ErrorKind, Metadata, Page};
use pdf_extract::encryption::DecryptionError;
use pdf_extract::{Document, Error, PlainTextOutput, decode_text_string, output_doc_page};

use super::{Extract, Trouble};
use crate::blocking::panic_message;
use crate::encoding::normalize;
use lines::Paragraphs;

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let document = open(bytes).map_err(|error| match error {
        Error::Decryption(DecryptionError::IncorrectPassword) | Error::InvalidPassword => locked(),
        other => Trouble::new(ErrorKind::Malformed, other),
    })?;
    let numbers: Vec<u32> = document.get_pages().into_keys().collect();
    if numbers.is_empty() {
        // A wrong password may go unnoticed and leave nothing to be read.
        return Err(match document.was_encrypted() || document.is_encrypted() {
            true => locked(),
            false => Trouble::new(ErrorKind::Malformed, "it has no pages"),
        });
    }
    let pages: Vec<PageText> = numbers
        .iter()
        .map(|number| read_page(&document, *number))
        .collect();
    let texts: Vec<String> = pages.iter().map(|page| page.text.clone()).collect();
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Err(match pages.into_iter().find_map(|page| page.damage) {
            Some(damage) => Trouble::new(ErrorKind::Malformed, damage),
            None => Trouble::new(
                ErrorKind::Unsupported,
                format!("no text in its {} pages (scanned?)", texts.len()),
            )
            .hint("run text recognition on it first"),
        });
    }
    let mut extract = Extract {
        metadata: describe(&document, &numbers, &pages),
        ..Extract::default()
    };
    let paragraphs = Paragraphs::of(&texts);
    for (number, text) in numbers.into_iter().zip(&texts) {
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

fn locked() -> Trouble {
    let cause = "it is encrypted and needs a password";
    Trouble::new(ErrorKind::Unsupported, cause).hint("save a copy without the password")
}

fn open(bytes: &[u8]) -> Result<Document, Error> {
    let mut document = Document::load_mem(bytes)?;
    // Many files are encrypted with no password at all.
    if document.is_encrypted() {
        document.decrypt("")?;
    }
    Ok(document)
}

struct PageText {
    /// Its lines, as far as they could be read.
    text: String,
    /// Why the rest could not.
    damage: Option<String>,
}

/// One damaged page does not take the others along.
fn read_page(document: &Document, number: u32) -> PageText {
    let mut text = String::new();
    let mut output = PlainTextOutput::new(&mut text);
    let work = AssertUnwindSafe(|| output_doc_page(document, &mut output, number));
    let damage = match catch_unwind(work) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(payload) => Some(panic_message(payload.as_ref())),
    };
    // A soft hyphen at a line end was put there by the typesetter.
    let text = normalize(&text.replace("\u{ad}\r\n", "").replace("\u{ad}\n", ""));
    PageText { text, damage }
}

/// Title and author from the file's own information, and the pages that are not whole.
fn describe(document: &Document, numbers: &[u32], pages: &[PageText]) -> Metadata {
    let mut metadata = Metadata::new();
    let information = document.trailer.get_deref(b"Info", document);
    if let Ok(information) = information.and_then(|info| info.as_dict()) {
        for (key, name) in [(&b"Title"[..], "title"), (b"Author", "author")] {
            let value = information
                .get_deref(key, document)
                .and_then(decode_text_string);
            let value = normalize(value.unwrap_or_default().trim());
            if !value.is_empty() {
                metadata.insert(name.to_owned(), value.into());
            }
        }
    }
    let damaged = numbers
        .iter()
        .zip(pages)
        .filter(|(_, page)| page.damage.is_some());
    let damaged: Vec<u32> = damaged.map(|(number, _)| *number).collect();
    if !damaged.is_empty() {
        metadata.insert("damaged_pages".to_owned(), damaged.into());
    }
    metadata
}

#[cfg(test)]
mod tests;
