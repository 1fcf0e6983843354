#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_core::Tool;

use super::*;

/// Where pages are served that may be read.
const LAB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server that gives the same bytes to everybody, or nothing at all.
struct Server {
    port: u16,
    hits: Arc<AtomicUsize>,
}

impl Server {
    fn new(ip: IpAddr, reply: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&hits);
        std::thread::spawn(move || {
            // Those that wait for nothing are kept, so that they go on waiting.
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 2048];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                match reply(&path) {
                    // Whoever has enough hangs up.
                    Some(bytes) => drop(stream.write_all(&bytes)),
                    None => kept.push(stream),
                }
            }
        });
        Self { port, hits }
    }

    fn canary(ip: &str) -> Self {
        Self::new(ip.parse().unwrap(), |_| Some(page("text/plain", "canary")))
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

fn page(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn moved(to: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

fn lab(options: FetchOptions) -> FunctionTool {
    let private = vec![IpAddr::V4(LAB)];
    FetchOptions { private, ..options }.tool().unwrap()
}

async fn fetch(tool: &FunctionTool, url: &str) -> Result<String> {
    let value = tool.call(Invocation::new("k", json!({"url": url}))).await?;
    Ok(value.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn it_keeps_the_laws_of_tools() {
    let server = Server::new(LAB.into(), |_| Some(page("text/plain", "乌鸦")));
    let arguments = json!({"url": format!("http://{LAB}:{}/", server.port)});
    let tool = lab(FetchOptions::default());
    corbie_core::testing::conformance::tool(&tool, &arguments).await;
}

#[tokio::test]
async fn pages_are_read() {
    let server = Server::new(LAB.into(), |path| match path {
        "/html" => Some(page(
            "text/html; charset=utf-8",
            "<h1>渡鸦</h1><script>x</script><p>caws",
        )),
        "/gbk" => {
            let mut bytes = page("text/html; charset=gbk", "1234");
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(b"\xc4\xe3\xba\xc3");
            Some(bytes)
        }
        "/json" => Some(page("application/json", "{\"a\": 1}")),
        "/image" => Some(page("image/png", "x")),
        "/moved" => moved("/html"),
        "/loop" => moved("/loop"),
        "/packed" => Some(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\n\r\nbomb"
                .to_vec(),
        ),
        _ => Some(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()),
    });
    let (tool, base) = (
        lab(FetchOptions::default()),
        format!("http://{LAB}:{}", server.port),
    );
    for (path, text) in [
        ("/html", "渡鸦\ncaws"),
        ("/gbk", "你好"),
        ("/json", "{\"a\": 1}"),
        ("/moved", "渡鸦\ncaws"),
    ] {
        let page = fetch(&tool, &format!("{base}{path}")).await.unwrap();
        assert!(page.ends_with(&format!("\n\n{text}")), "{path}: {page}");
    }
    for (path, why) in [
        ("/image", "no text"),
        ("/loop", "more than 5 times"),
        ("/packed", "packed"),
        ("/none", "404"),
    ] {
        let error = fetch(&tool, &format!("{base}{path}"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{path}: {error}");
    }
    let effects = tool.effects();
    assert!(effects.egress && effects.read_only && !effects.trusted);
}

#[tokio::test]
async fn nothing_private_is_reached_however_it_is_spelled() {
    let (canary, canary6) = (Server::canary("127.0.0.1"), Server::canary("::1"));
    let (port, port6) = (canary.port, canary6.port);
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "127.0.0.1.",
        "127.0.0.3",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "①②⑦.⓪.⓪.①",
        "１２７.0.0.1",
        "127。0。0。1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "10.0.0.1",
        "192.168.0.1",
    ];
    let mut urls: Vec<String> = hosts
        .iter()
        .map(|host| format!("http://{host}:{port}/"))
        .collect();
    urls.extend(
        ["[::1]", "[::]", "[0:0:0:0:0:0:0:1]"].map(|host| format!("http://{host}:{port6}/")),
    );
    urls.extend(
        [
            "https://127.0.0.1/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "gopher://127.0.0.1/",
            "data:text/plain,hello",
            "javascript:alert(1)",
            "//127.0.0.1/",
            "http://",
            "canary",
        ]
        .map(str::to_owned),
    );
    urls.push(format!("http://user:secret@1.1.1.1:{port}/"));
    let targets = urls.clone();
    let server = Server::new(LAB.into(), move |path| {
        let number: usize = path.trim_start_matches('/').parse().ok()?;
        moved(&targets[number])
    });
    // The whole lab answers within the time or refuses at once.
    let tool = lab(FetchOptions::default());
    for (number, url) in urls.iter().enumerate() {
        assert!(fetch(&tool, url).await.is_err(), "{url}");
        if url.contains("://") {
            let redirect = format!("http://{LAB}:{}/{number}", server.port);
            let error = fetch(&tool, &redirect).await.unwrap_err();
            assert!(!error.to_string().contains("longer than"), "{url}: {error}");
        }
    }
    assert_eq!((canary.hits(), canary6.hits()), (0, 0));
}

/// Names whose addresses are another at each question.
struct Fickle {
    answers: Mutex<Vec<Vec<IpAddr>>>,
}

impl Hosts for Fickle {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>>> {
        assert_eq!(host, "fickle.test");
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async move {
            answer.ok_or_else(|| Error::new(ErrorKind::Internal, "lookup", "one question too many"))
        })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_meaning_gains_nothing() {
    let canary = Server::canary("127.0.0.1");
    let target = format!("http://fickle.test:{}/", canary.port);
    let server = Server::new(LAB.into(), move |path| match path {
        "/move" => moved(&target),
        _ => Some(page("text/plain", "good")),
    });
    let (good, evil) = (IpAddr::V4(LAB), IpAddr::V4(Ipv4Addr::LOCALHOST));
    // Asked once for each connection, so there is no check that a later answer could undo.
    for (answers, path, is_read) in [
        (vec![vec![good]], "/", true),
        (vec![vec![evil, good]], "/", true),
        (vec![vec![good], vec![evil]], "/move", false),
        (vec![vec![evil]], "/", false),
        (vec![vec![]], "/", false),
    ] {
        let fickle = Arc::new(Fickle {
            answers: Mutex::new(answers.into_iter().rev().collect()),
        });
        let lookup: Arc<dyn Hosts> = fickle.clone();
        let tool = lab(FetchOptions {
            lookup,
            ..FetchOptions::default()
        });
        let read = fetch(&tool, &format!("http://fickle.test:{}{path}", server.port)).await;
        assert_eq!(read.is_ok(), is_read, "{path}: {read:?}");
        assert!(fickle.answers.lock().unwrap().is_empty());
        if let Err(error) = read {
            assert!(
                error
                    .to_string()
                    .contains("no address of the public internet"),
                "{error}"
            );
        }
    }
    assert_eq!(canary.hits(), 0);
}

#[tokio::test]
async fn what_is_large_or_slow_ends() {
    let server = Server::new(LAB.into(), |path| match path {
        "/large" => Some(page("text/plain", &"x".repeat(64 << 20))),
        _ => None,
    });
    let tool = lab(FetchOptions {
        bytes: 1000,
        time: Duration::from_secs(20),
        ..FetchOptions::default()
    });
    let text = fetch(&tool, &format!("http://{LAB}:{}/large", server.port))
        .await
        .unwrap();
    assert!(text.len() < 1200 && text.ends_with("[only the first 1000 bytes were read]"));
    let tool = lab(FetchOptions {
        time: Duration::from_millis(50),
        ..FetchOptions::default()
    });
    let error = fetch(&tool, &format!("http://{LAB}:{}/silent", server.port))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn only_hosts_of_the_list_are_asked() {
    let server = Server::canary("127.0.0.2");
    let answers = Mutex::new(vec![vec![IpAddr::V4(LAB)]; 2]);
    let tool = lab(FetchOptions {
        hosts: Some(vec!["fickle.test".into()]),
        lookup: Arc::new(Fickle { answers }),
        ..FetchOptions::default()
    });
    let url = |host: &str| format!("http://{host}:{}/", server.port);
    assert!(fetch(&tool, &url("FICKLE.test")).await.is_ok());
    for host in ["evil.test", "127.0.0.2", "fickle.test.evil.test"] {
        let error = fetch(&tool, &url(host)).await.unwrap_err().to_string();
        assert!(error.contains("not among those"), "{error}");
    }
    assert_eq!(server.hits(), 1);
    for (pattern, host, is_covered) in [
        ("*.example.org", "docs.example.org", true),
        ("*.example.org", "example.org", false),
        ("*.example.org", "badexample.org", false),
        ("example.org", "example.org.", true),
        ("example.org", "www.example.org", false),
    ] {
        assert_eq!(covers(pattern, host), is_covered, "{pattern} {host}");
    }
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let canary = Server::canary("127.0.0.1");
    let proxy = format!("http://127.0.0.1:{}", canary.port);
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "tools::fetch::tests::pages_are_read"]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        test.env(name, &proxy);
    }
    let output = test.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(canary.hits(), 0);
}
