internal import CMillrace
internal import Glibc

/// What this process may use of the machine it runs on: facts that defaults are made of.
///
/// A container sees the processors and the memory of its host, but is granted less by its control groups; both versions of them are read, on
/// the whole path from the process's own group up to the root, as each level may grant less than the one above.
public struct Machine: Equatable, Sendable {
  /// Processors that the process may be scheduled on.
  public var affinityCPUs: Int
  /// Processors that the control groups grant, a fraction; nil: no limit.
  public var quotaCPUs: Double?
  /// Bytes of memory in the machine.
  public var physicalMemory: UInt64
  /// Bytes that the control groups grant; nil: no limit.
  public var memoryQuota: UInt64?
  /// Bytes.
  public var pageBytes: Int
  /// As `uname -r` says.
  public var kernelRelease: String

  public init(
    affinityCPUs: Int, quotaCPUs: Double?, physicalMemory: UInt64, memoryQuota: UInt64?, pageBytes: Int, kernelRelease: String
  ) {
    self.affinityCPUs = affinityCPUs
    self.quotaCPUs = quotaCPUs
    self.physicalMemory = physicalMemory
    self.memoryQuota = memoryQuota
    self.pageBytes = pageBytes
    self.kernelRelease = kernelRelease
  }

  /// Processors worth starting threads for: what the groups grant, rounded up, never more than the affinity allows, at least 1.
  public var cpusGranted: Int {
    guard let quotaCPUs else { return max(1, affinityCPUs) }
    // Compared as fractions first: a quota may be larger than any Int.
    return quotaCPUs >= Double(affinityCPUs) ? max(1, affinityCPUs) : max(1, Int(quotaCPUs.rounded(.up)))
  }

  /// Processors' worth of time that the process may use: what the groups grant, never more than the affinity allows.
  public var processorShare: Double { min(quotaCPUs ?? .infinity, Double(max(1, affinityCPUs))) }

  /// Whether so many threads may spin: each has a whole processor. Less than that, and spinning takes the time of others, or the group's quota.
  public func maySpin(threads: Int) -> Bool { Double(threads) <= processorShare }

  /// How many things of `bytes` each fit into a quarter of the memory that may be used, 1,024 at least and `most` at most: what queues hold by default.
  ///
  /// A quarter, so that three others like it leave room for the program: 512 MiB and 128 bytes give 2^20.
  public func room(forEach bytes: Int, most: Int) -> Int {
    Int(clamping: min(UInt64(max(most, 1_024)), max(1_024, memoryLimit / 4 / UInt64(max(1, bytes)))))
  }

  /// Bytes that the process may use.
  public var memoryLimit: UInt64 { min(physicalMemory, memoryQuota ?? .max) }

  /// Reads the facts. What cannot be read counts as no limit.
  ///
  /// - Parameter root: where `/proc` and `/sys` are; tests give a tree of their own.
  public static func read(root: String = "") -> Machine {
    let groups = ControlGroups(root: root)
    let pageBytes = sysconf(Int32(_SC_PAGESIZE))
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    return Machine(
      affinityCPUs: affinity(), quotaCPUs: groups.cpus, physicalMemory: UInt64(max(0, pages)) * UInt64(max(0, pageBytes)),
      memoryQuota: groups.memory, pageBytes: pageBytes, kernelRelease: release())
  }

  private static func affinity() -> Int {
    // 8,192 processors, the most that Linux may be built for.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 128) { mask in
      // Safe: the kernel writes at most so many bytes and says how many.
      let bytes = unsafe millrace_affinity(mask.baseAddress, UInt64(mask.count * 8))
      guard bytes > 0 else { return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
      var count = 0
      for word in 0..<bytes / 8 { count += unsafe mask[word].nonzeroBitCount }
      return max(1, count)
    }
  }

