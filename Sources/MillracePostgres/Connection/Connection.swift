#if Postgres
  internal import CPostgres
  internal import Glibc

  /// One connection of libpq, never blocking but where it says so.
  ///
  /// # Threads
  /// One at a time.
  @safe
  final class Connection {
    private let raw: OpaquePointer
    private let target: ServerTarget

    /// Connects. Waits, in steps, until `deadline` of the monotonic clock, or until `isGivenUp`.
    init(_ target: ServerTarget, deadline: UInt64, isGivenUp: () -> Bool = { false }) throws(Failure) {
      self.target = target
      guard let raw = unsafe target.begin() else { throw .lost("\(target.place): there is no memory for a connection") }
      unsafe self.raw = raw
      // unsafe: notices are no errors, and nobody asked for them; a function without a context.
      unsafe _ = PQsetNoticeProcessor(raw, { _, _ in }, nil)
      while true {
        switch unsafe PQconnectPoll(raw) {
        case PGRES_POLLING_OK:
          unsafe _ = PQsetnonblocking(raw, 1)
          return
        case PGRES_POLLING_READING: try sleep(POLLIN, deadline, isGivenUp)
        case PGRES_POLLING_WRITING: try sleep(POLLOUT, deadline, isGivenUp)
        default: throw .lost(ServerHint.added(toConnecting: errorText))
        }
      }
    }

    // unsafe: nobody else has the connection.
    deinit { unsafe PQfinish(raw) }

    var socket: Int32 { unsafe PQsocket(raw) }
    var isBroken: Bool { unsafe PQstatus(raw) == CONNECTION_BAD }
    var backend: Int32 { unsafe PQbackendPID(raw) }

    /// libpq's words on what went wrong last, with the place and without the password.
    var errorText: String {
      // unsafe: text of the connection, that ends with 0.
      let text = unsafe String(cString: PQerrorMessage(raw))
      return target.described(text)
    }

    // MARK: Before the pipeline: one text after the other, waiting.

    /// Runs statements that are one text, and gives the rows of the last.
    func run(_ sql: String, deadline: UInt64, isGivenUp: () -> Bool = { false }) throws(Failure) -> Rows {
      guard unsafe PQsendQuery(raw, sql) == 1 else { throw .lost(errorText) }
      var last: Rows?
      var failure: Failure?
      while true {
        while try !flush() { try sleep(POLLOUT | POLLIN, deadline, isGivenUp) }
        while try isBusy() { try sleep(POLLIN, deadline, isGivenUp) }
        guard let rows = result() else { break }
        switch rows.status {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: last = rows
        default: failure = failure ?? rows.failure
        }
      }
      if let failure { throw failure }
      guard let last else { throw .lost("\(target.place): the server has not answered") }
      return last
    }

    private func sleep(_ events: Int32, _ deadline: UInt64, _ isGivenUp: () -> Bool) throws(Failure) {
      while true {
        if isGivenUp() { throw .lost("given up") }
        let now = Monotonic.now
        guard now < deadline else { throw .lost("\(target.place): no answer in time: is the server up, and is there a way to it?") }
        var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
        // Looks at `isGivenUp` now and then: this waits for a server, not for work.
        let code = unsafe poll(&entry, 1, Int32(clamping: min((deadline - now) / 1_000_000 + 1, 100)))
        if code > 0 { return }
        if code < 0, errno != EINTR { throw .lost("\(target.place): poll: errno \(errno)") }
      }
    }

    // MARK: The pipeline

    func beginPipeline() throws(Failure) {
      guard unsafe PQenterPipelineMode(raw) == 1 else { throw .lost(errorText) }
    }

    /// A statement, and the end of its transaction.
    func send(_ statement: Statement, _ parameters: Parameters) throws(Failure) {
      let count = parameters.spans.count
      let sent = unsafe parameters.bytes.withUnsafeBytes { bytes -> Bool in
        // unsafe: each points into `bytes`, for as long as libpq copies from there.
        var values: [UnsafePointer<CChar>?] = unsafe []
        var lengths: [Int32] = []
        guard let start = bytes.baseAddress else { return false }
        for span in parameters.spans {
          guard let span else {
            unsafe values.append(nil)
            lengths.append(0)
            continue
          }
          unsafe values.append((start + span.lowerBound).assumingMemoryBound(to: CChar.self))
          lengths.append(Int32(span.count))
        }
        let formats = [Int32](repeating: 1, count: count)
        return unsafe PQsendQueryPrepared(raw, statement.name, Int32(count), values, lengths, formats, 1) == 1
      }
      guard sent, unsafe PQpipelineSync(raw) == 1 else { throw .lost(errorText) }
    }

    /// True: all has been given to the system.
    func flush() throws(Failure) -> Bool {
      switch unsafe PQflush(raw) {
      case 0: return true
      case 1: return false
      default: throw .lost(errorText)
      }
    }

    /// Takes what has come in. True: the next result is not complete.
    func isBusy() throws(Failure) -> Bool {
      if unsafe PQisBusy(raw) == 0 { return false }
      guard unsafe PQconsumeInput(raw) == 1 else { throw .lost(errorText) }
      return unsafe PQisBusy(raw) == 1
    }

    /// Takes what has come in, where nothing is waited for.
    func consume() throws(Failure) {
      guard unsafe PQconsumeInput(raw) == 1 else { throw .lost(errorText) }
    }

    /// The next result; nil between the results of two statements. Waits if `isBusy`.
    func result() -> Rows? {
      guard let result = unsafe PQgetResult(raw) else { return nil }
      return unsafe Rows(result)
    }

    /// The payload of a notification.
    func notification() -> String? {
      guard let notification = unsafe PQnotifies(raw) else { return nil }
      // unsafe: its texts end with 0, and it is ours to free.
      defer { unsafe PQfreemem(notification) }
      return unsafe String(cString: notification.pointee.extra)
    }
  }
#endif
