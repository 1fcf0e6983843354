//! A service of chat models on this machine, in the API of OpenAI: it answers from a script and
//! remembers what it was told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::Place;

/// What the service answers.
#[derive(Clone)]
pub enum Reply {
    /// A text.
    Says(String),
    /// Calls of tools: a name and arguments each.
    Calls(Vec<(String, Value)>),
    /// A text that the token limit cut off.
    CutOff(String),
    /// Nothing, for this status and reason; `retry-after` is 0.
    Refuses(u16, &'static str),
    /// Nothing, for as long as the client waits.
    Waits,
}

/// A text as the answer.
pub fn says(text: &str) -> Reply {
    Reply::Says(text.to_owned())
}

/// One call as the answer.
pub fn calls(tool: &str, arguments: Value) -> Reply {
    Reply::Calls(vec![(tool.to_owned(), arguments)])
}

/// What the calculator is called with.
pub fn computes(expression: &str) -> Reply {
    calls("calculator", json!({"expression": expression}))
}

type Answerer = dyn Fn(&Value, usize) -> Reply + Send + Sync;

/// What it was asked so far.
#[derive(Default)]
struct Heard {
    requests: Mutex<Vec<Value>>,
    /// Rings when it is asked, and when a program that is waited for says no more.
    bell: Condvar,
    silent: AtomicBool,
}

/// The service. It stops when it is dropped.
pub struct Service {
    address: String,
    heard: Arc<Heard>,
    stopped: Arc<AtomicBool>,
}

impl Service {
    /// A service that gives these answers one after the other, and refuses what is asked behind
    /// the last.
    pub fn of<const N: usize>(script: [Reply; N]) -> Self {
        Self::answering(move |_, index| {
            let over = Reply::Refuses(400, "the script is over");
            script.get(index).cloned().unwrap_or(over)
        })
    }

    /// A service that answers a request, which so many came before, by a function.
    pub fn answering(answer: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self {
            address: listener.local_addr().unwrap().to_string(),
            heard: Arc::default(),
            stopped: Arc::default(),
        };
        let (heard, stopped) = (Arc::clone(&service.heard), Arc::clone(&service.stopped));
        let answer: Arc<Answerer> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client that goes away is no failure of the service's.
                    let _ = serve(stream.unwrap(), &heard, &*answer);
                });
            }
        });
        service
    }

    /// The program, called with these arguments, with this service's model.
    pub fn corbie(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("corbie"));
        command
            .current_dir(place.path())
            .env("CORBIE_DATA_DIR", place.path().join(".data"))
            .env("XDG_CONFIG_HOME", place.path().join(".config"))
            .env("OPENAI_BASE_URL", format!("http://{}/v1", self.address))
            .env("OPENAI_API_KEY", "sk-raven")
            .env("NO_PROXY", "127.0.0.1")
            .args(arguments)
            .args(["--model", "openai:raven"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What came of the program, called with these arguments, with this service's model.
    pub fn run(&self, place: &Place, arguments: &[&str]) -> Ran {
        Ran::of(self.corbie(place, arguments).output().unwrap())
    }

    /// The same with JSON as the form of the result.
    pub fn json(&self, place: &Place, arguments: &[&str]) -> Value {
        let ran = self.run(place, &[arguments, &["--output", "json"]].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        ran.json()
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Value> {
        self.heard.requests.lock().unwrap().clone()
    }

    /// The last message of the `index`th request.
    pub fn told(&self, index: usize) -> Value {
        let requests = self.requests();
        requests[index]["messages"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone()
    }

    /// What came of the program when somebody pressed Ctrl-C after so many requests.
    #[cfg(unix)]
    pub fn interrupt(&self, mut command: Command, requests: usize) -> Ran {
        let mut child = command.spawn().unwrap();
        let (mut errors, heard) = (child.stderr.take().unwrap(), Arc::clone(&self.heard));
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            // The lock is held so that nobody falls asleep between looking and listening.
            let _requests = heard.requests.lock().unwrap();
            heard.silent.store(true, Ordering::SeqCst);
            heard.bell.notify_all();
            text
        });
        let is_early = |heard: &mut Vec<Value>| {
            heard.len() < requests && !self.heard.silent.load(Ordering::SeqCst)
        };
        let heard = self.heard.requests.lock().unwrap();
        drop(self.heard.bell.wait_while(heard, is_early).unwrap());
        let kill = ["-c", "kill -INT \"$0\"", &child.id().to_string()].map(str::to_owned);
        Command::new("sh").args(kill).status().unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            err: reader.join().unwrap(),
            ..Ran::of(output)
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

/// What came of the program.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    pub fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn serve(mut stream: TcpStream, heard: &Heard, answer: &Answerer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            // The first line has none, the empty one is the last.
            match line.trim_end().is_empty() {
                true => break,
                false => continue,
            }
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body).unwrap();
    let index = {
        let mut requests = heard.requests.lock().unwrap();
        requests.push(request.clone());
        heard.bell.notify_all();
        requests.len() - 1
    };
    let (status, kind, content) = match answer(&request, index) {
        Reply::Says(text) => (200, "text/event-stream", said(&text, "stop")),
        Reply::CutOff(text) => (200, "text/event-stream", said(&text, "length")),
        Reply::Calls(calls) => (200, "text/event-stream", called(&calls, index)),
        Reply::Refuses(status, why) => {
            let content = json!({"error": {"message": why}}).to_string();
            (status, "application/json", content)
        }
        Reply::Waits => {
            // Returns when the client closes the connection.
            return reader.read(&mut [0]).map(drop);
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\nretry-after: 0\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(content.as_bytes())?;
    stream.flush()
}

/// A text as a stream, a few letters each.
fn said(text: &str, finish: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let pieces = letters
        .chunks(7)
        .map(|piece| json!({"content": piece.iter().collect::<String>()}));
    stream(pieces.collect(), finish)
}

/// Calls as a stream, the arguments of each in two pieces; their ids are `call_REQUEST_NUMBER`.
fn called(calls: &[(String, Value)], request: usize) -> String {
    let mut pieces = Vec::new();
    for (number, (name, arguments)) in calls.iter().enumerate() {
        let arguments = arguments.to_string();
        let (first, rest) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        let id = format!("call_{request}_{number}");
        let call = json!({"name": name, "arguments": first});
        let first = json!({"index": number, "id": id, "type": "function", "function": call});
        let rest = json!({"index": number, "function": {"arguments": rest}});
        pieces.extend([first, rest].map(|piece| json!({"tool_calls": [piece]})));
    }
    stream(pieces, "tool_calls")
}

fn stream(pieces: Vec<Value>, finish: &str) -> String {
    let choice = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"choices": [choice]})
    };
    let mut events: Vec<Value> = pieces
        .into_iter()
        .map(|delta| choice(delta, None))
        .collect();
    events.push(choice(json!({}), Some(finish)));
    events.push(json!({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}}));
    let events: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    format!("{events}data: [DONE]\n\n")
}
