import CMillrace
import Glibc
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// Bytes of this process that are in memory now, or ever were at once.
func residentBytes(peak: Bool = false) -> Int {
  let field = peak ? "VmHWM:" : "VmRSS:"
  guard let file = unsafe fopen("/proc/self/status", "r") else { return 0 }
  defer { unsafe _ = fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while unsafe fgets(&line, 256, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix(field) { return (Int(text.filter(\.isNumber)) ?? 0) << 10 }
  }
  return 0
}

/// MILLRACE_FULL is set: the test runs alone in its process, at its full size.
var isAlone: Bool { unsafe getenv("MILLRACE_FULL") != nil }

@Suite struct MillionTests {
  /// 100 bytes that no other task has.
  private static func output(_ id: String) -> [UInt8] {
    Array(id.utf8) + Array(repeating: UInt8(ascii: "."), count: 100 - id.utf8.count)
  }

  /// `MILLRACE_FULL=1 swift test -c release --filter MillionTests` runs the million, alone in its process, and holds the whole process to 1 GiB.
  @Test(
    "a million tasks with ids and outputs of their own: all within 1 GiB, each output there and right (100,000 unless MILLRACE_FULL is set)"
  )
  func million() throws {
    let count = isAlone ? 1_000_000 : 100_000
    let engine = try engine()
    try engine.register("hundred") { call in Payload(Self.output(call.taskID)) }
    var workflow = Definition("million")
    workflow.tasks.reserveCapacity(count)
    for i in 0..<count { workflow.task("task-number-\(i)", handler: "hundred") }
    let begin = millrace_monotonic()
    let run = try engine.start(workflow)
    let started = millrace_monotonic()
    #expect(run.wait() == .completed)
    let end = millrace_monotonic()
    var right = 0
    for i in 0..<count where run.output(of: "task-number-\(i)") == Self.output("task-number-\(i)") { right += 1 }
    #expect(right == count)
    #expect(run.accounts == [count, 0, 0, 0])
    if isAlone {
      let peak = residentBytes(peak: true)
      #expect(peak < 1 << 30)
      print("1,000,000 tasks: start \((started - begin) / 1_000_000) ms, run \((end - started) / 1_000_000) ms, \(peak >> 20) MiB at most")
    }
    engine.shutdown()
  }
}
