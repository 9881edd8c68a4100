internal import MillraceCore

extension EventLog {
  public func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) {
    if let fault = EventStoreError.fault(in: appends) { return completion(.failure(fault)) }
    let pending: PendingAppend
    do throws(EventStoreError) {
      pending = try PendingAppend(self, appends, completion)
    } catch { return completion(.failure(error)) }
    submit(pending)
  }

  public func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
    submit(PendingAppend(self, .limits(limits, of: number(of: stream))) { result in completion(result.map { _ in }) })
  }

  /// Its retention has a bound: old events go.
  package var forgets: Bool { retirement.forgets }

  /// What is appended by name is sealed; a `RawEvent` is not.
  package var seals: Bool { settings.seal != nil }

  /// The appends with their payloads sealed, and the keys of all events; none without a seal.
  fileprivate func sealed(_ appends: [StreamAppend]) throws(EventStoreError) -> ([StreamAppend], [UInt32]) {
    guard let seal = settings.seal else { return (appends, []) }
    var appends = appends
    var keys: [UInt32] = []
    for part in appends.indices {
      for index in appends[part].events.indices {
        let event = appends[part].events[index]
        let (key, bytes) = try seal.seal(event.payload, stream: appends[part].stream, id: event.id)
        guard bytes.count <= EventLimits.payload else {
          throw .invalid(
            "event \(event.id) has \(bytes.count) bytes when sealed, more than \(EventLimits.payload): make its payload smaller")
        }
        appends[part].events[index].payload = bytes
        keys.append(key)
      }
    }
    return (appends, keys)
  }

  func submit(_ pending: PendingAppend) {
    do throws(Refusal) {
      // Safe: the sink lets go of what is retained here.
      try unsafe append(pending.retainedRequest())
    } catch {
      pending.refused(error == .busy ? .busy : .closed)
    }
  }
}

/// An append of the contract under way: its request and all that this points to, in one piece of memory.
@safe final class PendingAppend: @unchecked Sendable {
  private let log: EventLog
  private let appends: [StreamAppend]
  private let completion: EventCompletion<AppendReceipt>
  private let memory: UnsafeMutableRawPointer
  private var request: UnsafeMutablePointer<AppendRequest> { unsafe memory.assumingMemoryBound(to: AppendRequest.self) }

  // Safe: a constant of the process.
  private nonisolated(unsafe) static let sink: UnsafePointer<AppendSink> = {
    let sink = UnsafeMutablePointer<AppendSink>.allocate(capacity: 1)
    unsafe sink.initialize(
      to: AppendSink(context: nil) { _, requests, count in
        let requests = unsafe AppendSink.requests(requests, count)
        for index in 0..<count {
          // Safe: retained by `retainedRequest`.
          unsafe Unmanaged<PendingAppend>.fromOpaque(requests[index].pointee.context!).takeRetainedValue().ended()
        }
      })
    return unsafe UnsafePointer(sink)
  }()

  init(_ log: EventLog, _ appends: [StreamAppend], _ completion: @escaping EventCompletion<AppendReceipt>) throws(EventStoreError) {
    self.log = log
    // Ids and numbers of events do not change, so that all else may look at the sealed ones.
    let (appends, keys) = try log.sealed(appends)
    self.appends = appends
    self.completion = completion
    var events = 0
    var contexts = 0
    var bytes = 0
    for append in appends {
      events += append.events.count
      for event in append.events {
        bytes += event.payload.count
        if event.correlation != nil || event.causation != nil || event.trace != nil { contexts += 1 }
      }
    }
    let parts = roundUp(MemoryLayout<AppendRequest>.stride, to: 16)
    let eventsAt = roundUp(parts + appends.count * MemoryLayout<RawStreamAppend>.stride, to: 16)
    let contextsAt = roundUp(eventsAt + events * MemoryLayout<RawEvent>.stride, to: 16)
    let payloads = roundUp(contextsAt + contexts * MemoryLayout<EventContext>.stride, to: 16)
    // Safe: ours until `deinit`; what lies in it is trivial.
    unsafe memory = .allocate(byteCount: payloads + bytes, alignment: 16)
    unsafe request.initialize(
      to: AppendRequest((memory + parts).assumingMemoryBound(to: RawStreamAppend.self), count: appends.count, sink: Self.sink))
    unsafe try fill(
      keys, (memory + eventsAt).assumingMemoryBound(to: RawEvent.self), (memory + contextsAt).assumingMemoryBound(to: EventContext.self),
      memory + payloads)
  }

  /// For an entry of the log's own.
  init(_ log: EventLog, _ own: OwnEntry, _ completion: @escaping EventCompletion<AppendReceipt>) {
    self.log = log
    appends = []
    self.completion = completion
    unsafe memory = .allocate(byteCount: MemoryLayout<AppendRequest>.stride, alignment: 16)
    // The parts are not looked at.
    unsafe request.initialize(to: AppendRequest(memory.assumingMemoryBound(to: RawStreamAppend.self), count: 1, sink: Self.sink))
    unsafe request.pointee.own = own
  }

  deinit { unsafe memory.deallocate() }

