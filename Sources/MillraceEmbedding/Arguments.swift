internal import CMillraceEmbedding
internal import Glibc
internal import Millrace

/// What callers pass, checked before it is used.
enum Arguments {
  /// Bytes of a struct, at most: a `size` beyond was never set.
  static let largestStruct = 4_096
  /// Bytes of a name or a path.
  static let longestName = 4_096
  /// Bytes of a JSON text of the configuration.
  static let longestJSON = 1 << 20

  /// A struct as far as it reaches; what is not there is 0. What a newer caller says that this library does not know is refused, not ignored. Throws `Failure`.
  ///
  /// unsafe: the caller's struct, which has as many bytes as its `size` says.
  @unsafe static func read<Struct: BitwiseCopyable>(_ pointer: UnsafePointer<Struct>?, _ name: String) throws(Failure) -> Struct {
    guard let pointer = unsafe pointer else { throw missing(name) }
    let bytes = unsafe UnsafeRawPointer(pointer)
    let size = try unsafe size(of: bytes, name)
    let known = MemoryLayout<Struct>.size
    for offset in stride(from: known, to: size, by: 1) where unsafe bytes.load(fromByteOffset: offset, as: UInt8.self) != 0 {
      throw Failure(
        .badVersion,
        "\(name) has \(size) bytes, and says something behind the \(known) that this library (\(Engine.version)) knows: use a newer one")
    }
    // unsafe: all of it is written before it is read, and zeros are a value of every struct of the interface.
    return unsafe withUnsafeTemporaryAllocation(byteCount: known, alignment: MemoryLayout<Struct>.alignment) { room in
      unsafe room.initializeMemory(as: UInt8.self, repeating: 0)
      unsafe room.baseAddress!.copyMemory(from: bytes, byteCount: min(size, known))
      return unsafe room.load(as: Struct.self)
    }
  }

  /// Writes a struct as far as the caller's reaches, but for its `size`. Throws `Failure`. unsafe: as `read`.
  @unsafe static func fill<Struct: BitwiseCopyable>(
    _ pointer: UnsafeMutablePointer<Struct>?, _ name: String, _ make: () throws -> Struct
  ) throws {
    guard let pointer = unsafe pointer else { throw missing(name) }
    let bytes = UnsafeMutableRawPointer(pointer)
    let size = try unsafe size(of: UnsafeRawPointer(bytes), name)
    let value = try make()
    unsafe withUnsafeBytes(of: value) { source in
      let count = min(size, source.count) - 4
      if count > 0 { unsafe (bytes + 4).copyMemory(from: source.baseAddress! + 4, byteCount: count) }
    }
  }

  private static func size(of bytes: UnsafeRawPointer, _ name: String) throws(Failure) -> Int {
    let size = Int(unsafe bytes.load(as: UInt32.self))
    guard (4...largestStruct).contains(size) else {
      throw Failure(.badArgument, "\(name).size is \(size): set it to sizeof(\(name)), and zero the rest")
    }
    return size
  }

  /// A place for what a call gives; NULL is refused before anything is done. Throws `Failure`.
  @unsafe static func place<Value>(_ pointer: UnsafeMutablePointer<Value>?, _ name: String) throws(Failure) -> UnsafeMutablePointer<Value> {
    guard let pointer = unsafe pointer else { throw missing(name) }
    return unsafe pointer
  }

  /// A text with a NUL at its end. Throws `Failure`.
  @unsafe static func text(_ pointer: UnsafePointer<CChar>?, _ name: String, limit: Int = longestName) throws(Failure) -> String {
    guard let text = try unsafe optionalText(pointer, name, limit: limit) else { throw missing(name) }
    return text
  }

  /// As above; nil: NULL.
  @unsafe static func optionalText(_ pointer: UnsafePointer<CChar>?, _ name: String, limit: Int = longestName) throws(Failure) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    let count = unsafe strnlen(pointer, limit + 1)
    if count > limit { throw Failure(.tooLarge, "\(name) has more than \(limit) bytes") }
    guard let text = unsafe String(validating: UnsafeRawBufferPointer(start: pointer, count: count), as: UTF8.self) else {
      throw Failure(.badArgument, "\(name) is no UTF-8")
    }
    return text
  }

  /// Bytes with their length beside them. Throws `Failure`.
  @unsafe static func bytes(_ pointer: UnsafeRawPointer?, _ length: UInt64, _ name: String, limit: Int) throws(Failure) -> [UInt8] {
    if length > UInt64(limit) { throw Failure(.tooLarge, "\(name) has \(length) bytes; \(limit) are taken") }
    guard let pointer = unsafe pointer else {
      if length == 0 { return [] }
      throw missing(name)
    }
    return unsafe Array(UnsafeRawBufferPointer(start: pointer, count: Int(length)))
  }

  /// The members of a JSON object by their names. Throws `Failure`.
  static func object(_ bytes: [UInt8], _ name: String) throws(Failure) -> [String: JSON] {
    let value: JSON
    do { value = try JSON(parsing: bytes) } catch { throw Failure(.badArgument, "\(name): \(error)") }
    guard let members = value.object else { throw Failure(.badArgument, "\(name) is no JSON object: write it as {\"name\": value}") }
    return Dictionary(members.map { ($0.name, $0.value) }) { first, _ in first }
  }

  /// Parameters of runs; NULL without a length: none. Throws `Failure`.
  @unsafe static func parameters(_ pointer: UnsafePointer<CChar>?, _ length: Int, _ name: String) throws(Failure) -> [String: JSON] {
    if unsafe pointer == nil && length == 0 { return [:] }
    return try object(
      unsafe bytes(UnsafeRawPointer(pointer), UInt64(UInt(bitPattern: length)), name, limit: Int(MILLRACE_PARAMETER_BYTES)), name)
  }

  static func missing(_ name: String) -> Failure { Failure(.badArgument, "\(name) is NULL") }
}

/// Memory that the caller gives back by `millrace_bytes_free`.
enum GivenBytes {
  /// Throws `Failure`. unsafe: as `Arguments.read`.
  @unsafe static func fill(
    _ pointer: UnsafeMutablePointer<millrace_bytes>?, _ name: String, _ make: () throws -> Payload
  ) throws {
    let place = try unsafe Arguments.place(pointer, name)
    if unsafe Int(place.pointee.size) < MemoryLayout<millrace_bytes>.size {
      throw Failure(.badArgument, "\(name).size is \(unsafe place.pointee.size): set it to sizeof(millrace_bytes)")
    }
    let payload = try make()
    let count = payload.bytes.count
    // unsafe: one byte more than is copied, for the NUL.
    guard let memory = unsafe malloc(count + 1) else { throw Failure(.system, "there are no \(count) bytes of memory") }
    unsafe memory.copyMemory(from: payload.bytes, byteCount: count)
    unsafe memory.storeBytes(of: 0, toByteOffset: count, as: UInt8.self)
    unsafe place.pointee.content_type = payload.contentType.rawValue
    unsafe place.pointee.data = memory
    unsafe place.pointee.length = UInt64(count)
  }
}
