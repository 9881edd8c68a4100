//! crossbeam's deques with threads of one's own: queues, no runtime. A job is a function and an argument; workers spin, then give the processor away.
use crossbeam_deque::{Injector, Stealer, Worker};
use crossbeam_utils::Backoff;
use peers::*;
use std::sync::atomic::{AtomicPtr, Ordering::*};
use std::sync::Arc;
use std::time::Instant;

#[derive(Clone, Copy)]
struct Job { run: fn(&Worker<Job>, Job), first: u64, sample: Option<(Instant, Sample)> }

static GATE: Gate = Gate::new();
static GRAPH: AtomicPtr<Graph> = AtomicPtr::new(std::ptr::null_mut());

/// The one graph: leaked before any job runs.
fn graph() -> &'static Graph { unsafe { &*GRAPH.load(Acquire) } }

fn job(run: fn(&Worker<Job>, Job), first: u64) -> Job { Job { run, first, sample: None } }

fn start(workers: usize) -> Arc<Injector<Job>> {
    let injector = Arc::new(Injector::new());
    let locals: Vec<_> = (0..workers).map(|_| Worker::new_lifo()).collect();
    let stealers: Arc<Vec<Stealer<Job>>> = Arc::new(locals.iter().map(Worker::stealer).collect());
    for local in locals {
        let (injector, stealers) = (injector.clone(), stealers.clone());
        std::thread::spawn(move || {
            let backoff = Backoff::new();
            loop {
                let found = local.pop().or_else(|| {
                    injector.steal_batch_and_pop(&local).or_else(|| stealers.iter().map(Stealer::steal).collect()).success()
                });
                match found {
                    Some(job) => { backoff.reset(); (job.run)(&local, job) }
                    None => backoff.snooze(),
                }
            }
        });
    }
    injector
}

fn visit(local: &Worker<Job>, own: Job) {
    let (graph, node) = (graph(), own.first as u32);
    empty();
    for &next in graph.followers(node) {
        if graph.arrive(next) { local.push(job(visit, next as u64)) }
    }
    if graph.is_last(node) { GATE.open() }
}

fn grow(local: &Worker<Job>, own: Job) {
    empty();
    if own.first > 0 {
        for _ in 0..2 { local.push(job(grow, own.first - 1)) }
    }
    done();
}

fn main() {
    run(|work, workers, count| {
        let queue = start(workers);
        let depth = 63 - count.leading_zeros() as u64;
        match work {
            "chain" | "fan" | "grid" => {
                GRAPH.store(Box::leak(Box::new(Graph::new(work, count))), Release);
                let graph = graph();
                Some(Box::new(move || vec![each(graph.nodes(), || {
                    graph.reset();
                    GATE.close();
                    queue.push(job(visit, 0));
                    GATE.wait();
                })]))
            }
            "tree" => Some(Box::new(move || {
                let jobs = (1u64 << depth) - 1;
                let target = expect(jobs);
                vec![each(jobs, || { queue.push(job(grow, depth - 1)); wait(target) })]
            })),
            "idle-spin" | "rate-100k" => {
                let interval = if work == "rate-100k" { 10_000 } else { 1_000_000 };
                Some(Box::new(move || open_loop(count, interval, |due, sample| queue.push(Job {
                    run: |_, job| if let Some((due, sample)) = job.sample { stamp(due, sample) }, first: 0, sample: Some((due, sample)),
                }))))
            }
            _ => loose(work, workers, count, move |count, rounds| {
                let target = expect(count);
                for _ in 0..count { queue.push(job(|_, job| { body(job.first); done() }, rounds)) }
                wait(target);
            }),
        }
    })
}
