#if Postgres
  internal import CPostgres
  internal import Glibc
  internal import MillraceCore

  /// What a lane does: the requests come from here, and their outcomes go here. All are called on the lane's thread.
  protocol LaneWork: AnyObject, Sendable {
    associatedtype Request

    /// The next request; nil: nothing now.
    func next() -> Request?
    func encoded(_ request: Request) -> (Statement, Parameters)
    /// Committed, or rolled back by the server.
    func finished(_ request: Request, _ outcome: Result<Rows, Failure>)
    /// The connection was lost under them, the oldest first: what they have done is open.
    func lost(_ requests: [Request], why: String)
    /// There is a connection, and this is the first position without an event.
    func began(end: UInt64)
    /// Somebody has appended.
    func heard(end: UInt64)
    /// There is no connection: refuses what has waited until `now`. Gives the time at which the next has; nil if none waits.
    func expire(_ now: UInt64, why: String) -> UInt64?
    /// When `next` will have something without being told; nil: never.
    var alarm: UInt64? { get }
    /// Closed, and nothing is left.
    var isDone: Bool { get }
  }

  /// What a lane sends and how long it waits.
  struct LaneSettings: Sendable {
    var statements: [Statement]
    var listens: Bool
    /// Requests that are sent and not answered, at most.
    var inFlight: Int
    /// Nanoseconds after which a connection that does not answer is given up.
    var silence: UInt64
    /// Nanoseconds between two tries to connect, at most.
    var pause: UInt64
  }

  /// A thread and its connection: sends statements one behind the other without waiting for answers, connects again when the connection is lost.
  ///
  /// # Threads
  /// `wake`: any. All else is the thread's own.
  final class Lane<Work: LaneWork>: @unchecked Sendable {
    private let work: Work
    private let session: Session
    private let settings: LaneSettings
    private let wakeUp: WakeUp
    private let ended: @Sendable () -> Void

    private var connection: Connection?
    private var backend: Backend?
    /// What is not answered yet, the oldest first.
    private var sent: [Sent] = []
    private var failures = 0
    private var trouble = "not connected yet"

    private struct Sent {
      let request: Work.Request
      let time: UInt64
      var rows: Rows?
      var failure: Failure?
    }

    /// `ended`: all is done and given back.
    init(_ work: Work, _ session: Session, _ settings: LaneSettings, _ wakeUp: WakeUp, ended: @escaping @Sendable () -> Void) {
      self.work = work
      self.session = session
      self.settings = settings
      self.wakeUp = wakeUp
      self.ended = ended
    }

    /// 0, or an errno value.
    func start() -> Int32 { OwnThread.start { [self] in run() } }

    private func run() {
      while !(work.isDone && sent.isEmpty) {
        if connection == nil { connect() } else { turn() }
      }
      connection = nil
      ended()
    }

    // MARK: Connected

    private func turn() {
      do throws(Failure) {
        try serve()
      } catch {
        lose(error)
      }
    }

    private func serve() throws(Failure) {
      guard let connection else { return }
      while sent.count < settings.inFlight, let request = work.next() {
        // Kept before it is sent: whatever happens, it has an outcome.
        sent.append(Sent(request: request, time: Monotonic.now))
        let (statement, parameters) = work.encoded(request)
        try connection.send(statement, parameters)
      }
      let isFlushed = try connection.flush()
      if work.isDone, sent.isEmpty { return }
      wait(connection.socket, POLLIN | (isFlushed ? 0 : POLLOUT), until: deadline)
      try connection.consume()
      try receive(connection)
      while let payload = connection.notification() {
        if let end = UInt64(payload) { work.heard(end: end) }
      }
      if let oldest = sent.first, Monotonic.now >= oldest.time + settings.silence {
        throw .lost(
          "\(session.target.place): the connection has been silent for \(settings.silence / 1_000_000_000) s: is the network whole?")
      }
    }

    /// When the connection has been silent for too long, or the work wants to be asked.
    private var deadline: UInt64? {
      let silence = sent.first.map { $0.time + settings.silence }
      guard let alarm = work.alarm else { return silence }
      return silence.map { min($0, alarm) } ?? alarm
    }

    private func receive(_ connection: Connection) throws(Failure) {
      while !sent.isEmpty {
        if try connection.isBusy() { return }
        guard let rows = connection.result() else {
          // nil stands between a statement's result and the end of its transaction.
          if connection.isBroken { throw .lost(connection.errorText) }
          continue
        }
        switch rows.status {
        case PGRES_PIPELINE_SYNC: finishOldest()
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK: sent[0].rows = rows
        case PGRES_PIPELINE_ABORTED: break
        default:
          let failure = rows.failure
          if case .lost(let text) = failure { throw .lost(session.target.described(text)) }
          if connection.isBroken { throw .lost(session.target.described(failure.text)) }
          if sent[0].failure == nil { sent[0].failure = failure }
        }
      }
    }

    private func finishOldest() {
      let one = sent.removeFirst()
      if let failure = one.failure {
        work.finished(one.request, .failure(failure))
      } else if let rows = one.rows {
        work.finished(one.request, .success(rows))
      } else {
        work.finished(one.request, .failure(.refused(code: "XX000", text: "the server has answered without a result")))
      }
    }

    private func lose(_ failure: Failure) {
      trouble = failure.text
      connection = nil
      let requests = sent.map(\.request)
      sent = []
      work.lost(requests, why: trouble)
    }

    // MARK: Not connected

    private func connect() {
      if failures > 0 {
        // 50 ms, doubled each time, and a random half of it less: many that lost the same server do not come back at once.
        let pause = min(50_000_000 << UInt64(min(failures - 1, 20)), settings.pause)
        let retry = Monotonic.now + UInt64.random(in: pause / 2...pause)
        while true {
          let now = Monotonic.now
          let due = work.expire(now, why: trouble)
          if work.isDone { return }
          if now >= retry { break }
          wait(-1, 0, until: due.map { min($0, retry) } ?? retry)
        }
      }
      do throws(Failure) {
        let start = try session.begin(settings.statements, listens: settings.listens, predecessor: backend) { [work] in work.isDone }
        connection = start.connection
        backend = start.backend
        failures = 0
        work.began(end: start.end)
      } catch {
        failures += 1
        trouble = error.text
        // What only an operator can change: nobody waits for that.
        if case .refused(let code, _) = error, code.hasPrefix("MR") { _ = work.expire(.max, why: trouble) }
      }
    }

    /// Sleeps until woken, the socket has something, or the time has come.
    private func wait(_ socket: Int32, _ events: Int32, until deadline: UInt64?) {
      var milliseconds: Int32 = -1
      if let deadline {
        let now = Monotonic.now
        milliseconds = deadline <= now ? 0 : Int32(clamping: (deadline - now) / 1_000_000 + 1)
      }
      var entries = [
        pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: socket, events: Int16(events), revents: 0),
      ]
      // An interrupted wait is a short one: the caller looks again in each case.
      unsafe _ = poll(&entries, 2, milliseconds)
      if entries[0].revents != 0 { wakeUp.drain() }
    }
  }
#endif
