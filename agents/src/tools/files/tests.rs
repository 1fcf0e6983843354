#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use corbie_core::Tool;
use proptest::prelude::*;

use super::*;

/// `/data` with files, its twin `/data2` and other things that must not be reached.
fn lab() -> (tempfile::TempDir, PathBuf) {
    let lab = tempfile::tempdir().unwrap();
    let folder = lab.path().join("data");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::create_dir_all(lab.path().join("data2")).unwrap();
    fs::write(lab.path().join("data2/canary"), "canary").unwrap();
    fs::write(lab.path().join("canary"), "canary").unwrap();
    fs::write(folder.join("sub/good"), "good").unwrap();
    symlink(lab.path(), folder.join("out")).unwrap();
    symlink(lab.path().join("canary"), folder.join("link")).unwrap();
    symlink(lab.path().join("new"), folder.join("dangling")).unwrap();
    symlink("sub", folder.join("inner")).unwrap();
    (lab, folder)
}

fn tools(folder: &Path) -> Vec<FunctionTool> {
    let options = FilesOptions {
        write: true,
        delete: true,
        ..FilesOptions::new(folder)
    };
    options.tools().unwrap()
}

fn call(tools: &[FunctionTool], name: &str, arguments: Value) -> Result<String> {
    let tool = tools.iter().find(|tool| tool.spec().name == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let value = runtime.block_on(tool.call(Invocation::new("run-1", arguments)))?;
    Ok(value.as_str().unwrap().to_owned())
}

/// Everything below a folder and what it holds.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            }
            all.push((
                entry.path(),
                kind.is_file().then(|| fs::read(entry.path()).unwrap()),
            ));
        }
    }
    all.sort();
    all
}

#[test]
fn files_are_written_read_and_found() {
    let (_lab, folder) = lab();
    let tools = tools(&folder);
    let content = "第一行\nThe Raven\nthird";
    let written = json!({"name": "notes/三月.md", "content": content});
    call(&tools, "write_file", written.clone()).unwrap();
    let again = call(&tools, "write_file", written).unwrap_err().to_string();
    assert!(again.contains("exists"), "{again}");
    call(
        &tools,
        "append_file",
        json!({"name": "notes/三月.md", "content": "\n第四行"}),
    )
    .unwrap();
    let read = |from: Value| call(&tools, "read_file", from).unwrap();
    assert_eq!(
        read(json!({"name": "notes/三月.md"})),
        format!("{content}\n第四行")
    );
    assert_eq!(
        read(json!({"name": "notes/三月.md", "from_line": 2, "lines": 1})),
        "The Raven\n\n[more from line 3 on]"
    );
    assert_eq!(
        read(json!({"name": "notes/三月.md", "from_line": 3, "lines": 2})),
        "third\n第四行"
    );
    for (text, found) in [
        ("raven", "notes/三月.md:2: The Raven"),
        ("四行", "notes/三月.md:4: 第四行"),
    ] {
        assert_eq!(
            call(&tools, "search_files", json!({"text": text})).unwrap(),
            found
        );
    }
    let canary = call(&tools, "search_files", json!({"text": "canary"})).unwrap();
    assert_eq!(canary, "(nothing found)");
    let overwritten = json!({"name": "notes/三月.md", "content": "new", "overwrite": true});
    call(&tools, "write_file", overwritten).unwrap();
    assert_eq!(
        call(&tools, "list_files", json!({})).unwrap(),
        "notes/\nsub/"
    );
    assert_eq!(
        call(&tools, "list_files", json!({"folder": "notes/"})).unwrap(),
        "三月.md (3 bytes)"
    );
    call(&tools, "delete_file", json!({"name": "notes/三月.md"})).unwrap();
    assert_eq!(
        call(&tools, "list_files", json!({"folder": "notes"})).unwrap(),
        "(nothing)"
    );
}

