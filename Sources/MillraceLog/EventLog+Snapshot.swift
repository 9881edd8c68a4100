internal import MillraceCore

/// Snapshots are entries of the log's own: they have no position, and go when their segment goes.
extension EventLog {
  public func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) {
    if let fault = EventStoreError.fault(in: snapshot) { return completion(.failure(fault)) }
    let end: UInt64 = index.monitor.locked { index.streamNumbers[snapshot.stream.description].map { index.streams[Int($0)].end } ?? 0 }
    guard snapshot.version < end else {
      return completion(.failure(.snapshotAhead(stream: snapshot.stream, version: snapshot.version, actual: end == 0 ? nil : end - 1)))
    }
    submit(PendingAppend(self, .snapshot(snapshot, of: number(of: snapshot.stream))) { result in completion(result.map { _ in }) })
  }

  public func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) {
    if isClosed { return completion(.failure(.closed)) }
    if let fault = EventStoreError.fault(inReducer: reducer) { return completion(.failure(fault)) }
    do throws(EventStoreError) { completion(.success(try snapshot(stream, reducer))) } catch { completion(.failure(error)) }
  }

  private func snapshot(_ stream: StreamName, _ reducer: String) throws(EventStoreError) -> Snapshot? {
    let found: (UInt32, LogIndex.Place)? = index.monitor.locked {
      guard let number = index.streamNumbers[stream.description], let place = index.snapshots[number]?[reducer]?.place else { return nil }
      return (number, place)
    }
    guard let (number, place) = found else { return nil }
    var reader = try EntryReader()
    defer { reader.free() }
    guard case .entry(let entry) = try reader.entry(place, index),
      case .snapshot(let snapshot, _)? = OwnEntry(entry.type, entry.payload, number, stream)
    else { return nil }
    return snapshot
  }
}
