/// What the doc comments of the contract bound, looked at before a store does anything: every implementation refuses the same with the same words.
extension EventStoreError {
  package static func fault(in appends: [StreamAppend]) -> EventStoreError? {
    guard 1...EventLimits.streamsInAppend ~= appends.count else {
      return .invalid("an append is for 1 to \(EventLimits.streamsInAppend) streams, this one for \(appends.count)")
    }
    var streams = Set<StreamName>()
    var events = 0
    var bytes = 0
    for append in appends {
      guard streams.insert(append.stream).inserted else {
        return .invalid("stream \(append.stream) is named twice in one append: name it once")
      }
      if let fault = fault(in: append) { return fault }
      events += append.events.count
      for event in append.events { bytes += event.payload.count }
    }
    if events > EventLimits.eventsInAppend {
      return .invalid("an append has up to \(EventLimits.eventsInAppend) events, this one \(events): make several of it")
    }
    if bytes > EventLimits.bytesInAppend {
      return .invalid(
        "an append has up to \(EventLimits.bytesInAppend) payload bytes, this one \(bytes): keep large data elsewhere, by reference")
    }
    return nil
  }

  private static func fault(in append: StreamAppend) -> EventStoreError? {
    if append.events.isEmpty { return .invalid("there are no events for stream \(append.stream): an append has one at least") }
    if let tenant = append.tenant, let fault = fault(inName: tenant, of: "a tenant") { return fault }
    var ids = Set<EventID>()
    for event in append.events {
      if !ids.insert(event.id).inserted {
        return .invalid("two events for stream \(append.stream) have the id \(event.id): each has its own")
      }
      if let fault = fault(inName: event.type, of: "an event's type") ?? fault(inName: event.contentType, of: "a content type") {
        return fault
      }
      if event.payload.count > EventLimits.payload {
        return .invalid(
          "a payload has up to \(EventLimits.payload) bytes, that of event \(event.id) \(event.payload.count): keep it elsewhere, by reference"
        )
      }
    }
    return nil
  }

  package static func fault(in request: ReadRequest) -> EventStoreError? {
    guard 1...EventLimits.eventsInPage ~= request.limit else {
      return .invalid("a page has 1 to \(EventLimits.eventsInPage) events, \(request.limit) were asked for")
    }
    if request.bytes < 1 { return .invalid("a page has room for 1 byte at least, \(request.bytes) were asked for") }
    if case .category(let category) = request.scope, let fault = fault(inName: category, of: "a category", most: EventLimits.streamName) {
      return fault
    }
    return request.tenant.flatMap { fault(inName: $0, of: "a tenant") }
  }

  package static func fault(in snapshot: Snapshot) -> EventStoreError? {
    if snapshot.state.count > EventLimits.snapshot {
      return .invalid("a snapshot has up to \(EventLimits.snapshot) bytes, this one of stream \(snapshot.stream) \(snapshot.state.count)")
    }
    return fault(inReducer: snapshot.reducer)
  }

  package static func fault(inReducer name: String) -> EventStoreError? { fault(inName: name, of: "a reducer") }

  static func fault(inName name: String, of what: String, most: Int = EventLimits.name) -> EventStoreError? {
    let utf8 = name.utf8
    guard 1...most ~= utf8.count else { return .invalid("the name of \(what) has 1 to \(most) bytes, this one \(utf8.count)") }
    if utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return .invalid("the name of \(what) has no control characters") }
    return nil
  }
}
