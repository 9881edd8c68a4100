internal import Millrace
internal import MillraceCore

extension BenchHost {
  /// Reads all of it; the ping-pong takes some milliseconds and both processors.
  ///
  /// The counts of throttling are those since the control groups were made: `closeMeasurement()` makes them those of the measurement.
  ///
  /// - Parameters:
  ///   - root: where `/proc` and `/sys` are; tests give a tree of their own.
  ///   - folder: in the source tree whose commit is wanted; nil: where the process was started.
  public static func read(root: String = "", folder: String? = nil) -> BenchHost {
    let machine = Machine.read(root: root)
    let throttling = Machine.throttling(root: root)
    return BenchHost(
      cpuModel: Machine.cpuModel(root: root) ?? "unknown", cpusOnline: Machine.cpusOnline, cpusGranted: machine.cpusGranted,
      kernel: machine.kernelRelease, clockSource: Machine.clockSource(root: root) ?? "unknown",
      loadAverage: Machine.loadAverage(root: root),
      pingPongNanoseconds: PingPong.measure(),
      commit: (folder ?? SourceCommit.workingFolder).map(SourceCommit.read) ?? SourceCommit.unknown,
      version: Engine.version,
      cgroup: BenchCgroup(
        // A quota may be larger than any Int: then it limits nobody.
        cpuMilli: machine.quotaCPUs.flatMap { Int(exactly: ($0 * 1_000).rounded()) },
        memoryBytes: machine.memoryQuota.flatMap { Int(exactly: $0) },
        periods: throttling?.elapsed.flatMap { Int(exactly: $0) }, throttledPeriods: throttling.flatMap { Int(exactly: $0.periods) },
        throttledNanoseconds: throttling?.nanoseconds))
  }

  /// To be called after the last round: counts of throttling become those since `read`.
  public mutating func closeMeasurement(root: String = "") {
    let now = Machine.throttling(root: root)
    guard let now, let periods = cgroup.throttledPeriods, let nanoseconds = cgroup.throttledNanoseconds else {
      (cgroup.periods, cgroup.throttledPeriods, cgroup.throttledNanoseconds) = (nil, nil, nil)
      return
    }
    // A group that was left for another one may have counted less.
    cgroup.periods = now.elapsed.flatMap { elapsed in cgroup.periods.map { max(0, Int(clamping: elapsed) - $0) } }
    cgroup.throttledPeriods = max(0, Int(clamping: now.periods) - periods)
    cgroup.throttledNanoseconds = now.nanoseconds >= nanoseconds ? now.nanoseconds - nanoseconds : 0
  }
}
