#if Postgres
  internal import CPostgres
  internal import MillraceLog

  /// Which server and database, and how to get there: libpq's parameters. Never shows the password.
  struct ServerTarget: Sendable {
    private var parameters: [String: String]

    /// Reads `postgresql://...` or `host=... dbname=...`.
    init(_ text: String) throws(EventStoreError) {
      parameters = [:]
      guard !text.utf8.contains(0), let options = unsafe PQconninfoParse(text, nil) else {
        // libpq's own words hold parts of the text, and so perhaps the password.
        throw .invalid(
          "the connection cannot be read: write postgresql://user@host:port/database?sslmode=verify-full or host=... dbname=... user=..., "
            + "with % and two hexadecimal digits, or quotes, for special characters")
      }
      // unsafe: an array of libpq that ends with a nil keyword, ours to free.
      defer { unsafe PQconninfoFree(options) }
      var option = unsafe options
      while let keyword = unsafe option.pointee.keyword {
        if let value = unsafe option.pointee.val { unsafe parameters[String(cString: keyword)] = String(cString: value) }
        unsafe option += 1
      }
      // A dead server or a dead network is noticed in seconds, not hours; what the caller gives goes before.
      let defaults = [
        "application_name": "millrace", "client_encoding": "UTF8", "keepalives_idle": "10", "keepalives_interval": "5",
        "keepalives_count": "3",
      ]
      parameters.merge(defaults) { given, _ in given }
      parameters["client_encoding"] = "UTF8"
    }

    /// Host, port and database, for errors.
    var place: String {
      let host = parameters["host"] ?? parameters["hostaddr"] ?? "the local socket"
      let port = parameters["port"].map { ":\($0)" } ?? ""
      return "PostgreSQL at \(host)\(port), database \(parameters["dbname"] ?? parameters["user"] ?? "of the user's name")"
    }

    /// What libpq says, on one line, with the place, what to do, and without the password.
    func described(_ text: String) -> String {
      var words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      if let password = parameters["password"], password.utf8.count > 2 { words = words.replacing(password, with: "***") }
      return "\(place): \(words)"
    }

    /// A connection that has begun to connect; nil: no memory.
    func begin() -> OpaquePointer? {
      let pairs = parameters.sorted { $0.key < $1.key }
      return unsafe ServerTarget.withTexts(pairs.map(\.key)) { keywords in
        unsafe ServerTarget.withTexts(pairs.map(\.value)) { values in
          // unsafe: two arrays of texts that end with nil, which libpq copies.
          unsafe PQconnectStartParams(keywords, values, 0)
        }
      }
    }

    private static func withTexts<Value>(_ texts: [String], _ body: ([UnsafePointer<CChar>?]) -> Value) -> Value {
      var bytes: [CChar] = []
      var starts: [Int] = []
      for text in texts {
        starts.append(bytes.count)
        bytes.append(contentsOf: text.utf8.lazy.map { CChar(bitPattern: $0) })
        bytes.append(0)
      }
      return unsafe bytes.withUnsafeBufferPointer { buffer in
        // unsafe: they point into `buffer`, for as long as `body` takes.
        var pointers: [UnsafePointer<CChar>?] = unsafe starts.map { unsafe buffer.baseAddress! + $0 }
        unsafe pointers.append(nil)
        return unsafe body(pointers)
      }
    }
  }
#endif
