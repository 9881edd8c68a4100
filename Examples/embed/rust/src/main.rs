//! cargo run --offline, with PKG_CONFIG_PATH and LD_LIBRARY_PATH set to where the library was installed.

use millrace_embed::{Engine, Failure};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

const DEFINITION: &str = r#"
format: 1
workflow: sums
parameters:
  to: { description: The last number, type: integer, default: 10 }
result: sum
tasks:
  - { id: numbers, handler: numbers, input: "${params.to}" }
  - { id: sum, handler: sum, dependencies: [numbers], retry: { attempts: 2, initial: 1ms } }
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new()?;
    engine.register("numbers", |task| {
        let last: u64 = std::str::from_utf8(task.input(0)).unwrap().parse().unwrap();
        Ok(format!("{:?}", (1..=last).collect::<Vec<_>>()))
    })?;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    engine.register("sum", move |task| {
        counted.fetch_add(1, Ordering::Relaxed);
        if task.attempt() == 1 {
            return Err(Failure { message: "not yet".into(), is_retryable: true });
        }
        let numbers = std::str::from_utf8(task.input(1)).unwrap().trim_matches(|letter| letter == '[' || letter == ']');
        Ok(numbers.split(',').map(|number| number.trim().parse::<u64>().unwrap()).sum::<u64>().to_string())
    })?;
    engine.register("panics", |_| panic!("on purpose"))?;
    let workflow = engine.prepare("sums.yaml", DEFINITION)?;
    let result = |parameters| -> Result<String, Box<dyn Error>> {
        Ok(String::from_utf8(workflow.run(parameters)?.ok_or("the run did not complete")?)?)
    };
    println!("{} and {}, {} calls", result(None)?, result(Some("{\"to\": 100}"))?, calls.load(Ordering::Relaxed));
    let panics = engine.prepare("panics.yaml", "format: 1\nworkflow: panics\nresult: a\ntasks: [{ id: a, handler: panics }]\n")?;
    println!("a handler that panics: {:?}", panics.run(None)?);
    println!("{}", engine.prepare("bad.yaml", "format: 1\nworkflow: bad\n").err().ok_or("it is bad")?.code);
    engine.consume("words", |task| {
        let message = task.message().ok_or(Failure { message: "no message".into(), is_retryable: false })?;
        let headers: Vec<_> = message.headers.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-"))).collect();
        Ok(format!("\"{} got {} bytes, {}\"", message.queue, task.input(0).len(), headers.join(" ")))
    })?;
    let answer = engine.request("words", "{}", &[("kind", "x"), ("colour", "blue")], Duration::from_secs(600))?;
    println!("{}", String::from_utf8(answer)?);
    Ok(())
}
