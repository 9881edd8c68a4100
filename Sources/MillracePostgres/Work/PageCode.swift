#if Postgres
  internal import MillraceLog

  /// Reads as parameters of the page statements, and their rows as pages: see `PageStatement`.
  enum PageCode {
    /// Payload bytes of a page at most: it stands in memory twice.
    private static let mostBytes = 64 << 20

    static func parameters(_ request: ReadRequest, now: Int64) -> Parameters {
      var parameters = Parameters()
      switch request.scope {
      case .stream(let name): parameters.add(name.description)
      case .category(let name): parameters.add(name)
      case .all: parameters.add(String?.none)
      }
      switch (request.start, request.direction) {
      case (.at(let start), _): parameters.add(Int64(clamping: start))
      case (.edge, .forward): parameters.add(Int64(0))
      case (.edge, .backward): parameters.add(Int64.max)
      }
      parameters.add(Int64(request.limit))
      parameters.add(Int64(min(request.bytes, mostBytes)))
      parameters.add(now)
      if let tenant = request.tenant { parameters.add(tenant) }
      return parameters
    }

    static func page(_ request: ReadRequest, _ rows: Rows) -> EventPage {
      let isForward = request.direction == .forward
      var page = EventPage(events: [], next: nil, isLast: true, lastVersion: nil)
      let stream: StreamName? = if case .stream(let name) = request.scope { name } else { nil }
      let start: UInt64 = if case .at(let start) = request.start { start } else { 0 }
      guard rows.count > 0 else {
        // There is no such stream.
        page.next = isForward ? start : nil
        return page
      }
      page.events.reserveCapacity(rows.count)
      for row in 0..<rows.count {
        if let event = event(rows, row, stream) { page.events.append(event) }
      }
      page.isLast = page.events.isEmpty || rows.isNull(rows.count - 1, 16)
      let end = rows.integer(0, 0)
      if stream != nil { page.lastVersion = end < 0 ? nil : UInt64(end) }
      let last = page.events.last.map { stream == nil ? $0.position : $0.version }
      if !page.isLast, let last {
        // Backward, something lies before it.
        page.next = isForward ? last + 1 : last - 1
      } else if isForward {
        // All up to the end has been looked at: of a stream its last version, else the next position.
        page.next = max(start, stream == nil ? UInt64(max(0, end)) : UInt64(max(0, end + 1)))
      }
      return page
    }

    /// nil: the row is of a scope without events.
    private static func event(_ rows: Rows, _ row: Int, _ stream: StreamName?) -> RecordedEvent? {
      if rows.isNull(row, 1) { return nil }
      guard let stream = stream ?? rows.text(row, 13).flatMap({ try? StreamName($0) }) else { return nil }
      return RecordedEvent(
        position: UInt64(max(0, rows.integer(row, 1))), stream: stream, version: UInt64(max(0, rows.integer(row, 2))),
        tenant: rows.text(row, 8),
        id: rows.id(row, 4) ?? EventID(high: 0, low: 0), type: rows.text(row, 9) ?? "", typeVersion: UInt16(clamping: rows.integer(row, 7)),
        contentType: rows.text(row, 10) ?? "", payload: rows.bytes(row, 12), correlation: rows.id(row, 5), causation: rows.id(row, 6),
        trace: rows.trace(row, 11), time: rows.integer(row, 3))
    }
  }
#endif
