internal import CMillrace

extension EventLog {
  /// How a log is kept.
  public struct Configuration: Sendable {
    /// Bytes of a segment's file: a multiple of the storage's unit, at least 16 of them, less than 4 GiB. One append must fit into one.
    public var segmentBytes = 64 << 20
    /// Bytes of the very first one, so that a new log is there at once.
    public var firstSegmentBytes = 4 << 20
    /// Appends under way at most: a power of two, up to 2^20.
    public var capacity = 4096
    /// Bytes of one commit at most, unless one append needs more.
    public var commitBytes = 1 << 20
    /// Ids by which a repeated append is recognised: a power of two, `EventLimits.idWindow` at least.
    public var idWindow = 1 << 17
    /// Nanoseconds since 1970, UTC.
    public var wallClock: @Sendable () -> Int64 = { millrace_wall() }
    /// A number that nobody else has: the id of a new log. Four words of a generator.
    public var random: @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }
    /// What is kept; all, unless this says otherwise.
    public var retention = Retention()
    /// Seals the payloads of events that are appended as `StreamAppend`, and opens those of events that are read. nil: they are stored as they are, and one that
    /// is sealed cannot be read. A `RawEvent` is stored as it is.
    public var seal: (any PayloadSeal)?
    /// Who has the log open, for whoever is refused.
    public var owner = "process \(ProcessFacts.id) (\(ProcessFacts.name))"

    /// No threads: whoever appends commits, and makes the segments. For simulations, where one seed must give one history.
    package var hasThreads = true

    /// The defaults, which fit most programs.
    public init() {}
  }

  /// A configuration that was found good.
  struct Settings: Sendable {
    /// Nanoseconds without a new request after which a commit begins, and after which it begins at the latest.
    static let quiet: UInt64 = 2_000
    static let longestQuiet: UInt64 = 20_000
    /// Bytes of an entry at most.
    static let longestEntry = EventLimits.payload + Entry.fixed + 128

    let segmentBytes: Int
    let firstSegmentBytes: Int
    let capacity: Int
    let commitBytes: Int
    let largestBlock: Int
    let idWindow: Int
    let hasThreads: Bool
    let seal: (any PayloadSeal)?
    let wall: @Sendable () -> Int64
    let random: @Sendable () -> UInt64

    init(_ configuration: Configuration, unit: Int) throws(LogError) {
      func check(_ condition: Bool, _ text: String) throws(LogError) { if !condition { throw .configuration(text) } }
      let segment = configuration.segmentBytes
      let first = configuration.firstSegmentBytes
      for (name, bytes) in [("segmentBytes", segment), ("firstSegmentBytes", first)] {
        try check(
          bytes % unit == 0 && 16 * unit..<1 << 32 ~= bytes,
          "\(name) is a multiple of \(unit), at least \(16 * unit) and less than 4 GiB, not \(bytes)")
      }
      let capacity = configuration.capacity
      try check(
        capacity.nonzeroBitCount == 1 && 1...HandOver.mostCapacity ~= capacity,
        "capacity is a power of two, up to \(HandOver.mostCapacity), not \(capacity)")
      try check(configuration.commitBytes >= 4 * unit, "commitBytes is at least \(4 * unit), not \(configuration.commitBytes)")
      let ids = configuration.idWindow
      try check(
        ids.nonzeroBitCount == 1 && EventLimits.idWindow...1 << 30 ~= ids,
        "idWindow is a power of two, at least \(EventLimits.idWindow), 2^30 at most, not \(ids)")
      segmentBytes = segment
      firstSegmentBytes = first
      self.capacity = capacity
      commitBytes = configuration.commitBytes / unit * unit
      // The largest append: its payloads and what else its events need, or what a segment has room for.
      let append =
        EventLimits.bytesInAppend + EventLimits.eventsInAppend * (Entry.fixed + 72 + 3 * NameEntry.mostBytes) + EventLimits.streamsInAppend
        * 1024
      largestBlock = max(commitBytes, min(roundUp(append, to: unit), max(segment, first) - unit))
      idWindow = ids
      hasThreads = configuration.hasThreads
      seal = configuration.seal
      wall = configuration.wallClock
      random = configuration.random
    }
  }
}

enum ProcessFacts {
  static let id = millrace_process_id()
  static let name = CommandLine.arguments.first.map { $0.split(separator: "/").last.map(String.init) ?? $0 } ?? "unknown"
}
