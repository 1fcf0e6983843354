//! Opening and checking a model file.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};
use memmap2::Mmap;

use super::cursor::Cursor;
use super::metadata::{Entry, Metadata};
use super::tensor::{self, GgufTensor, Place};

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;
const MAX_KEY_BYTES: usize = 1024;
const MAX_TENSOR_NAME_BYTES: usize = 256;
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 1 << 20;

/// A GGUF model file, checked and mapped into memory.
///
/// Tensors are read where they lie: opening a file of many gigabytes costs no more than reading
/// its header. The file must not be changed while it is open.
pub struct GgufFile {
    bytes: Bytes,
    name: String,
    entries: BTreeMap<String, Entry>,
    places: Vec<Place>,
    by_name: HashMap<String, usize>,
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl GgufFile {
    /// Opens and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) or [`Io`](ErrorKind::Io) when it cannot be read,
    /// [`Malformed`](ErrorKind::Malformed) when it is damaged or hostile,
    /// [`Unsupported`](ErrorKind::Unsupported) when it is a GGUF file of a kind we do not read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = format!("model file `{}`", path.display());
        let file = File::open(path).map_err(|error| Error::io(&name, error))?;
        let about = file.metadata().map_err(|error| Error::io(&name, error))?;
        if !about.is_file() {
            return Err(Error::new(ErrorKind::BadInput, name, "it is not a file"));
        }
        if about.len() == 0 {
            return Self::from_bytes(&name, Vec::new());
        }
        // SAFETY: the map is read-only and the file is open for reading. Another process that
        // cuts the file short while it is mapped can end this one with SIGBUS, but not make it
        // read what is not the file's; the hub writes files once and renames them into place.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(&name, error))?;
        Self::read(Bytes::Mapped(map), name)
    }

    /// Checks a file that is already in memory; `name` is for messages.
    ///
    /// # Errors
    ///
    /// Those of [`GgufFile::open`], the system's aside.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::read(Bytes::Owned(bytes), name.to_owned())
    }

    fn read(bytes: Bytes, name: String) -> Result<Self> {
        let header = Header::read(bytes.as_slice(), &name)?;
        let by_name = header
            .places
            .iter()
            .enumerate()
            .map(|(index, place)| (place.name.clone(), index))
            .collect();
        Ok(Self {
            bytes,
            name,
            entries: header.entries,
            places: header.places,
            by_name,
        })
    }

    /// What the file says about its model.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata {
            bytes: self.bytes.as_slice(),
            entries: &self.entries,
            subject: &self.name,
        }
    }

    /// The model's architecture, such as `llama`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the file names none.
    pub fn architecture(&self) -> Result<&str> {
        self.metadata()
            .required("general.architecture", Metadata::str)
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = GgufTensor<'_>> {
        self.places.iter().map(|place| self.at(place))
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<GgufTensor<'_>> {
        self.by_name
            .get(name)
            .map(|index| self.at(&self.places[*index]))
    }

    fn at<'a>(&'a self, place: &'a Place) -> GgufTensor<'a> {
        GgufTensor {
            name: &place.name,
            dtype: place.dtype,
            shape: &place.shape,
            data: &self.bytes.as_slice()[place.data.clone()],
        }
    }

    /// How messages name the file.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for GgufFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GgufFile")
            .field("name", &self.name)
            .field("keys", &self.entries.len())
            .field("tensors", &self.places.len())
            .finish()
    }
}

/// Everything before the tensors' numbers.
struct Header {
    entries: BTreeMap<String, Entry>,
    places: Vec<Place>,
}

impl Header {
    fn read(bytes: &[u8], subject: &str) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, subject);
        check_version(&mut cursor, subject)?;
        let tensors = bounded(&mut cursor, "the number of tensors", MAX_TENSORS)?;
        let keys = bounded(&mut cursor, "the number of keys", MAX_KEYS)?;
        let entries = read_entries(&mut cursor, keys)?;

        let metadata = Metadata {
            bytes,
            entries: &entries,
            subject,
        };
        refuse_parts(metadata)?;
        let alignment = alignment(metadata)?;

        let listed = (0..tensors)
            .map(|index| Listed::read(&mut cursor, index, subject))
            .collect::<Result<Vec<_>>>()?;
        let start = cursor.position().next_multiple_of(alignment);
        let places = place(listed, start, bytes.len(), alignment, &cursor)?;
        Ok(Self { entries, places })
    }
}

fn check_version(cursor: &mut Cursor<'_>, subject: &str) -> Result<()> {
    if cursor.u32("the magic number")? != MAGIC {
        return Err(cursor
            .malformed("it does not begin with `GGUF`")
            .hint("only GGUF files are read as chat models"));
    }
    let version = cursor.u32("the version")?;
    let refuse = |cause: String| Err(Error::new(ErrorKind::Unsupported, subject, cause));
    match version {
        2 | 3 => Ok(()),
        _ if matches!(version.swap_bytes(), 1..=3) => refuse("it is big-endian".into()),
        _ => refuse(format!("it is GGUF version {version}; 2 and 3 are read")),
    }
}

