import Glibc
import MillraceCore

/// The core measured, a process for each row, with the command line that the peers in `perf/peers` share.
///
///     CoreBenchmark WORK WORKERS COUNT [REPETITIONS]   a line of figures for each repetition, after one that is not measured
///     CoreBenchmark stepped SHAPE COUNT [REPETITIONS]  one worker, stepped, without threads; prints how many jobs a repetition ran
///     CoreBenchmark list                               names, workers, small counts and units of all works
///     CoreBenchmark                                    a table of all works at their small sizes
@main struct CoreBenchmark {
  static let usage = "usage: CoreBenchmark [list | WORK WORKERS COUNT [REPETITIONS] | stepped SHAPE COUNT [REPETITIONS]]"

  static func main() {
    do {
      try start(Array(CommandLine.arguments.dropFirst()))
    } catch let refusal as Refusal {
      end(refusal.exit, refusal.text)
    } catch {
      end(1, "\(error)")
    }
  }

  struct Refusal: Error {
    let exit: Int32
    let text: String
  }

  private static func end(_ code: Int32, _ text: String) -> Never {
    let line = Array("CoreBenchmark: \(text)\n".utf8)
    // unsafe: the bytes live through the call.
    _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(code)
  }

  private static func start(_ arguments: [String]) throws {
    switch arguments.first {
    case nil: try table()
    case "list" where arguments.count == 1:
      for work in Work.all {
        print(
          work.name, work.workers.map(String.init).joined(separator: ","), work.small, work.figures.joined(separator: ","), separator: "\t")
      }
    case "stepped": try stepped(Array(arguments.dropFirst()))
    default: try measure(arguments)
    }
  }

  private static func number(_ text: String, _ name: String, most: Int) throws -> Int {
    guard let number = Int(text), (1...most).contains(number) else {
      throw Refusal(exit: 64, text: "\(name) is `\(text)`: give a number from 1 to \(most)\n\(usage)")
    }
    return number
  }

  private static func measure(_ arguments: [String]) throws {
    guard (3...4).contains(arguments.count) else { throw Refusal(exit: 64, text: usage) }
    guard let work = Work.all.first(where: { $0.name == arguments[0] }) else {
      throw Refusal(exit: 69, text: "there is no work `\(arguments[0])`; `CoreBenchmark list` names all")
    }
    let workers = try number(arguments[1], "WORKERS", most: Stage.lanes - 8)
    let count = try number(arguments[2], "COUNT", most: 1 << 24)
    let repetitions = arguments.count == 4 ? try number(arguments[3], "REPETITIONS", most: 1_000_000) : 1
    let repetition = try work.prepare(workers, count)
    _ = try repetition()
    for _ in 0..<repetitions { say(try repetition().map(text).joined(separator: " ")) }
  }

  private static func stepped(_ arguments: [String]) throws {
    guard (2...3).contains(arguments.count) else { throw Refusal(exit: 64, text: usage) }
    let count = try number(arguments[1], "COUNT", most: 1 << 22)
    let repetitions = arguments.count == 3 ? try number(arguments[2], "REPETITIONS", most: 1_000_000) : 1
    guard let ran = try Stepped.run(arguments[0], count: count, repetitions: repetitions) else {
      throw Refusal(exit: 64, text: "SHAPE is `\(arguments[0])`: give one of \(Stepped.names.joined(separator: ", "))")
    }
    print(ran)
  }

  /// Everything, small: minimum, median and maximum of five repetitions.
  private static func table() throws {
    say("| work | workers | count | unit | minimum | median | maximum |\n|---|---:|---:|---|---:|---:|---:|")
    for work in Work.all {
      for workers in work.workers {
        let repetition = try work.prepare(workers, work.small)
        _ = try repetition()
        let rounds = try (0..<5).map { _ in try repetition() }
        for (i, figure) in work.figures.enumerated() {
          let sorted = rounds.map { $0[i] }.sorted()
          say("| \(work.name) | \(workers) | \(work.small) | \(figure) | \(text(sorted[0])) | \(text(sorted[2])) | \(text(sorted[4])) |")
        }
      }
    }
  }

  /// A line at once: whoever reads it may wait for each.
  private static func say(_ line: String) {
    print(line)
    fflush(nil)
  }

  /// Four digits that count.
  private static func text(_ value: Double) -> String {
    if value == 0 || !value.isFinite { return "\(value)" }
    var scale = 1.0
    while abs(value) * scale < 1000, scale < 1e9 { scale *= 10 }
    return "\((value * scale).rounded() / scale)"
  }
}
