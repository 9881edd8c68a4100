//! What the peers in Rust share: the command line, the bodies, the count of what is done, the shapes.
use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex};
use std::thread::yield_now;
use std::time::{Duration, Instant};

#[inline(never)]
pub fn empty() {}

/// The arithmetic of `bench/spin`.
#[inline(never)]
pub fn spin(rounds: u64) {
    let mut state = 88172645463325252u64;
    for _ in 0..rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    // SAFETY: a local; keeps the arithmetic.
    unsafe { std::ptr::read_volatile(&state) };
}

pub fn body(rounds: u64) {
    if rounds > 0 { spin(rounds) } else { empty() }
}

/// Rounds of `spin` in a nanosecond.
pub fn calibrate() -> f64 {
    let best = (0..20).map(|_| { let begin = Instant::now(); spin(1 << 14); begin.elapsed() }).min().unwrap();
    (1 << 14) as f64 / best.as_nanos() as f64
}

/// Nanoseconds that `work` takes, for each of `count`.
pub fn each(count: u64, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64 / count as f64
}

/// Sleeps until it is opened.
pub struct Gate(Mutex<bool>, Condvar);
impl Gate {
    pub const fn new() -> Gate { Gate(Mutex::new(false), Condvar::new()) }
    pub fn close(&self) { *self.0.lock().unwrap() = false }
    pub fn open(&self) { *self.0.lock().unwrap() = true; self.1.notify_one() }
    pub fn wait(&self) { drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap()) }
}

