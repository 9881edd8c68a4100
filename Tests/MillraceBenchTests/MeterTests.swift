import MillraceCore
import Synchronization
import Testing

@testable import MillraceBench

/// A subject that ends each request before `send` returns, a microsecond later.
@safe private final class Immediate {
  let virtual = VirtualClock()
  let meter: Meter
  var refuses = false
  private(set) var depth = 0
  private(set) var deepest = 0
  private(set) var sent = 0

  init() {
    meter = Meter(clock: virtual.clock, reserved: 1, others: 1)
    meter.adopt(lane: 0)
  }

  var subject: Subject {
    // The tests hold this object for as long as its subject.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<Immediate>.fromOpaque(context).takeUnretainedValue().take(Ticket(intended: intended, sent: sent))
    }
  }

  private func take(_ ticket: Ticket) -> Bool {
    sent += 1
    if refuses { return false }
    depth += 1
    deepest = max(deepest, depth)
    virtual.move(by: 1_000)
    meter.end(ticket, isDone: true)
    depth -= 1
    return true
  }
}

@Suite struct MeterTests {
  @Test("a closed load keeps its level in flight: throughput and latency follow from it", arguments: [1, 3, 32])
  func closedLevel(level: Int) {
    let station = VirtualStation(service: 1_000_000)
    let round = station.round(.closed(level, warmUp: 100_000_000, duration: 1_000_000_000)).round
    #expect(round.completed == 1_000)
    // Each waits for those before it.
    #expect(round.service.minimum == UInt64(level) * 1_000_000)
    #expect(round.service.maximum == UInt64(level) * 1_000_000)
    #expect(abs(round.backlogGrowth) <= 1)
    #expect(station.meter.underWay == 0)
  }

  @Test("requests that end before their sending returns are followed without a deeper stack")
  func immediate() {
    let immediate = Immediate()
    immediate.meter.prepare(Window(begin: 1, end: 200_000_001, isOpen: false), immediate.subject)
    immediate.meter.launch(2)
    #expect(immediate.meter.collect().completed == 200_000)
    #expect(immediate.deepest == 1)
    #expect(immediate.meter.underWay == 0)
  }

  @Test("what the subject refuses has failed, and is not sent again in a circle")
  func refused() {
    let immediate = Immediate()
    immediate.refuses = true
    immediate.meter.prepare(Window(begin: 0, end: 1_000, isOpen: false), immediate.subject)
    immediate.meter.launch(5)
    #expect(immediate.sent == 5)
    #expect(immediate.meter.collect().failed == 5)
    #expect(immediate.meter.underWay == 0)
  }

  @Test("a full queue makes requests of an open load fail; the others are measured")
  func full() {
    let station = VirtualStation(service: 1_000_000)
    station.room = 10
    let figures = station.round(.open(rate: 2_000, duration: 1_000_000_000))
    #expect(figures.round.failed > 500)
    #expect(figures.round.response.count + figures.round.failed == figures.tally.asked)
    #expect(figures.round.response.maximum <= 11_000_000)
  }

  @Test("a stopped meter sends nothing more")
  func stopped() {
    let immediate = Immediate()
    immediate.meter.prepare(Window(begin: 1, end: 1_000_000, isOpen: false), immediate.subject)
    immediate.meter.stop()
    immediate.meter.launch(1)
    #expect(immediate.sent == 1)
  }

  @Test("a round begins with nothing recorded")
  func rounds() {
    let station = VirtualStation(service: 1_000_000)
    _ = station.round(.closed(4, duration: 100_000_000))
    let round = station.round(.closed(1, duration: 100_000_000)).round
    #expect(round.completed == 99 || round.completed == 100)
    #expect(round.service.count == round.completed)
    #expect(round.service.maximum == 1_000_000)
  }

  @Test("threads beyond those that were foreseen are counted as strays, and the level is refused")
  func strays() throws {
    let meter = Meter(clock: .monotonic, reserved: 1, others: 1)
    meter.adopt(lane: 0)
    let subject = unsafe Subject(context: UnsafeMutableRawPointer(bitPattern: 8)!) { _, _, _ in true }
    meter.prepare(Window(begin: 0, end: .max, isOpen: true), subject)
    let ticket = Ticket(intended: 1, sent: 1)
    for _ in 0..<3 {
      meter.send(ticket)
      let thread = try TellingThread(meter, ticket)
      thread.join()
    }
    #expect(meter.underWay == 0)
    #expect(meter.strays == 2)
    #expect(meter.collect().completed == 1)
    let round = meter.collect().round(Window(begin: 0, end: 1, isOpen: true), cpuNanoseconds: 0)
    #expect(Soundness.refusal([RoundFigures(round: round, strays: 2)])?.contains("more threads") == true)
  }
}
