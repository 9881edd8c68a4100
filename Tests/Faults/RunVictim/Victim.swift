import Glibc
import Millrace
import MillraceLog

/// `DIRECTORY RUNS STEPS WAY`: so many durable runs at a time of a chain of so many steps, each of which says `begin KEY` and `end KEY`, and gives its key. The log is in DIRECTORY.
/// Ends with 0: all have completed; 1: one has not, or the log cannot be opened; 64: wrong use.
nonisolated func victim(_ words: [String]) -> Int32 {
  guard words.count == 4, let runs = Int(words[1]), let steps = Int(words[2]), runs > 0, steps > 0, let way = WriteWay(rawValue: words[3])
  else {
    put("usage: RunVictim DIRECTORY RUNS STEPS WAY\n", 2)
    return 64
  }
  // Runs that hang must not hang whoever waits for this program.
  alarm(60)
  do {
    return try work(try open(words[0], way), runs, steps) ? 0 : 1
  } catch {
    put("\(error)\n", 2)
    return 1
  }
}

/// Small files: what is written ahead stands in the trace as well.
nonisolated private func open(_ directory: String, _ way: WriteWay) throws -> EventLog {
  var configuration = EventLog.Configuration()
  configuration.segmentBytes = 256 << 10
  configuration.firstSegmentBytes = 256 << 10
  configuration.commitBytes = 16 << 10
  return try EventLog(DirectoryStorage(directory, way: way), configuration)
}

/// Whether all have completed.
nonisolated private func work(_ log: EventLog, _ runs: Int, _ steps: Int) throws -> Bool {
  defer { log.close() }
  var configuration = Engine.Configuration()
  configuration.store = log
  let engine = try Engine(configuration)
  defer { engine.shutdown() }
  try engine.register("tell") { (_: JSON, context: TaskContext) -> String in
    put("begin \(context.key)\n", 1)
    put("end \(context.key)\n", 1)
    return context.key
  }
  var chain = Definition("chain")
  chain.durability = .log
  var before: [TaskReference] = []
  for step in 1...steps { before = [chain.task("step-\(step)", handler: "tell", dependencies: before)] }
  let prepared = try engine.prepare(chain)
  let handles = try (0..<runs).map { _ in try engine.start(prepared) }
  return handles.allSatisfy { $0.wait() == .completed }
}

/// In one call: so nothing that was said is held back.
nonisolated func put(_ text: String, _ descriptor: Int32) {
  let bytes = Array(text.utf8)
  // unsafe: the bytes outlive the call.
  let wrote = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
  if wrote != bytes.count { exit(70) }
}