  private static func release() -> String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "unknown" }
    return unsafe withUnsafeBytes(of: &name.release) { bytes in
      // Safe: read within the field only, up to its terminator.
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

/// What the control groups of this process grant.
struct ControlGroups {
  /// The smallest quota of processors on the path.
  private(set) var cpus: Double?
  /// The smallest limit of memory on the path, bytes.
  private(set) var memory: UInt64?
  /// How often the process's own group, or one above it, was held back; nil: none of them counts it.
  private(set) var throttling: Machine.Throttling?

  /// Levels of groups that are looked at: deeper ones do not occur, and a damaged file must not keep us.
  private static let depthLimit = 64
  /// What version 1 says for "no limit" is near 2^63.
  private static let noLimit: UInt64 = 1 << 62

  init(root: String) {
    let mounts = Self.mounts(SmallFile.text(root + "/proc/self/mountinfo") ?? "")
    let lines = (SmallFile.text(root + "/proc/self/cgroup") ?? "").split(separator: "\n")
    for line in lines {
      // "4:memory:/path" for version 1, "0::/path" for version 2.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      for mount in mounts where mount.serves(controllers) {
        for folder in Self.folders(of: String(fields[2]), in: mount) { read(root + folder, mount, controllers) }
      }
    }
  }

  private mutating func read(_ folder: String, _ mount: Mount, _ controllers: [Substring]) {
    if mount.isUnified {
      if let text = SmallFile.text(folder + "/cpu.max") { grant(Self.quota(text)) }
      if let text = SmallFile.text(folder + "/memory.max") { grant(Self.bytes(text)) }
      if let text = SmallFile.text(folder + "/cpu.stat") { count(Self.throttling(text)) }
      return
    }
    if controllers.contains("cpu"), let quota = SmallFile.text(folder + "/cpu.cfs_quota_us"),
      let period = SmallFile.text(folder + "/cpu.cfs_period_us")
    {
      grant(Self.quota(quota + " " + period))
      if let text = SmallFile.text(folder + "/cpu.stat") { count(Self.throttling(text)) }
    }
    if controllers.contains("memory"), let text = SmallFile.text(folder + "/memory.limit_in_bytes") { grant(Self.bytes(text)) }
  }

  private mutating func grant(_ quota: Double?) {
    if let quota { cpus = min(cpus ?? quota, quota) }
  }

  private mutating func grant(_ bytes: UInt64?) {
    if let bytes { memory = min(memory ?? bytes, bytes) }
  }

  /// Whatever group on the path was held back, we were: the one that was most counts.
  private mutating func count(_ found: Machine.Throttling?) {
    guard let found, found.nanoseconds >= throttling?.nanoseconds ?? 0 else { return }
    throttling = found
  }

  /// Lines such as "nr_periods 9", "nr_throttled 3" and, in version 2, "throttled_usec 1500", in version 1 "throttled_time 1500000".
  static func throttling(_ text: String) -> Machine.Throttling? {
    var periods: UInt64?
    var nanoseconds: UInt64?
    var elapsed: UInt64?
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 2, let value = UInt64(fields[1]) else { continue }
      switch fields[0] {
      case "nr_periods": elapsed = value
      case "nr_throttled": periods = value
      case "throttled_usec": nanoseconds = value.multipliedReportingOverflow(by: 1_000).partialValue
      case "throttled_time": nanoseconds = value
      default: continue
      }
    }
    guard let periods, let nanoseconds else { return nil }
    return Machine.Throttling(periods: periods, nanoseconds: nanoseconds, elapsed: elapsed)
  }

  /// "150000 100000": 1.5 processors. "max 100000" and "-1 100000": no limit.
  static func quota(_ text: String) -> Double? {
    let numbers = text.split(whereSeparator: \.isWhitespace).map { Int($0) }
    guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else { return nil }
    return Double(quota) / Double(period)
  }

  /// "max" and numbers near 2^63: no limit.
  static func bytes(_ text: String) -> UInt64? {
    guard let bytes = text.split(whereSeparator: \.isWhitespace).first.flatMap({ UInt64($0) }), bytes < noLimit else { return nil }
    return bytes
  }

  /// Where a hierarchy of groups is to be seen.
  struct Mount {
    /// Which group the mount point shows: "/" or, in a container, perhaps the container's own.
    var group: String
    var point: String
    var isUnified: Bool
    /// Controllers of a version 1 hierarchy.
    var controllers: [Substring]

    func serves(_ wanted: [Substring]) -> Bool { isUnified ? wanted.isEmpty : controllers.contains { wanted.contains($0) } }
  }

  /// Lines such as "36 35 0:31 /group /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct".
  static func mounts(_ text: String) -> [Mount] {
    text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { return nil }
      let type = fields[dash + 1]
      guard type == "cgroup" || type == "cgroup2" else { return nil }
      return Mount(
        group: String(fields[3]), point: String(fields[4]), isUnified: type == "cgroup2",
        controllers: fields[dash + 3].split(separator: ","))
    }
  }

  /// The folder of a group and all above it, as far as the mount shows them.
  static func folders(of group: String, in mount: Mount) -> [String] {
    var parts = group.split(separator: "/")[...]
    let hidden = mount.group.split(separator: "/")
    if parts.starts(with: hidden) {
      parts = parts.dropFirst(hidden.count)
    } else {
      // The mount shows another part of the tree than the path names: only its own top is certain to be above us.
      parts = []
    }
    // A path that leaves the namespace ("/../other") is not to be seen from here.
    if parts.contains("..") { parts = [] }
    var folders = [mount.point]
    for part in parts.prefix(depthLimit) { folders.append(folders[folders.count - 1] + "/" + part) }
    return folders
  }
}
