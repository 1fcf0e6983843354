//! Small scripts in a sandbox.
//!
//! The language is Rhai: an interpreter within this process that has no files, no network, no
//! environment, no clock and no way to load or evaluate more code. What is left to take is time
//! and memory, and both are counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result};
use futures::channel::oneshot;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use serde_json::{Value, json};

use crate::FunctionTool;

/// The longest script, in bytes.
const MAX_SCRIPT: usize = 32 << 10;
/// The longest text, in bytes; also of all texts in one list or map together.
const MAX_TEXT: usize = 256 << 10;
/// The most items of one list, those of lists in it counted.
const MAX_LIST: usize = 10_000;
/// The most fields of one map, those of maps in it counted.
const MAX_MAP: usize = 2_000;
/// The most variables at once in one function.
const MAX_VARIABLES: usize = 64;
/// The most memory of the values of one function, in bytes, and the looks at variables between two
/// measurements.
const MEMORY: (usize, u64) = (16 << 20, 64);
/// What a value takes beside its own content, in bytes, at most.
const VALUE: usize = 64;
/// How deep functions may call one another.
const MAX_CALLS: usize = 16;
/// How deep expressions may nest, at the top and in functions.
const MAX_NESTING: (usize, usize) = (48, 32);
/// Enough for lists in lists as deep as they can be, whatever is done with them.
const STACK: usize = 64 << 20;
/// Steps between two looks at the time.
const STRIDE: u64 = 256;
/// The longest error that the model sees, in bytes.
const MAX_ERROR: usize = 1000;

/// Limits of a script.
///
/// ```
/// use corbie_agents::tools::CodeOptions;
/// use corbie_core::{Invocation, Tool};
/// use serde_json::json;
///
/// let tool = CodeOptions::default().tool();
/// let script = json!({"script": "let sum = 0; for i in 1..=10 { sum += i; } sum"});
/// let result = futures::executor::block_on(tool.call(Invocation::new("key", script)))?;
/// assert_eq!(result["result"], 55);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CodeOptions {
    /// The most steps.
    pub steps: u64,
    /// The longest time.
    pub time: Duration,
    /// The most bytes that are printed.
    pub printed: usize,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self {
            steps: 10_000_000,
            time: Duration::from_secs(5),
            printed: 16 << 10,
        }
    }
}

