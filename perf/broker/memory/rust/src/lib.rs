//! What the programs in Rust share: the command line, what a message holds, the line that is printed.
use std::hint::spin_loop;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIX: u64 = 0x9e3779b97f4a7c15;
pub const BOUND: usize = 1000;
/// Messages from one look at the clock to the next.
pub const LOOKS: u64 = 256;
/// Nanoseconds: 10,000 a second.
pub const INTERVAL: u64 = 100_000;
/// More than can be under way.
const BLOCKS: usize = 2048;
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Word k of message i is i * MIX + k: what all of them come to is known without looking.
pub fn fill(words: &mut [u64], i: u64) {
    let first = i.wrapping_mul(MIX);
    for (k, word) in words.iter_mut().enumerate() { *word = first.wrapping_add(k as u64) }
}

pub fn filled<const W: usize>(i: u64) -> [u64; W] {
    let mut words = [0; W];
    fill(&mut words, i);
    words
}

pub fn sum(words: &[u64]) -> u64 { words.iter().fold(0, |total, &word| total.wrapping_add(word)) }

pub fn triangle(n: u64) -> u64 { if n % 2 == 0 { (n / 2).wrapping_mul(n.wrapping_sub(1)) } else { n.wrapping_mul((n - 1) / 2) } }

/// The sum of all words of messages 0..<messages.
pub fn expected(words: u64, messages: u64) -> u64 {
    words.wrapping_mul(MIX).wrapping_mul(triangle(messages)).wrapping_add(messages.wrapping_mul(triangle(words)))
}

/// Blocks of 64 KiB, of which the first line is written and read.
pub type Block = Arc<[u64]>;

/// Gives out blocks that nobody else has, in turns.
pub struct Pool { blocks: Vec<Block>, next: usize }
impl Pool {
    /// A line longer, so that their beginnings do not share a set of the cache.
    pub fn new() -> Pool { Pool { blocks: (0..BLOCKS).map(|_| vec![1; BLOCK_BYTES / 8 + 8].into()).collect(), next: 0 } }
    pub fn filled(&mut self, i: u64) -> Block {
        loop {
            self.next = (self.next + 1) % BLOCKS;
            let block = &mut self.blocks[self.next];
            if let Some(words) = Arc::get_mut(block) {
                fill(&mut words[..8], i);
                return block.clone();
            }
        }
    }
}

pub struct Line {
    pub messages: u64,
    pub received: u64,
    pub lost: u64,
    pub bytes: usize,
    pub consumers: usize,
    pub seconds: Duration,
    pub latencies: Option<Vec<u64>>,
}

pub fn quit(code: i32, text: &str) -> ! {
    eprintln!("broker: {text}");
    std::process::exit(code)
}

pub fn check(messages: u64, received: u64, total: u64, right: u64) {
    if received != messages || total != right { quit(1, &format!("{received} of {messages} messages were received, or their sum is wrong")) }
}

/// Sends each message when it is due; what it holds begins with nanoseconds from `begin`.
pub fn on_time(begin: Instant, length: Duration, mut send: impl FnMut([u64; 8])) -> u64 {
    let mut i = 0;
    while Duration::from_nanos(i * INTERVAL) < length {
        let due = begin + Duration::from_nanos(i * INTERVAL);
        while Instant::now() < due { spin_loop() }
        let mut words = filled(0);
        words[0] = i * INTERVAL;
        send(words);
        i += 1;
    }
    i
}

/// What the messages of an open loop sum to.
pub fn expected_on_time(messages: u64) -> u64 { messages * triangle(8) + INTERVAL * triangle(messages) }

fn percentile(sorted: &[u64], p: f64) -> String {
    if sorted.len() as f64 * (1.0 - p) < 10.0 { "null".into() } else { sorted[(p * sorted.len() as f64) as usize].to_string() }
}

impl Line {
    fn tell(self, work: &str) {
        let Line { messages, received, lost, bytes, consumers, seconds, latencies } = self;
        let mut told = format!(
            r#"{{"work":"{work}","messages":{messages},"received":{received},"lost":{lost},"bytes":{bytes},"consumers":{consumers},"seconds":{:.9}"#,
            seconds.as_secs_f64());
        if let Some(mut latencies) = latencies {
            latencies.sort_unstable();
            told += &format!(r#","p50_ns":{},"p99_ns":{}"#, percentile(&latencies, 0.5), percentile(&latencies, 0.99));
        }
        println!("{told}}}");
    }
}

pub type Run = Box<dyn FnMut(Duration) -> Line>;

/// Runs what `find` gives for the work, unmeasured for a quarter of the time first.
pub fn run(find: impl FnOnce(&str) -> Option<Run>) {
    let arguments: Vec<String> = std::env::args().collect();
    let seconds = arguments.get(2).and_then(|text| text.parse::<f64>().ok()).filter(|&seconds| seconds > 0.0 && seconds <= 3600.0);
    let (seconds, found) = match seconds {
        Some(seconds) if arguments.len() == 3 => (seconds, find(&arguments[1])),
        _ => quit(64, &format!("usage: {} WORK SECONDS", arguments[0])),
    };
    let mut work = found.unwrap_or_else(|| quit(64, &format!("there is no {}", arguments[1])));
    work(Duration::from_secs_f64(seconds / 4.0));
    work(Duration::from_secs_f64(seconds)).tell(&arguments[1]);
}
