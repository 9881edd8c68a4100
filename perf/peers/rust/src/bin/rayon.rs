//! rayon: `spawn` into a pool from outside, scopes for what jobs spawn.
use peers::*;
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;

fn visit<'a>(scope: &Scope<'a>, graph: &'a Graph, node: u32) {
    empty();
    for &next in graph.followers(node) {
        if graph.arrive(next) { scope.spawn(move |scope| visit(scope, graph, next)) }
    }
}

fn grow<'a>(scope: &Scope<'a>, depth: u32) {
    empty();
    if depth > 0 {
        scope.spawn(move |scope| grow(scope, depth - 1));
        scope.spawn(move |scope| grow(scope, depth - 1));
    }
}

/// No jobs that are spawned: two calls, one of which another thread may take.
fn join(depth: u32) {
    empty();
    if depth > 0 { rayon::join(|| join(depth - 1), || join(depth - 1)); }
}

fn main() {
    run(|work, workers, count| {
        let pool: Arc<ThreadPool> = Arc::new(ThreadPoolBuilder::new().num_threads(workers).build().unwrap());
        let depth = 63 - count.leading_zeros();
        let jobs = (1u64 << depth) - 1;
        match work {
            "chain" | "fan" | "grid" => {
                let graph = Graph::new(work, count);
                Some(Box::new(move || vec![each(graph.nodes(), || {
                    graph.reset();
                    pool.scope(|scope| visit(scope, &graph, 0));
                })]))
            }
            "tree" => Some(Box::new(move || vec![each(jobs, || pool.scope(|scope| grow(scope, depth - 1)))])),
            "tree-join" => Some(Box::new(move || vec![each(jobs, || pool.install(|| join(depth - 1)))])),
            "idle-park" | "rate-100k" => {
                let interval = if work == "rate-100k" { 10_000 } else { 1_000_000 };
                Some(Box::new(move || open_loop(count, interval, |due, sample| pool.spawn(move || stamp(due, sample)))))
            }
            // A batch is one job from outside, which spawns its jobs: they can be stolen one by one.
            _ => loose(work, workers, count, move |count, rounds| {
                let target = expect(count);
                for i in (0..count).step_by(64) {
                    pool.spawn(move || (i..count.min(i + 64)).for_each(|_| rayon::spawn(move || { body(rounds); done() })));
                }
                wait(target);
            }),
        }
    })
}
