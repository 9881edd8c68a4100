internal import CMillrace
internal import MillraceCore

/// Why a signal was not taken.
public enum SignalError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No task of the workflow waits for a signal of this name.
  case unknown(name: String, nearest: String?, known: [String])
  /// The run is over: nothing will wait for a signal any more.
  case ended
  /// So many signals are kept, that no task has waited for yet.
  case full(signals: Int)
  /// Bytes of what is kept, and of this signal, are more than that.
  case tooLarge(limit: Int)
  /// The path names a task that no child workflow runs for.
  case noChild(task: String)
  /// The run is durable, and its store does not take the signal: why.
  case notRecorded(String)

  public var description: String {
    switch self {
    case .unknown(let name, let nearest, let known):
      "no task waits for a signal '\(name.prefix(128))': "
        + (nearest.map { "did you mean '\($0)'?" }
          ?? (known.isEmpty ? "none waits for any" : "they wait for \(known.joined(separator: ", "))"))
    case .ended: "the run has ended"
    case .full(let signals): "\(signals) signals are kept that no task has taken: send more when tasks wait for them"
    case .tooLarge(let limit): "signals that are kept have at most \(limit) bytes together"
    case .notRecorded(let reason): "the signal could not be recorded, and does not count: \(reason)"
    case .noChild(let task): "no child workflow runs for the task '\(task.prefix(128))'"
    }
  }
}

/// Signals of a run that no task has taken yet, and tasks that no signal has come for: by name, first in first out.
///
/// # Threads
/// Any. A task is concluded without the lock; what it did not take goes to the next.
final class Mailbox: @unchecked Sendable {
  /// Signals that are kept, and bytes of their payloads.
  static let maximumKept = 65_536
  static let maximumBytes = 64 << 20

  private struct Line {
    var payloads = Queue<(payload: [UInt8], entry: Int)>()
    var waiting = Queue<HeldTask>()
  }

  private let monitor = Monitor()
  private let names: [String]
  private var lines: [String: Line]
  private var kept = 0
  private var bytes = 0
  private var isClosed = false
  private var log: [Entry] = []

  /// A signal that was taken in.
  struct Entry {
    let name: String
    let time: UInt64
    /// Who took it.
    var task: String?
  }

  /// nil: no task waits for a signal. `names`: those that tasks wait for. As `RunObservation.make`.
  static func make(_ names: [String]) -> Mailbox? { names.isEmpty ? nil : Mailbox(names) }

  private init(_ names: [String]) {
    lines = Dictionary(names.map { ($0, Line()) }) { first, _ in first }
    self.names = lines.keys.sorted()
  }

  deinit { monitor.deallocate() }

  var entries: [Entry] { monitor.locked { log } }

  /// A task waits: it gets the oldest signal that is kept, or the next to come.
  func wait(for name: String, _ task: HeldTask) {
    let payload: [UInt8]? = monitor.locked {
      guard let (payload, entry) = lines[name]?.payloads.popFirst() else {
        lines[name]?.waiting.append(task)
        return nil
      }
      kept -= 1
      bytes -= payload.count
      log[entry].task = task.definition.id
      return payload
    }
    // While an attempt begins nobody else ends it.
    if let payload { task.conclude(.output(payload, contentType: UInt32(MILLRACE_JSON))) }
  }

  /// A signal comes. `payload`: JSON text. Throws `SignalError`.
  func signal(_ name: String, _ payload: [UInt8], at time: UInt64) throws(SignalError) {
    while true {
      let next: HeldTask? = try monitor.locked { () throws(SignalError) in
        try checkOpen(name)
        if let task = lines[name]?.waiting.popFirst() { return task }
        try checkRoom(payload)
        kept += 1
        bytes += payload.count
        lines[name]?.payloads.append((payload, log.count))
        log.append(Entry(name: name, time: time, task: nil))
        return nil
      }
      guard let next else { return }
      let isTaken = next.conclude(.output(payload, contentType: UInt32(MILLRACE_JSON))) {
        // With the run's monitor, before anybody can see the task completed.
        self.monitor.locked { self.log.append(Entry(name: name, time: time, task: next.definition.id)) }
      }
      // If not it had ended before, by a timeout or a cancellation.
      if isTaken { return }
    }
  }

  /// Whether `signal` would take it, if nothing else happens meanwhile. Throws `SignalError`.
  func check(_ name: String, _ payload: [UInt8]) throws(SignalError) {
    try monitor.locked { () throws(SignalError) in
      try checkOpen(name)
      try checkRoom(payload)
    }
  }

  /// With the monitor held.
  private func checkOpen(_ name: String) throws(SignalError) {
    guard lines[name] != nil else {
      var nearest = NearestName()
      throw .unknown(name: name, nearest: nearest.nearest(to: name, among: names), known: Array(names.prefix(8)))
    }
    if isClosed { throw .ended }
  }

  /// With the monitor held.
  private func checkRoom(_ payload: [UInt8]) throws(SignalError) {
    if kept >= Mailbox.maximumKept { throw .full(signals: kept) }
    if bytes + payload.count > Mailbox.maximumBytes { throw .tooLarge(limit: Mailbox.maximumBytes) }
  }

  /// Signals that a run which is taken over has had: the first `taken` of each name were taken by tasks, the others are kept.
  func restore(_ signals: [(name: String, payload: [UInt8], time: UInt64)], taken: [String: [String]]) {
    monitor.locked {
      var taken = taken.mapValues { $0[...] }
      for (name, payload, time) in signals where lines[name] != nil {
        if let task = taken[name]?.popFirst() {
          log.append(Entry(name: name, time: time, task: task))
          continue
        }
        kept += 1
        bytes += payload.count
        lines[name]?.payloads.append((payload, log.count))
        log.append(Entry(name: name, time: time, task: nil))
      }
    }
  }

  /// The run has ended. Tasks that still stand in line hold it: they go.
  func close() {
    let left = monitor.locked {
      isClosed = true
      defer { for name in names { lines[name]?.waiting = Queue() } }
      return lines
    }
    // Not with the monitor held: the last reference to the run may be among them.
    withExtendedLifetime(left) {}
  }
}

/// First in first out. Complexity: O(1), amortised.
private struct Queue<Element> {
  private var elements: [Element] = []
  private var first = 0

  mutating func append(_ element: Element) { elements.append(element) }

  mutating func popFirst() -> Element? {
    guard first < elements.count else { return nil }
    defer {
      first += 1
      if first * 2 > elements.count {
        elements.removeFirst(first)
        first = 0
      }
    }
    return elements[first]
  }
}
