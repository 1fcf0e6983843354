//! Walking over untrusted bytes.

use std::ops::Range;

use corbie_core::{Error, ErrorKind, Result};

use super::metadata::ValueKind;

/// The most bytes that metadata and tensor list may have together. The largest vocabularies in
/// use need under 32 MiB.
const MAX_HEADER: usize = 64 << 20;
/// How deep arrays may lie in arrays. Nothing known uses more than one level.
const MAX_NESTING: usize = 4;

/// A position in a file's bytes that never passes their end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    subject: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], subject: &'a str) -> Self {
        let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
        Self {
            bytes,
            position: 0,
            subject,
        }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub fn malformed(&self, cause: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Malformed, self.subject, cause)
    }

    /// The range of the next `count` bytes.
    pub fn skip(&mut self, count: u64, what: &str) -> Result<Range<usize>> {
        let start = self.position;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() => {
                self.position += count;
                Ok(start..self.position)
            }
            _ if self.bytes.len() == MAX_HEADER => Err(self.malformed(format!(
                "{what} runs past the {MAX_HEADER} bytes that a header may have"
            ))),
            _ => Err(self
                .malformed(format!("the file ends inside {what}"))
                .hint("the download may be incomplete: fetch it again")),
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let range = self.skip(N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    pub fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A string's length and bytes; its content may be at most `limit` bytes of UTF-8.
    pub fn name(&mut self, limit: usize, what: &str) -> Result<&'a str> {
        let length = self.u64(what)?;
        if length == 0 || length > limit as u64 {
            return Err(self.malformed(format!(
                "{what} has {length} bytes: it must have 1 to {limit}"
            )));
        }
        let range = self.skip(length, what)?;
        std::str::from_utf8(&self.bytes[range])
            .map_err(|_| self.malformed(format!("{what} is not UTF-8")))
    }

    /// The kind of the next value.
    pub fn kind(&mut self, what: &str) -> Result<ValueKind> {
        let code = self.u32(what)?;
        ValueKind::from_code(code)
            .ok_or_else(|| self.malformed(format!("{what} has the unknown type {code}")))
    }

    /// Walks over a value of `kind`; gives the range of its content: of a string its bytes, of
    /// an array its items' kind, count and items.
    pub fn value(&mut self, kind: ValueKind, what: &str, depth: usize) -> Result<Range<usize>> {
        match kind {
            ValueKind::String => {
                let length = self.u64(what)?;
                self.skip(length, what)
            }
            ValueKind::Array => {
                if depth == MAX_NESTING {
                    return Err(
                        self.malformed(format!("{what} nests arrays over {MAX_NESTING} deep"))
                    );
                }
                let start = self.position;
                let item = self.kind(what)?;
                let count = self.u64(what)?;
                self.items(item, count, what, depth)?;
                Ok(start..self.position)
            }
            ValueKind::Bool => {
                let range = self.skip(1, what)?;
                self.check_bools(range.clone(), what)?;
                Ok(range)
            }
            _ => self.skip(kind.size() as u64, what),
        }
    }

    fn items(&mut self, item: ValueKind, count: u64, what: &str, depth: usize) -> Result<()> {
        // Each item takes at least its smallest size, so a count that the bytes left cannot hold
        // is refused before the walk begins.
        let Some(least) = count.checked_mul(item.size() as u64) else {
            return Err(self.malformed(format!("{what} claims {count} items")));
        };
        if least > self.remaining() as u64 {
            return Err(self.malformed(format!(
                "{what} claims {count} items, which the file is too short for"
            )));
        }
        match item {
            ValueKind::String | ValueKind::Array => {
                for _ in 0..count {
                    self.value(item, what, depth + 1)?;
                }
                Ok(())
            }
            ValueKind::Bool => {
                let range = self.skip(least, what)?;
                self.check_bools(range, what)
            }
            _ => self.skip(least, what).map(|_| ()),
        }
    }

    fn check_bools(&self, range: Range<usize>, what: &str) -> Result<()> {
        match self.bytes[range].iter().find(|byte| **byte > 1) {
            Some(byte) => Err(self.malformed(format!("{what} has {byte} where 0 or 1 must be"))),
            None => Ok(()),
        }
    }
}
