internal import Glibc

/// What is printed beside a measurement, so that a reader can judge it. Nothing in the runtime depends on it.
extension Machine {
  /// How often the control groups held the process back since they were made.
  public struct Throttling: Equatable, Sendable {
    /// Periods in which the quota was used up.
    public var periods: UInt64
    public var nanoseconds: UInt64
    /// All periods in which the group wanted to run; nil: not counted.
    public var elapsed: UInt64?

    public init(periods: UInt64, nanoseconds: UInt64, elapsed: UInt64? = nil) {
      self.periods = periods
      self.nanoseconds = nanoseconds
      self.elapsed = elapsed
    }
  }

  /// Counted by the group that was held back the most, on the path from the process's own to the root; nil: none counts it.
  public static func throttling(root: String = "") -> Throttling? { ControlGroups(root: root).throttling }

  /// As /proc/cpuinfo names the first processor; nil: it does not, as on some virtual machines.
  public static func cpuModel(root: String = "") -> String? {
    let lines = (SmallFile.text(root + "/proc/cpuinfo") ?? "").split(separator: "\n")
    for line in lines where line.hasPrefix("model name") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let name = line[line.index(after: colon)...].split(separator: " ").joined(separator: " ")
      if !name.isEmpty { return name }
    }
    return nil
  }

  /// Processors that the machine has switched on, whatever this process may use of them; at least 1.
  public static var cpusOnline: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Runnable and blocked threads over 1, 5 and 15 minutes; empty where they cannot be read.
  public static func loadAverage(root: String = "") -> [Double] {
    let fields = (SmallFile.text(root + "/proc/loadavg") ?? "").split(separator: " ").prefix(3).compactMap { Double($0) }
    return fields.count == 3 ? fields : []
  }

  /// What the kernel counts time by, as `tsc`; nil: not known.
  public static func clockSource(root: String = "") -> String? {
    let text = SmallFile.text(root + "/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return text?.split(whereSeparator: \.isWhitespace).first.map(String.init)
  }
}
