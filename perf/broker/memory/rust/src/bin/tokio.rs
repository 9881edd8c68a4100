//! tokio's broadcast channel: one ring for all consumers, which are tasks of the multi-threaded runtime; the publisher, which never waits, has a blocking thread of it.
//! A consumer that is too slow is told how many messages it has lost.
use broker::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast::{channel, error::RecvError, Receiver, Sender};

struct Got {
    received: u64,
    lost: u64,
    total: u64,
    /// What those sum to that were lost.
    missing: u64,
}

/// Takes all that there is; `words` of each message.
async fn consume<M: Clone>(mut receiver: Receiver<M>, words: u64, mut take: impl FnMut(&M) -> u64) -> Got {
    let mut got = Got { received: 0, lost: 0, total: 0, missing: 0 };
    loop {
        match receiver.recv().await {
            Ok(m) => {
                got.total = got.total.wrapping_add(take(&m));
                got.received += 1;
            }
            Err(RecvError::Lagged(lost)) => {
                let next = got.received + got.lost;
                got.missing = got.missing.wrapping_add(expected(words, next + lost)).wrapping_sub(expected(words, next));
                got.lost += lost;
            }
            Err(RecvError::Closed) => return got,
        }
    }
}

fn runtime() -> Runtime { Builder::new_multi_thread().build().unwrap() }

fn rate<M: Clone + Send + Sync + 'static>(
    consumers: usize, words: u64, bytes: usize, make: impl FnMut(u64) -> M + Send + 'static, take: fn(&M) -> u64,
) -> Option<Run> {
    let (runtime, make) = (runtime(), Arc::new(Mutex::new(make)));
    Some(Box::new(move |length| {
        let (sender, receiver): (Sender<M>, _) = channel(BOUND);
        let mut tasks = vec![runtime.spawn(consume(receiver, words, take))];
        for _ in 1..consumers { tasks.push(runtime.spawn(consume(sender.subscribe(), words, take))) }
        let (begin, make) = (Instant::now(), make.clone());
        let publisher = runtime.spawn_blocking(move || {
            let (mut make, mut i) = (make.lock().unwrap(), 0);
            while begin.elapsed() < length {
                for _ in 0..LOOKS {
                    if sender.send(make(i)).is_err() { quit(1, "nobody receives") }
                    i += 1;
                }
            }
            i
        });
        let (messages, got) = runtime.block_on(async {
            let messages = publisher.await.unwrap();
            let mut got = vec![];
            for task in tasks { got.push(task.await.unwrap()) }
            (messages, got)
        });
        let seconds = begin.elapsed();
        for one in &got { check(messages, one.received + one.lost, one.total.wrapping_add(one.missing), expected(words, messages)) }
        let (received, lost) = got.iter().fold((0, 0), |(received, lost), one| (received + one.received, lost + one.lost));
        Line { messages, received, lost, bytes, consumers, seconds, latencies: None }
    }))
}

fn latency() -> Option<Run> {
    let runtime = runtime();
    Some(Box::new(move |length| {
        let (sender, mut receiver) = channel::<[u64; 8]>(BOUND);
        let begin = Instant::now() + Duration::from_millis(1);
        let consumer = runtime.spawn(async move {
            let (mut latencies, mut total) = (Vec::with_capacity((length.as_nanos() as u64 / INTERVAL) as usize + 1), 0u64);
            loop {
                match receiver.recv().await {
                    Ok(m) => {
                        latencies.push(begin.elapsed().as_nanos() as u64 - m[0]);
                        total = total.wrapping_add(sum(&m));
                    }
                    Err(RecvError::Closed) => return (latencies, total),
                    Err(RecvError::Lagged(lost)) => quit(1, &format!("{lost} messages were lost")),
                }
            }
        });
        let publisher = runtime.spawn_blocking(move || on_time(begin, length, |m| if sender.send(m).is_err() { quit(1, "nobody receives") }));
        let (messages, (latencies, total)) = runtime.block_on(async { (publisher.await.unwrap(), consumer.await.unwrap()) });
        let seconds = begin.elapsed();
        check(messages, latencies.len() as u64, total, expected_on_time(messages));
        Line { messages, received: messages, lost: 0, bytes: 64, consumers: 1, seconds, latencies: Some(latencies) }
    }))
}

fn main() {
    run(|work| match work {
        "msg-1-1" => rate(1, 8, 64, filled::<8>, |m| sum(m)),
        "msg-1-1-1k" => rate(1, 128, 1024, filled::<128>, |m| sum(m)),
        "msg-1-4" => rate(4, 8, 64, filled::<8>, |m| sum(m)),
        "msg-1-4/reference" => rate(4, 8, 64, |i| Arc::new(filled::<8>(i)), |m| sum(&m[..])),
        "msg-64k" => {
            let mut pool = Pool::new();
            rate(4, 8, BLOCK_BYTES, move |i| pool.filled(i), |block: &Block| sum(&block[..8]))
        }
        "latency-park" => latency(),
        _ => None,
    })
}