impl CodeOptions {
    /// The tool `run_script`.
    pub fn tool(self) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {"script": {
                "type": "string",
                "description": "For example: let sum = 0; for i in 1..=10 { sum += i; } sum",
            }},
            "required": ["script"],
            "additionalProperties": false,
        });
        let description = "Runs a script in the language Rhai and gives its last value and what it \
                           prints. It has no files and no network. \
                           运行 Rhai 脚本，返回最后的值和打印内容。";
        FunctionTool::new(
            "run_script",
            description,
            schema,
            move |run: Invocation| async move {
                let script = run.arguments["script"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                self.run(script).await
            },
        )
        .with_effects(Effects {
            read_only: true,
            idempotent: true,
            trusted: true,
            ..Effects::default()
        })
    }

    /// Runs a script on a thread of its own. Dropping the future ends it.
    async fn run(self, script: String) -> Result<Value> {
        let stop = Arc::new(AtomicBool::new(false));
        let _stopper = Stopper(Arc::clone(&stop));
        let (done, result) = oneshot::channel();
        std::thread::Builder::new()
            .name("corbie-script".into())
            .stack_size(STACK)
            // If nobody waits any more, the result is of no use.
            .spawn(move || drop(done.send(self.run_here(&script, stop))))
            .map_err(|error| Error::io("thread of the script", error))?;
        let broken = |_| Error::new(ErrorKind::Internal, "script", "its thread broke down");
        result.await.map_err(broken)?
    }

    fn run_here(self, script: &str, stop: Arc<AtomicBool>) -> Result<Value> {
        if script.len() > MAX_SCRIPT {
            let cause = format!(
                "it has {} bytes, at most {MAX_SCRIPT} are run",
                script.len()
            );
            return Err(Error::new(ErrorKind::LimitExceeded, "script", cause));
        }
        let printed = Arc::new(Mutex::new(String::new()));
        let engine = self.engine(&printed, stop);
        let tree = engine.compile(script).map_err(|error| {
            Error::new(ErrorKind::BadInput, "script", cut(error.to_string())).hint(
                "the language is Rhai: let x = 1; if x > 0 { … } for i in 0..3 { … } fn f(x) { … }",
            )
        })?;
        let value: Dynamic = engine
            .eval_ast(&tree)
            .map_err(|error| self.failed(&error))?;
        let mut result = json!({"result": plain(&value, 0)});
        let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        if !printed.is_empty() {
            result["printed"] = printed.as_str().into();
        }
        Ok(result)
    }

    /// An interpreter with nothing but arithmetic, texts, lists and maps. The package of the
    /// language's core is left out: a disabled `sleep` is still called through `Fn("sleep")`.
    fn engine(self, printed: &Arc<Mutex<String>>, stop: Arc<AtomicBool>) -> Engine {
        let mut engine = Engine::new_raw();
        ArithmeticPackage::new().register_into_engine(&mut engine);
        LogicPackage::new().register_into_engine(&mut engine);
        BasicMathPackage::new().register_into_engine(&mut engine);
        BasicStringPackage::new().register_into_engine(&mut engine);
        MoreStringPackage::new().register_into_engine(&mut engine);
        BasicIteratorPackage::new().register_into_engine(&mut engine);
        BasicArrayPackage::new().register_into_engine(&mut engine);
        BasicMapPackage::new().register_into_engine(&mut engine);
        BasicFnPackage::new().register_into_engine(&mut engine);
        engine
            .disable_symbol("eval")
            .set_max_operations(self.steps)
            .set_max_string_size(MAX_TEXT)
            .set_max_array_size(MAX_LIST)
            .set_max_map_size(MAX_MAP)
            .set_max_variables(MAX_VARIABLES)
            .set_max_functions(MAX_VARIABLES)
            .set_max_call_levels(MAX_CALLS)
            .set_max_expr_depths(MAX_NESTING.0, MAX_NESTING.1);
        // The library's own makes a text of any size before it is measured.
        engine
            .register_fn("replace", |text: &mut ImmutableString, a: &str, b: &str| {
                replace(text, a, b)
            })
            .register_fn("replace", |text: &mut ImmutableString, a: char, b: &str| {
                replace(text, &a.to_string(), b)
            })
            .register_fn("replace", |text: &mut ImmutableString, a: &str, b: char| {
                replace(text, a, &b.to_string())
            })
            .register_fn("replace", |text: &mut ImmutableString, a: char, b: char| {
                replace(text, &a.to_string(), &b.to_string())
            });
        measure(&mut engine);
        let end = Instant::now() + self.time;
        engine.on_progress(move |steps| {
            let is_over =
                steps % STRIDE == 0 && (stop.load(Ordering::Relaxed) || Instant::now() >= end);
            is_over.then_some(Dynamic::UNIT)
        });
        let print = |printed: &Arc<Mutex<String>>| {
            let (printed, most) = (Arc::clone(printed), self.printed);
            move |text: &str| {
                let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
                let room = most.saturating_sub(printed.len());
                printed.push_str(&text[..text.floor_char_boundary(room)]);
                if room > text.len() {
                    printed.push('\n');
                }
            }
        };
        let show = print(printed);
        engine.on_print(print(printed));
        engine.on_debug(move |text, _, _| show(text));
        engine
    }

    fn failed(self, error: &EvalAltResult) -> Error {
        let limit = |cause: String| Error::new(ErrorKind::LimitExceeded, "script", cause);
        match error {
            EvalAltResult::ErrorTooManyOperations(_) => {
                limit(format!("it takes more than {} steps", self.steps))
            }
            EvalAltResult::ErrorTerminated(..) => limit(format!(
                "it takes longer than {} s",
                self.time.as_secs_f32()
            )),
            EvalAltResult::ErrorDataTooLarge(..)
            | EvalAltResult::ErrorTooManyVariables(_)
            | EvalAltResult::ErrorStackOverflow(_) => limit(cut(error.to_string())),
            _ => Error::new(ErrorKind::BadInput, "script", cut(error.to_string())),
        }
    }
}

