import CMillrace
import MillraceLog
import Synchronization

/// Rebuilds what a stream comes to: from all of its events, and from a snapshot and those behind it, in turns.
struct Rebuilding {
  static let events = 10_000
  private let log: EventLog
  private let tail: Int
  private let stream: StreamName

  init(_ log: EventLog, tail: Int) throws {
    self.log = log
    self.tail = tail
    stream = try StreamName("account-1")
  }

  func run(seconds: Double) throws -> String {
    let done = Counter()
    for first in stride(from: 0, to: Self.events, by: 1000) {
      let drafts = (first..<first + 1000).map {
        EventDraft(id: EventID(high: 0, low: UInt64($0)), type: "booked", payload: Array(repeating: UInt8($0 & 0x7f), count: Slots.payload))
      }
      done.reset()
      log.append([StreamAppend(stream: stream, events: drafts)]) { result in
        guard case .success = result else { LogBenchmark.fail("\(result)", 1) }
        done.add(1)
      }
      done.wait(for: 1)
    }
    let version = UInt64(Self.events - 1 - tail)
    let whole = try fold(from: 0, State())
    done.reset()
    let state = try fold(from: 0, State(), upTo: version)
    let snapshot = Snapshot(stream: stream, reducer: "sum", reducerVersion: 1, version: version, state: state.bytes)
    log.save(snapshot) { result in
      guard case .success = result else { LogBenchmark.fail("\(result)", 1) }
      done.add(1)
    }
    done.wait(for: 1)
    var full: [UInt64] = []
    var short: [UInt64] = []
    let end = millrace_monotonic() + UInt64(seconds * 1e9)
    repeat {
      var begin = millrace_monotonic()
      guard try fold(from: 0, State()) == whole else { LogBenchmark.fail("the events do not come to the same", 1) }
      full.append(millrace_monotonic() - begin)
      begin = millrace_monotonic()
      guard try fromSnapshot() == whole else { LogBenchmark.fail("the snapshot does not come to the same", 1) }
      short.append(millrace_monotonic() - begin)
    } while millrace_monotonic() < end
    func median(_ times: [UInt64]) -> Double { Double(times.sorted()[times.count / 2]) / 1000 }
    return
      ",\"full_us\":\(median(full)),\"snapshot_us\":\(median(short)),\"ratio\":\(median(full) / median(short)),\"rounds\":\(full.count)"
  }

  private struct State: Equatable {
    var count: UInt64 = 0
    var sum: UInt64 = 0

    var bytes: [UInt8] { [count, sum].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } } }
    init() {}
    init(_ bytes: [UInt8]) {
      func word(_ at: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) } }
      count = word(0)
      sum = word(8)
    }
    mutating func take(_ event: RecordedEvent) {
      count += 1
      for byte in event.payload { sum &+= UInt64(byte) }
    }
  }

  private func fromSnapshot() throws -> State {
    let found = Mutex<Snapshot?>(nil)
    let done = Counter()
    log.snapshot(of: stream, reducer: "sum") { result in
      guard case .success(let snapshot?) = result else { LogBenchmark.fail("\(result)", 1) }
      found.withLock { $0 = snapshot }
      done.add(1)
    }
    done.wait(for: 1)
    guard let snapshot = found.withLock({ $0 }) else { LogBenchmark.fail("there is no snapshot", 1) }
    return try fold(from: snapshot.version + 1, State(snapshot.state))
  }

  private func fold(from version: UInt64, _ start: State, upTo last: UInt64 = .max) throws -> State {
    var state = start
    var next = version
    while true {
      let page = try log.page(ReadRequest(.stream(stream), from: .at(next), limit: 1024))
      for event in page.events where event.version <= last { state.take(event) }
      next = page.next!
      if page.isLast { return state }
    }
  }
}