fn bounded(cursor: &mut Cursor<'_>, what: &str, limit: u64) -> Result<u64> {
    let count = cursor.u64(what)?;
    if count > limit {
        return Err(cursor.malformed(format!("{what} is {count}: at most {limit} are read")));
    }
    Ok(count)
}

fn read_entries(cursor: &mut Cursor<'_>, keys: u64) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    for index in 0..keys {
        let key = cursor.name(MAX_KEY_BYTES, &format!("the name of key {index}"))?;
        let what = format!("metadata `{key}`");
        let kind = cursor.kind(&what)?;
        let content = cursor.value(kind, &what, 0)?;
        if entries
            .insert(key.to_owned(), Entry { kind, content })
            .is_some()
        {
            return Err(cursor.malformed(format!("{what} is there twice")));
        }
    }
    Ok(entries)
}

/// A file that was split lacks tensors; the message is better here than at the first one missed.
fn refuse_parts(metadata: Metadata<'_>) -> Result<()> {
    match metadata.u32("split.count")? {
        Some(parts) if parts > 1 => Err(Error::new(
            ErrorKind::Unsupported,
            metadata.subject(),
            format!("it is one of {parts} parts"),
        )
        .hint("join them first: `llama-gguf-split --merge FIRST JOINED`")),
        _ => Ok(()),
    }
}

fn alignment(metadata: Metadata<'_>) -> Result<usize> {
    let alignment = metadata
        .u32("general.alignment")?
        .unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
        return Err(metadata.malformed(format!(
            "metadata `general.alignment` is {alignment}: it must be a power of two up to \
             {MAX_ALIGNMENT}"
        )));
    }
    Ok(alignment as usize)
}

/// A tensor as the list names it; `offset` counts from where the numbers begin.
struct Listed {
    name: String,
    dtype: GgmlDType,
    shape: Vec<usize>,
    offset: usize,
    size: usize,
}

impl Listed {
    fn read(cursor: &mut Cursor<'_>, index: u64, subject: &str) -> Result<Self> {
        let name = cursor
            .name(
                MAX_TENSOR_NAME_BYTES,
                &format!("the name of tensor {index}"),
            )?
            .to_owned();
        let what = format!("tensor `{name}`");
        let dimensions = cursor.u32(&what)?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(cursor.malformed(format!(
                "{what} has {dimensions} dimensions: it must have 1 to {MAX_DIMENSIONS}"
            )));
        }
        // The file lists the innermost dimension first.
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let length = cursor.u64(&what)?;
            match usize::try_from(length) {
                Ok(length) if length > 0 => shape.insert(0, length),
                _ => return Err(cursor.malformed(format!("{what} has a dimension of {length}"))),
            }
        }
        let dtype = tensor::dtype(cursor.u32(&what)?, &name, subject)?;
        let offset = cursor.u64(&what)?;
        let Some(size) = tensor::byte_size(dtype, &shape) else {
            return Err(
                cursor.malformed(format!("{what} cannot be {dtype:?} of the shape {shape:?}"))
            );
        };
        let offset = usize::try_from(offset)
            .map_err(|_| cursor.malformed(format!("{what} begins past the file's end")))?;
        Ok(Self {
            name,
            dtype,
            shape,
            offset,
            size,
        })
    }
}

/// Checks that the tensors lie inside the file, aligned and apart from one another, and that
/// their names differ.
fn place(
    listed: Vec<Listed>,
    start: usize,
    file_size: usize,
    alignment: usize,
    cursor: &Cursor<'_>,
) -> Result<Vec<Place>> {
    let mut places = Vec::with_capacity(listed.len());
    for item in listed {
        let what = format!("tensor `{}`", item.name);
        if !item.offset.is_multiple_of(alignment) {
            return Err(cursor.malformed(format!(
                "{what} begins at {}, no multiple of {alignment}",
                item.offset
            )));
        }
        let data = start
            .checked_add(item.offset)
            .and_then(|begin| Some(begin..begin.checked_add(item.size)?))
            .filter(|data| data.end <= file_size)
            .ok_or_else(|| {
                cursor
                    .malformed(format!(
                        "{what} ends past the file's end, at byte {file_size}"
                    ))
                    .hint("the download may be incomplete: fetch it again")
            })?;
        places.push(Place {
            name: item.name,
            dtype: item.dtype,
            shape: item.shape,
            data,
        });
    }
    let mut order: Vec<&Place> = places.iter().collect();
    order.sort_unstable_by_key(|place| place.data.start);
    for pair in order.windows(2) {
        if pair[0].data.end > pair[1].data.start {
            return Err(cursor.malformed(format!(
                "tensors `{}` and `{}` overlap",
                pair[0].name, pair[1].name
            )));
        }
    }
    order.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    match order.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(cursor.malformed(format!("tensor `{}` is there twice", pair[0].name))),
        None => Ok(places),
    }
}
