//! crossbeam's bounded channel. A message for four goes into four channels: a copy of it, or an `Arc`.
use broker::*;
use crossbeam_channel::{bounded, TryRecvError};
use std::hint::spin_loop;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Messages of a vector.
const SOME: u64 = 64;

/// Sends what `make` makes, each of `count` messages, to all consumers; `take` gives what it sums to.
fn rate<M: Clone + Send + 'static>(
    consumers: usize, words: u64, bytes: usize, count: u64, mut make: impl FnMut(u64) -> M + 'static, take: fn(&M) -> u64,
) -> Option<Run> {
    Some(Box::new(move |length| {
        let (senders, threads): (Vec<_>, Vec<_>) = (0..consumers)
            .map(|_| {
                let (sender, receiver) = bounded::<M>(BOUND / count as usize);
                let consumer = thread::spawn(move || {
                    receiver.iter().fold((0, 0u64), |(messages, total), m| (messages + count, total.wrapping_add(take(&m))))
                });
                (sender, consumer)
            })
            .unzip();
        let (begin, mut i) = (Instant::now(), 0);
        while begin.elapsed() < length {
            for _ in 0..LOOKS / count {
                let m = make(i);
                for sender in &senders[1..] { sender.send(m.clone()).unwrap() }
                senders[0].send(m).unwrap();
                i += count;
            }
        }
        drop(senders);
        let got: Vec<(u64, u64)> = threads.into_iter().map(|consumer| consumer.join().unwrap()).collect();
        let seconds = begin.elapsed();
        for &(received, total) in &got { check(i, received, total, expected(words, i)) }
        Line { messages: i, received: got.iter().map(|one| one.0).sum(), lost: 0, bytes, consumers, seconds, latencies: None }
    }))
}

fn by_value<const W: usize>(consumers: usize) -> Option<Run> {
    rate(consumers, W as u64, W * 8, 1, filled::<W>, |m| sum(m))
}

fn by_vector<const W: usize>() -> Option<Run> {
    let make = |i| (i..i + SOME).map(filled::<W>).collect::<Vec<_>>();
    rate(1, W as u64, W * 8, SOME, make, |some| some.iter().fold(0, |total, m| total.wrapping_add(sum(m))))
}

fn latency(spins: bool) -> Option<Run> {
    Some(Box::new(move |length| {
        let (sender, receiver) = bounded::<[u64; 8]>(BOUND);
        let begin = Instant::now() + Duration::from_millis(1);
        let consumer = thread::spawn(move || {
            let (mut latencies, mut total) = (Vec::with_capacity((length.as_nanos() as u64 / INTERVAL) as usize + 1), 0u64);
            let mut take = |m: [u64; 8]| {
                latencies.push(begin.elapsed().as_nanos() as u64 - m[0]);
                total = total.wrapping_add(sum(&m));
            };
            if spins {
                loop {
                    match receiver.try_recv() {
                        Ok(m) => take(m),
                        Err(TryRecvError::Empty) => spin_loop(),
                        Err(TryRecvError::Disconnected) => break,
                    }
                }
            } else {
                receiver.iter().for_each(take);
            }
            (latencies, total)
        });
        let messages = on_time(begin, length, |m| sender.send(m).unwrap());
        drop(sender);
        let (latencies, total) = consumer.join().unwrap();
        let seconds = begin.elapsed();
        check(messages, latencies.len() as u64, total, expected_on_time(messages));
        Line { messages, received: messages, lost: 0, bytes: 64, consumers: 1, seconds, latencies: Some(latencies) }
    }))
}

fn main() {
    run(|work| match work {
        "msg-1-1" => by_value::<8>(1),
        "msg-1-1/vectors" => by_vector::<8>(),
        "msg-1-1-1k" => by_value::<128>(1),
        "msg-1-1-1k/vectors" => by_vector::<128>(),
        "msg-1-4" => by_value::<8>(4),
        "msg-1-4/reference" => rate(4, 8, 64, 1, |i| Arc::new(filled::<8>(i)), |m| sum(&m[..])),
        "msg-64k" => {
            let mut pool = Pool::new();
            rate(4, 8, BLOCK_BYTES, 1, move |i| pool.filled(i), |block: &Block| sum(&block[..8]))
        }
        "latency-spin" => latency(true),
        "latency-park" => latency(false),
        _ => None,
    })
}
