public import CMillrace
internal import Glibc
public import MillraceCore

/// What plugins see of the engine: the host table of `millrace/plugin.h`, and the memory that attempts use while they run.
///
/// One for each engine; made before plugins are loaded, since they keep its address.
@safe public final class TaskHost: @unchecked Sendable {
  /// Receives what plugins log: level (`MILLRACE_LOG_...`), line. Any thread.
  public typealias Log = @Sendable (UInt32, String) -> Void

  // unsafe: allocated in init, freed in deinit; plugins hold it as long as they are loaded.
  public nonisolated(unsafe) let table: UnsafeMutablePointer<millrace_host>
  private let settings: [String: UnsafeMutablePointer<CChar>]
  private let settingNames: [String]
  private let log: Log
  private let names: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<CChar>)
  /// Set once by `connect`, before any handler runs.
  private(set) var scheduler: Scheduler!
  private(set) var timers: Timers!
  private(set) var sharedShard = 0
  private(set) var workers = 0
  private var lanes: UnsafeMutablePointer<HostLane>?
  private var laneCount = 0
  private let graveyardLock = Monitor()
  private var graveyard: [UnsafeMutablePointer<Attempt>] = unsafe []

  /// What a lane of handlers has for itself.
  @safe struct HostLane {
    var free: UnsafeMutablePointer<Attempt>?
    /// The attempt whose handler runs here.
    var current: UnsafeMutablePointer<Attempt>?
    /// MILLRACE_MESSAGE_BYTES for the handler's message.
    var message: UnsafeMutablePointer<CChar>
  }

  public init(name: String = "millrace", version: String, settings: [String: String] = [:], log: @escaping Log = { _, _ in }) {
    self.log = log
    unsafe names = (strdup(name), strdup(version))
    var copied: [String: UnsafeMutablePointer<CChar>] = unsafe [:]
    for (key, value) in settings { unsafe copied[key] = strdup(value) }
    unsafe self.settings = copied
    settingNames = Array(settings.keys)
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(to: millrace_host())
    unsafe table.pointee.size = UInt32(MemoryLayout<millrace_host>.size)
    unsafe table.pointee.abi_version = MILLRACE_ABI_VERSION
    unsafe table.pointee.name = UnsafePointer(names.0)
    unsafe table.pointee.version = UnsafePointer(names.1)
    // unsafe: this object outlives the plugins that call through the table.
    unsafe table.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    unsafe HostFunctions.fill(table)
  }

  deinit {
    if let lanes = unsafe lanes {
      for i in 0..<laneCount {
        var attempt = unsafe lanes[i].free
        while let one = unsafe attempt {
          unsafe attempt = one.pointee.next
          unsafe one.deallocate()
        }
        unsafe lanes[i].message.deallocate()
      }
      unsafe lanes.deallocate()
    }
    for i in unsafe 0..<graveyard.count { unsafe graveyard[i].deallocate() }
    graveyardLock.deallocate()
    for key in settingNames { unsafe free(settings[key]) }
    unsafe free(names.0)
    unsafe free(names.1)
    unsafe table.deallocate()
  }

  /// Joins the host to the scheduler whose jobs its attempts are. Once, before any handler runs.
  public func connect(_ scheduler: Scheduler, timers: Timers, sharedShard: Int) {
    self.scheduler = scheduler
    self.timers = timers
    self.sharedShard = sharedShard
    workers = scheduler.configuration.workers
    laneCount = scheduler.laneCount
    let lanes = UnsafeMutablePointer<HostLane>.allocate(capacity: laneCount)
    for i in 0..<laneCount {
      unsafe (lanes + i).initialize(
        to: HostLane(free: nil, current: nil, message: .allocate(capacity: Int(MILLRACE_MESSAGE_BYTES))))
    }
    unsafe self.lanes = lanes
  }

  /// unsafe: the lane's own thread only.
  @inline(__always) func lane(_ index: Int) -> UnsafeMutablePointer<HostLane> { unsafe lanes! + index }

  func setting(_ key: String) -> UnsafePointer<CChar>? { unsafe settings[key].map { unsafe UnsafePointer($0) } }

  func write(_ level: UInt32, _ line: String) { log(level, line) }

  // MARK: Attempts

  func takeAttempt(_ index: Int) -> UnsafeMutablePointer<Attempt> {
    let lane = unsafe lane(index)
    if let attempt = unsafe lane.pointee.free {
      unsafe lane.pointee.free = attempt.pointee.next
      return unsafe attempt
    }
    // The key lies behind the attempt.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<Attempt>.stride + Attempt.keyBytes, alignment: 64)
    return unsafe memory.assumingMemoryBound(to: Attempt.self)
  }

  func giveAttempt(_ attempt: UnsafeMutablePointer<Attempt>, lane index: Int) {
    unsafe attempt.pointee.error?.release()
    let lane = unsafe lane(index)
    unsafe attempt.pointee.next = lane.pointee.free
    unsafe lane.pointee.free = attempt
  }

  /// Sets an attempt aside whose token may still be about: its holder may call `cancelled` or `claim`, and is told to stop. Freed with the host.
  func abandon(_ attempt: UnsafeMutablePointer<Attempt>) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.pointee.error = nil
    unsafe attempt.pointee.isAbandoned = true
    graveyardLock.locked { unsafe graveyard.append(attempt) }
  }

  static func from(_ host: UnsafePointer<millrace_host>?) -> TaskHost {
    // unsafe: the table is ours, its context set by init.
    unsafe Unmanaged<TaskHost>.fromOpaque(host!.pointee.context).takeUnretainedValue()
  }
}
