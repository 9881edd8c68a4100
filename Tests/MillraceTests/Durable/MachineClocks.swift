import CMillrace
import MillraceCore
import MillraceLog
import MillraceWorkflow
import Testing

@testable import Millrace

/// The wall clock, and the boot's, of one machine after the other: set by the test.
final class MachineClocks: @unchecked Sendable {
  private let monitor = Monitor()
  private var wallTime: Int64
  private var boot: (id: String, nanoseconds: UInt64)

  /// More than a day after the boot.
  init(wall seconds: Int64) {
    wallTime = seconds * 1_000_000_000
    boot = ("0", 100_000 * 1_000_000_000)
  }

  deinit { monitor.deallocate() }

  var wall: Int64 { monitor.locked { wallTime } }
  var boottime: (id: String, nanoseconds: UInt64) { monitor.locked { boot } }

  func set(wall seconds: Int64) { monitor.locked { wallTime = seconds * 1_000_000_000 } }

  /// Each clock goes on by so many seconds; `reboots`: on another boot, whose clock says what it likes.
  func pass(wall: Int64, boot seconds: Int64, reboots: Bool) {
    monitor.locked {
      wallTime += wall * 1_000_000_000
      boot.nanoseconds = UInt64(Int64(boot.nanoseconds) + seconds * 1_000_000_000)
      if reboots { boot.id += "+" }
    }
  }

  /// An engine that goes by them, over a store. One thread: what is ready first begins first.
  func engine(_ store: any EventStore, _ more: (Engine) throws -> Void) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.threads = 1
    configuration.slots = 8
    configuration.capacity = 10_000
    configuration.store = store
    configuration.wallClock = { self.wall }
    configuration.bootClock = { self.boottime }
    let engine = try Engine(configuration)
    try more(engine)
    return engine
  }
}

extension Engine {
  /// All that is ready has begun: a run that came after it has ended. Of an engine of `MachineClocks`.
  func settle() throws {
    var short = Definition("short")
    short.task("only", handler: "do")
    #expect(try start(short).wait() == .completed)
  }
}
