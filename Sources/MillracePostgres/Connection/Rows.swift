#if Postgres
  internal import CPostgres
  internal import MillraceLog

  /// What a statement answered. Cells are read by place; those of prepared statements are binary.
  @safe
  final class Rows {
    private let result: OpaquePointer

    /// Takes the result over.
    init(_ result: OpaquePointer) { unsafe self.result = result }

    // unsafe: nobody else has the result.
    deinit { unsafe PQclear(result) }

    var count: Int { unsafe Int(PQntuples(result)) }
    var status: ExecStatusType { unsafe PQresultStatus(result) }

    var failure: Failure {
      let code = field("C") ?? ""
      let message = field("M") ?? "an error without a text"
      let text = field("D").map { "\(message) (\($0))" } ?? message
      // After these the server does not go on with this connection, or is no longer the one to write to.
      let severity = field("V")
      let isLost = severity == "FATAL" || severity == "PANIC" || code.hasPrefix("08") || code == "25006"
      return isLost ? .lost("\(text) (SQLSTATE \(code))") : .refused(code: code, text: text)
    }

    /// `code`: a field of the protocol's error messages. libpq's names for them are macros that Swift cannot see.
    private func field(_ code: Unicode.Scalar) -> String? {
      // unsafe: text that ends with 0 and lives as long as the result, or none.
      guard let text = unsafe PQresultErrorField(result, Int32(code.value)) else { return nil }
      return unsafe String(cString: text)
    }

    func isNull(_ row: Int, _ column: Int) -> Bool { unsafe PQgetisnull(result, Int32(row), Int32(column)) == 1 }

    /// The cell's bytes: those of the result, for as long as `body` takes.
    func with<Value>(_ row: Int, _ column: Int, _ body: (Span<UInt8>) -> Value) -> Value {
      let length = unsafe Int(PQgetlength(result, Int32(row), Int32(column)))
      guard length > 0, let start = unsafe PQgetvalue(result, Int32(row), Int32(column)) else { return body(Span()) }
      // unsafe: the result has so many bytes there, and lives as long as we do.
      let cell = unsafe UnsafeRawBufferPointer(start: start, count: length).assumingMemoryBound(to: UInt8.self)
      return unsafe body(Span(_unsafeElements: cell))
    }

    /// An integer of any width.
    func integer(_ row: Int, _ column: Int) -> Int64 {
      with(row, column) { cell in
        guard !cell.isEmpty else { return 0 }
        var value: Int64 = cell[0] & 0x80 == 0 ? 0 : -1
        for index in 0..<cell.count { value = value << 8 | Int64(cell[index]) }
        return value
      }
    }

    func integerOrNil(_ row: Int, _ column: Int) -> Int64? { isNull(row, column) ? nil : integer(row, column) }

    func id(_ row: Int, _ column: Int) -> EventID? {
      if isNull(row, column) { return nil }
      return with(row, column) { cell in EventID(high: Self.word(cell, 0), low: Self.word(cell, 8)) }
    }

    func trace(_ row: Int, _ column: Int) -> EventTrace? {
      if isNull(row, column) { return nil }
      return with(row, column) { cell in
        guard cell.count == 25 else { return nil }
        return EventTrace(trace: EventID(high: Self.word(cell, 0), low: Self.word(cell, 8)), span: Self.word(cell, 16), flags: cell[24])
      }
    }

    private static func word(_ cell: Span<UInt8>, _ start: Int) -> UInt64 {
      var word: UInt64 = 0
      for index in start..<min(start + 8, cell.count) { word = word << 8 | UInt64(cell[index]) }
      return word
    }

    func bytes(_ row: Int, _ column: Int) -> [UInt8] {
      with(row, column) { cell in
        // unsafe: as much room as the cell has bytes.
        unsafe [UInt8](unsafeUninitializedCapacity: cell.count) { room, count in
          unsafe cell.withUnsafeBufferPointer { source in unsafe _ = room.initialize(from: source) }
          count = cell.count
        }
      }
    }

    /// The text of a text column, binary or not.
    func text(_ row: Int, _ column: Int) -> String? {
      isNull(row, column) ? nil : String(decoding: bytes(row, column), as: UTF8.self)
    }
  }
#endif
