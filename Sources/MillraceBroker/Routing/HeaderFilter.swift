internal import Glibc

/// The fields of encoded headers, one after the other. Bytes that are no headers end it early; nothing outside of them is read.
@safe struct HeaderFields {
  private var rest: UnsafeRawBufferPointer
  // unsafe: parts of the bytes given to init, which outlive this value.
  private(set) var name: UnsafeRawBufferPointer
  private(set) var value: UnsafeRawBufferPointer
  private(set) var kind: UInt8 = 0

  /// unsafe: `bytes` outlive this value.
  @unsafe init(_ bytes: UnsafeRawBufferPointer) {
    unsafe rest = bytes
    unsafe name = UnsafeRawBufferPointer(rebasing: bytes[..<bytes.startIndex])
    unsafe value = name
  }

  /// Moves to the next field. False: there is none.
  mutating func next() -> Bool {
    // unsafe: each length is compared with what is left before it is used.
    guard let first = unsafe rest.first, unsafe rest.count >= Int(first) + 6 else { return false }
    let head = Int(first) + 6
    let length = unsafe Int(UInt32(littleEndian: rest.loadUnaligned(fromByteOffset: head - 4, as: UInt32.self)))
    guard unsafe rest.count - head >= length else { return false }
    unsafe name = UnsafeRawBufferPointer(rebasing: rest[1..<(head - 5)])
    kind = unsafe rest[head - 5]
    unsafe value = UnsafeRawBufferPointer(rebasing: rest[head..<(head + length)])
    unsafe rest = UnsafeRawBufferPointer(rebasing: rest[(head + length)...])
    return true
  }

  /// Of the names: below 0, 0, above 0, in the order in which headers are encoded.
  func compare(_ other: HeaderFields) -> Int {
    // unsafe: as many bytes as both have.
    let order = unsafe memcmp(name.baseAddress!, other.name.baseAddress!, min(name.count, other.name.count))
    return unsafe order != 0 ? Int(order) : name.count - other.name.count
  }

  /// Kind and value are the same, and are ones that equal something.
  func equals(_ other: HeaderFields) -> Bool {
    guard kind == other.kind, kind != Headers.Kind.nested, unsafe value.count == other.value.count else { return false }
    return unsafe value.isEmpty || memcmp(value.baseAddress!, other.value.baseAddress!, value.count) == 0
  }
}

/// What a binding of a headers exchange asks: a mode, and behind it the fields that are compared, as in `Headers`.
///
/// `all` and `any` leave out names that begin with `x-`; `all-with-x` and `any-with-x` only `x-match` itself.
struct HeaderFilter {
  let encoded: [UInt8]

  private static let all: UInt8 = 0
  private static let any: UInt8 = 1

  /// Throws `RoutingError.header` for another `x-match`, or for a value that equals nothing.
  init(_ arguments: Headers) throws(RoutingError) {
    var mode = (isAny: false, hasX: false)
    var kept: [(name: String, bytes: [UInt8])] = []
    for field in arguments.fields {
      if field.name == "x-match" {
        guard field.kind == Headers.Kind.bytes, let found = HeaderFilter.modes[String(decoding: field.value, as: UTF8.self)] else {
          throw .header("x-match", "is one of the texts all, any, all-with-x and any-with-x")
        }
        mode = found
      } else if field.kind == Headers.Kind.nested {
        throw .header(field.name, "lists, tables and NaN equal nothing: ask for its presence by a void value")
      } else {
        kept.append((field.name, field.bytes))
      }
    }
    if !mode.hasX { kept.removeAll { $0.name.hasPrefix("x-") } }
    encoded = [mode.isAny ? HeaderFilter.any : HeaderFilter.all] + kept.flatMap(\.bytes)
  }

  private static let modes: [String: (isAny: Bool, hasX: Bool)] = [
    "all": (false, false), "any": (true, false), "all-with-x": (false, true), "any-with-x": (true, true),
  ]

  /// Complexity: O(bytes of both): they are read side by side.
  ///
  /// unsafe: `filter` was made by this type.
  @unsafe static func matches(_ filter: UnsafeRawBufferPointer, _ headers: UnsafeRawBufferPointer) -> Bool {
    let isAny = unsafe filter[0] == any
    var wanted = unsafe HeaderFields(UnsafeRawBufferPointer(rebasing: filter[1...]))
    var given = unsafe HeaderFields(headers)
    var isGiven = given.next()
    while wanted.next() {
      while isGiven, given.compare(wanted) < 0 { isGiven = given.next() }
      let isThere = isGiven && given.compare(wanted) == 0 && (wanted.kind == Headers.Kind.void || wanted.equals(given))
      if isThere == isAny { return isAny }
    }
    return !isAny
  }
}
