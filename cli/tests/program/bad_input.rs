use crate::Place;

/// A call that cannot succeed: the exit code, and words that the error must have.
type Case<'a> = (&'a [&'a str], &'a [u8], i32, &'a [&'a str]);

#[test]
fn wrong_calls_say_what_to_do_instead() {
    let place = Place::new();
    place.write("truncated.gguf", b"GGUF\x03\x00\x00\x00\x02");
    place.write("not-a-model.gguf", b"hello");
    place.write("bad.jinja", "{% if %}");
    place.write(
        "photo.txt",
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0],
    );
    let messages = br#"{"messages": [{"role": "user", "content": "x"}]}"#;
    let cases: &[Case<'_>] = &[
        (&["ask", "Who?"], b"", 2, &["--docs", "--collection"]),
        (
            &["ask", "Who?", "--docs", "a", "--collection", "b"],
            b"",
            2,
            &["cannot be used with"],
        ),
        (
            &["ask", "Who?", "--docs", "nowhere"],
            b"",
            1,
            &["nowhere", "check the path"],
        ),
        (
            &["ingest", "nowhere", "--collection", "c"],
            b"",
            1,
            &["nowhere", "check the path"],
        ),
        (&["rerank", "Who?"], b"x", 2, &["--reranker"]),
        (
            &["rerank", "Who?", "--reranker", "./nowhere"],
            b"x",
            1,
            &["nowhere"],
        ),
        (
            &["search", "x", "--collection", "none"],
            b"",
            1,
            &["none", "corbie ingest"],
        ),
        (
            &["search", "x", "--collection", "../../etc"],
            b"",
            2,
            &["../../etc"],
        ),
        (&["collections", "rm", "../.."], b"", 2, &["../.."]),
        (
            &["generate", "--prompt", "x", "--model", "truncated.gguf"],
            b"",
            1,
            &["truncated.gguf"],
        ),
        (
            &["generate", "--prompt", "x", "--model", "./not-a-model.gguf"],
            b"",
            1,
            &["not-a-model.gguf"],
        ),
        (
            &["generate", "--prompt", "x", "--model", "smolm2"],
            b"",
            1,
            &["smolm2", "smollm2"],
        ),
        (
            &["generate", "--prompt", "x", "--model", "openai:gpt"],
            b"",
            2,
            &["openai:gpt"],
        ),
        (
            &["models", "show", "nobody-knows-this"],
            b"",
            1,
            &["nobody-knows-this", "models list"],
        ),
        (
            &["models", "rm", "nobody-knows-this"],
            b"",
            1,
            &["nobody-knows-this"],
        ),
        (
            &["template", "--file", "bad.jinja"],
            messages,
            1,
            &["bad.jinja"],
        ),
        (
            &["template", "--file", "missing.jinja"],
            messages,
            1,
            &["missing.jinja"],
        ),
        (
            &["template", "--file", "bad.jinja"],
            b"[1]",
            2,
            &["messages"],
        ),
        (&["parse", "missing.pdf"], b"", 1, &["missing.pdf"]),
        (&["parse", "photo.txt"], b"", 1, &["photo.txt", "image/png"]),
        (
            &["eval", "retrieval", "nowhere"],
            b"",
            1,
            &["nowhere", "BEIR"],
        ),
        (&["serach", "x"], b"", 2, &["search"]),
    ];
    for (arguments, stdin, code, words) in cases {
        let (found, error) = place.failure(arguments, stdin);
        assert_eq!(found, *code, "{arguments:?}: {error}");
        for word in *words {
            assert!(
                error.contains(word),
                "{arguments:?} does not say `{word}`: {error}"
            );
        }
        assert!(!error.contains("panicked"), "{error}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    place.write("long.txt", "乌鸦 raven\n".repeat(100_000));
    let program = assert_cmd::cargo::cargo_bin("corbie");
    let mut child = std::process::Command::new(program)
        .current_dir(place.path())
        .args(["parse", "long.txt"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
