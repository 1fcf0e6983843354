//! PDF: the text of each page.

use corbie_core::{ErrorKind, Page};

use super::{Extract, Trouble};
use crate::encoding::normalize;

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let texts = pdf_extract::extract_text_from_mem_by_pages(bytes)
        .map_err(|error| Trouble::new(ErrorKind::Malformed, error))?;
    let mut extract = Extract::default();
    for (number, text) in (1..).zip(texts) {
        let start = extract.text.len();
        extract.text.push_str(normalize(&text).trim());
        let end = extract.text.len();
        extract.text.push_str("\n\n");
        extract.pages.push(Page { number, start, end });
    }
    extract.text.truncate(extract.text.trim_end().len());
    Ok(extract)
}
