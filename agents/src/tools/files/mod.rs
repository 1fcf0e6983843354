//! Files inside one folder.

mod find;
mod root;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result};
use serde_json::{Map, Value, json};

use self::root::Root;
use crate::FunctionTool;

/// The most entries of one list.
const MAX_ENTRIES: usize = 500;
/// The most bytes of a file that is written at once.
const MAX_CONTENT: usize = 4 << 20;
/// The most bytes that are read past to get to a line.
const MAX_SKIP: u64 = 256 << 20;

/// A folder whose files an agent may use. Nothing outside of it is reached: not by `..`, not by
/// symbolic links.
///
/// ```
/// use corbie_agents::tools::FilesOptions;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let tools = FilesOptions::new(folder.path()).tools()?;
/// assert_eq!(tools.len(), 3);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// The folder.
    pub folder: PathBuf,
    /// Whether files may be written.
    pub write: bool,
    /// Whether files may be deleted.
    pub delete: bool,
    /// The most bytes that one reading gives.
    pub read_bytes: usize,
}

impl FilesOptions {
    /// A folder whose files may be read.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            write: false,
            delete: false,
            read_bytes: 32 << 10,
        }
    }

    /// `list_files`, `read_file` and `search_files`; with [`write`](Self::write) `write_file` and
    /// `append_file`; with [`delete`](Self::delete) `delete_file`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be opened.
    pub fn tools(&self) -> Result<Vec<FunctionTool>> {
        let root = Arc::new(Root::open(&self.folder)?);
        let read_bytes = self.read_bytes;
        let reading = Effects {
            read_only: true,
            idempotent: true,
            ..Effects::default()
        };
        // What a writing tool says is that it has written.
        let writing = Effects {
            trusted: true,
            ..Effects::default()
        };
        let mut tools = vec![
            tool(
                &root,
                ("list_files", "Lists files and folders. 列出文件。"),
                &[("folder", "string", "Which folder; without it the uppermost")],
                &[],
                list,
            )
            .with_effects(reading),
            tool(
                &root,
                ("read_file", "Reads a text file. 读取文本文件。"),
                &[
                    NAME,
                    ("from_line", "integer", "The first line to read, from 1"),
                    ("lines", "integer", "How many lines to read"),
                ],
                &["name"],
                move |root, run| read(root, run, read_bytes),
            )
            .with_effects(reading),
            tool(
                &root,
                (
                    "search_files",
                    "Finds lines that contain a text. 在文件中查找文字。",
                ),
                &[
                    ("text", "string", "What to find, in capitals or not"),
                    ("folder", "string", "Where; without it everywhere"),
                ],
                &["text"],
                find::find,
            )
            .with_effects(reading),
        ];
        if self.write {
            let overwrite = (
                "overwrite",
                "boolean",
                "Whether to replace a file that is there",
            );
            let whole = tool(
                &root,
                ("write_file", "Writes a text file. 写入文本文件。"),
                &[NAME, CONTENT, overwrite],
                &["name", "content"],
                write,
            );
            let more = tool(
                &root,
                (
                    "append_file",
                    "Adds text to the end of a file. 在文件末尾追加文字。",
                ),
                &[NAME, CONTENT],
                &["name", "content"],
                append,
            );
            tools.push(whole.with_effects(Effects {
                idempotent: true,
                ..writing
            }));
            tools.push(more.with_effects(writing));
        }
        if self.delete {
            let delete = tool(
                &root,
                ("delete_file", "Deletes a file. 删除文件。"),
                &[NAME],
                &["name"],
                delete,
            );
            tools.push(delete.with_effects(Effects {
                destructive: true,
                ..writing
            }));
        }
        Ok(tools)
    }
}

/// A parameter: its name, its type and what it is.
type Parameter = (&'static str, &'static str, &'static str);

const NAME: Parameter = ("name", "string", "Such as notes/today.md");
const CONTENT: Parameter = ("content", "string", "The text");

/// A tool that works in the folder, on a thread where waiting for a disk harms nobody.
fn tool(
    root: &Arc<Root>,
    (name, description): (&str, &str),
    parameters: &[Parameter],
    required: &[&str],
    work: impl Fn(&Root, &Invocation) -> Result<Value> + Send + Sync + 'static,
) -> FunctionTool {
    let mut properties = Map::new();
    for (parameter, kind, about) in parameters {
        let mut schema = json!({"type": kind, "description": about});
        if *kind == "integer" {
            schema["minimum"] = json!(1);
        }
        properties.insert((*parameter).to_owned(), schema);
    }
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let (root, work) = (Arc::clone(root), Arc::new(work));
    FunctionTool::new(name, description, schema, move |run: Invocation| {
        let (root, work) = (Arc::clone(&root), Arc::clone(&work));
        async move {
            let done = tokio::task::spawn_blocking(move || work(&root, &run)).await;
            done.map_err(|error| Error::new(ErrorKind::Internal, "files", error))?
        }
    })
}

/// A text among the arguments; empty where there is none.
fn text<'a>(run: &'a Invocation, name: &str) -> &'a str {
    run.arguments[name].as_str().unwrap_or_default()
}

