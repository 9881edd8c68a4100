import Foundation
import Testing

/// A control group with the limits of a small container, made for a test and removed with it: a quarter of a processor, 512 MiB.
///
/// In version 1 a group of `cpu` and one of `memory`, in version 2 one group, below those of the test itself.
final class ControlGroup {
  static let period = 100_000
  static let quota = 25_000
  static let memory = 512 << 20

  struct Refusal: Error, CustomStringConvertible {
    var description: String
  }

  /// Why none can be made here; nil: it can.
  static let refusal: String? = {
    do {
      _ = try ControlGroup()
      return nil
    } catch {
      return "no control group can be made here: \(error)"
    }
  }()

  /// By controller; in version 2 both are the same.
  private let cpu: String
  private let memory: String
  private let isUnified: Bool

  init() throws {
    let parents = try Self.parents()
    isUnified = parents.isUnified
    let name = "/millrace-test-" + UUID().uuidString
    (cpu, memory) = (parents.cpu + name, parents.memory + name)
    for folder in Set([cpu, memory]).sorted() {
      guard unsafe mkdir(folder, 0o755) == 0 else {
        let reason = unsafe String(cString: strerror(errno))
        remove()
        throw Refusal(description: "\(folder): \(reason)")
      }
    }
    do {
      if isUnified {
        try write(cpu, "cpu.max", "\(Self.quota) \(Self.period)")
        try write(cpu, "memory.max", "\(Self.memory)")
        // Before all others, so that it gets its quarter on a machine where others work.
        try write(cpu, "cpu.weight", "10000")
      } else {
        try write(cpu, "cpu.cfs_period_us", "\(Self.period)")
        try write(cpu, "cpu.cfs_quota_us", "\(Self.quota)")
        try write(cpu, "cpu.shares", "262144")
        try write(memory, "memory.limit_in_bytes", "\(Self.memory)")
      }
    } catch {
      remove()
      throw error
    }
  }

  deinit { remove() }

  /// What starts a program inside: a shell that enters the group and becomes it.
  func wrap(_ process: Process) {
    guard let program = process.executableURL else {
      Issue.record("a process without a program")
      return
    }
    let enter = Set([cpu, memory]).sorted().map { "echo $$ > \($0)/cgroup.procs && " }.joined()
    process.arguments = ["-c", enter + "exec \"$0\" \"$@\"", program.path] + (process.arguments ?? [])
    process.executableURL = URL(filePath: "/bin/sh")
  }

  /// The most memory that was in use at once, bytes; nil: this kernel does not count it.
  var memoryPeak: Int? {
    let file = memory + (isUnified ? "/memory.peak" : "/memory.max_usage_in_bytes")
    return Self.text(file).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }

  private func write(_ folder: String, _ file: String, _ value: String) throws {
    do {
      try Data(value.utf8).write(to: URL(filePath: folder + "/" + file))
    } catch {
      throw Refusal(description: "\(folder)/\(file): \(error.localizedDescription)")
    }
  }

  /// Ends what still runs inside. A group can only be removed when its processes are gone, which takes them a moment.
  private func remove() {
    let deadline = Date.now + 10
    for folder in Set([cpu, memory]) where FileManager.default.fileExists(atPath: folder) {
      for id in (Self.text(folder + "/cgroup.procs") ?? "").split(separator: "\n").compactMap({ Int32($0) }) { kill(id, SIGKILL) }
      while unsafe rmdir(folder) != 0, errno == EBUSY, Date.now < deadline { sched_yield() }
      if FileManager.default.fileExists(atPath: folder) { Issue.record("the control group \(folder) is left behind") }
    }
  }

  private static func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
  }

  // MARK: Where

  /// The folders of the test's own groups.
  private static func parents() throws -> (cpu: String, memory: String, isUnified: Bool) {
    let own = (text("/proc/self/cgroup") ?? "").split(separator: "\n").map {
      $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    }
    func folder(_ type: String, _ controller: String) -> String? {
      for line in (text("/proc/self/mountinfo") ?? "").split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 3, fields[dash + 1] == type else { continue }
        let isOurs = { (names: Substring) in names.split(separator: ",").contains { $0 == controller } }
        guard type == "cgroup2" || isOurs(fields[dash + 3]) else { continue }
        guard let line = own.first(where: { $0.count == 3 && (type == "cgroup2" ? $0[1].isEmpty : isOurs($0[1])) }) else { continue }
        let hidden = fields[3] == "/" ? "" : String(fields[3])
        guard line[2].hasPrefix(hidden) else { continue }
        return String(fields[4]) + (line[2] == "/" ? "" : String(line[2].dropFirst(hidden.count)))
      }
      return nil
    }
    if let cpu = folder("cgroup", "cpu"), let memory = folder("cgroup", "memory") { return (cpu, memory, false) }
    guard let group = folder("cgroup2", "") else { throw Refusal(description: "neither version 1 nor 2 is mounted with cpu and memory") }
    let controllers = (text(group + "/cgroup.controllers") ?? "").split(whereSeparator: \.isWhitespace)
    guard controllers.contains("cpu"), controllers.contains("memory") else {
      throw Refusal(description: "\(group) has the controllers \(controllers.joined(separator: " ")): cpu and memory are not delegated")
    }
    let handedOn = (text(group + "/cgroup.subtree_control") ?? "").split(whereSeparator: \.isWhitespace)
    if !handedOn.contains("cpu") || !handedOn.contains("memory") {
      do {
        try Data("+cpu +memory".utf8).write(to: URL(filePath: group + "/cgroup.subtree_control"))
      } catch {
        throw Refusal(description: "\(group) does not hand cpu and memory on, and may not be told to: \(error.localizedDescription)")
      }
    }
    return (group, group, true)
  }
}
