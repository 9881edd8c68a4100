import CMillrace
import CUV
import Synchronization
import Testing

@testable import MillraceCore

/// A runtime that calls back on a loop of its host.
@Suite struct HostedRuntimeTests {
  @safe private final class Seen: Sendable {
    let timers = Tally()
    let wakes = Tally()
  }

  @Test("while the host's loop stands still, jobs run, timers fire and overdue attempts end; only calls back wait for it")
  func standsStill() throws {
    // A loop that nobody turns is one that a callback holds.
    let host = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    defer { unsafe host.deallocate() }
    try #require(unsafe uv_loop_init(host) == 0)
    let seen = Seen()
    let hooks = unsafe RuntimeHooks(
      context: Unmanaged.passUnretained(seen).toOpaque(),
      // unsafe: the test keeps this object for as long as the runtime.
      timer: { context, _, _, _ in unsafe Unmanaged<Seen>.fromOpaque(context!).takeUnretainedValue().timers.raise() },
      wake: { context in unsafe Unmanaged<Seen>.fromOpaque(context!).takeUnretainedValue().wakes.raise() })
    let runtime = unsafe try Runtime(RuntimeConfiguration(slots: 1, threads: 1, capacity: 1_000, wait: .park), hooks: hooks, hostLoop: host)
    let scheduler = runtime.scheduler
    let (began, stopped) = (Tally(), Tally())
    let hangs = ClosureHandler { context in
      began.raise()
      while !context.isCancelled { millrace_yield() }
      stopped.raise()
    }
    let handler = try #require(scheduler.register(hangs.handler))
    try runtime.start()
    // The one worker is in its handler, so that nobody is left to keep the time but the runtime's own loop.
    try scheduler.submit(JobRequest(handler: handler, timeout: 100_000_000))
    #expect(began.wait(for: 1))
    _ = try runtime.timers.arm(shard: runtime.sharedTimerShard, due: scheduler.clock.now + 1_000_000, value: 0, kind: 1)
    #expect(seen.timers.wait(for: 1))
    #expect(stopped.wait(for: 1), "an attempt is told that its time is over")
    runtime.callBack()
    #expect(seen.wakes.count == 0)
    // Something of the host's own: a loop with nothing else does not turn for us.
    let own = UnsafeMutablePointer<uv_idle_t>.allocate(capacity: 1)
    defer { unsafe own.deallocate() }
    unsafe _ = (uv_idle_init(host, own), uv_idle_start(own) { _ in })
    while seen.wakes.count == 0 { unsafe _ = uv_run(host, UV_RUN_NOWAIT) }
    unsafe uv_close(UnsafeMutableRawPointer(own).assumingMemoryBound(to: uv_handle_t.self), nil)
    runtime.stop()
    #expect(unsafe uv_run(host, UV_RUN_DEFAULT) == 0)
    #expect(unsafe uv_loop_close(host) == 0)
  }
}
