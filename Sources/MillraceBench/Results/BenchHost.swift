internal import Millrace
internal import MillraceCore

extension BenchHost {
  /// What `Machine` knows; the rest is not known.
  public static func read() -> BenchHost {
    let machine = Machine.read()
    return BenchHost(
      cpuModel: "unknown", cpusOnline: machine.affinityCPUs, cpusGranted: machine.cpusGranted, kernel: machine.kernelRelease,
      clockSource: "unknown", loadAverage: [], pingPongNanoseconds: PingPong.measure(), commit: "unknown", version: Engine.version,
      cgroup: BenchCgroup(
        cpuMilli: machine.quotaCPUs.map { Int($0 * 1_000) }, memoryBytes: machine.memoryQuota.flatMap { Int(exactly: $0) },
        throttledPeriods: nil, throttledNanoseconds: nil))
  }

  /// To be called after the last round: counts of throttling become those since `read`.
  public mutating func closeMeasurement() {}
}