#[test]
fn reading_is_limited() {
    let (_lab, folder) = lab();
    fs::write(folder.join("long"), "0123456789\n".repeat(1000)).unwrap();
    fs::write(folder.join("line"), "渡鸦".repeat(1000)).unwrap();
    fs::write(folder.join("binary"), b"a\0b").unwrap();
    let options = FilesOptions {
        read_bytes: 100,
        ..FilesOptions::new(&folder)
    };
    let tools = options.tools().unwrap();
    let read = |arguments| call(&tools, "read_file", arguments);
    let text = read(json!({"name": "long"})).unwrap();
    assert!(
        text.len() < 130 && text.ends_with("[more from line 10 on]"),
        "{text}"
    );
    assert!(
        read(json!({"name": "line"}))
            .unwrap()
            .ends_with("[line 1 is longer than 100 bytes]")
    );
    assert!(read(json!({"name": "binary"})).is_err());
    assert!(read(json!({"name": "long", "from_line": 5000})).is_err());
    let names: Vec<&str> = tools.iter().map(|tool| tool.spec().name.as_str()).collect();
    assert_eq!(names, ["list_files", "read_file", "search_files"]);
}

#[test]
fn what_tools_do_is_said() {
    let (_lab, folder) = lab();
    for tool in tools(&folder) {
        let effects = tool.effects();
        let name = tool.spec().name.as_str();
        let reads = matches!(name, "list_files" | "read_file" | "search_files");
        assert_eq!(
            (effects.read_only, effects.trusted),
            (reads, !reads),
            "{name}"
        );
        assert_eq!(effects.destructive, name == "delete_file");
    }
}

const HOSTILE: [&str; 26] = [
    "../canary",
    "sub/../../canary",
    "/etc/passwd",
    "out/canary",
    "link",
    "inner/good",
    "dangling",
    "",
    ".",
    "..",
    "sub",
    "sub//good",
    "sub/good/",
    "./sub/good",
    "sub/good\0",
    "C:\\canary",
    "C:canary",
    "\\\\host\\canary",
    "..\\canary",
    "\u{202e}canary",
    "a\u{200b}b",
    "a\nb",
    "../data2/canary",
    "out/new",
    "link/new",
    "sub/good/new",
];

#[test]
fn hostile_names_are_refused_everywhere() {
    let (lab, folder) = lab();
    let before = snapshot(lab.path());
    let tools = tools(&folder);
    for name in HOSTILE {
        for (tool, more) in [
            ("read_file", json!({})),
            ("write_file", json!({"content": "evil", "overwrite": true})),
            ("append_file", json!({"content": "evil"})),
            ("delete_file", json!({})),
        ] {
            let mut arguments = more;
            arguments["name"] = json!(name);
            assert!(call(&tools, tool, arguments).is_err(), "{tool} {name:?}");
        }
        let is_folder = matches!(name, "" | "." | "sub");
        for (tool, more) in [
            ("list_files", json!({})),
            ("search_files", json!({"text": "canary"})),
        ] {
            let mut arguments = more;
            arguments["folder"] = json!(name);
            let refused = call(&tools, tool, arguments).is_err();
            assert!(
                refused || is_folder || name == "sub/good/",
                "{tool} {name:?}"
            );
        }
    }
    assert_eq!(snapshot(lab.path()), before);
}

#[test]
fn a_pipe_is_refused_at_once() {
    let (_lab, folder) = lab();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("pipe"), kind, mode, 0).unwrap();
    let tools = tools(&folder);
    assert!(call(&tools, "read_file", json!({"name": "pipe"})).is_err());
    let write = json!({"name": "pipe", "content": "x", "overwrite": true});
    assert!(call(&tools, "write_file", write).is_err());
    assert!(
        call(
            &tools,
            "append_file",
            json!({"name": "pipe", "content": "x"})
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn no_name_leads_out(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "..", ".", "", "sub", "out", "link", "inner", "canary", "data", "data2", "good",
                "~", "%2e%2e", "..\\", "\0", "C:", "/", "\u{202e}", "dangling", "新",
            ]),
            1..6,
        ),
        any in "\\PC{0,12}",
    ) {
        let (lab, folder) = lab();
        let tools = tools(&folder);
        let outside = |lab: &Path| {
            let mut all = snapshot(lab);
            all.retain(|(path, _)| !path.starts_with(&folder));
            all
        };
        let before = outside(lab.path());
        for name in [parts.join("/"), any] {
            if let Ok(text) = call(&tools, "read_file", json!({"name": name})) {
                prop_assert_eq!(text, "good");
            }
            // Whether they work or not: nothing outside changes.
            drop(call(&tools, "write_file", json!({"name": name, "content": "x", "overwrite": true})));
            drop(call(&tools, "append_file", json!({"name": name, "content": "x"})));
            drop(call(&tools, "delete_file", json!({"name": name})));
            prop_assert_eq!(&outside(lab.path()), &before);
        }
    }
}
