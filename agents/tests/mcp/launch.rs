//! T18: what starts, with what, and what never does.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;

use corbie_agents::mcp::{Consent, Endpoint};
use corbie_core::ErrorKind;
use serde_json::{Value, json};

use crate::kit::{Person, Place, call};

#[tokio::test]
async fn arguments_meet_no_shell() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let canary = place.path("canary");
    let canary_text = canary.to_str().unwrap();
    let words = [
        format!("; touch {canary_text}"),
        format!("$(touch {canary_text})"),
        format!("`touch {canary_text}`"),
        "&& exit | cat > x".to_owned(),
        "\"quotes' and spaces\"".to_owned(),
        String::new(),
        "*".to_owned(),
    ];
    let given: Vec<&str> = words.iter().map(String::as_str).collect();
    let endpoint = place.endpoint(&given);
    let client = place.connect_to(&endpoint, &person).await.unwrap();
    let said = call(&client, "fix__arguments", json!({})).await.unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&said).unwrap(), words);
    assert!(!canary.exists());
    let shown = person.servers.lock().unwrap()[0].clone();
    assert_eq!(shown, endpoint);
}

#[tokio::test]
async fn the_environment_holds_no_key_of_ours() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let mut endpoint = place.endpoint(&[]);
    if let Endpoint::Command { env, .. } = &mut endpoint {
        env.insert("ITS_TOKEN".into(), "its own".into());
    }
    let client = place.connect_to(&endpoint, &person).await.unwrap();
    let said = call(&client, "fix__environment", json!({})).await.unwrap();
    let variables: BTreeMap<String, Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(variables["ITS_TOKEN"], "its own");
    assert!(variables.contains_key("PATH"));
    // Cargo sets many variables for a test: whatever is not harmless is gone.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    // The last are what a shell adds, where `python3` is a script of one, as pyenv's is.
    let known = [
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "ITS_TOKEN",
        "PYTHONUTF8",
        "PWD",
        "SHLVL",
        "_",
    ];
    for name in variables.keys() {
        let is_ours = std::env::var_os(name).is_some() && !name.contains("PYENV");
        assert!(
            !is_ours || known.contains(&name.as_str()),
            "{name} came along"
        );
    }
}

#[tokio::test]
async fn hostile_addresses_start_no_process() {
    let place = Place::new();
    let canary = place.path("canary");
    let canary = canary.to_str().unwrap();
    for url in [
        format!("file:///bin/touch?{canary}"),
        format!("javascript:require('child_process').exec('touch {canary}')"),
        format!("stdio:touch {canary}"),
        format!("x; touch {canary}"),
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("|touch {canary}"),
        "http://".to_owned(),
        "https://user:pa55w0rd@127.0.0.1:1/mcp".to_owned(),
        // These are addresses; nobody answers there, and nothing starts.
        format!("http://127.0.0.1:1/$(touch {canary})"),
        format!("http://127.0.0.1:1/mcp?`touch {canary}`"),
    ] {
        let endpoint = Endpoint::Http {
            url: url.clone(),
            headers: BTreeMap::new(),
        };
        let person = Person::who_says(Consent::Approved);
        let error = place.connect_to(&endpoint, &person).await.unwrap_err();
        let expected = [ErrorKind::BadInput, ErrorKind::Unavailable];
        assert!(expected.contains(error.kind()), "{url}: {error}");
        assert!(!error.to_string().contains("pa55w0rd"));
    }
    assert!(!std::path::Path::new(canary).exists());
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_ends_with_its_client() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    // It starts a process of its own, which would stay.
    let pid = place.path("pid");
    let script = format!(
        "import os, subprocess, sys\n\
         child = subprocess.Popen(['sleep', '1000'])\n\
         open({:?}, 'w').write(str(child.pid))\n\
         sys.argv = ['server.py', {:?}]\n\
         exec(open({:?}).read())\n",
        pid.to_str().unwrap(),
        place.folder.path().to_str().unwrap(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/server.py"),
    );
    place.write("parent.py", &script);
    let endpoint = Endpoint::Command {
        command: "python3".into(),
        args: vec![place.path("parent.py").to_str().unwrap().into()],
        env: BTreeMap::new(),
        cwd: None,
    };
    let client = place.connect_to(&endpoint, &person).await.unwrap();
    let pid = std::fs::read_to_string(pid).unwrap();
    let stat = std::path::PathBuf::from(format!("/proc/{pid}/stat"));
    if !stat.exists() {
        println!("skipped: this system tells nothing of its processes in /proc");
        return;
    }
    drop(client);
    // It is gone, or dead and waiting for somebody to notice.
    let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_that_is_none_is_named() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let endpoint = Endpoint::Command {
        command: "no-such-program-of-corbie".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
    };
    let error = place.connect_to(&endpoint, &person).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    assert!(error.to_string().contains("no-such-program-of-corbie"));
    // One that is no server.
    let endpoint = Endpoint::Command {
        command: "true".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
    };
    let error = place.connect_to(&endpoint, &person).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
}
