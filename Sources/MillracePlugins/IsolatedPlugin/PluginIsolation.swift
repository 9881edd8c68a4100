import CMillrace

/// Where the code of a plugin runs.
public enum PluginIsolation: Sendable, Hashable {
  /// In the engine's own process: a call costs nanoseconds, a crash the process.
  case inProcess
  /// In a process of its own: whatever ends it, only the attempts that are in flight there feel it. It has the rights of the engine's user.
  case process(IsolationBounds = IsolationBounds())
  /// The same without rights: no files, no network, no processes or threads, no signals to others; bounded memory.
  case untrusted(IsolationBounds = IsolationBounds())

  /// Reads `in-process`, `process` and `untrusted`, with the bounds that are the default. nil: it is none of them.
  public init?(named name: String) {
    switch name {
    case "in-process": self = .inProcess
    case "process": self = .process()
    case "untrusted": self = .untrusted()
    default: return nil
    }
  }

  /// As `init(named:)` reads it.
  public var name: String {
    switch self {
    case .inProcess: "in-process"
    case .process: "process"
    case .untrusted: "untrusted"
    }
  }

  var bounds: IsolationBounds? {
    switch self {
    case .inProcess: nil
    case .process(let bounds), .untrusted(let bounds): bounds
    }
  }

  var isUntrusted: Bool { if case .untrusted = self { true } else { false } }
}

/// What an isolated plugin may take, and what becomes of it when it ends. Every member has a default.
public struct IsolationBounds: Sendable, Hashable {
  /// What either side does while it waits for the other.
  public enum Wait: String, Sendable, CaseIterable {
    /// Never sleeps: a processor for each side.
    case spin
    /// Spins for some 20 microseconds while something is in flight, then sleeps.
    case adaptive
    /// Sleeps at once.
    case park
  }

  /// Processes, 1 ... 64. An attempt goes to the one that has the fewest.
  public var processes = 1
  /// Attempts in flight in one process, 1 ... 1,024. More wait until one of them ends.
  public var slots = 64
  /// Bytes that one attempt shares with the host for its inputs, and as many for its outputs, 65,536 ... 1 GiB. Memory is taken only for what is used.
  public var attemptBytes = 32 << 20
  /// Memory that the process may have beside that, bytes, 16 MiB ... 1 TiB; 0: no bound, which an untrusted one cannot have.
  public var memory = 1 << 30
  /// File descriptors of an untrusted one, 8 ... 1,024.
  public var descriptors = 64
  /// Threads for handlers that block, 0 ... 256; with 0 those run one after the other, as all the others do.
  public var helpers = 8
  /// What both sides do while nothing comes. Spinning wants two processors to itself.
  public var wait = Wait.adaptive
  /// Nanoseconds from its start to the end of `init`, at most.
  public var start: UInt64 = 10_000_000_000
  /// Nanoseconds that an attempt has to end after it was told to, because of a timeout or a cancellation: then its process is killed.
  public var grace: UInt64 = 5_000_000_000
  /// Nanoseconds that it has to end when the engine stops.
  public var stop: UInt64 = 2_000_000_000
  /// Nanoseconds before it is started again after a crash; twice as long after the next, `longestWait` at most.
  public var firstWait: UInt64 = 100_000_000
  /// Nanoseconds: no wait for a new start is longer.
  public var longestWait: UInt64 = 30_000_000_000
  /// So many crashes within `window` nanoseconds park it: it is started no more. 1 ... 1,000.
  public var crashes = 5
  /// Nanoseconds in which `crashes` are counted.
  public var window: UInt64 = 60_000_000_000
  /// Lines of its log that are taken in a second, 1 ... 1,000,000; the others are counted.
  public var linesPerSecond = 1_000
  /// On a kernel without landlock an untrusted one is refused, unless this is true: seccomp alone keeps it from files then, but for libraries' directories
  /// not before it is loaded.
  public var allowWithoutLandlock = false
  /// Directories of libraries that an untrusted one needs, beside those of the system. 64 at most.
  public var libraries: [String] = []
  /// The program millrace-plugin-host; nil: it is looked for.
  public var program: String?

  /// Everything by default.
  public init() {}

  static let longest: UInt64 = 3_600_000_000_000

  /// What is out of its bounds; nil: nothing.
  func fault(isUntrusted: Bool) -> String? {
    let numbers: [(String, Int, ClosedRange<Int>)] = [
      ("processes", processes, 1...64), ("slots", slots, 1...Int(MILLRACE_ISOLATION_MOST_SLOTS)),
      ("attemptBytes", attemptBytes, (1 << 16)...(1 << 30)), ("descriptors", descriptors, 8...1_024), ("helpers", helpers, 0...256),
      ("crashes", crashes, 1...1_000), ("linesPerSecond", linesPerSecond, 1...1_000_000), ("libraries.count", libraries.count, 0...64),
    ]
    for (name, value, range) in numbers where !range.contains(value) {
      return "\(name) is \(value), expected \(range.lowerBound) to \(range.upperBound)"
    }
    let times = [
      ("start", start), ("grace", grace), ("stop", stop), ("firstWait", firstWait), ("longestWait", longestWait), ("window", window),
    ]
    for (name, value) in times where !(1_000_000...Self.longest).contains(value) {
      return "\(name) is \(value) ns, expected 1 ms to 1 h"
    }
    if memory == 0, isUntrusted { return "memory is 0, no bound, which an untrusted plugin cannot have" }
    if memory != 0, !((16 << 20)...(1 << 40)).contains(memory) { return "memory is \(memory), expected 16 MiB to 1 TiB, or 0" }
    if libraries.reduce(0, { $0 + $1.utf8.count + 1 }) > Int(MILLRACE_ISOLATION_SETTINGS_BYTES) / 2 {
      return "libraries are longer than 512 KiB together"
    }
    if libraries.contains(where: { $0.utf8.contains(0) || !$0.hasPrefix("/") }) { return "libraries has a path that does not begin with /" }
    return nil
  }
}

/// Which plugins are isolated.
///
/// They are told by their file's name, before any of their code runs: `NAME` of `libmillrace-plugin-NAME.so`. The name that such a plugin tells must be the same.
public struct IsolationChoice: Sendable, Hashable {
  /// Of those that `plugins` does not name.
  public var standard = PluginIsolation.inProcess
  /// By name.
  public var plugins: [String: PluginIsolation] = [:]

  /// All in the engine's own process.
  public init() {}

  /// nil: the file is called otherwise.
  static func name(ofFile path: String) -> String? {
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix("libmillrace-plugin-"), name.hasSuffix(".so") else { return nil }
    return String(name.dropFirst("libmillrace-plugin-".count).dropLast(".so".count))
  }

  func isolation(of name: String?) -> PluginIsolation { name.flatMap { plugins[$0] } ?? standard }
}
