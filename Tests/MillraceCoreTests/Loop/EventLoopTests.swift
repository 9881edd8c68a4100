import CMillrace
import CUV
import Glibc
import MillraceCore
import Synchronization
import Testing

// One after the other: a signal may interrupt any thread, also the one that another test wants idle.
@Suite(.serialized) struct EventLoopTests {
  @Test("a wake-up calls back on the loop's thread, and one asked for before the start is kept")
  func wakes() throws {
    let probe = LoopProbe()
    let loop = EventLoop(callbacks: probe.callbacks)
    loop.wake()
    try loop.start()
    probe.wait { probe.wakes.load(ordering: .acquiring) == 1 }
    #expect(probe.thread.load(ordering: .acquiring) != millrace_thread_id())
    loop.wake()
    probe.wait { probe.wakes.load(ordering: .acquiring) == 2 }
    loop.stop()
    loop.wake()
    loop.setAlarm(at: 1)
    loop.stop()
    #expect(probe.wakes.load(ordering: .acquiring) == 2)
    #expect(probe.alarms.load(ordering: .acquiring) == 0)
  }

  @Test("what was published before a wake-up is seen by it: no wake-up is lost, whoever asks")
  func noWakeIsLost() throws {
    let probe = LoopProbe()
    let shared = Shared()
    unsafe probe.onWake = { shared.seen.store(shared.published.load(ordering: .relaxed), ordering: .releasing) }
    let loop = EventLoop(callbacks: probe.callbacks)
    try loop.start()
    let threads = (0..<3).map { _ in
      TestThread {
        for _ in 0..<5_000 {
          shared.published.add(1, ordering: .relaxed)
          loop.wake()
        }
      }
    }
    for thread in threads { thread.join() }
    // A lost wake-up would leave the test waiting for ever.
    probe.wait { shared.seen.load(ordering: .acquiring) == 15_000 }
    loop.stop()
  }

  @Test("an alarm comes at its time or after, never before; the earliest of several counts")
  func alarms() throws {
    let probe = LoopProbe()
    let shared = Shared()
    let start = millrace_monotonic()
    let due = start + 3_000_000
    unsafe probe.onAlarm = {
      if millrace_monotonic() < due { shared.early.add(1, ordering: .relaxed) }
      return Timers.never
    }
    let loop = EventLoop(callbacks: probe.callbacks)
    loop.setAlarm(at: start + 3_600_000_000_000)
    try loop.start()
    loop.setAlarm(at: start + 60_000_000_000)
    loop.setAlarm(at: due)
    loop.setAlarm(at: start + 50_000_000_000)
    probe.wait { probe.alarms.load(ordering: .acquiring) == 1 }
    loop.setAlarm(at: 0)
    probe.wait { probe.alarms.load(ordering: .acquiring) == 2 }
    loop.stop()
    #expect(shared.early.load(ordering: .relaxed) == 0)
  }

  @Test("timers and loop together: each fires once and not early, though threads arm earlier ones while the loop takes its alarm")
  func timersOnLoop() throws {
    let shared = Shared()
    let probe = LoopProbe()
    let loop = EventLoop(callbacks: probe.callbacks)
    let timers = unsafe try Timers(
      shards: 2, capacity: 10_000, context: Unmanaged.passUnretained(shared).toOpaque(),
      sink: { context, _, _, due in
        guard let context = unsafe context else { return }
        let shared = unsafe Unmanaged<Shared>.fromOpaque(context).takeUnretainedValue()
        if millrace_monotonic() < due { shared.early.add(1, ordering: .relaxed) }
        shared.seen.add(1, ordering: .releasing)
      }, alarmContext: loop.alarmContext, alarm: EventLoop.alarm)
    unsafe probe.onAlarm = {
      timers.advance(to: millrace_monotonic())
      return timers.nextDue
    }
    try loop.start()
    let threads = (0..<2).map { thread in
      TestThread {
        var random = SeededRandom(state: UInt64(thread))
        for _ in 0..<5_000 {
          let now = millrace_monotonic()
          // From at once to 4 ms, most within the time of a system call: the alarm races with its setters all the time.
          let due = now + UInt64.random(in: 0..<(1 << UInt64.random(in: 4...22, using: &random)), using: &random)
          do { _ = try timers.arm(shard: thread, due: due, value: 0, kind: 0, now: now) } catch { Issue.record("\(error)") }
        }
      }
    }
    for thread in threads { thread.join() }
    // A lost alarm would leave the test waiting for ever.
    probe.wait { shared.seen.load(ordering: .acquiring) == 10_000 }
    loop.stop()
    #expect(shared.early.load(ordering: .relaxed) == 0)
    #expect(timers.count == 0)
    withExtendedLifetime((shared, probe)) {}
  }