fn list(root: &Root, run: &Invocation) -> Result<Value> {
    let entries = root.list(text(run, "folder").trim_end_matches('/'))?;
    let line = |entry: &root::Entry| match entry.is_folder {
        true => format!("{}/", entry.name),
        false => format!("{} ({} bytes)", entry.name, entry.size),
    };
    let mut lines: Vec<String> = entries.iter().take(MAX_ENTRIES).map(line).collect();
    match entries.len() {
        0 => lines.push("(nothing)".to_owned()),
        count if count > MAX_ENTRIES => lines.push(format!("… and {} more", count - MAX_ENTRIES)),
        _ => {}
    }
    Ok(lines.join("\n").into())
}

fn read(root: &Root, run: &Invocation, most: usize) -> Result<Value> {
    let name = text(run, "name");
    let number = |argument: &str| run.arguments[argument].as_u64();
    let (first, count) = (number("from_line").unwrap_or(1), number("lines"));
    let failed = |error| Error::io(format!("file `{name}`"), error);
    let mut file = BufReader::new(root.read(name)?);
    let mut skipped = 0;
    for _ in 1..first {
        let length = file.skip_until(b'\n').map_err(failed)? as u64;
        skipped += length;
        if length == 0 {
            let cause = format!("it has no line {first}");
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("file `{name}`"),
                cause,
            ));
        }
        if skipped > MAX_SKIP {
            let cause = format!("line {first} is too far into it");
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("file `{name}`"),
                cause,
            ));
        }
    }
    let (bytes, lines, is_end) =
        take_lines(&mut file, count.unwrap_or(u64::MAX), most).map_err(failed)?;
    if bytes.contains(&0) {
        let cause = "it is no text file";
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("file `{name}`"),
            cause,
        ));
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !is_end {
        let next = first + lines;
        text.push_str(&match lines {
            0 => format!("\n[line {first} is longer than {most} bytes]"),
            _ => format!("\n[more from line {next} on]"),
        });
    }
    Ok(text.into())
}

/// At most `count` lines and `most` bytes; how many whole lines these are, and whether the file
/// ends there.
fn take_lines(
    file: &mut impl BufRead,
    count: u64,
    most: usize,
) -> std::io::Result<(Vec<u8>, u64, bool)> {
    let (mut bytes, mut lines) = (Vec::new(), 0);
    while lines < count {
        let room = most - bytes.len();
        let before = bytes.len();
        let mut limited = std::io::Read::take(&mut *file, room as u64 + 1);
        let length = limited.read_until(b'\n', &mut bytes)?;
        if length > room {
            // Whole lines, unless the first is too long by itself.
            bytes.truncate(if lines == 0 { most } else { before });
            return Ok((bytes, lines, false));
        }
        if length == 0 {
            return Ok((bytes, lines, true));
        }
        lines += 1;
    }
    let is_end = file.fill_buf()?.is_empty();
    Ok((bytes, lines, is_end))
}

fn write(root: &Root, run: &Invocation) -> Result<Value> {
    let (name, content) = (text(run, "name"), content(run)?);
    let overwrite = run.arguments["overwrite"].as_bool().unwrap_or(false);
    let temporary = format!(".corbie-{:032x}.tmp", rand::random::<u128>());
    root.write(name, content.as_bytes(), overwrite, &temporary)?;
    Ok(format!("{} bytes are in `{name}`", content.len()).into())
}

fn append(root: &Root, run: &Invocation) -> Result<Value> {
    let (name, content) = (text(run, "name"), content(run)?);
    root.append(name, content.as_bytes())?;
    Ok(format!("{} bytes were added to `{name}`", content.len()).into())
}

fn delete(root: &Root, run: &Invocation) -> Result<Value> {
    let name = text(run, "name");
    root.delete(name)?;
    Ok(format!("`{name}` is deleted").into())
}

fn content(run: &Invocation) -> Result<&str> {
    let content = text(run, "content");
    match content.len() <= MAX_CONTENT {
        true => Ok(content),
        false => {
            let cause = format!(
                "it has {} bytes, at most {MAX_CONTENT} are written",
                content.len()
            );
            Err(Error::new(ErrorKind::LimitExceeded, "content", cause))
        }
    }
}
