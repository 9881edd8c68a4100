internal import CMillrace
internal import Millrace
internal import MillraceCore

/// A request is one job on the core that calls `bench/empty` through the plugin's pointer, with a call and an outcome as the engine fills them: what
/// a plugin adds to an empty job. The handler takes no input, so that there is no attempt behind the call.
@safe final class PluginCallSubject: SubjectOwner {
  static let handlerName = "bench/empty"

  private let runtime: Runtime
  private let meter: Meter
  private let host: TaskHost
  private var loader: PluginLoader
  private let handler: UnsafePointer<millrace_handler>
  /// One message buffer a lane.
  private let messages: UnsafeMutablePointer<CChar>
  private let names: UnsafeMutablePointer<CChar>
  private var index = HandlerIndex(rawValue: 0)

  init(_ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    self.meter = meter
    guard settings.isolation.isEmpty else {
      throw .wrongUse(
        "the suite plugin-call calls a plugin in this process: leave --isolate out, or take the suite handler; `make bench-plugins` has its figures"
      )
    }
    let log = settings.log
    let host = TaskHost(version: Engine.version, settings: settings.settings) { _, line in log(line) }
    self.host = host
    let runtime = try Runtime.started(settings.core)
    self.runtime = runtime
    host.connect(runtime.scheduler, timers: runtime.timers, sharedShard: runtime.sharedTimerShard)
    // unsafe: the host outlives the plugins, which `stop` unloads.
    loader = unsafe PluginLoader(host: UnsafePointer(host.table), trust: settings.pluginTrust)
    do throws(PluginError) {
      _ = try loader.loadAll(settings.plugins)
    } catch {
      runtime.stop()
      throw .missing("\(error)")
    }
    guard
      let found = loader.plugins.flatMap(\.handlers).first(where: { $0.qualifiedName == PluginCallSubject.handlerName })
    else {
      loader.unloadAll()
      runtime.stop()
      throw .missing(PluginCallSubject.notFound)
    }
    // unsafe: valid until the plugin is unloaded by `stop`. The memory is freed in deinit.
    unsafe handler = found.pointer
    unsafe messages = .allocate(capacity: settings.threads * Int(MILLRACE_MESSAGE_BYTES))
    unsafe names = .allocate(capacity: 6)
    for (place, byte) in "bench\0".utf8.enumerated() { unsafe names[place] = CChar(byte) }
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    index = try runtime.registered(
      unsafe Handler(
        run: { context, job in
          unsafe Unmanaged<PluginCallSubject>.fromOpaque(context!)._withUnsafeGuaranteedRef {
            unsafe $0.call(lane: job.assumingMemoryBound(to: JobContext.self).pointee.lane)
          }
        },
        finished: { context, _, intended, sent, outcome in
          unsafe Unmanaged<PluginCallSubject>.fromOpaque(context!)._withUnsafeGuaranteedRef {
            $0.meter.end(Ticket(intended: intended, sent: sent), isDone: outcome == Outcome.done.rawValue)
          }
        }, context: context))
  }

  deinit {
    unsafe messages.deallocate()
    unsafe names.deallocate()
  }

  static let notFound =
    "the plugin bench, with its handler \(handlerName), is not found: `make build` builds it, `--plugins` names its place"

  private func call(lane: Int) -> UInt8 {
    // unsafe: all of it lives through the call; each worker has a message buffer of its own.
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    unsafe outcome.message = messages + lane * Int(MILLRACE_MESSAGE_BYTES)
    var call = unsafe millrace_call()
    unsafe call.size = UInt32(MemoryLayout<millrace_call>.size)
    unsafe call.attempt_number = 1
    unsafe call.host = UnsafePointer(host.table)
    unsafe call.task_key = UnsafePointer(names)
    unsafe call.task_id = UnsafePointer(names)
    return unsafe UInt8(truncatingIfNeeded: handler.pointee.run(handler.pointee.context, &call, &outcome))
  }

  var subject: Subject {
    // unsafe: this object outlives the runtime's threads, which `stop` ends.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<PluginCallSubject>.fromOpaque(context)._withUnsafeGuaranteedRef { owner in
        do {
          try owner.runtime.scheduler.submit(JobRequest(handler: owner.index, first: intended, second: sent))
          return true
        } catch {
          return false
        }
      }
    }
  }

  func stop() {
    runtime.stop()
    loader.unloadAll()
    host.close()
  }
}
