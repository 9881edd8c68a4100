import Glibc
import MillraceCore

extension Work {
  /// How often threads of an engine that has nothing to do are scheduled, within `count` milliseconds.
  static let idle = [
    Work(name: "idle-wakeups", figures: ["wake-ups"], workers: [2], small: 100) { workers, count in
      let bed = try Bed(workers: workers, stallAfter: 50_000_000)
      _ = try bed.runs(.independent, 10_000)()
      return {
        // Until what the work has left behind is over: the workers' patience, and the stall detector's last look.
        usleep(300_000)
        let before = try switches()
        usleep(UInt32(count) * 1000)
        return [Double(try switches() - before)]
      }
    }
  ]

  /// How often the threads of this process have been scheduled, all but this one: each time that it gave the processor up or lost it.
  private static func switches() throws -> Int {
    guard let tasks = unsafe opendir("/proc/self/task") else { throw BenchmarkError(description: "/proc/self/task cannot be read") }
    defer { unsafe closedir(tasks) }
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { preconditionFailure("a C struct has offsets") }
    var total = 0
    while let entry = unsafe readdir(tasks) {
      // unsafe: an entry is valid until the next call; its name ends with NUL.
      let name = unsafe String(cString: UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: CChar.self))
      guard let thread = Int32(name), thread != getpid() else { continue }
      let status = try smallFile("/proc/self/task/\(name)/status")
      for line in status.split(separator: "\n") where line.contains("ctxt_switches") {
        total += Int(line.split(whereSeparator: { $0 == ":" || $0 == "\t" || $0 == " " }).last ?? "") ?? 0
      }
    }
    return total
  }
}

/// The text of a file of /proc.
func smallFile(_ path: String) throws -> String {
  let descriptor = unsafe open(path, O_RDONLY)
  guard descriptor >= 0 else { throw BenchmarkError(description: "\(path) cannot be read") }
  defer { close(descriptor) }
  var text = [UInt8](repeating: 0, count: 8192)
  // unsafe: reads into the array for the length of the call.
  let length = unsafe read(descriptor, &text, text.count)
  return String(decoding: text.prefix(max(length, 0)), as: UTF8.self)
}
