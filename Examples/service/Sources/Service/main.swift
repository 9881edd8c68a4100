import Foundation
import Logging
import Millrace
import MillraceServices
import ServiceLifecycle

// Service FILE: reads sensors every second and appends their mean to FILE, until it gets SIGTERM; then what goes on is finished, and nothing
// new begins. LOG_LEVEL=debug shows more.
guard CommandLine.arguments.count == 2, FileManager.default.createFile(atPath: CommandLine.arguments[1], contents: nil) else {
  print("usage: Service FILE   a file that can be written")
  exit(64)
}
var logger = Logger(label: "readings") { StreamLogHandler.standardError(label: $0) }
logger.logLevel = ProcessInfo.processInfo.environment["LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0) } ?? .info

var configuration = Engine.Configuration()
configuration.instrument(with: Instruments(logger: logger))
let engine = try Engine(configuration)
try Readings.register(engine, path: CommandLine.arguments[1])
let schedule = try engine.schedule(Readings.workflow())

let services = ServiceGroup(
  services: [EngineService(engine, drainTimeout: .seconds(25), logger: logger)],
  gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
try await services.run()
