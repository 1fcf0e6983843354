//! Collections brought in, copied, moved, verified and mended, with the real embedding model.

use serde_json::Value;

use super::Place;

/// A collection `birds` of two files.
fn birds() -> Place {
    let place = Place::new();
    place.write(
        "docs/ravens.md",
        "# Ravens\n\nRavens hide walnuts under snow in March.\n",
    );
    place.write("docs/鸟.txt", "渡鸦在十月把橡果藏在苔藓下面。\n");
    ingest(&place, &[]);
    place
}

fn ingest(place: &Place, options: &[&str]) -> Value {
    let mut arguments = vec!["ingest", "docs", "--collection", "birds"];
    arguments.extend(options);
    place.json(&arguments, "")
}

fn finds(place: &Place, collection: &str) -> bool {
    let question = "where do ravens hide walnuts";
    let hits = place.json(&["search", question, "--collection", collection], "");
    let text = hits["hits"][0]["text"].as_str().unwrap_or_default();
    text.contains("walnuts")
}

#[test]
fn a_dry_run_writes_nothing_and_modes_keep_what_they_say() {
    let place = birds();
    std::fs::remove_file(place.path().join("docs/鸟.txt")).unwrap();
    place.write("docs/crows.md", "Crows count to four.\n");
    let counts = |report: &Value| {
        ["added", "updated", "deleted", "chunks"].map(|name| report[name].as_u64().unwrap())
    };
    let dry = ingest(&place, &["--dry-run"]);
    assert_eq!(
        (counts(&dry), &dry["dry_run"]),
        ([1, 0, 1, 0], &true.into())
    );
    assert_eq!(
        place.json(&["collections", "show", "birds"], "")["files"],
        2
    );
    place.json(&["ingest", "docs", "--collection", "new", "--dry-run"], "");
    let (code, _) = place.failure(&["collections", "show", "new"], b"");
    assert_eq!(
        code, 1,
        "a collection that was only thought of is not there"
    );
    assert_eq!(
        counts(&ingest(&place, &["--cleanup", "incremental"])),
        [1, 0, 0, 1]
    );
    assert_eq!(counts(&ingest(&place, &[])), [0, 0, 1, 0]);
    let (code, error) = place.failure(
        &[
            "ingest",
            "docs",
            ".",
            "--collection",
            "birds",
            "--cleanup",
            "full",
        ],
        b"",
    );
    assert!(code == 2 && error.contains("one folder"), "{error}");
}

#[test]
fn a_collection_is_copied_moved_backed_up_and_restored() {
    let place = birds();
    let copied = place.json(&["collections", "copy", "birds", "鸟"], "");
    assert_eq!(
        (&copied["files"], &copied["chunks"]),
        (&2.into(), &2.into())
    );
    assert!(finds(&place, "鸟") && finds(&place, "birds"));

    place.json(
        &[
            "collections",
            "copy",
            "birds",
            "birds",
            "--store",
            "edge:fast",
        ],
        "",
    );
    let shown = place.json(&["collections", "show", "birds"], "");
    let store = shown["store"].as_str().unwrap();
    assert!(
        store.starts_with("edge:") && store.ends_with("fast"),
        "{shown}"
    );
    assert!(finds(&place, "birds"), "it is found where it is now");
    assert_eq!(
        ingest(&place, &[])["skipped"],
        2,
        "nothing is embedded again"
    );
    let elsewhere = ["search", "x", "--collection", "birds", "--store", "edge"];
    let (code, error) = place.failure(&elsewhere, b"");
    assert!(code != 0 && error.contains("collections copy"), "{error}");

    place.json(&["collections", "backup", "birds", "safe"], "");
    place.json(&["collections", "rm", "birds"], "");
    let left = std::fs::read_dir(place.path().join("fast"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "its points went with it");
    place.json(&["collections", "restore", "safe", "birds"], "");
    assert!(finds(&place, "birds"));
    let sound = place.json(
        &["index", "verify", "--collection", "birds", "--vectors"],
        "",
    );
    assert_eq!(sound["sound"], true, "{sound}");
}

#[test]
fn what_is_lost_is_found_and_mended() {
    let place = birds();
    let verify = |more: &[&str]| {
        let mut arguments = vec!["index", "verify", "--collection", "birds"];
        arguments.extend(more);
        let output = place.corbie(&arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, said) = verify(&[]);
    assert!(code == 0 && said.contains("nothing is wrong"), "{said}");
    std::fs::remove_dir_all(place.path().join(".data/collections/birds/vectors-1")).unwrap();
    let (code, said) = verify(&[]);
    assert!(
        code == 1 && said.contains("鸟.txt: the store has lost it"),
        "{said}"
    );
    let (code, said) = verify(&["--repair"]);
    assert!(code == 0 && said.contains("2 chunks were mended"), "{said}");
    assert_eq!(verify(&[]).0, 0);
    assert!(finds(&place, "birds"));
}

#[test]
fn a_store_that_there_is_not_is_named_with_those_there_are() {
    let place = Place::new();
    place.write("a.md", "text");
    let arguments = [
        "ingest",
        "a.md",
        "--collection",
        "birds",
        "--store",
        "sqlite:x",
    ];
    let (code, error) = place.failure(&arguments, b"");
    assert_eq!(code, 2, "{error}");
    for part in ["sqlite:x", "edge:FOLDER", "qdrant:", "postgres:"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_bench_says_how_fast_it_finds_and_what_it_misses() {
    let place = Place::new();
    let small = [
        "bench",
        "search",
        "--points",
        "2000",
        "--dimension",
        "32",
        "--queries",
        "20",
    ];
    let figures = place.json(&small, "");
    assert_eq!(figures["points"], 2000);
    assert!(figures["recall"].as_f64().unwrap() > 0.9, "{figures}");
    place.write(
        "docs/ravens.md",
        "Ravens hide walnuts under snow in March.\n",
    );
    let figures = place.json(&["bench", "ingest", "docs"], "");
    assert_eq!(
        (&figures["documents"], &figures["written_again"]),
        (&1.into(), &0.into())
    );
}
