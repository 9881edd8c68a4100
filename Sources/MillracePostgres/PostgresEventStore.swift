#if Postgres
  public import MillraceLog

  /// An event store in PostgreSQL: any number of programs may have the same one open.
  ///
  /// Appends that come while others are being committed are committed together. When the connection is lost it is made again; an append whose outcome is then
  /// not known is looked for by its ids and, if it did not take place, made again, so that its completion tells the truth.
  ///
  /// # Threads
  /// Two of its own, each with a connection: one appends, one does everything else. Completions come from these, or from the caller's when a request is
  /// refused at once; both go on only when the completion returns.
  /// # Progress
  /// A call takes a lock for a moment and never waits for the server.
  public final class PostgresEventStore: EventStore {
    private let configuration: PostgresConfiguration
    private let session: Session
    private let appends: AppendWork
    private let reads: ReadWork
    private let appendsWakeUp: WakeUp
    private let readsWakeUp: WakeUp
    private let end: LaneEnd

    /// Connects, and brings the schema to this program's version if the configuration says so. Waits for the server.
    ///
    /// Throws `EventStoreError.invalid` for a configuration that cannot work, `unavailable` if the server cannot be reached, refuses, or holds a schema of
    /// another version.
    public init(_ configuration: PostgresConfiguration) throws(EventStoreError) {
      try configuration.check()
      self.configuration = configuration
      session = configuration.session
      let patience = configuration.patience.nanoseconds
      appends = AppendWork(
        session,
        AppendWork.Bounds(
          queued: configuration.queuedAppends, queuedBytes: configuration.queuedBytes, group: configuration.appendsInGroup,
          patience: patience))
      reads = ReadWork(
        session,
        ReadWork.Bounds(
          queued: configuration.queuedReads, waits: configuration.waits, patience: patience,
          sweepInterval: configuration.sweepInterval?.nanoseconds), wallClock: configuration.wallClock)
      guard let appendsWakeUp = WakeUp(), let readsWakeUp = WakeUp() else {
        throw .unavailable("the process has too many files open: raise its limit (ulimit -n)")
      }
      self.appendsWakeUp = appendsWakeUp
      self.readsWakeUp = readsWakeUp
      end = LaneEnd()
      do throws(Failure) {
        if configuration.migrates { try Migrations.run(session, partitionEvents: configuration.partitionEvents) }
        _ = try session.begin([], listens: false, predecessor: nil)
      } catch {
        switch error {
        case .refused(let code, let text): throw EventStoreError(refusal: code, text, at: session.target.place)
        case .lost(let text): throw .unavailable(text)
        }
      }
      try start()
    }

    private func start() throws(EventStoreError) {
      let silence = 2 * configuration.statementTimeout.nanoseconds + 1_000_000_000
      let end = end
      func settings(_ statements: [Statement], listens: Bool, inFlight: Int) -> LaneSettings {
        LaneSettings(
          statements: statements, listens: listens, inFlight: inFlight, silence: silence, pause: configuration.longestPause.nanoseconds)
      }
      let appender = Lane(appends, session, settings(Statement.forAppends, listens: false, inFlight: 2), appendsWakeUp) { end.ended() }
      let reader = Lane(reads, session, settings(Statement.forReads, listens: true, inFlight: 8), readsWakeUp) { end.ended() }
      var code = appender.start()
      if code == 0 {
        code = reader.start()
        if code != 0 { stop() }
      }
      if code != 0 {
        throw .unavailable("a thread for a connection does not start (errno \(code)): raise the limit on processes (ulimit -u)")
      }
    }

    /// A store that nobody has closed ends what it has accepted, and gives everything back.
    deinit { stop() }

    private func stop() {
      appends.close()
      reads.close()
      appendsWakeUp.signal()
      readsWakeUp.signal()
    }

    public func close(completion: @escaping Completion<Void>) {
      guard end.tell(completion) else { return completion(.failure(.closed)) }
      stop()
    }

    /// Dense as they are, other stores of this kind need not be.
    public var hasDensePositions: Bool { false }

    // MARK: Appends

    public func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) {
      if let fault = EventStoreError.fault(in: appends) { return completion(.failure(fault)) }
      var events = 0
      var bytes = 0
      for append in appends {
        events += append.events.count
        for event in append.events { bytes += event.payload.count }
      }
      let pending = PendingAppend(
        appends: appends, completion: completion, events: events, bytes: bytes, time: configuration.wallClock(),
        deadline: Monotonic.now + configuration.patience.nanoseconds)
      if let refusal = self.appends.take(pending) { return completion(.failure(refusal)) }
      appendsWakeUp.signal()
    }

    // MARK: Reading

    public func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) {
      if let fault = EventStoreError.fault(in: request) { return completion(.failure(fault)) }
      let statement = PageStatement(request).statement
      run(statement, PageCode.parameters(request, now: configuration.wallClock()), completion) { PageCode.page(request, $0) }
    }

    public func end(completion: @escaping Completion<UInt64>) {
      run(.end, Parameters(), completion) { UInt64(max(0, $0.integer(0, 0))) }
    }

    public func position(since time: Int64, completion: @escaping Completion<UInt64>) {
      var parameters = Parameters()
      parameters.add(time)
      run(.since, parameters, completion) { UInt64(max(0, $0.integer(0, 0))) }
    }

    /// A wait goes on while the server cannot be reached.
    @discardableResult
    public func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
      PostgresWait(reads, reads.wait(position, completion))
    }

    // MARK: Limits and snapshots

    public func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
      var parameters = Parameters()
      parameters.add(session.lock)
      parameters.add(stream.description)
      parameters.add(stream.category)
      // More than any stream can have or any clock can tell is no limit.
      parameters.add(limits.count.flatMap { Int64(exactly: $0) })
      parameters.add(limits.age.flatMap { Int64(exactly: $0) })
      parameters.add(Int64(clamping: limits.firstVersion))
      parameters.add(configuration.wallClock())
      run(.setLimits, parameters, completion) { _ in () }
    }

    public func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) {
      if let fault = EventStoreError.fault(in: snapshot) { return completion(.failure(fault)) }
      var parameters = Parameters()
      parameters.add(snapshot.stream.description)
      parameters.add(snapshot.reducer)
      parameters.add(Int64(snapshot.reducerVersion))
      parameters.add(Int64(clamping: snapshot.version))
      parameters.add(snapshot.state)
      submit(.save, parameters) { result in
        completion(
          result.flatMap { rows in
            let actual = rows.count > 0 ? UInt64(max(0, rows.integer(0, 0))) : nil
            if let actual, snapshot.version <= actual { return .success(()) }
            return .failure(.snapshotAhead(stream: snapshot.stream, version: snapshot.version, actual: actual))
          })
      }
    }

    public func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) {
      if let fault = EventStoreError.fault(inReducer: reducer) { return completion(.failure(fault)) }
      var parameters = Parameters()
      parameters.add(stream.description)
      parameters.add(reducer)
      run(.snapshot, parameters, completion) { rows in
        guard rows.count > 0 else { return nil }
        return Snapshot(
          stream: stream, reducer: reducer, reducerVersion: UInt32(clamping: rows.integer(0, 0)),
          version: UInt64(max(0, rows.integer(0, 1))),
          state: rows.bytes(0, 2))
      }
    }

    private func run<Value>(
      _ statement: Statement, _ parameters: Parameters, _ completion: @escaping Completion<Value>,
      _ decode: @escaping @Sendable (Rows) -> Value
    ) {
      submit(statement, parameters) { completion($0.map(decode)) }
    }

    private func submit(
      _ statement: Statement, _ parameters: Parameters, _ finish: @escaping @Sendable (Result<Rows, EventStoreError>) -> Void
    ) {
      if let refusal = reads.take(statement, parameters, finish) { return finish(.failure(refusal)) }
      readsWakeUp.signal()
    }
  }

  /// A wait of `PostgresEventStore.await`.
  final class PostgresWait: EventWait {
    private let reads: ReadWork
    private let number: UInt64?

    init(_ reads: ReadWork, _ number: UInt64?) {
      self.reads = reads
      self.number = number
    }

    func cancel() {
      if let number { reads.giveUp(number) }
    }
  }
#endif
