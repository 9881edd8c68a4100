internal import CMillrace
internal import Glibc
internal import Millrace
internal import MillraceCore

/// Puts loads on a real subject: generator threads when open, the subject's own threads when closed.
struct ThreadDriver: LoadDriver {
  /// Nanoseconds from the start of threads to the first request.
  private static let lead: UInt64 = 5_000_000
  /// Between two looks at whether somebody wants it to end.
  private static let tick: UInt64 = 20_000_000
  /// The same after an interruption.
  private static let impatience: UInt64 = 2_000_000_000

  let subject: Subject
  let meter: Meter
  /// Threads that send, when open.
  let generators: Int
  let pinning: Pinning?
  let pacer: Pacer
  let isInterrupted: () -> Bool
  /// What is left of a round's requests is waited for so long, nanoseconds, and ten times its length.
  var patience: UInt64 = 10_000_000_000

  func run(_ load: Load) throws(BenchError) -> RoundFigures? {
    let ping = PingPong.measure()
    let start = meter.clock.now + ThreadDriver.lead
    let begin = start + load.warmUp
    let window = Window(begin: begin, end: begin + load.duration, isOpen: load.isOpen)
    meter.prepare(window, subject)
    var threads: [GeneratorThread] = []
    if case .closed(let inFlight) = load.kind {
      meter.launch(inFlight)
    } else {
      for index in 0..<generators {
        guard let schedule = load.schedule(index, of: generators, start: start) else { continue }
        let generator = Generator(schedule, clock: meter.clock, pacer: pacer)
        do throws(BenchError) {
          threads.append(try GeneratorThread(generator, window, meter, lane: 1 + index, processor: pinning?.generators[index]))
        } catch {
          meter.stop()
          for thread in threads { _ = thread.join() }
          throw error
        }
      }
    }
    wait(until: window.begin)
    let cpuAtBegin = millrace_process_time()
    wait(until: window.end)
    let cpu = millrace_process_time() - cpuAtBegin
    if isInterrupted() { meter.stop() }
    var tally = GeneratorTally()
    var generatorTime: UInt64 = 0
    for thread in threads {
      let end = thread.join()
      tally = tally + end.tally
      generatorTime += end.nanoseconds
    }
    try drain(load)
    if isInterrupted() { return nil }
    var round = meter.collect().round(window, cpuNanoseconds: cpu, generatorNanoseconds: load.isOpen ? generatorTime : nil)
    round.pingPongNanoseconds = [ping, PingPong.measure()].compactMap { $0 }.max()
    return RoundFigures(round: round, tally: tally, strays: meter.strays)
  }

  private func wait(until moment: UInt64) {
    while !isInterrupted() {
      let now = meter.clock.now
      if now >= moment { return }
      millrace_sleep_until(min(moment, now + ThreadDriver.tick))
    }
  }

  /// Waits for what is still under way: a request that is slow must not be left out because it is.
  private func drain(_ load: Load) throws(BenchError) {
    let begin = meter.clock.now
    while meter.underWay > 0 {
      let waited = meter.clock.now - begin
      guard waited < (isInterrupted() ? ThreadDriver.impatience : patience + 10 * load.duration) else {
        if isInterrupted() { return }
        let requests = Quantity.count(Int(clamping: meter.underWay), "request")
        throw .hung(
          "\(requests) had not ended \(Quantity.seconds(Double(waited) / 1e9)) after their round: the subject hangs, or is far behind; give a lower level or rate"
        )
      }
      // Short at first: rounds of tests last some milliseconds.
      millrace_sleep_until(meter.clock.now + min(max(waited / 8, 50_000), ThreadDriver.tick))
    }
  }
}

/// A thread that runs a generator for one round.
@safe private final class GeneratorThread {
  struct End {
    var tally: GeneratorTally
    /// CPU time that the thread used in the window.
    var nanoseconds: UInt64
  }

  private final class Body {
    var generator: Generator
    let window: Window
    let meter: Meter
    let lane: Int
    let processor: Int?
    var end = End(tally: GeneratorTally(), nanoseconds: 0)

    init(_ generator: Generator, _ window: Window, _ meter: Meter, lane: Int, processor: Int?) {
      self.generator = generator
      self.window = window
      self.meter = meter
      self.lane = lane
      self.processor = processor
    }

    func run() {
      if let processor { Processors.pin(to: [processor]) }
      meter.adopt(lane: lane)
      millrace_set_timer_slack(1)
      var begin = millrace_thread_time()
      end.tally = generator.run(
        window, isStopped: { meter.isStopped }, began: { begin = millrace_thread_time() }, send: { meter.send($0) })
      end.nanoseconds = millrace_thread_time() - begin
    }
  }

  private let body: Body
  private let thread: pthread_t

  init(_ generator: Generator, _ window: Window, _ meter: Meter, lane: Int, processor: Int?) throws(BenchError) {
    body = Body(generator, window, meter, lane: lane, processor: processor)
    var thread = pthread_t()
    // unsafe: retained for the thread, which gives it back.
    let context = unsafe Unmanaged.passRetained(body)
    let code = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe millrace_name_thread("bench-generator")
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context.toOpaque())
    guard code == 0 else {
      unsafe context.release()
      throw .tryAgain("a generator thread does not start (errno \(code)): raise the limit on processes")
    }
    self.thread = thread
  }

  /// Once.
  func join() -> End {
    pthread_join(thread, nil)
    return body.end
  }
}
