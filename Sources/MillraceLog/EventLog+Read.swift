internal import MillraceCore

extension EventLog: EventStore {
  public var hasDensePositions: Bool { true }

  public func end(completion: @escaping Completion<UInt64>) {
    completion(isClosed ? .failure(.closed) : .success(index.monitor.locked { index.end }))
  }

  public func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
    let wait = LogWait(index, position, completion)
    let told: (EventCompletion<UInt64>, Result<UInt64, EventStoreError>)? = index.monitor.locked {
      if isClosed { return wait.take().map { ($0, .failure(.closed)) } }
      if index.end > position { return wait.take().map { ($0, .success(index.end)) } }
      if let failure = index.failure { return wait.take().map { ($0, .failure(.failed(failure.description))) } }
      index.add(wait)
      return nil
    }
    if let (completion, result) = told { completion(result) }
    return wait
  }

  public func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) {
    do throws(EventStoreError) { completion(.success(try page(request))) } catch { completion(.failure(error)) }
  }

  public func position(since time: Int64, completion: @escaping Completion<UInt64>) {
    do throws(EventStoreError) { completion(.success(try position(since: time))) } catch { completion(.failure(error)) }
  }

  public func close(completion: @escaping Completion<Void>) {
    close()
    completion(.success(()))
  }

  /// As the contract's, on the caller's thread.
  public func page(_ request: ReadRequest) throws(EventStoreError) -> EventPage {
    if isClosed { throw .closed }
    var reader = try PageReader(index, settings.wall, settings.seal, request)
    defer { reader.free() }
    return try reader.page()
  }

  /// Blocks by their commits' times, then the events of one.
  private func position(since time: Int64) throws(EventStoreError) -> UInt64 {
    if isClosed { throw .closed }
    return index.monitor.locked {
      // Clocks may have jumped between commits: the first block that is not older. All events of one have its commit's time.
      index.blocks.first { $0.time >= time }?.firstPosition ?? index.end
    }
  }

  struct Standing {
    let id: EventID
    let position: UInt64
  }

  /// What stands in a stream from a version on, whatever its limits.
  func standing(_ stream: StreamName, from version: UInt64, count: Int) throws(EventStoreError) -> [Standing] {
    let places: [LogIndex.Place] = index.monitor.locked {
      guard let number = index.streamNumbers[stream.description] else { return [] }
      let stream = index.streams[Int(number)]
      guard version >= stream.start, version < stream.end else { return [] }
      return stream.places[stream.numbers(version..<min(stream.end, version + UInt64(count)))].map { LogIndex.Place(word: $0) }
    }
    var reader = try EntryReader()
    defer { reader.free() }
    var standing: [Standing] = []
    for place in places {
      guard case .entry(let entry) = try reader.entry(place, index) else { return [] }
      standing.append(Standing(id: entry.id, position: entry.position))
    }
    return standing
  }
}
