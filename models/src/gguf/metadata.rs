//! What a model file says about itself.

use std::collections::BTreeMap;
use std::ops::Range;

use corbie_core::{Error, ErrorKind, Result};

/// The types a value may have, in the order of their codes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueKind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    pub(super) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    pub(super) fn code(self) -> u32 {
        self as u32
    }

    /// Bytes of one value; of strings and arrays the fewest it can have.
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

/// One value, decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// An integer of any width.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text; what is not UTF-8 cannot be had as a string.
    String(&'a [u8]),
    /// A list.
    Array {
        /// The type of its items.
        item: ValueKind,
        /// How many there are.
        count: usize,
    },
}

/// Where a value lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub kind: ValueKind,
    pub content: Range<usize>,
}

/// The metadata of a [`GgufFile`](super::GgufFile): typed values by key.
///
/// A getter gives `None` for a key that is absent, and an error that names the key for one whose
/// value has another type. Integers of any width pass for one another when the value fits, as do
/// both widths of floating point.
#[derive(Clone, Copy)]
pub struct Metadata<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) entries: &'a BTreeMap<String, Entry>,
    pub(super) subject: &'a str,
}

impl<'a> Metadata<'a> {
    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().map(String::as_str)
    }

    /// The value of `key`, whatever its type.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let entry = self.entries.get(key)?;
        let content = &self.bytes[entry.content.clone()];
        Some(match entry.kind {
            ValueKind::Array => {
                let (item, count, _) = array_parts(content);
                Value::Array { item, count }
            }
            kind => scalar(kind, content),
        })
    }

    /// An unsigned integer of 32 bits.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the value is none; so for every getter here.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.one(key, "an unsigned 32-bit integer", integer)
    }

    /// An unsigned integer of 64 bits.
    ///
    /// # Errors
    ///
    /// When the value is none.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.one(key, "an unsigned 64-bit integer", integer)
    }

    /// A floating-point number.
    ///
    /// # Errors
    ///
    /// When the value is none.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.one(key, "a floating-point number", float)
    }

    /// True or false.
    ///
    /// # Errors
    ///
    /// When the value is neither.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.one(key, "a boolean", boolean)
    }

    /// A string.
    ///
    /// # Errors
    ///
    /// When the value is none, or not UTF-8.
    pub fn str(&self, key: &str) -> Result<Option<&'a str>> {
        self.one(key, "a UTF-8 string", string)
    }

    /// A list of strings.
    ///
    /// # Errors
    ///
    /// When the value is none, or one of them is not UTF-8.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        self.list(key, "a list of UTF-8 strings", string)
    }

    /// A list of floating-point numbers.
    ///
    /// # Errors
    ///
    /// When the value is none.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.list(key, "a list of floating-point numbers", float)
    }

    /// A list of signed integers of 32 bits.
    ///
    /// # Errors
    ///
    /// When the value is none, or one does not fit.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.list(key, "a list of 32-bit integers", integer)
    }

    /// A list of unsigned integers of 32 bits.
    ///
    /// # Errors
    ///
    /// When the value is none, or one does not fit.
    pub fn u32s(&self, key: &str) -> Result<Option<Vec<u32>>> {
        self.list(key, "a list of unsigned 32-bit integers", integer)
    }

    /// A list of booleans.
    ///
    /// # Errors
    ///
    /// When the value is none.
    pub fn bools(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.list(key, "a list of booleans", boolean)
    }

    /// The value of a key that must be there, by the getter for its type:
    /// `metadata.required("llama.block_count", Metadata::u32)`.
    ///
    /// # Errors
    ///
    /// Those of the getter, and [`Malformed`](ErrorKind::Malformed) when the key is absent.
    pub fn required<T>(
        &self,
        key: &str,
        getter: impl Fn(&Self, &str) -> Result<Option<T>>,
    ) -> Result<T> {
        getter(self, key)?.ok_or_else(|| self.malformed(format!("metadata `{key}` is missing")))
    }

    fn one<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        self.get(key)
            .map(|value| {
                convert(value)
                    .ok_or_else(|| self.malformed(format!("metadata `{key}` is not {wanted}")))
            })
            .transpose()
    }

    fn list<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(entry) = self.entries.get(key) else {
            return Ok(None);
        };
        let refuse = |cause: String| Err(self.malformed(cause));
        if entry.kind != ValueKind::Array {
            return refuse(format!("metadata `{key}` is not {wanted}"));
        }
        let (item, count, mut bytes) = array_parts(&self.bytes[entry.content.clone()]);
        if item == ValueKind::Array {
            return refuse(format!("metadata `{key}` is not {wanted}"));
        }
        // The count was checked against the bytes when the file was opened.
        let mut list = Vec::with_capacity(count);
        for index in 0..count {
            let length = match item {
                ValueKind::String => {
                    let (length, rest) = bytes.split_at(8);
                    bytes = rest;
                    little_endian(length) as usize
                }
                _ => item.size(),
            };
            let (content, rest) = bytes.split_at(length);
            bytes = rest;
            match convert(scalar(item, content)) {
                Some(value) => list.push(value),
                None => {
                    return refuse(format!(
                        "metadata `{key}` is not {wanted}: see item {index}"
                    ));
                }
            }
        }
        Ok(Some(list))
    }

    pub(crate) fn malformed(&self, cause: String) -> Error {
        Error::new(ErrorKind::Malformed, self.subject, cause)
    }

    pub(crate) fn subject(&self) -> &'a str {
        self.subject
    }
}

/// The kind, count and items of an array that was checked when the file was opened.
fn array_parts(content: &[u8]) -> (ValueKind, usize, &[u8]) {
    let (kind, rest) = content.split_at(4);
    let (count, items) = rest.split_at(8);
    let kind = ValueKind::from_code(little_endian(kind) as u32)
        .expect("the kind was checked when the file was opened");
    (kind, little_endian(count) as usize, items)
}

fn scalar(kind: ValueKind, content: &[u8]) -> Value<'_> {
    let bits = || little_endian(content);
    match kind {
        ValueKind::U8 | ValueKind::U16 | ValueKind::U32 | ValueKind::U64 => {
            Value::Integer(bits().into())
        }
        ValueKind::I8 => Value::Integer((bits() as i8).into()),
        ValueKind::I16 => Value::Integer((bits() as i16).into()),
        ValueKind::I32 => Value::Integer((bits() as i32).into()),
        ValueKind::I64 => Value::Integer((bits() as i64).into()),
        ValueKind::F32 => Value::Float(f32::from_bits(bits() as u32).into()),
        ValueKind::F64 => Value::Float(f64::from_bits(bits())),
        ValueKind::Bool => Value::Bool(bits() != 0),
        ValueKind::String => Value::String(content),
        ValueKind::Array => unreachable!("arrays are taken apart by their caller"),
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn integer<T: TryFrom<i128>>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Integer(value) => T::try_from(value).ok(),
        _ => None,
    }
}

fn float(value: Value<'_>) -> Option<f32> {
    match value {
        Value::Float(value) => Some(value as f32),
        _ => None,
    }
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

fn string(value: Value<'_>) -> Option<&str> {
    match value {
        Value::String(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
