//! Model files from strangers: whatever the bytes are, the reader gives a sound file or an error,
//! and never reserves memory that the file's size does not justify.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use candle_core::quantized::GgmlDType;
use corbie_core::ErrorKind;
use corbie_models::gguf::{GgufFile, GgufWriter, Metadata, Value, ValueKind};
use proptest::prelude::*;

/// Counts what a test's own thread asks for, so that tests may run side by side.
struct Counting;

thread_local! {
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = REQUESTED.try_with(|sum| sum.set(sum.get() + layout.size()));
        // SAFETY: the caller keeps this trait's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps this trait's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Opens hostile bytes within the promised second (with tenfold slack) and the memory that a
/// small file justifies, and reads all that the file then offers.
fn open(bytes: Vec<u8>) -> corbie_core::Result<GgufFile> {
    let allowed = 64 * 1024 + 64 * bytes.len();
    let before = REQUESTED.get();
    let start = Instant::now();
    let file = GgufFile::from_bytes("hostile", bytes);
    assert!(start.elapsed() < Duration::from_secs(10));
    let requested = REQUESTED.get() - before;
    assert!(requested < allowed, "{requested} bytes over {allowed}");
    if let Ok(file) = &file {
        read_all(file);
    }
    file
}

fn read_all(file: &GgufFile) {
    let metadata = file.metadata();
    for key in metadata.keys() {
        assert!(metadata.get(key).is_some());
        let _ = (metadata.u32(key), metadata.u64(key), metadata.f32(key));
        let _ = (metadata.bool(key), metadata.str(key));
        let _ = (metadata.strings(key), metadata.f32s(key));
        let _ = (metadata.i32s(key), metadata.u32s(key), metadata.bools(key));
    }
    for tensor in file.tensors() {
        assert!(file.tensor(tensor.name).is_some());
        let _ = tensor.to_f32s();
    }
}

fn small() -> GgufWriter {
    GgufWriter::new()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .u64("llama.context_length", 1 << 33)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["a", "鸦", "\u{1F426}"])
        .f32s("tokenizer.ggml.scores", &[0.0, -1.0, -2.5])
        .i32s("tokenizer.ggml.token_type", &[1, -3, 6])
        .bools("flags", &[true, false])
        .f32_tensor("norm", &[3], &[1.0, -2.0, 0.5])
        .tensor(
            "half",
            GgmlDType::F16,
            &[1, 2],
            vec![0x00, 0x3c, 0x00, 0xc0],
        )
        .tensor("quantized", GgmlDType::Q8_0, &[2, 32], vec![7; 68])
}

#[test]
fn what_is_written_is_read() {
    for version in [2, 3] {
        let file = open(small().version(version).to_bytes()).unwrap();
        let metadata = file.metadata();
        assert_eq!(file.architecture().unwrap(), "llama");
        assert_eq!(metadata.u32("llama.block_count").unwrap(), Some(2));
        assert_eq!(metadata.u64("llama.context_length").unwrap(), Some(1 << 33));
        assert_eq!(
            metadata
                .f32("llama.attention.layer_norm_rms_epsilon")
                .unwrap(),
            Some(1e-5)
        );
        assert_eq!(
            metadata.bool("tokenizer.ggml.add_bos_token").unwrap(),
            Some(true)
        );
        assert_eq!(
            metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap(),
            ["a", "鸦", "\u{1F426}"]
        );
        assert_eq!(
            metadata.f32s("tokenizer.ggml.scores").unwrap().unwrap(),
            [0.0, -1.0, -2.5]
        );
        assert_eq!(
            metadata.i32s("tokenizer.ggml.token_type").unwrap().unwrap(),
            [1, -3, 6]
        );
        assert_eq!(metadata.bools("flags").unwrap().unwrap(), [true, false]);
        assert_eq!(
            metadata.get("flags"),
            Some(Value::Array {
                item: ValueKind::Bool,
                count: 2
            })
        );
        let half = file.tensor("half").unwrap();
        assert_eq!((half.shape, half.dtype), (&[1, 2][..], GgmlDType::F16));
        assert_eq!(half.to_f32s().unwrap(), [1.0, -2.0]);
        let quantized = file.tensor("quantized").unwrap();
        assert_eq!(quantized.data, [7; 68]);
        assert!(quantized.to_f32s().is_err());
        assert_eq!(file.tensors().len(), 3);
        assert!(file.tensor("absent").is_none());
    }
}

