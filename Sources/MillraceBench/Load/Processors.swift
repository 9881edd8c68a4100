internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Processors, and which threads run on them.
enum Processors {
  /// 64-bit words of a mask: 8,192 processors, the most that Linux may be built for.
  private static let words = 128

  /// Numbers of those that the calling thread may use.
  static var allowed: [Int] {
    var mask = [UInt64](repeating: 0, count: words)
    // The kernel writes at most so many bytes and says how many.
    let bytes = unsafe mask.withUnsafeMutableBytes { unsafe millrace_affinity($0.baseAddress, UInt64($0.count)) }
    return (0..<max(0, bytes) * 8).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  /// Lets a thread (0: the calling one) run on these only. False: the kernel refused.
  @discardableResult static func pin(thread: Int32 = 0, to processors: [Int]) -> Bool {
    var mask = [UInt64](repeating: 0, count: words)
    for processor in processors where processor < words * 64 { mask[processor / 64] |= 1 << UInt64(processor % 64) }
    // Read by the kernel during the call.
    return unsafe mask.withUnsafeBytes { unsafe millrace_set_affinity(thread, $0.baseAddress, UInt64($0.count)) } == 0
  }

  /// All threads of this process.
  static var threads: [Int32] {
    // Closed below; an entry is read before the next call.
    guard let entries = unsafe opendir("/proc/self/task") else { return [] }
    defer { unsafe closedir(entries) }
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { preconditionFailure("a C struct has offsets") }
    var found: [Int32] = []
    while let entry = unsafe readdir(entries) {
      // By address: an entry is only as long as its name, the struct is longer.
      let name = unsafe String(cString: UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: CChar.self))
      if let id = Int32(name) { found.append(id) }
    }
    return found
  }

  /// The worker threads of this process, by the number in their names.
  static func workerThreads() -> [Int: Int32] {
    var found: [Int: Int32] = [:]
    for id in threads {
      guard let title = SmallFile.text("/proc/self/task/\(id)/comm") else { continue }
      let prefix = "millrace-"
      guard title.hasPrefix(prefix), let number = Int(title.dropFirst(prefix.count).prefix { $0.isNumber }) else { continue }
      found[number] = id
    }
    return found
  }
}

/// Which processors belong to whom, when threads are pinned: one for each worker, and others for the generators.
struct Pinning {
  let workers: [Int]
  let generators: [Int]
  let all: [Int]

  init(threads: Int, generators count: Int, allowed: [Int] = Processors.allowed) throws(BenchError) {
    guard threads + count <= allowed.count else {
      let needs = count == 0 ? "\(threads) workers" : "\(threads) workers and \(count) generator thread\(count == 1 ? "" : "s")"
      let remedy = allowed.count > count ? "use --threads \(allowed.count - count), or leave --pin out" : "leave --pin out"
      throw .wrongUse("--pin: \(needs) need a processor each, and this process may use \(allowed.count): \(remedy)")
    }
    all = allowed
    workers = Array(allowed[..<threads])
    generators = Array(allowed[threads..<threads + count])
  }

  /// Runs `body`, whose threads start where the workers are; then puts each worker on a processor of its own.
  func start<Value>(_ body: () throws(BenchError) -> Value) throws(BenchError) -> Value {
    guard Processors.pin(to: workers) else { throw .tryAgain("--pin: the kernel does not let this process choose its processors") }
    defer { Processors.pin(to: all) }
    let value = try body()
    try settle()
    return value
  }

  /// Threads name themselves when they begin to run: all of them are waited for.
  private func settle() throws(BenchError) {
    let deadline = Clock.monotonic.now + 2_000_000_000
    while true {
      let found = Processors.workerThreads()
      if (0..<workers.count).allSatisfy({ found[$0] != nil }) {
        for (number, processor) in workers.enumerated() {
          guard let id = found[number], Processors.pin(thread: id, to: [processor]) else {
            throw .tryAgain("--pin: the kernel does not let worker \(number) be moved to processor \(processor)")
          }
        }
        return
      }
      guard Clock.monotonic.now < deadline else { throw .tryAgain("--pin: the worker threads did not begin to run: try again") }
      millrace_sleep_until(Clock.monotonic.now + 1_000_000)
    }
  }
}
