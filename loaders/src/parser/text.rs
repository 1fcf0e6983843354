//! Plain text.

use super::{Extract, Trouble};
use crate::encoding::decode;

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let decoded = decode(bytes, None);
    let mut extract = Extract {
        text: decoded.text.trim_end().to_owned(),
        ..Extract::default()
    };
    extract
        .metadata
        .insert("encoding".to_owned(), decoded.encoding.into());
    Ok(extract)
}
