internal import Glibc
internal import Millrace
internal import MillraceCore

/// The queues of a data directory, for one command: its own, and then others may ask them of it; or those of the process that has them.
final class QueueSession {
  /// How long the directory is tried while another process has it that does not answer, nanoseconds: those that only declare or list are done by then.
  private static let patience: UInt64 = 5_000_000_000
  private static let pause: UInt64 = 20_000_000
  private static let look = "`millrace queue list`"

  private enum Way {
    case own(Broker, QueueDesk)
    case other(ControlConnection)
    case closed
  }

  private var way: Way
  /// Others ask here from the first `serve` on: a command that does not serve is not asked, and they wait for its end.
  private var server: ControlServer?
  private var hasServer = false
  let directory: String

  /// `makes`: the directory is made if it is not there. Throws `Refusal`.
  init(_ data: DataOptions, makes: Bool = false) throws(Refusal) {
    directory = data.directory
    let path = QueueDirectory.path(directory)
    let begin = Clock.monotonic.now
    while true {
      if let connection = ControlConnection(path, look: Self.look) {
        way = .other(connection)
        return
      }
      do throws(QueueDirectory.Failure) {
        way = try Self.own(QueueDirectory.open(directory, makes: makes))
        return
      } catch {
        switch error {
        case .none:
          throw Refusal(
            .missing,
            "there are no queues in \(directory): `millrace queue declare` makes them, --data or \(DataOptions.variable) names another directory"
          )
        case .refused(let error): throw Refusal(error)
        case .inUse(let who):
          if Clock.monotonic.now &- begin > Self.patience { throw Refusal(.tryAgain, "\(who), and it takes no questions about its queues") }
          Self.sleep(Self.pause)
        }
      }
    }
  }

  private static func own(_ broker: Broker) -> Way {
    let desk: QueueDesk
    do throws(BrokerError) { desk = try QueueDesk(broker) } catch {
      broker.close()
      preconditionFailure("a broker that was just made has a publisher: \(error)")
    }
    return .own(broker, desk)
  }

  /// Asks for something. `wait`: nanoseconds for which messages are waited for, where the queues are this process's own. Throws what is refused.
  func ask(_ verb: String, _ members: [JSON.Member], wait: UInt64 = 0) throws(Refusal) -> JSON {
    let request: [JSON.Member] = [.init("verb", .string(verb))] + members
    switch way {
    case .own(let broker, let desk):
      // What is due comes by time, and nobody else looks at it.
      broker.advance()
      return try ControlConnection.checked(desk.answer(.object(request), of: QueueDesk.own, wait: wait))
    case .other(let connection): return try connection.ask(request)
    case .closed: throw Refusal(.tryAgain, "the queues were closed")
    }
  }

  /// Whether each answer has to fit into a line.
  var isOwn: Bool { if case .own = way { true } else { false } }

  /// Answers what others have asked. Does not wait.
  func serve() {
    guard case .own(_, let desk) = way else { return }
    if !hasServer {
      hasServer = true
      do throws(Refusal) { server = try ControlServer(QueueDirectory.path(directory), desk) } catch {
        Output.note("warning: other commands do not reach these queues while this one has them: \(error.message)")
      }
    }
    server?.serve(now: Clock.monotonic.now)
  }

  /// Sleeps, and answers others meanwhile, until a signal comes.
  func wait(nanoseconds: UInt64) {
    let begin = Clock.monotonic.now
    while Signals.received == nil {
      serve()
      let passed = Clock.monotonic.now &- begin
      if passed >= nanoseconds { return }
      Self.sleep(min(10_000_000, nanoseconds - passed))
    }
  }

  private static func sleep(_ nanoseconds: UInt64) {
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    // unsafe: read during the call. A signal ends it early.
    _ = unsafe nanosleep(&time, nil)
  }

  /// What was held goes back, and the queues are closed: before the process ends. Any number of times.
  func close() {
    server = nil
    if case .own(let broker, let desk) = way {
      desk.end()
      broker.close()
    }
    way = .closed
  }
}

extension Refusal {
  /// Of a broker.
  init(_ error: BrokerError) {
    let exit: Exit =
      switch error {
      case .journal(let text): text.contains("damaged") ? .badData : .tryAgain
      case .memory, .closed: .tryAgain
      default: .wrongUse
      }
    self.init(exit, "\(error)")
  }
}
