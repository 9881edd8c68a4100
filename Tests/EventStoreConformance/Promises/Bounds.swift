internal import MillraceLog
internal import Testing

extension EventStorePromise {
  private static func append(_ count: Int = 1, type: String = "t", content: String = EventDraft.json, tenant: String? = nil) -> StreamAppend
  {
    let events = (0..<count).map {
      EventDraft(id: EventID(high: 1, low: UInt64($0)), type: type, contentType: content, payload: [])
    }
    return StreamAppend(stream: .of("a"), tenant: tenant, events: events)
  }

  private static let longest = String(repeating: "x", count: EventLimits.name)
  private static let tooLong = longest + "x"
  private static let large = EventDraft(id: EventID(high: 2, low: 2), type: "t", payload: [UInt8](repeating: 7, count: EventLimits.payload))

  static let bounds = [
    EventStorePromise("an append that breaks a rule is refused with the rule, and nothing is written") { world in
      try await world.withStore { store in
        let twice = append(1)
        let streams = (0...EventLimits.streamsInAppend).map { StreamAppend(stream: .of("s-\($0)"), events: EventDraft.numbered(1...1)) }
        let wrong: [(what: String, appends: [StreamAppend])] = [
          ("no stream", []), ("no event", [append(0)]), ("a stream twice", [twice, twice]), ("too many streams", streams),
          ("too many events", [append(EventLimits.eventsInAppend + 1)]),
          ("an id twice", [StreamAppend(stream: .of("a"), events: [.numbered(1), .numbered(1)])]),
          ("no type", [append(type: "")]), ("a long type", [append(type: tooLong)]),
          ("a type with a control character", [append(type: "a\0b")]),
          ("no content type", [append(content: "")]), ("a long content type", [append(content: tooLong)]),
          ("no tenant's name", [append(tenant: "")]), ("a long tenant", [append(tenant: tooLong)]),
          (
            "too many bytes",
            [StreamAppend(stream: .of("a"), events: [large, EventDraft(id: EventID(high: 2, low: 3), type: "t", payload: [1])])]
          ),
        ]
        for (what, appends) in wrong {
          let error = try await storeError { try await store.append(appends) }
          guard case .invalid(let text) = error else {
            Issue.record("\(what): \(String(describing: error))")
            continue
          }
          #expect(text.count > 20 && error?.description == text, "\(what): \(text)")
        }
        #expect(try await store.end() == 0)
      }
    },
    EventStorePromise("an append up to all its bounds takes place") { world in
      try await world.withStore { store in
        _ = try await store.append([append(EventLimits.eventsInAppend, type: longest, content: longest, tenant: longest)])
        let streams = (0..<EventLimits.streamsInAppend).map {
          StreamAppend(
            stream: .of(String(repeating: "s", count: EventLimits.streamName - 3) + "-\($0 + 10)"), events: EventDraft.numbered(1...1))
        }
        #expect(try await store.append(streams).streams.count == EventLimits.streamsInAppend)
        let page = try await store.read(ReadRequest(.all, limit: EventLimits.eventsInPage))
        #expect(page.events.count == EventLimits.eventsInPage && page.events[0].type == longest && page.events[0].tenant == longest)
        #expect(try await store.end() - page.events[0].position == 4096 + 64 || !store.hasDensePositions)
      }
    },
    EventStorePromise("a read that breaks a rule is refused with the rule") { world in
      try await world.withStore { store in
        let wrong: [(what: String, request: ReadRequest)] = [
          ("no events", ReadRequest(.all, limit: 0)), ("fewer", ReadRequest(.all, limit: -1)),
          ("too many", ReadRequest(.all, limit: EventLimits.eventsInPage + 1)), ("no bytes", ReadRequest(.all, bytes: 0)),
          ("no category", ReadRequest(.category(""))), ("no tenant's name", ReadRequest(.all, tenant: "")),
          ("a long tenant", ReadRequest(.all, tenant: tooLong)),
        ]
        for (what, request) in wrong {
          let error = try await storeError { try await store.read(request) }
          guard case .invalid(let text) = error else {
            Issue.record("\(what): \(String(describing: error))")
            continue
          }
          #expect(text.count > 20, "\(what): \(text)")
        }
        #expect(try await store.read(ReadRequest(.all, from: .at(.max), limit: EventLimits.eventsInPage, bytes: .max)).events.isEmpty)
      }
    },
    EventStorePromise("a snapshot that breaks a rule is refused with the rule") { world in
      try await world.withStore { store in
        let stream = StreamName.of("a")
        try await store.append(stream, EventDraft.numbered(1...1))
        let wrong = [
          Snapshot(stream: stream, reducer: "", reducerVersion: 1, version: 0, state: []),
          Snapshot(stream: stream, reducer: tooLong, reducerVersion: 1, version: 0, state: []),
          Snapshot(
            stream: stream, reducer: "r", reducerVersion: 1, version: 0, state: [UInt8](repeating: 0, count: EventLimits.snapshot + 1)),
        ]
        for snapshot in wrong {
          guard case .invalid = try await storeError({ try await store.save(snapshot) }) else {
            Issue.record("a snapshot of \(snapshot.state.count) bytes by '\(snapshot.reducer)' is not refused")
            continue
          }
        }
        guard case .invalid = try await storeError({ try await store.snapshot(of: stream, reducer: tooLong) }) else {
          Issue.record("a long reducer's name is not refused")
          return
        }
      }
    },
  ]
}