  private func fill(
    _ keys: [UInt32], _ events: UnsafeMutablePointer<RawEvent>, _ contexts: UnsafeMutablePointer<EventContext>,
    _ payloads: UnsafeMutableRawPointer
  ) throws(EventStoreError) {
    var number = 0
    var event = unsafe events
    var context = unsafe contexts
    var payload = unsafe payloads
    for (index, append) in appends.enumerated() {
      let first = unsafe event
      for draft in append.events {
        unsafe draft.payload.withUnsafeBytes {
          unsafe payload.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(payload), byteCount: $0.count)
        }
        var own: UnsafePointer<EventContext>?
        if draft.correlation != nil || draft.causation != nil || draft.trace != nil {
          unsafe context.initialize(to: EventContext(correlation: draft.correlation, causation: draft.causation, trace: draft.trace))
          unsafe own = UnsafePointer(context)
          unsafe context += 1
        }
        unsafe event.initialize(
          to: RawEvent(
            id: draft.id, type: try log.number(ofType: draft.type), typeVersion: draft.typeVersion,
            contentType: try log.number(ofContentType: draft.contentType), payload: payload, bytes: draft.payload.count, context: own))
        if !keys.isEmpty { unsafe event.pointee.key = keys[number] }
        number += 1
        unsafe event += 1
        unsafe payload += draft.payload.count
      }
      let tenant = try append.tenant.map { (name) throws(EventStoreError) in try log.number(ofTenant: name) } ?? .none
      unsafe (request.pointee.parts + index).initialize(
        to: RawStreamAppend(
          stream: log.number(of: append.stream), tenant: tenant, expected: append.expected, events: first, count: append.events.count))
    }
  }

  /// The request, which keeps this object until its sink is told.
  func retainedRequest() -> UnsafeMutablePointer<AppendRequest> {
    unsafe request.pointee.context = Unmanaged.passRetained(self).toOpaque()
    return unsafe request
  }

  func refused(_ error: EventStoreError) {
    unsafe Unmanaged<PendingAppend>.fromOpaque(request.pointee.context!).release()
    completion(.failure(error))
  }

  private func ended() { completion(result) }

  private var result: Result<AppendReceipt, EventStoreError> {
    switch unsafe request.pointee.outcome {
    case .underWay: preconditionFailure("invariant broken: a sink was told of an append that is under way")
    case .appended:
      return .success(
        AppendReceipt(
          streams: appends.indices.map {
            unsafe receipt(request.pointee.parts[$0].firstVersion, request.pointee.parts[$0].firstPosition, $0)
          },
          wasKnown: false))
    case .wrongExpectedVersion(_, let actual) where appends.isEmpty:
      // Only a snapshot is refused so.
      guard case .snapshot(let snapshot, _)? = unsafe request.pointee.own else {
        preconditionFailure("invariant broken: an append of nothing was compared")
      }
      return .failure(.snapshotAhead(stream: snapshot.stream, version: snapshot.version, actual: actual))
    case .wrongExpectedVersion(let part, let actual):
      return repetition(
        or: .wrongExpectedVersion(stream: appends[part].stream, expected: appends[part].expected, actual: actual))
    case .known(let part, let event, _):
      return repetition(or: .idsPartlyKnown(stream: appends[part].stream, known: appends[part].events[event].id))
    case .tooLarge:
      return .failure(.invalid("the append does not fit into a segment of \(log.settings.segmentBytes) bytes: append in parts"))
    case .noSpace: return .failure(.noSpace("the file of the next segment cannot be made: give the disk room"))
    case .unavailable: return .failure(.failed(log.failureText))
    case .outcomeUnknown: return .failure(.outcomeUnknown(log.failureText))
    }
  }

  private func receipt(_ version: UInt64, _ position: UInt64, _ part: Int) -> AppendReceipt.Stream {
    let count = UInt64(appends[part].events.count)
    return AppendReceipt.Stream(
      firstVersion: version, lastVersion: version + count - 1, firstPosition: position, lastPosition: position + count - 1)
  }

  /// The append was refused: looks whether its events stand in their streams already.
  private func repetition(or error: EventStoreError) -> Result<AppendReceipt, EventStoreError> {
    var streams: [AppendReceipt.Stream] = []
    for (index, append) in appends.enumerated() {
      let first = unsafe request.pointee.parts[index].firstVersion
      let standing: [EventLog.Standing]
      do throws(EventStoreError) {
        standing = first == .max ? [] : try log.standing(append.stream, from: first, count: append.events.count)
      } catch { return .failure(error) }
      let ids = Set(append.events.map(\.id))
      let known = standing.filter { ids.contains($0.id) }
      if known.count == append.events.count, zip(standing, append.events).allSatisfy({ $0.id == $1.id }) {
        streams.append(receipt(first, standing[0].position, index))
      } else if let one = known.first {
        return .failure(.idsPartlyKnown(stream: append.stream, known: one.id))
      } else {
        // Streams before this one stand wholly: then the append as a whole is none that took place.
        return .failure(streams.isEmpty ? error : .idsPartlyKnown(stream: appends[0].stream, known: appends[0].events[0].id))
      }
    }
    return .success(AppendReceipt(streams: streams, wasKnown: true))
  }
}