/// Ends a script when nobody waits for it any more.
struct Stopper(Arc<AtomicBool>);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has the values of a function measured again and again: the library measures what functions and
/// operators give, but not what is put into a list or a map piece by piece.
// It is marked as deprecated to say that it may change.
#[allow(deprecated)]
fn measure(engine: &mut Engine) {
    let looks = AtomicU64::new(0);
    engine.on_var(move |_, _, context| {
        if looks
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(MEMORY.1)
        {
            let values = context.scope().iter_raw().map(|(_, _, value)| value);
            let held: usize = values.chain(context.this_ptr()).map(memory).sum();
            if held > MEMORY.0 {
                let what = "Memory of variables".to_owned();
                return Err(EvalAltResult::ErrorDataTooLarge(what, Position::NONE).into());
            }
        }
        Ok(None)
    });
}

/// The bytes that a value takes, about; too many for one that holds too much.
fn memory(value: &Dynamic) -> usize {
    if let Ok(text) = value.as_immutable_string_ref() {
        return VALUE + text.len();
    }
    if let Ok(items) = value.as_array_ref() {
        if items.len() > MAX_LIST {
            return MEMORY.0 + 1;
        }
        return VALUE + items.iter().map(memory).sum::<usize>();
    }
    if let Ok(fields) = value.as_map_ref() {
        if fields.len() > MAX_MAP {
            return MEMORY.0 + 1;
        }
        let fields = fields.iter();
        let sizes = fields.map(|(name, value)| VALUE + name.len() + memory(value));
        return VALUE + sizes.sum::<usize>();
    }
    VALUE
}

fn replace(text: &mut ImmutableString, found: &str, new: &str) -> Result<(), Box<EvalAltResult>> {
    let count = text.matches(found).count();
    let size = text.len() - count * found.len() + count.saturating_mul(new.len());
    if size > MAX_TEXT {
        let what = "Length of string".to_owned();
        return Err(EvalAltResult::ErrorDataTooLarge(what, Position::NONE).into());
    }
    *text = text.replace(found, new).into();
    Ok(())
}

