#if Postgres
  internal import MillraceLog

  /// The parameters of a prepared statement in PostgreSQL's binary format, one after the other in one run of bytes.
  struct Parameters {
    /// Never empty: an empty value points somewhere as well.
    private(set) var bytes: [UInt8] = [0]
    /// Where each begins; nil for null.
    private(set) var spans: [Range<Int>?] = []

    mutating func add(_ value: Int64) {
      let start = bytes.count
      append(value)
      spans.append(start..<bytes.count)
    }

    mutating func add(_ value: Int64?) {
      if let value { add(value) } else { spans.append(nil) }
    }

    mutating func add(_ value: String?) {
      guard let value else { return spans.append(nil) }
      let start = bytes.count
      bytes.append(contentsOf: value.utf8)
      spans.append(start..<bytes.count)
    }

    mutating func add(_ value: [UInt8]) {
      let start = bytes.count
      bytes.append(contentsOf: value)
      spans.append(start..<bytes.count)
    }

    // Arrays of one dimension: number of dimensions, whether there are nulls, type of the elements, their number, lower bound; then each with its length.

    mutating func add(array values: some Collection<Int64>) {
      array(of: 20, values) { parameters, value in
        parameters.append(Int32(8))
        parameters.append(value)
      }
    }

    mutating func add(array values: some Collection<Int32>) {
      array(of: 23, values) { parameters, value in
        parameters.append(Int32(4))
        parameters.append(value)
      }
    }

    mutating func add(array values: some Collection<String?>) {
      array(of: 25, values) { parameters, value in
        guard let utf8 = value?.utf8 else { return parameters.append(Int32(-1)) }
        parameters.append(Int32(utf8.count))
        parameters.bytes.append(contentsOf: utf8)
      }
    }

    mutating func add(array values: some Collection<EventID?>) {
      array(of: 2950, values) { parameters, value in
        guard let value else { return parameters.append(Int32(-1)) }
        parameters.append(Int32(16))
        parameters.append(value.high)
        parameters.append(value.low)
      }
    }

    mutating func add(array values: some Collection<[UInt8]?>) {
      array(of: 17, values) { parameters, value in
        guard let value else { return parameters.append(Int32(-1)) }
        parameters.append(Int32(value.count))
        parameters.bytes.append(contentsOf: value)
      }
    }

    private mutating func array<Values: Collection>(of type: Int32, _ values: Values, _ element: (inout Parameters, Values.Element) -> Void)
    {
      let start = bytes.count
      append(Int32(values.isEmpty ? 0 : 1))
      append(Int32(1))
      append(type)
      if !values.isEmpty {
        append(Int32(values.count))
        append(Int32(1))
        for value in values { element(&self, value) }
      }
      spans.append(start..<bytes.count)
    }

    private mutating func append(_ value: some FixedWidthInteger) {
      // unsafe: the bytes of a number.
      unsafe withUnsafeBytes(of: value.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }
  }
#endif
