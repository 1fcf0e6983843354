//! Deterministic identities: the same input gives the same id on every machine.
//!
//! Ids are name-based UUIDs of version 5 (RFC 9562, section 5.5), so that ingesting again
//! writes the same points again instead of new ones beside them.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The namespace of all Corbie collections.
const CORBIE: Uuid = Uuid::from_u128(0x7a1c_84de_53b0_4e0f_9c61_0d5b_2f3e_86a4);

/// The identity of the document `source` in `collection`.
///
/// ```
/// use corbie_core::ids;
///
/// assert_eq!(ids::document("notes", "a.md"), ids::document("notes", "a.md"));
/// assert_ne!(ids::document("notes", "a.md"), ids::document("work", "a.md"));
/// ```
pub fn document(collection: &str, source: &str) -> Uuid {
    let collection = Uuid::new_v5(&CORBIE, collection.as_bytes());
    Uuid::new_v5(&collection, source.as_bytes())
}

/// The identity of a chunk: its document, its text, and its ordinal among equal texts in that
/// document (0 for the first). A repeated paragraph is two chunks; a moved one stays the same.
pub fn chunk(document: &Uuid, text: &str, ordinal: usize) -> Uuid {
    let name = format!("{}:{ordinal}", text_hash(text));
    Uuid::new_v5(document, name.as_bytes())
}

/// The identity of a piece that is cut out of a document when it is wanted and not stored: its
/// document and its byte range.
pub fn piece(document: &Uuid, start: usize, end: usize) -> Uuid {
    Uuid::new_v5(document, format!("{start}..{end}").as_bytes())
}

/// The identity of a point in `namespace`, where it would be `id` alone.
pub fn in_namespace(namespace: &str, id: &Uuid) -> Uuid {
    let namespace = Uuid::new_v5(&CORBIE, format!("namespace:{namespace}").as_bytes());
    Uuid::new_v5(&namespace, id.as_bytes())
}

/// SHA-256 of a text in lower-case hexadecimal: its content address.
pub fn text_hash(text: &str) -> String {
    bytes_hash(text.as_bytes())
}

/// SHA-256 of bytes in lower-case hexadecimal.
pub fn bytes_hash(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}