#[test]
fn a_file_on_disk_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    small().write(&path).unwrap();
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(
        file.tensor("norm").unwrap().to_f32s().unwrap(),
        [1.0, -2.0, 0.5]
    );

    let absent = GgufFile::open(&folder.path().join("absent.gguf")).unwrap_err();
    assert_eq!(*absent.kind(), ErrorKind::NotFound);
    assert!(absent.subject().contains("absent.gguf"));
    assert!(GgufFile::open(folder.path()).is_err());
    std::fs::write(&path, b"").unwrap();
    assert!(GgufFile::open(&path).is_err());
}

#[test]
fn getters_name_the_key_they_cannot_read() {
    let file = open(small().to_bytes()).unwrap();
    let metadata = file.metadata();
    assert_eq!(metadata.u32("absent").unwrap(), None);
    for error in [
        metadata.u32("llama.context_length").unwrap_err(),
        metadata.u32("general.architecture").unwrap_err(),
        metadata.str("llama.block_count").unwrap_err(),
        metadata.u32s("tokenizer.ggml.token_type").unwrap_err(),
        metadata.strings("flags").unwrap_err(),
        metadata.required("absent", Metadata::u32).unwrap_err(),
    ] {
        assert_eq!(*error.kind(), ErrorKind::Malformed);
        assert!(error.cause().contains('`'), "{error}");
    }
}

