import Glibc
import Millrace
import MillracePlugins
import MillraceSimulation
import MillraceWorkflow

/// Recorded workflows replayed in real time beside the same run on a virtual clock: what the engine adds to the schedule.
///
///     TracesBenchmark [DIRECTORY [SECONDS [ROUNDS]]]
///
/// Every trace is scaled to about SECONDS (3) and run ROUNDS (3) times; the median counts. Exits 1 if one takes more than 5 % longer than its virtual
/// makespan and 20 us a task. Needs the replay plugin beside the program: `swift build -c release --product millrace-plugin-replay`.
@main struct TracesBenchmark {
  /// What a task may cost beside its recorded time, nanoseconds.
  static let overhead: UInt64 = 20_000
  static let tolerance = 1.05
  static let threads = 2

  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let directory = arguments.first ?? "../shared/data/wfinstances"
    let seconds = arguments.dropFirst().first.flatMap(Double.init) ?? 3
    let rounds = arguments.dropFirst(2).first.flatMap { Int($0) } ?? 3
    print("| trace | tasks | slots | order | virtual, s | real, s | real / (virtual + 20 us a task) | least ... most | Graham's bound, s |")
    print("|---|---:|---:|---|---:|---:|---:|---|---:|")
    var isWithin = true
    for name in traces {
      let definition = try DefinitionReader(handlers: [WfFormat.handler]).read(path: "\(directory)/\(name).json").definition
      for slots in [3, 64] {
        for order in TaskOrder.allCases where order == .fifo || (order == .criticalPath && slots == 64) {
          let row = try Row(definition, slots: slots, order: order, seconds: seconds, rounds: rounds)
          print(row.line(name))
          isWithin = isWithin && row.ratio <= tolerance
        }
      }
    }
    if !isWithin {
      print("A trace took more than 5 % longer than its virtual makespan and 20 us a task.")
      exit(1)
    }
  }

  static let traces = [
    "1000genome-chameleon-22ch-250k-001", "bacass-dirt02-001", "blast-chameleon-small-001", "bwa-chameleon-large-001",
    "epigenomics-chameleon-ilmn-6seq-100k-001", "mag-dirt02-001", "montage-chameleon-2mass-005d-001", "montage-chameleon-2mass-02d-001",
    "montage-chameleon-2mass-05d-001", "rnaseq-dirt02-001",
  ]
}

/// One trace, measured.
struct Row {
  let tasks: Int
  let slots: Int
  let order: TaskOrder
  /// Nanoseconds.
  let virtual: UInt64
  let allowed: UInt64
  /// Ascending, nanoseconds.
  let real: [UInt64]
  let bound: Double

  var median: UInt64 { real[real.count / 2] }
  var ratio: Double { Double(median) / Double(allowed) }

  init(_ definition: Definition, slots: Int, order: TaskOrder, seconds: Double, rounds: Int) throws {
    var configuration = VirtualRun.Configuration(slots: slots)
    configuration.order = order
    configuration.workers = TracesBenchmark.threads
    let scale = try seconds * 1e9 / Double(VirtualRun(of: definition, configuration).makespan)
    configuration.timeScale = scale
    virtual = try VirtualRun(of: definition, configuration).makespan
    tasks = definition.tasks.count
    self.slots = slots
    self.order = order
    allowed = virtual + UInt64(tasks) * TracesBenchmark.overhead
    real = try (0..<rounds).map { _ in try Row.replay(definition, slots: slots, order: order, scale: scale) }.sorted()
    let index = Dictionary(uniqueKeysWithValues: definition.tasks.enumerated().map { ($1.id, $0) })
    bound =
      Bound.graham(
        durations: definition.tasks.map { ($0.recordedSeconds ?? 0) * scale },
        dependencies: definition.tasks.map { $0.dependencies.compactMap { index[$0] } }, slots: slots
      ).bound
  }

  /// Nanoseconds of one run in real time.
  private static func replay(_ definition: Definition, slots: Int, order: TaskOrder, scale: Double) throws -> UInt64 {
    var configuration = Engine.Configuration()
    configuration.slots = slots
    configuration.threads = TracesBenchmark.threads
    configuration.order = order
    configuration.plugins = PluginSearch.ofProcess()
    configuration.settings = ["replay.mode": "wait", "replay.time-scale": "\(scale)"]
    let engine = try Engine(configuration)
    defer { engine.shutdown() }
    let run = try engine.start(definition)
    guard run.wait() == .completed else { throw NotCompleted(status: run.status) }
    return run.record().elapsed
  }

  func line(_ name: String) -> String {
    func thousandths(_ value: Double) -> String {
      let digits = String(Int((value * 1000).rounded()))
      let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
      return padded.dropLast(3) + "." + padded.suffix(3)
    }
    func seconds(_ nanoseconds: UInt64) -> String { thousandths(Double(nanoseconds) / 1e9) }
    let range = [real[0], real[real.count - 1]].map { thousandths(Double($0) / Double(allowed)) }.joined(separator: " ... ")
    let cells = [
      name, "\(tasks)", "\(slots)", order.rawValue, seconds(virtual), seconds(median), thousandths(ratio), range, thousandths(bound),
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }
}

struct NotCompleted: Error {
  let status: WorkflowStatus
}
