import Glibc
import Millrace
import MillraceBroker
import MillraceCore
import MillraceLog

/// `JournalVictim DIRECTORY SEED`. Ends only when it is killed, after 30 s by itself, or with 1 if the journal fails. Its marks, one a line:
///
/// | Mark | |
/// |---|---|
/// | `sent NUMBER COUNT QUEUES` | so many messages from this number on, in queues 1 to QUEUES, are on stable storage |
/// | `asks NUMBER QUEUE` | a settlement begins |
/// | `settled NUMBER QUEUE` | it is on stable storage |
nonisolated func victim(_ words: [String]) -> Int32 {
  guard words.count == 2, let seed = UInt64(words[1]) else {
    tell("usage: JournalVictim DIRECTORY SEED")
    return 64
  }
  alarm(30)
  do {
    try JournalLoad(words[0], seed).run()
    return 0
  } catch {
    tell("\(error)")
    return 1
  }
}

/// Publishes from two threads and settles from two, what a life before has left too.
final class JournalLoad: JournalVisitor, @unchecked Sendable {
  private enum Call {
    case sent(count: Int, queues: Int, first: UInt64?)
    case settled(UInt64, UInt32)
  }

  private let journal: LogQueueJournal
  private let seed: UInt64
  private let monitor = Monitor()
  private var free: [(message: UInt64, queue: UInt32)] = []
  private var calls: [UInt64: Call] = [:]
  private var token: UInt64 = 0

  init(_ directory: String, _ seed: UInt64) throws {
    var configuration = LogQueueJournal.Configuration()
    configuration.log.segmentBytes = 256 << 10
    configuration.log.firstSegmentBytes = 256 << 10
    configuration.spaceBytes = 256 << 10
    configuration.copyBytes = 64 << 10
    journal = try LogQueueJournal(DirectoryStorage(directory), configuration)
    self.seed = seed
  }

  func seen(_ id: UnsafeRawBufferPointer, until: Int64) {}
  func declared(_ definition: DurableDefinition) {}
  func message(_ message: RecoveredMessage) {
    for index in unsafe 0..<message.places.count { unsafe free.append((message.number, message.places[index].queue)) }
  }

  func run() throws {
    var visitor = self
    // unsafe: this object is there until the process ends.
    let sink = unsafe JournalSink(context: Unmanaged.passRetained(self).toOpaque()) { context, array, count in
      let load = unsafe Unmanaged<JournalLoad>.fromOpaque(context!).takeUnretainedValue()
      let endings = unsafe Array(JournalSink.endings(array, count))
      load.told(endings)
    }
    let recovery = try journal.recover(sink, &visitor)
    if recovery.nextQueue <= 1 {
      try journal.record(
        (1...3).map { .declare(.queue(DurableQueue(try! BrokerName("queue-\($0)"), number: $0, QueueConfiguration()))) }, token: 0)
    }
    for thread in 0..<4 as Range<UInt64> {
      let isStarted = OwnThread.run { [self] in thread % 2 == 0 ? publish(thread) : settle(thread) }
      precondition(isStarted, "a thread")
    }
    while true { pause() }
  }

  private func next(_ random: inout UInt64, below bound: Int) -> Int {
    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(random >> 33) % bound
  }

  private func begin(_ call: Call) -> UInt64 {
    monitor.locked {
      token += 1
      calls[token] = call
      return token
    }
  }

  private func publish(_ thread: UInt64) {
    var random = seed &* 31 &+ thread
    let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_000, alignment: 16)
    unsafe payload.initializeMemory(as: UInt8.self, repeating: 0x5a)
    let numbers: [UInt32] = [1, 2, 3]
    while true {
      // As many at a time as settlers bear.
      monitor.locked { while free.count > 1_000 { monitor.wait(.work) } }
      let (count, queues, bytes) = (next(&random, below: 4) + 1, next(&random, below: 3) + 1, next(&random, below: 2_000))
      let token = begin(.sent(count: count, queues: queues, first: nil))
      let first: UInt64? = unsafe numbers.withUnsafeBufferPointer { numbers in
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let message = unsafe JournalMessage(
          queues: UnsafeBufferPointer(rebasing: numbers[..<queues]), properties: none,
          payload: UnsafeRawBufferPointer(rebasing: payload[..<bytes]))
        let messages = [JournalMessage](repeating: message, count: count)
        return unsafe messages.withUnsafeBufferPointer { messages in
          call { () throws(JournalRefusal) in
            try unsafe journal.write(JournalBatch(messages: messages), token: token, mayWait: thread == 0)
          }
        }
      }
      guard let first else { return }
      monitor.locked {
        for message in first..<first + UInt64(count) { for queue in 1...UInt32(queues) { free.append((message, queue)) } }
        if case .sent(let count, let queues, .some)? = calls[token] {
          calls[token] = nil
          say("sent \(first) \(count) \(queues)")
        } else {
          calls[token] = .sent(count: count, queues: queues, first: first)
        }
        monitor.broadcast(.ended)
      }
    }
  }

  private func settle(_ thread: UInt64) {
    var random = seed &* 37 &+ thread
    while true {
      let place = monitor.locked {
        while free.count < 20 { monitor.wait(.ended) }
        let index = next(&random, below: free.count)
        free.swapAt(index, free.count - 1)
        defer { monitor.broadcast(.work) }
        return free.removeLast()
      }
      say("asks \(place.message) \(place.queue)")
      let token = begin(.settled(place.message, place.queue))
      let settlements = [JournalSettlement(place.message, in: place.queue, .acknowledged)]
      let isTaken = unsafe settlements.withUnsafeBufferPointer { settlements in
        call { () throws(JournalRefusal) in
          try unsafe journal.write(JournalBatch(settlements: settlements), token: token, mayWait: false)
        }
      }
      if isTaken == nil { return }
    }
  }

  /// nil: the journal does not work any more, and has said so.
  private func call(_ body: () throws(JournalRefusal) -> UInt64) -> UInt64? {
    var backoff = Backoff()
    while true {
      do throws(JournalRefusal) { return try body() } catch {
        if error != .busy { return nil }
        backoff.pause()
      }
    }
  }

  private func told(_ endings: [JournalEnding]) {
    monitor.locked {
      for ending in endings {
        guard ending.outcome == .written else {
          tell("a write ended as \(ending.outcome): \(journal.failureText ?? "")")
          exit(1)
        }
        switch calls[ending.token] {
        case .sent(let count, let queues, nil): calls[ending.token] = .sent(count: count, queues: queues, first: 0)
        case .sent(let count, let queues, let first?):
          say("sent \(first) \(count) \(queues)")
          calls[ending.token] = nil
        case .settled(let message, let queue):
          say("settled \(message) \(queue)")
          calls[ending.token] = nil
        case nil: break
        }
      }
    }
  }
}

/// One line of standard output, in one call: so nothing that was said is held back.
nonisolated private func say(_ line: String) { put(line + "\n", 1) }
nonisolated private func tell(_ line: String) { put(line + "\n", 2) }

nonisolated private func put(_ text: String, _ descriptor: Int32) {
  var rest = Array(text.utf8)[...]
  while !rest.isEmpty {
    // unsafe: the bytes outlive the call.
    let wrote = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    if wrote < 0, errno != EINTR { exit(70) }
    rest = rest.dropFirst(max(0, wrote))
  }
}