#[test]
fn a_vocabulary_without_tensors_is_a_file() {
    let bytes = GgufWriter::new()
        .string("general.architecture", "llama")
        .to_bytes();
    assert_eq!(open(bytes).unwrap().tensors().len(), 0);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = small().to_bytes();
    for length in 0..whole.len() {
        assert!(open(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
}

#[test]
fn every_field_at_its_extremes_is_refused_or_sound() {
    let whole = small().to_bytes();
    for at in 0..whole.len() {
        for extreme in [0, 1, 0x7f, 0xff, 1 << 20, 1 << 31, u32::MAX] {
            let mut bytes = whole.clone();
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&extreme.to_le_bytes()[..end - at]);
            let _ = open(bytes);
        }
        for extreme in [
            0,
            1,
            1 << 24,
            1 << 32,
            i64::MAX as u64,
            i64::MIN as u64,
            u64::MAX / 2 - 31,
            u64::MAX - 31,
            u64::MAX,
        ] {
            let mut bytes = whole.clone();
            let end = bytes.len().min(at + 8);
            bytes[at..end].copy_from_slice(&extreme.to_le_bytes()[..end - at]);
            let _ = open(bytes);
        }
    }
}

#[test]
fn damaged_and_hostile_files_are_refused_by_name() {
    let nested = |depth: usize| {
        let mut content = Vec::new();
        for _ in 1..depth {
            content.extend(9u32.to_le_bytes());
            content.extend(1u64.to_le_bytes());
        }
        content.extend(0u32.to_le_bytes());
        content.extend(0u64.to_le_bytes());
        GgufWriter::new().value("deep", ValueKind::Array, &content)
    };
    assert!(open(nested(4).to_bytes()).is_ok());

    let array = |item: u32, count: u64| {
        let mut content = item.to_le_bytes().to_vec();
        content.extend(count.to_le_bytes());
        GgufWriter::new().value("list", ValueKind::Array, &content)
    };
    let one = |shape: &[usize], bytes: usize| {
        GgufWriter::new().tensor("w", GgmlDType::Q4_0, shape, vec![0; bytes])
    };
    let twice = GgufWriter::new()
        .f32_tensor("w", &[1], &[0.0])
        .f32_tensor("w", &[1], &[0.0]);
    for (what, writer, part) in [
        ("nesting", nested(5), "nests"),
        ("deep nesting", nested(100_000), "nests"),
        ("huge list of bytes", array(0, u64::MAX), "`list`"),
        ("huge list of strings", array(8, u64::MAX / 8), "`list`"),
        ("huge list of lists", array(9, 1 << 40), "`list`"),
        ("list of an unknown type", array(13, 0), "unknown type"),
        (
            "no boolean",
            GgufWriter::new().value("flag", ValueKind::Bool, &[2]),
            "`flag`",
        ),
        (
            "a key twice",
            GgufWriter::new().u32("k", 1).u32("k", 2),
            "twice",
        ),
        ("an empty key", GgufWriter::new().u32("", 1), "key 0"),
        (
            "a long key",
            GgufWriter::new().u32(&"k".repeat(2000), 1),
            "key 0",
        ),
        ("alignment 0", GgufWriter::new().alignment(0), "alignment"),
        ("alignment 24", GgufWriter::new().alignment(24), "alignment"),
        (
            "huge alignment",
            GgufWriter::new().u32("general.alignment", 1 << 31),
            "alignment",
        ),
        ("a tensor twice", twice, "twice"),
        ("no dimension", one(&[], 0), "dimensions"),
        ("five dimensions", one(&[1, 1, 1, 1, 32], 18), "dimensions"),
        ("a dimension of 0", one(&[0, 32], 0), "dimension of 0"),
        ("half a block", one(&[2, 16], 18), "shape"),
        ("an overflow", one(&[1 << 40, 1 << 40], 18), "shape"),
        (
            "an overflow in four",
            one(&[1 << 31, 1 << 31, 1 << 31, 32], 18),
            "shape",
        ),
        ("too little data", one(&[2, 32], 35), "end"),
        ("a part", GgufWriter::new().u32("split.count", 3), "parts"),
        ("version 1", GgufWriter::new().version(1), "version"),
        ("version 4", GgufWriter::new().version(4), "version"),
        ("big-endian", GgufWriter::new().version(3 << 24), "endian"),
    ] {
        let error = open(writer.to_bytes()).expect_err(what);
        assert!(error.to_string().contains(part), "{what}: {error}");
    }
}

#[test]
fn tensors_that_overlap_or_lie_off_the_alignment_are_refused() {
    let whole = GgufWriter::new()
        .f32_tensor("first", &[8], &[0.0; 8])
        .f32_tensor("second", &[8], &[0.0; 8])
        .to_bytes();
    // The last field of the list is the second tensor's offset.
    let at = whole.len() - 64 - 8;
    let at = (at - 31..=at)
        .rev()
        .find(|at| whole[*at..*at + 8] == 32u64.to_le_bytes())
        .unwrap();
    for (offset, part) in [(0, "overlap"), (8, "multiple"), (64, "end")] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(offset));
        let error = open(bytes).unwrap_err();
        assert!(error.to_string().contains(part), "{offset}: {error}");
    }
}

#[test]
fn unsupported_quantizations_are_named() {
    let mut bytes = GgufWriter::new().f32_tensor("w", &[1], &[0.0]).to_bytes();
    let at = 24 + 8 + 1 + 4 + 8;
    bytes[at..at + 4].copy_from_slice(&20u32.to_le_bytes());
    let error = open(bytes).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("IQ4_NL"), "{error}");
}

#[test]
fn a_list_of_millions_of_empty_strings_stays_cheap() {
    let count = 4u64 << 20;
    let mut content = 8u32.to_le_bytes().to_vec();
    content.extend(count.to_le_bytes());
    content.resize(content.len() + 8 * count as usize, 0);
    let bytes = GgufWriter::new()
        .value("list", ValueKind::Array, &content)
        .to_bytes();
    let before = REQUESTED.get();
    let file = GgufFile::from_bytes("large", bytes).unwrap();
    assert!(REQUESTED.get() - before < 1 << 16);
    assert_eq!(
        file.metadata().strings("list").unwrap().unwrap().len(),
        count as usize
    );
}

proptest! {
    #[test]
    fn random_changes_are_refused_or_sound(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = small().to_bytes();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = open(bytes);
    }

    #[test]
    fn random_bytes_are_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(&bytes);
        let _ = open(file);
        prop_assert!(open(bytes).is_err());
    }
}