  @Test("an idle loop is not scheduled at all while another one works")
  func idle() throws {
    let idleProbe = LoopProbe()
    let idleLoop = EventLoop(callbacks: idleProbe.callbacks)
    try idleLoop.start()
    idleLoop.wake()
    idleProbe.wait { idleProbe.wakes.load(ordering: .acquiring) == 1 }
    let thread = idleProbe.thread.load(ordering: .acquiring)

    let probe = LoopProbe()
    unsafe probe.onAlarm = { millrace_monotonic() + 2_000_000 }
    let loop = EventLoop(callbacks: probe.callbacks)
    try loop.start()
    loop.setAlarm(at: 0)
    // The first alarms give the idle loop time to fall asleep.
    probe.wait { probe.alarms.load(ordering: .acquiring) >= 5 }
    let before = try contextSwitches(of: thread)
    probe.wait { probe.alarms.load(ordering: .acquiring) >= 50 }
    #expect(try contextSwitches(of: thread) == before)
    #expect(idleLoop.turns == 1)
    loop.stop()
    idleLoop.stop()
  }

  @Test("a watched signal calls back with its number")
  func signals() throws {
    let probe = LoopProbe()
    let loop = EventLoop(signals: [SIGUSR2], callbacks: probe.callbacks)
    try loop.start()
    kill(getpid(), SIGUSR2)
    probe.wait { probe.signals.load(ordering: .acquiring) == 1 }
    #expect(probe.signalNumber.load(ordering: .acquiring) == SIGUSR2)
    loop.stop()
  }

  @Test("a signal that cannot be watched is refused with libuv's words, and nothing is left behind")
  func refusal() throws {
    let probe = LoopProbe()
    let loop = EventLoop(signals: [SIGUSR2, SIGKILL], callbacks: probe.callbacks)
    let error = #expect(throws: LoopError.self) { try loop.start() }
    #expect(error?.function == "uv_signal_start")
    #expect(error?.description == "the event loop cannot be set up: uv_signal_start: invalid argument")
    loop.stop()
  }

  @Test("on a host's loop: our handles do not keep it running, its thread runs the callbacks, and after stop and a turn it closes")
  func hosted() throws {
    let host = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    defer { unsafe host.deallocate() }
    try #require(unsafe uv_loop_init(host) == 0)
    let probe = LoopProbe()
    var loop: EventLoop? = unsafe EventLoop(host: host, signals: [SIGUSR1], callbacks: probe.callbacks)
    try loop?.start()
    // Returns at once: nothing that holds it is open.
    #expect(unsafe uv_run(host, UV_RUN_DEFAULT) == 0)
    #expect(unsafe uv_loop_alive(host) == 0)
    // From here on the host has work of its own.
    let own = UnsafeMutablePointer<uv_idle_t>.allocate(capacity: 1)
    defer { unsafe own.deallocate() }
    unsafe _ = (uv_idle_init(host, own), uv_idle_start(own) { _ in })
    loop?.wake()
    loop?.setAlarm(at: 0)
    while probe.wakes.load(ordering: .acquiring) + probe.alarms.load(ordering: .acquiring) < 2 { unsafe _ = uv_run(host, UV_RUN_NOWAIT) }
    #expect(probe.thread.load(ordering: .acquiring) == millrace_thread_id())
    unsafe uv_close(UnsafeMutableRawPointer(own).assumingMemoryBound(to: uv_handle_t.self), nil)
    loop?.stop()
    loop = nil
    #expect(unsafe uv_loop_close(host) == UV_EBUSY.rawValue)
    #expect(unsafe uv_run(host, UV_RUN_DEFAULT) == 0)
    #expect(unsafe uv_loop_close(host) == 0)
  }

  @Test("stopping while other threads wake and set alarms harms nobody")
  func stopRaces() throws {
    for _ in 0..<20 {
      let probe = LoopProbe()
      let loop = EventLoop(callbacks: probe.callbacks)
      try loop.start()
      let go = Shared()
      let threads = (0..<2).map { _ in
        TestThread {
          while go.published.load(ordering: .acquiring) == 0 {
            loop.wake()
            loop.setAlarm(at: millrace_monotonic() + 1_000)
          }
        }
      }
      probe.wait { probe.wakes.load(ordering: .acquiring) > 10 }
      loop.stop()
      go.published.store(1, ordering: .releasing)
      for thread in threads { thread.join() }
    }
  }

  /// How often a thread of this process gave up its processor to wait.
  private func contextSwitches(of thread: Int32) throws -> Int {
    let status = try #require(SmallFile.text("/proc/self/task/\(thread)/status"))
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") })
    return try #require(Int(line.drop { !$0.isNumber }))
  }
}

/// Atomics that a test and its threads share.
private final class Shared: Sendable {
  let published = Atomic<Int>(0)
  let seen = Atomic<Int>(0)
  let early = Atomic<Int>(0)
}
