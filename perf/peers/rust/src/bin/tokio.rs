//! tokio: a task for each job on the multi-threaded runtime.
use peers::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

static GATE: Gate = Gate::new();

// A plain function between the task and its successor: an async fn would have to name its own future.
fn spawn(graph: Arc<Graph>, node: u32) { tokio::spawn(async move { visit(graph, node) }); }

fn visit(graph: Arc<Graph>, node: u32) {
    empty();
    for &next in graph.followers(node) {
        if graph.arrive(next) { spawn(graph.clone(), next) }
    }
    if graph.is_last(node) { GATE.open() }
}

fn grow(depth: u32) {
    empty();
    if depth > 0 {
        for _ in 0..2 { tokio::spawn(async move { grow(depth - 1) }); }
    }
    done();
}

struct Numbers(u64);
impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A task that sleeps for each timer; aborted before its time.
fn cancel(runtime: &Runtime, count: u64) -> f64 {
    let mut random = Numbers(88172645463325252);
    let _inside = runtime.enter();
    each(count, || {
        let tasks: Vec<_> = (0..count)
            .map(|_| runtime.spawn(tokio::time::sleep(Duration::from_millis(10_000 + random.next() % 60_000))))
            .collect();
        tasks.iter().for_each(|task| task.abort());
        runtime.block_on(async { for task in tasks { let _ = task.await; } });
    })
}

fn fire(runtime: &Runtime, count: u64) -> Vec<f64> {
    let (mut random, mut samples, target) = (Numbers(88172645463325252), vec![0; count as usize], expect(count));
    let begin = tokio::time::Instant::now() + Duration::from_nanos(count * 3000);
    for i in 0..count {
        let due = begin + Duration::from_nanos(random.next() % (count * 1000));
        let sample = Sample::of(&mut samples, i as usize);
        runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            assert!(tokio::time::Instant::now() >= due, "a timer was early");
            sample.set(due.elapsed().as_nanos() as u64);
            done();
        });
    }
    wait(target);
    percentiles(samples, &[0.99])
}

fn main() {
    run(|work, workers, count| {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_time().build().unwrap();
        let depth = 63 - count.leading_zeros();
        match work {
            "chain" | "fan" | "grid" => {
                let graph = Arc::new(Graph::new(work, count));
                Some(Box::new(move || vec![each(graph.nodes(), || {
                    graph.reset();
                    GATE.close();
                    let graph = graph.clone();
                    runtime.spawn(async move { visit(graph, 0) });
                    GATE.wait();
                })]))
            }
            "tree" => Some(Box::new(move || {
                let jobs = (1u64 << depth) - 1;
                let target = expect(jobs);
                vec![each(jobs, || {
                    runtime.spawn(async move { grow(depth - 1) });
                    wait(target);
                })]
            })),
            "idle-park" | "rate-100k" => {
                let interval = if work == "rate-100k" { 10_000 } else { 1_000_000 };
                Some(Box::new(move || open_loop(count, interval, |due, sample| { runtime.spawn(async move { stamp(due, sample) }); })))
            }
            "timers-cancel" => Some(Box::new(move || vec![cancel(&runtime, count)])),
            "timers-fire" => Some(Box::new(move || fire(&runtime, count))),
            // A batch is one task from outside, which spawns its jobs: they can be stolen one by one.
            _ => loose(work, workers, count, move |count, rounds| {
                let target = expect(count);
                for i in (0..count).step_by(64) {
                    runtime.spawn(async move { for _ in i..count.min(i + 64) { tokio::spawn(async move { body(rounds); done() }); } });
                }
                wait(target);
            }),
        }
    })
}
