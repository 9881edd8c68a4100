/// What is known of the requests of one round: a function of their tickets, their ends, and the window, and of nothing else. So the same code
/// counts on real threads and on a virtual clock.
///
/// A lane has one of its own; they are added up after the round. Every request must be recorded, those that end after the window too.
struct Recorder {
  /// From the moment that a request was sent to its end.
  private(set) var service = Latencies()
  /// From the moment that it should have been sent to its end; open only.
  private(set) var response = Latencies()
  /// How much later than intended it was sent; open only.
  private(set) var lag = Latencies()
  /// That ended in the window.
  private(set) var completed: UInt64 = 0
  private(set) var failed: UInt64 = 0
  /// That were under way when the window began, and when it ended.
  private var underWayAtBegin: Int64 = 0
  private var underWayAtEnd: Int64 = 0

  @inline(__always) mutating func record(_ ticket: Ticket, end: UInt64, isDone: Bool, _ window: Window) {
    if ticket.sent < window.begin, end >= window.begin { underWayAtBegin &+= 1 }
    if ticket.sent < window.end, end >= window.end { underWayAtEnd &+= 1 }
    if window.contains(end) {
      if isDone { completed &+= 1 } else { failed &+= 1 }
    }
    guard isDone, window.contains(window.isOpen ? ticket.intended : end) else { return }
    service.record(end > ticket.sent ? end - ticket.sent : 0)
    guard window.isOpen else { return }
    response.record(end > ticket.intended ? end - ticket.intended : 0)
    lag.record(ticket.sent > ticket.intended ? ticket.sent - ticket.intended : 0)
  }

  /// How much longer the queue was at the end of the window than at its begin.
  var backlogGrowth: Int64 { underWayAtEnd - underWayAtBegin }

  mutating func add(_ other: Recorder) {
    service.add(other.service)
    response.add(other.response)
    lag.add(other.lag)
    completed &+= other.completed
    failed &+= other.failed
    underWayAtBegin += other.underWayAtBegin
    underWayAtEnd += other.underWayAtEnd
  }

  mutating func reset() {
    service.reset()
    response.reset()
    lag.reset()
    (completed, failed, underWayAtBegin, underWayAtEnd) = (0, 0, 0, 0)
  }

  /// As a result file has it.
  func round(_ window: Window, cpuNanoseconds: UInt64, generatorNanoseconds: UInt64? = nil) -> BenchRound {
    let service = service.result
    return BenchRound(
      nanoseconds: window.nanoseconds, completed: completed, failed: failed, cpuNanoseconds: cpuNanoseconds,
      generatorNanoseconds: generatorNanoseconds, service: service, response: window.isOpen ? response.result : service,
      lag: window.isOpen ? lag.result : nil, backlogGrowth: backlogGrowth)
  }
}
