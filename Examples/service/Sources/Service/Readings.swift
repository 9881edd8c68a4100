import Foundation
import Logging
import Millrace

/// Three sensors are read at the same time, and their mean is written down.
enum Readings {
  struct Sensor: Codable { var name: String, celsius: Double }

  static func workflow() -> Definition {
    var workflow = Definition("readings", result: "store")
    let sensors = ["north", "east", "south"].map { name in
      workflow.task("read-\(name)", handler: "read", input: .string(name), retry: RetryPolicy(attempts: 5))
    }
    let mean = workflow.task("mean", handler: "mean", dependencies: sensors)
    workflow.task("store", handler: "store", dependencies: [mean])
    var schedule = Schedule(.interval(seconds: 1, days: CalendarRule()))
    // A run takes longer than a second: the next one starts beside it.
    schedule.overlap = .allow
    workflow.schedule = schedule
    return workflow
  }

  /// `path`: where the means go, one a line.
  static func register(_ registry: some HandlerRegistry, path: String) throws {
    // A device is slow, and answers only every other time.
    try registry.register("read") { (name: String, context) async throws -> Sensor in
      try await Task.sleep(for: .milliseconds(700))
      if context.attempt == 1, name == "east" { throw TaskFailure("silent", "\(name) did not answer", retryAfter: .milliseconds(200)) }
      return Sensor(name: name, celsius: Double(name.utf8.count) + 15)
    }
    try registry.register("mean") { (_: JSON, context) in
      let sensors = try context.outputs(as: Sensor.self)
      return sensors.reduce(0) { $0 + $1.celsius } / Double(sensors.count)
    }
    // Files block: a thread of the pool. Two at once would mix their lines.
    try registry.register("store", blocking: true, concurrency: 1) { (_: JSON, context) -> Void in
      let line = "\(context.runID) \(try context.output(of: "mean", as: Double.self))\n"
      let file = try FileHandle(forUpdating: URL(filePath: path))
      try file.seekToEnd()
      try file.write(contentsOf: Data(line.utf8))
      try file.close()
      logStored()
    }
  }

  /// Nobody hands it a logger: it finds the one of the task that it runs for.
  private static func logStored() { Logger.current.info("stored") }
}
