#if Postgres
  internal import MillraceLog

  /// Appends as the parameters of the function `append`, and its rows as receipts: see `Migration`.
  enum AppendCode {
    static func parameters(_ group: [PendingAppend], session: Session, searchedFrom: UInt64?) -> Parameters {
      var streams: [StreamName] = []
      var places: [StreamName: Int32] = [:]
      var appends: [StreamAppend] = []
      var stream: [Int32] = []
      var firsts: [Int32] = []
      var times: [Int64] = []
      var owners: [Int32] = []
      var events: [EventDraft] = []
      for pending in group {
        for append in pending.appends {
          appends.append(append)
          times.append(pending.time)
          firsts.append(Int32(events.count + 1))
          let place = places[append.stream] ?? Int32(streams.count + 1)
          if place > streams.count {
            streams.append(append.stream)
            places[append.stream] = place
          }
          stream.append(place)
          events.append(contentsOf: append.events)
          owners.append(contentsOf: repeatElement(Int32(appends.count), count: append.events.count))
        }
      }
      var parameters = Parameters()
      parameters.add(session.lock)
      parameters.add(session.channel)
      parameters.add(Int64(EventLimits.idWindow))
      parameters.add(searchedFrom.map { Int64(clamping: $0) })
      parameters.add(array: streams.lazy.map { Optional($0.description) })
      parameters.add(array: streams.lazy.map { Optional($0.category) })
      parameters.add(array: group.lazy.map { Int32($0.appends.count) })
      parameters.add(array: stream)
      parameters.add(array: appends.lazy.map { code(of: $0.expected) })
      parameters.add(array: firsts)
      parameters.add(array: appends.lazy.map { Int32($0.events.count) })
      parameters.add(array: appends.lazy.map(\.tenant))
      parameters.add(array: times)
      parameters.add(array: owners)
      parameters.add(array: events.lazy.map { Optional($0.id) })
      parameters.add(array: events.lazy.map { Optional($0.type) })
      parameters.add(array: events.lazy.map { Int32($0.typeVersion) })
      parameters.add(array: events.lazy.map { Optional($0.contentType) })
      parameters.add(array: events.lazy.map { Optional($0.payload) })
      parameters.add(array: events.lazy.map(\.correlation))
      parameters.add(array: events.lazy.map(\.causation))
      parameters.add(array: events.lazy.map { $0.trace.map(bytes) })
      return parameters
    }

    private static func code(of expected: ExpectedVersion) -> Int64 {
      switch expected {
      // No stream has a version beyond: it is refused as any other wrong one.
      case .exact(let version): Int64(clamping: version)
      case .noStream: -1
      case .any: -2
      case .streamExists: -3
      }
    }

    private static func bytes(of trace: EventTrace) -> [UInt8] {
      var bytes: [UInt8] = []
      for word in [trace.trace.high, trace.trace.low, trace.span] {
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
      }
      bytes.append(trace.flags)
      return bytes
    }

    static func result(of pending: PendingAppend, _ rows: Rows, from first: Int) -> Result<AppendReceipt, EventStoreError> {
      var receipt = AppendReceipt(streams: [], wasKnown: false)
      for (offset, append) in pending.appends.enumerated() {
        let row = first + offset
        switch rows.integer(row, 0) {
        case 0, 1:
          receipt.streams.append(
            AppendReceipt.Stream(
              firstVersion: number(rows, row, 1), lastVersion: number(rows, row, 2), firstPosition: number(rows, row, 3),
              lastPosition: number(rows, row, 4)))
          // Known, but from before its connection was lost: it is this append that has written them, as their time shows.
          if rows.integer(row, 0) == 1, pending.losses == 0 || rows.integer(row, 6) != pending.time { receipt.wasKnown = true }
        case 2:
          let actual = rows.integer(row, 1)
          return .failure(
            .wrongExpectedVersion(stream: append.stream, expected: append.expected, actual: actual < 0 ? nil : UInt64(actual)))
        case 3:
          return .failure(.idsPartlyKnown(stream: append.stream, known: rows.id(row, 5) ?? append.events[0].id))
        default: continue
        }
      }
      return .success(receipt)
    }

    private static func number(_ rows: Rows, _ row: Int, _ column: Int) -> UInt64 { UInt64(max(0, rows.integer(row, column))) }
  }
#endif