/// A value as JSON; what JSON has no word for is shown as text.
fn plain(value: &Dynamic, depth: usize) -> Value {
    if depth > 64 {
        return "…".into();
    }
    if value.is_unit() {
        return Value::Null;
    }
    if let Ok(number) = value.as_int() {
        return number.into();
    }
    if let Ok(number) = value.as_float() {
        return serde_json::Number::from_f64(number)
            .map_or_else(|| number.to_string().into(), Value::Number);
    }
    if let Ok(truth) = value.as_bool() {
        return truth.into();
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(|item| plain(item, depth + 1)).collect();
    }
    if let Ok(fields) = value.as_map_ref() {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (name.to_string(), plain(value, depth + 1)));
        return Value::Object(fields.collect());
    }
    value.to_string().into()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use corbie_core::Tool;
    use futures::executor::block_on;

    use super::*;

    fn run(script: &str) -> Result<Value> {
        let tool = CodeOptions::default().tool();
        block_on(tool.call(Invocation::new("k", json!({"script": script}))))
    }

    #[test]
    fn scripts_give_their_last_value() {
        for (script, result) in [
            ("1 + 2 * 3", json!(7)),
            (
                "let a = []; for i in 0..4 { a.push(i * i); } a",
                json!([0, 1, 4, 9]),
            ),
            (
                "let m = #{ 城市: \"北京\", t: 3.5 }; m",
                json!({"城市": "北京", "t": 3.5}),
            ),
            (
                "fn fib(n) { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } } fib(12)",
                json!(144),
            ),
            (
                "[3, 1, 2].filter(|x| x > 1).map(|x| x * 10)",
                json!([30, 20]),
            ),
            (
                "let s = \"渡鸦 caws\"; s.replace(\"caws\", \"叫\"); s",
                json!("渡鸦 叫"),
            ),
            (
                "let s = \"a-b\"; s.replace('-', '+'); s.to_upper()",
                json!("A+B"),
            ),
            ("\"a b c\".split(' ').len()", json!(3)),
            ("sqrt(2.0) > 1.41", json!(true)),
            ("", Value::Null),
        ] {
            assert_eq!(run(script).unwrap()["result"], result, "{script}");
        }
        let printed = run("print(\"你好\"); print(1); 2").unwrap();
        assert_eq!(printed, json!({"result": 2, "printed": "你好\n1\n"}));
    }

    #[test]
    fn what_is_too_much_is_a_limit() {
        let doubled = "let s = \"xxxxxxxx\"; loop { s += s; }";
        let deep = format!("let a = {}1{};", "[".repeat(500), "]".repeat(500));
        for (script, wanted) in [
            ("loop { }", "steps"),
            ("let x = 0; while true { x += 1; }", "steps"),
            ("fn f(x) { f(x + 1) } f(0)", "overflow"),
            (doubled, "string"),
            ("let a = [1]; loop { a += a; }", "array"),
            ("let a = []; a.pad(4294967296, 0); a", "array"),
            ("let s = \"\"; s.pad(4294967296, 'x'); s", "string"),
            (
                "let s = \"\"; s.pad(200000, 'x'); let t = s; t.replace(\"x\", s); t",
                "string",
            ),
            (
                "let s = \"\"; s.pad(1000, 'x'); s.replace(\"\", s); s.replace(\"\", s); s",
                "string",
            ),
            (
                "let m = #{}; for i in 0..1000000 { m[`k${i}`] = i; }",
                "memory",
            ),
            (
                "let s = \"\"; s.pad(200000, 'x'); let a = []; a.pad(1000, 0); \
                 for i in 0..1000 { a[i] = `${s}${i}`; }",
                "memory",
            ),
            (
                "fn fill(s) { for i in 0..1000 { this[`k${i}`] = `${s}${i}`; } } \
                 let s = \"\"; s.pad(200000, 'x'); let m = #{}; m.fill(s);",
                "memory",
            ),
            ("let a = []; loop { a.push(1); }", "array"),
            ("let s = \"\"; s.pad(200000, 'x'); `${s}${s}${s}`", "string"),
            (deep.as_str(), "omplex"),
            (&"1;".repeat(20_000), "bytes"),
        ] {
            let error = run(script).unwrap_err();
            let said = error.to_string().to_lowercase();
            assert!(
                said.contains(wanted),
                "{}: {said}",
                &script[..script.len().min(60)]
            );
        }
    }

    #[test]
    fn lists_in_lists_are_no_harm_to_the_stack() {
        // Every step measures the whole list, so this is slow to build and slower to go beyond.
        let script = "let a = []; for i in 0..5000 { a = [a]; } print(a); debug(a); let b = a; \
                      if b == a { a } else { a.to_string() }";
        let options = CodeOptions {
            time: Duration::from_secs(600),
            ..CodeOptions::default()
        };
        let run = Invocation::new("k", json!({"script": script}));
        let result = block_on(options.tool().call(run)).unwrap();
        assert!(result["result"].to_string().starts_with("[[["));
    }

    #[test]
    fn there_is_no_world() {
        for script in [
            "open(\"/etc/passwd\")",
            "read_file(\"/etc/passwd\")",
            "File::open(\"/etc/passwd\")",
            "import \"std::fs\" as fs; fs::read(\"x\")",
            "env(\"HOME\")",
            "env::var(\"HOME\")",
            "connect(\"127.0.0.1:80\")",
            "http_get(\"http://127.0.0.1\")",
            "eval(\"1 + 1\")",
            "sleep(1000000)",
            "sleep(1e6)",
            "timestamp()",
            "exec(\"id\")",
            "system(\"id\")",
            "let f = Fn(\"eval\"); f.call(\"1\")",
            "let f = Fn(\"sleep\"); f.call(1000000)",
            "blob(1000000000, 0)",
        ] {
            assert!(run(script).is_err(), "{script}");
        }
    }

    #[test]
    fn time_is_limited_and_output_is_cut() {
        let options = CodeOptions {
            time: Duration::ZERO,
            ..CodeOptions::default()
        };
        let run = Invocation::new("k", json!({"script": "loop { }"}));
        let error = block_on(options.tool().call(run)).unwrap_err();
        assert!(error.to_string().contains("longer than 0 s"), "{error}");
        let options = CodeOptions {
            printed: 10,
            ..CodeOptions::default()
        };
        let run = Invocation::new(
            "k",
            json!({"script": "loop { print(\"渡鸦\"); if 1 > 0 { break; } } print(\"crow\"); print(\"crow\")"}),
        );
        let result = block_on(options.tool().call(run)).unwrap();
        assert_eq!(result["printed"], "渡鸦\ncro");
    }

    #[test]
    fn errors_are_short_and_say_where() {
        let error = run("let x = 1;\nlet y = z + 1;").unwrap_err().to_string();
        assert!(error.contains('z') && error.contains("line 2"), "{error}");
        let error = run("let s = \"\"; s.pad(200000, '鸦'); throw s")
            .unwrap_err()
            .to_string();
        assert!(error.len() < 1100);
    }
}
