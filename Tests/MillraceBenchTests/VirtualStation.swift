import MillraceCore

@testable import MillraceBench

/// One server with a fixed service time and a queue before it, on a virtual clock: what a load is put on where the answer is known.
///
/// It stands behind the harness's own `Meter` and `Generator`: only the clock and the subject are not real. Single-threaded.
@safe final class VirtualStation {
  struct Stay {
    var ticket: Ticket
    var end: UInt64
  }

  let virtual = VirtualClock(start: 1_000_000)
  let meter: Meter
  let service: UInt64
  /// When the server stands still; so long after the round's first moment.
  var pause: Range<UInt64>?
  /// When the generator stands still, likewise.
  var stall: Range<UInt64>?
  /// Requests that are refused once so many are in the queue.
  var room = Int.max
  private var origin: UInt64 = 0
  private var free: UInt64 = 0
  private var stays: [Stay] = []
  private var first = 0

  init(service: UInt64) {
    self.service = service
    meter = Meter(clock: virtual.clock, reserved: 1, others: 1)
    meter.adopt(lane: 0)
  }

  var subject: Subject {
    // The tests hold the station for as long as its subject.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<VirtualStation>.fromOpaque(context).takeUnretainedValue().arrive(Ticket(intended: intended, sent: sent))
    }
  }

  var pacer: Pacer {
    unsafe Pacer(context: Unmanaged.passUnretained(self).toOpaque()) { context, moment, _ in
      unsafe Unmanaged<VirtualStation>.fromOpaque(context!).takeUnretainedValue().pace(moment)
    }
  }

  private func arrive(_ ticket: Ticket) -> Bool {
    if stays.count - first >= room { return false }
    var begin = max(virtual.now, free)
    var end = begin + service
    if let pause = pause.map({ $0.lowerBound + origin..<$0.upperBound + origin }) {
      if pause.contains(begin) {
        begin = pause.upperBound
        end = begin + service
      } else if begin < pause.lowerBound, end > pause.lowerBound {
        end += pause.upperBound - pause.lowerBound
      }
    }
    free = end
    stays.append(Stay(ticket: ticket, end: end))
    return true
  }

  private func pace(_ moment: UInt64) {
    var moment = moment
    if let stall, stall.contains(moment - origin) { moment = origin + stall.upperBound }
    advance(to: moment)
  }

  /// Ends what is over by `moment`, in order.
  private func advance(to moment: UInt64) {
    while first < stays.count, stays[first].end <= moment {
      let stay = stays[first]
      first += 1
      if first == 4_096 {
        stays.removeFirst(first)
        first = 0
      }
      virtual.move(to: stay.end)
      meter.end(stay.ticket, isDone: true)
    }
    if moment > virtual.now { virtual.move(to: moment) }
  }

  /// Until nothing is under way.
  private func drain() { while first < stays.count { advance(to: stays[first].end) } }

  func round(_ load: Load) -> RoundFigures {
    origin = virtual.now
    let begin = virtual.now + load.warmUp
    let window = Window(begin: begin, end: begin + load.duration, isOpen: load.isOpen)
    meter.prepare(window, subject)
    var tally = GeneratorTally()
    if case .closed(let inFlight) = load.kind {
      meter.launch(inFlight)
    } else if let schedule = load.schedule(0, of: 1, start: virtual.now) {
      var generator = Generator(schedule, clock: virtual.clock, pacer: pacer)
      tally = generator.run(window, isStopped: { false }, send: { meter.send($0) })
    }
    drain()
    return RoundFigures(round: meter.collect().round(window, cpuNanoseconds: 0), tally: tally, strays: meter.strays)
  }
}

/// The station as the search drives it.
struct VirtualDriver: LoadDriver {
  let station: VirtualStation
  func run(_ load: Load) throws(BenchError) -> RoundFigures? { station.round(load) }
}

extension Load {
  static func open(
    rate: Double, arrivals: Arrivals = .poisson, connections: Int = 1, warmUp: UInt64 = 0, duration: UInt64, seed: UInt64 = 1
  )
    -> Load
  {
    Load(kind: .open(rate: rate, connections: connections, arrivals: arrivals), warmUp: warmUp, duration: duration, seed: seed)
  }

  static func closed(_ inFlight: Int, warmUp: UInt64 = 0, duration: UInt64) -> Load {
    Load(kind: .closed(inFlight: inFlight), warmUp: warmUp, duration: duration, seed: 1)
  }
}
