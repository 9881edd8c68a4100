import CMillrace
import Glibc
import MillraceLog
import Synchronization

/// Appends at fixed times, whatever the log does: `threads` threads, each with its share of the rate. Latency is from the intended time to the completion.
@safe final class OpenLoop: @unchecked Sendable {
  static let threads = 8
  /// Appends of one thread under way at most: more means that the rate cannot be held.
  private static let window = 512
  /// Streams of one thread.
  private static let streams = 8

  private let log: EventLog
  private let rate: Double
  private var producers: [Producer] = []

  init(_ log: EventLog, rate: Double) {
    self.log = log
    self.rate = rate
  }

  @safe fileprivate final class Producer: @unchecked Sendable {
    let log: EventLog
    let interval: Double
    let seconds: Double
    let first: UInt64
    var slots: Slots!
    /// Written by whoever commits, one at a time.
    let times: UnsafeMutableBufferPointer<UInt32>
    var timed = 0
    let returned = BoundedReturns(OpenLoop.window)
    let ended = Counter()
    var sent = 0
    var thread = pthread_t()

    init(_ log: EventLog, name: String, interval: Double, seconds: Double, first: UInt64) {
      self.log = log
      self.interval = interval
      self.seconds = seconds
      self.first = first
      unsafe times = .allocate(capacity: Int(seconds * 1e9 / interval) + 1024)
      // Touched once before, as all that is measured.
      unsafe times.initialize(repeating: 0)
      slots = unsafe Slots(log, OpenLoop.window, name: name, streams: OpenLoop.streams, Unmanaged.passUnretained(self).toOpaque()) {
        context, requests, count in
        let now = millrace_monotonic()
        // Safe: the loop keeps its producers until all has ended.
        unsafe Unmanaged<Producer>.fromOpaque(context!)._withUnsafeGuaranteedRef { producer in
          unsafe producer.told(AppendSink.requests(requests, count), now)
        }
      }
      for index in 0..<OpenLoop.window { returned.put(index) }
    }

    func told(_ requests: UnsafeBufferPointer<UnsafeMutablePointer<AppendRequest>>, _ now: UInt64) {
      for at in requests.indices {
        guard unsafe requests[at].pointee.outcome == .appended else { LogBenchmark.fail("an append was refused", 1) }
        let index = unsafe slots.index(requests[at])
        unsafe times[timed] = UInt32(clamping: now - slots.starts[index])
        timed += 1
        returned.put(index)
      }
      ended.add(requests.count)
    }

    /// Nanoseconds that it sleeps at least.
    private static let nap: UInt64 = 50_000

    func work() {
      millrace_set_timer_slack(1)
      var next = Double(first)
      let end = Double(first) + seconds * 1e9
      while next < end {
        // Sleeps, since eight threads and the log share what there is: not shorter than waking takes. What is due by then follows at once; its time counts from when it was due.
        let now = millrace_monotonic()
        if Double(now) < next { millrace_sleep_until(max(UInt64(next), now + Self.nap)) }
        var index = returned.take()
        while index == nil {
          sched_yield()
          index = returned.take()
        }
        slots.fill(index!)
        unsafe slots.starts[index!] = UInt64(next)
        do { try unsafe log.append(slots.request(index!)) } catch { LogBenchmark.fail("\(error): the rate cannot be held", 1) }
        sent += 1
        next += interval
      }
    }
  }

  /// - Parameter before: commits of the log that are not of this loop.
  func run(seconds: Double, before: Int) -> String {
    let interval = 1e9 * Double(Self.threads) / rate
    let first = millrace_monotonic() + 10_000_000
    producers = (0..<Self.threads).map {
      Producer(
        log, name: "thread\($0)", interval: interval, seconds: seconds, first: first + UInt64(Double($0) * interval / Double(Self.threads)))
    }
    for producer in producers {
      let code = unsafe pthread_create(
        &producer.thread, nil,
        { context in
          // Safe: joined below.
          unsafe Unmanaged<Producer>.fromOpaque(context!).takeUnretainedValue().work()
          return nil
        }, Unmanaged.passUnretained(producer).toOpaque())
      guard code == 0 else { LogBenchmark.fail("no thread", 1) }
    }
    for producer in producers { pthread_join(producer.thread, nil) }
    for producer in producers { producer.ended.wait(for: producer.sent) }
    let elapsed = Double(millrace_monotonic() - first) / 1e9
    log.close()
    let times = producers.flatMap { producer in unsafe Array(producer.times[..<producer.timed]) }.sorted()
    func quantile(_ part: Double) -> UInt32 { times[min(times.count - 1, Int(Double(times.count) * part))] }
    return
      ",\"acknowledged\":\(times.count),\"seconds\":\(elapsed),\"per_second\":\(Int(Double(times.count) / elapsed)),\"syncs\":\(log.commits - UInt64(before)),"
      + "\"p50_ns\":\(quantile(0.5)),\"p99_ns\":\(quantile(0.99)),\"p999_ns\":\(quantile(0.999))"
  }
}
