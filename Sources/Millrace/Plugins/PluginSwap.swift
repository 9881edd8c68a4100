internal import MillraceCore
internal import MillracePlugins
internal import MillraceWorkflow

/// How a new build of a plugin takes the place of the old one.
public struct SwapOptions: Sendable, Hashable {
  /// So many of 100 new runs get the new build until it is judged, chosen by their ids; 100: all at once, and nothing is judged.
  public var percent = 100
  /// Runs of either build that must have ended before the new one is judged, 1 at least.
  public var minimumRuns = 100
  /// For so long at least the new build is watched before all runs get it.
  public var window = Duration.seconds(60)
  /// The share of failed and timed-out attempts may be larger by so much, 0 ... 1.
  public var errorMargin = 0.01
  /// The 99th percentile of the durations of attempts may be so many times the old build's, 1 at least.
  public var latencyFactor = 1.5
  /// Of two percentiles that differ by less than this neither is worse.
  public var latencyFloor = Duration.milliseconds(1)
  /// Takes a build that `plugin abi-diff` calls incompatible, or that does not take over the state of the old one because it has none. Not one that lacks a handler.
  public var force = false

  /// All runs get the new build at once.
  public init() {}

  /// So many of 100, until it is judged.
  public init(percent: Int) { self.percent = percent }

  /// What is out of its bounds; nil: nothing.
  var fault: String? {
    if !(1...100).contains(percent) { return "percent is \(percent): give 1 to 100" }
    if minimumRuns < 1 { return "minimumRuns is \(minimumRuns): give 1 or more" }
    if window < .zero || latencyFloor < .zero { return "window and latencyFloor must not be negative" }
    if !(0...1).contains(errorMargin) { return "errorMargin is \(errorMargin): give 0 to 1" }
    if !(latencyFactor >= 1) { return "latencyFactor is \(latencyFactor): give 1 or more" }
    return nil
  }
}

/// One attempt to replace a build of a plugin: watch it, wait for its outcome. Any thread.
public final class PluginSwap: @unchecked Sendable {
  /// What has come of it.
  public enum Status: Sendable, Hashable {
    /// So many of 100 new runs get the new build.
    case canary(percent: Int)
    /// All new runs get it.
    case promoted
    /// All new runs get the old one again, and why: with the figures.
    case rolledBack(String)
    /// Nothing has changed, and why.
    case refused(String)

    /// Whether it changes no more.
    public var isFinal: Bool { if case .canary = self { false } else { true } }
  }

  /// The file of the new build.
  public let path: String
  private let monitor = Monitor()
  // The monitor's.
  private var now: Status
  private var name: String?
  private var sums: (from: String, to: String)?
  private var waiters: [@Sendable () -> Void] = []

  init(_ path: String, _ status: Status) { (self.path, now) = (path, status) }

  deinit { monitor.deallocate() }

  /// What has come of it so far.
  public var status: Status { monitor.locked { now } }
  /// The plugin's name; nil: the file could not be loaded.
  public var plugin: String? { monitor.locked { name } }
  /// SHA-256 of the old build and of the new one; nil: there are no two.
  public var builds: (from: String, to: String)? { monitor.locked { sums } }

  /// Blocks the calling thread until the status is final: not from a handler, nor from a Swift task.
  @discardableResult public func wait() -> Status {
    monitor.locked {
      while !now.isFinal { monitor.wait(.ended) }
      return now
    }
  }

  /// The final status.
  @discardableResult public func finished() async -> Status {
    await withCheckedContinuation { continuation in
      let isFinal = monitor.locked {
        if !now.isFinal { waiters.append { continuation.resume() } }
        return now.isFinal
      }
      if isFinal { continuation.resume() }
    }
    return status
  }

  func name(_ name: String, from old: String, to new: String) {
    monitor.locked {
      self.name = name
      sums = (old, new)
    }
  }

  /// One that is final stays.
  func set(_ status: Status) {
    let told = monitor.locked { () -> [@Sendable () -> Void] in
      if now.isFinal { return [] }
      now = status
      guard status.isFinal else { return [] }
      monitor.broadcast(.ended)
      defer { waiters = [] }
      return waiters
    }
    for tell in told { tell() }
  }
}

/// A new build that is watched beside the old one.
final class PluginCanary: Sendable {
  let build: LoadedBuild
  let old: LoadedBuild
  /// The way back, once it is current.
  let kept: KeptPlugin
  let swap: PluginSwap
  let options: SwapOptions
  /// When it began, by the system's monotonic clock.
  let began: UInt64
  let tally: AttemptTally
  let oldTally: AttemptTally

  init(
    _ build: LoadedBuild, replacing old: LoadedBuild, _ kept: KeptPlugin, _ swap: PluginSwap, _ options: SwapOptions, host: TaskHost,
    now: UInt64, _ keeper: PluginKeeper
  ) {
    (self.build, self.old, self.kept, self.swap, self.options, began) = (build, old, kept, swap, options, now)
    let moment = host.now
    tally = AttemptTally(begins: moment, tells: options.minimumRuns) { keeper.wake() }
    oldTally = AttemptTally(begins: moment, tells: options.minimumRuns) { keeper.wake() }
  }

  /// The same for the same id, in every process.
  func takes(_ id: RunID) -> Bool {
    // Fibonacci hashing: the ids of one moment have their first half in common.
    let mixed = (id.low ^ (id.high &* 0x9E37_79B9_7F4A_7C15)) &* 0x9E37_79B9_7F4A_7C15
    return (mixed >> 32) % 100 < UInt64(options.percent)
  }

  enum Judgement: Equatable {
    case tooEarly
    case good
    case worse(String)
  }

  func judge(now: UInt64) -> Judgement {
    let (new, old) = (tally.sum, oldTally.sum)
    guard new.runs >= options.minimumRuns, old.runs >= options.minimumRuns else { return .tooEarly }
    if let reason = PluginCanary.worse(new, old, options) { return .worse(reason) }
    return now &- began >= UInt64(clamping: options.window) ? .good : .tooEarly
  }

  /// How the new build is worse; nil: it is not.
  static func worse(_ new: AttemptTally.Sums, _ old: AttemptTally.Sums, _ options: SwapOptions) -> String? {
    let base = "\(new.attempts) attempts of \(new.runs) runs against \(old.attempts) of \(old.runs) of the old build"
    if new.errorShare > old.errorShare + options.errorMargin {
      return
        "\(percent(new.errorShare)) of its attempts failed, of the old build \(percent(old.errorShare)): more than \(percent(options.errorMargin)) above it (\(base))"
    }
    if let p99 = new.p99, let oldP99 = old.p99, Double(p99) > Double(oldP99) * options.latencyFactor,
      p99 - oldP99 >= UInt64(clamping: options.latencyFloor)
    {
      return
        "the p99 of its attempts is \(DurationText.text(p99)), of the old build \(DurationText.text(oldP99)): more than \(options.latencyFactor) times that (\(base))"
    }
    return nil
  }

  private static func percent(_ share: Double) -> String {
    let hundredths = Int((share * 10_000).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) %"
  }
}