#[repr(align(128))]
struct Slot(AtomicU64);
static SLOTS: [Slot; 64] = { const NONE: Slot = Slot(AtomicU64::new(0)); [NONE; 64] };
static USED: AtomicUsize = AtomicUsize::new(0);
static LOTS: Slot = Slot(AtomicU64::new(0));
static THRESHOLD: Slot = Slot(AtomicU64::new(0));
static GATE: Gate = Gate::new();
const LOT: u64 = 64;
thread_local! { static OWN: Cell<Option<&'static Slot>> = const { Cell::new(None) }; }

fn total() -> u64 { SLOTS.iter().map(|slot| slot.0.load(Acquire)).sum() }

/// Before anything is submitted. What is to be given to `wait`.
pub fn expect(count: u64) -> u64 {
    let before = total();
    GATE.close();
    // Crossed for certain, and later than now, or not at all.
    THRESHOLD.0.store(if count > 8 * LOT { before + count - 8 * LOT } else { 0 }, SeqCst);
    before + count
}

/// One job is done: no locked instruction but for one in 64.
pub fn done() {
    let slot = OWN.with(|own| own.get().unwrap_or_else(|| {
        let slot = &SLOTS[USED.fetch_add(1, SeqCst) % SLOTS.len()];
        own.set(Some(slot));
        slot
    }));
    let next = slot.0.load(Relaxed) + 1;
    slot.0.store(next, Release);
    if next % LOT != 0 { return }
    let (before, line) = (LOTS.0.fetch_add(LOT, SeqCst), THRESHOLD.0.load(Relaxed));
    if before < line && before + LOT >= line { GATE.open() }
}

/// Sleeps until less than a lot for each thread is left.
pub fn wait(target: u64) {
    // Even if it is crossed by now: it must be opened before it is shut again.
    if THRESHOLD.0.load(SeqCst) != 0 { GATE.wait() }
    let mut looks = 0;
    while total() < target {
        looks += 1;
        if looks % 64 == 0 { yield_now() } else { spin_loop() }
    }
}

/// Flat arrays: a counter for each node, and who follows.
pub struct Graph { pub start: Vec<u32>, pub next: Vec<u32>, pub before: Vec<u32>, left: Vec<AtomicU32> }

const WAVE: usize = 101;

impl Graph {
    pub fn new(shape: &str, count: u64) -> Graph {
        let side = (count as f64).sqrt() as usize;
        let nodes = match shape { "fan" => (count as usize / WAVE).max(1) * WAVE + 1, "grid" => side * side, _ => count as usize };
        let predecessors = |i: usize, visit: &mut dyn FnMut(usize)| match shape {
            "fan" if i % WAVE != 0 => visit(i - i % WAVE),
            "fan" => if i > 0 { for k in 1..WAVE { visit(i - k) } },
            "grid" => {
                if i % side > 0 { visit(i - 1) }
                if i >= side { visit(i - side) }
            }
            _ => if i > 0 { visit(i - 1) },
        };
        let (mut start, mut before) = (vec![0u32; nodes + 2], vec![0u32; nodes]);
        for i in 0..nodes { predecessors(i, &mut |p| { start[p + 2] += 1; before[i] += 1 }) }
        for i in 2..nodes + 2 { start[i] += start[i - 1] }
        let mut next = vec![0u32; start[nodes + 1] as usize];
        for i in 0..nodes { predecessors(i, &mut |p| { next[start[p + 1] as usize] = i as u32; start[p + 1] += 1 }) }
        start.pop();
        let left = before.iter().map(|&n| AtomicU32::new(n)).collect();
        Graph { start, next, before, left }
    }
    pub fn nodes(&self) -> u64 { self.before.len() as u64 }
    pub fn reset(&self) { for (left, &before) in self.left.iter().zip(&self.before) { left.store(before, Relaxed) } }
    pub fn followers(&self, node: u32) -> &[u32] { &self.next[self.start[node as usize] as usize..self.start[node as usize + 1] as usize] }
    /// The last of its predecessors is done.
    pub fn arrive(&self, node: u32) -> bool { self.before[node as usize] == 1 || self.left[node as usize].fetch_sub(1, AcqRel) == 1 }
    pub fn is_last(&self, node: u32) -> bool { node as usize == self.before.len() - 1 }
}

pub fn percentiles(mut samples: Vec<u64>, at: &[f64]) -> Vec<f64> {
    samples.sort_unstable();
    at.iter().map(|p| samples[(p * samples.len() as f64).ceil() as usize - 1] as f64).collect()
}

/// Where one job leaves a figure.
#[derive(Clone, Copy)]
pub struct Sample(*mut u64);
// SAFETY: each is written by one job, and read after all of them are done.
unsafe impl Send for Sample {}
impl Sample {
    pub fn of(samples: &mut [u64], i: usize) -> Sample { Sample(&mut samples[i]) }
    pub fn set(self, value: u64) { unsafe { *self.0 = value } }
}

/// One job every `interval` nanoseconds, by a thread that spins for the time: the latency counts from the intended moment.
pub fn open_loop(count: u64, interval: u64, submit: impl Fn(Instant, Sample)) -> Vec<f64> {
    let mut samples = vec![0; count as usize];
    let (target, begin) = (expect(count), Instant::now() + Duration::from_millis(1));
    for i in 0..count {
        let due = begin + Duration::from_nanos(i * interval);
        while Instant::now() < due { spin_loop() }
        submit(due, Sample::of(&mut samples, i as usize));
    }
    wait(target);
    percentiles(samples, &[0.5, 0.99])
}

/// The body of a job of an open loop.
pub fn stamp(due: Instant, sample: Sample) {
    sample.set(due.elapsed().as_nanos() as u64);
    empty();
    done();
}

pub fn efficiency(run: &dyn Fn(u64, u64), workers: usize, count: u64, rounds: u64) -> f64 {
    let serial = each(count, || for _ in 0..count { spin(rounds) });
    serial / (each(count, || run(count, rounds)) * workers as f64)
}

/// The works that differ only in how a job is submitted: `run(count, rounds)` runs `count` jobs.
pub fn loose(work: &str, workers: usize, count: u64, run: impl Fn(u64, u64) + 'static) -> Option<Repetition> {
    let nanoseconds = work.strip_prefix("granularity-").and_then(|text| text.strip_suffix("ns")).and_then(|text| text.parse::<f64>().ok());
    match (work, nanoseconds) {
        ("independent", _) => Some(Box::new(move || vec![each(count, || run(count, 0))])),
        (_, Some(nanoseconds)) => {
            let rounds = (nanoseconds * calibrate()) as u64;
            Some(Box::new(move || vec![efficiency(&run, workers, count, rounds)]))
        }
        ("granularity-half", _) => {
            let rate = calibrate();
            Some(Box::new(move || {
                let (mut low, mut high) = (2f64, 16f64);
                for _ in 0..10 {
                    let middle = (low + high) / 2.0;
                    let jobs = ((2e7 / middle.exp2()) as u64).min(count).max(1000);
                    if efficiency(&run, workers, jobs, (middle.exp2() * rate) as u64) >= 0.5 { high = middle } else { low = middle }
                }
                vec![high.exp2()]
            }))
        }
        _ => None,
    }
}

pub type Repetition = Box<dyn FnMut() -> Vec<f64>>;

/// Prepares by `prepare(work, workers, count)`, which gives none where the peer has no such work; prints each repetition's figures.
pub fn run(prepare: impl FnOnce(&str, usize, u64) -> Option<Repetition>) -> ! {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize, otherwise: u64| arguments.get(i).map_or(Some(otherwise), |text| text.parse().ok()).filter(|&n| n > 0);
    let end = |code, text: &str| -> ! {
        eprintln!("{}", text);
        std::process::exit(code)
    };
    let (workers, count, repetitions) = match (number(2, 0), number(3, 0), number(4, 1), arguments.len()) {
        (Some(workers), Some(count), Some(repetitions), 4..=5) => (workers as usize, count, repetitions),
        _ => end(64, &format!("usage: {} WORK WORKERS COUNT [REPETITIONS]", arguments[0])),
    };
    let mut repetition = match prepare(&arguments[1], workers, count) {
        Some(repetition) => repetition,
        None => end(69, &format!("{}: has no {}", arguments[0], arguments[1])),
    };
    repetition();
    for _ in 0..repetitions {
        println!("{}", repetition().iter().map(|figure| format!("{figure:.6}")).collect::<Vec<_>>().join(" "));
    }
    std::process::exit(0)
}
