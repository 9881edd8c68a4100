internal import Glibc

/// Why a run does not start for want of a secret. Never holds a value.
public enum SecretError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A definition names a secret, and the engine has no source of any. `task`: the first that needs it.
  case noSource(name: String, task: String)
  /// The source has no secret of this name. `task`: the first that needs it.
  case missing(name: String, task: String)
  /// The secret could not be read: `reason` says why, without a byte of it.
  case unreadable(name: String, reason: String)
  /// Readable or changeable by users who should not.
  case exposed(path: String, reason: String)
  /// The value is too short, too long, or holds a NUL: `reason` says which.
  case unfit(name: String, reason: String)

  public var description: String {
    switch self {
    case .noSource(let name, let task):
      "task \(task) needs the secret \(name), and no secrets are to be had: name a source (--secrets, --secrets-env)"
    case .missing(let name, let task): "task \(task) needs the secret \(name), which is not there: add it to the source of secrets"
    case .unreadable(let name, let reason): "the secret \(name) cannot be read: \(reason)"
    case .exposed(let path, let reason): "\(path) \(reason): `chmod go-rwx` it, and think about changing what it holds"
    case .unfit(let name, let reason): "the secret \(name) \(reason)"
    }
  }
}

/// Where the secrets of runs come from. Each secret that a definition names is read once, when its run starts.
public struct SecretSource: Sendable {
  /// Longest secret, bytes: 64 KiB.
  public static let maximumBytes = 64 << 10
  /// Shortest, bytes: shorter ones could not be kept out of messages, for they would be found everywhere.
  public static let minimumBytes = 4

  private let read: @Sendable (String) throws(SecretError) -> [UInt8]?

  /// `read` gives the value of a secret, nil if there is none of that name. It may be called on any thread.
  public init(_ read: @escaping @Sendable (_ name: String) throws(SecretError) -> [UInt8]?) { self.read = read }

  /// This source, and for what it does not have, another.
  public func or(_ other: SecretSource) -> SecretSource {
    SecretSource { name throws(SecretError) in
      if let value = try read(name) { return value }
      return try other.read(name)
    }
  }

  func value(_ name: String, for task: String) throws(SecretError) -> [UInt8] {
    guard let value = try read(name) else { throw .missing(name: name, task: task) }
    if value.count < Self.minimumBytes {
      throw .unfit(name: name, reason: "has \(value.count) bytes: at least \(Self.minimumBytes) are needed")
    }
    if value.count > Self.maximumBytes {
      throw .unfit(name: name, reason: "has \(value.count) bytes: at most \(Self.maximumBytes) are taken")
    }
    if value.contains(0) || String(validating: value, as: UTF8.self) == nil {
      throw .unfit(name: name, reason: "is not text in UTF-8, without NUL")
    }
    return value
  }

  // MARK: Sources

  /// The variables of this process whose names begin with `prefix`: `prefix` + NAME is the secret NAME. They are taken out of the environment,
  /// so that no child inherits them.
  ///
  /// unsafe: changes the environment: before any other thread has been started.
  @unsafe public static func takingEnvironment(prefix: String) -> SecretSource {
    var values: [String: [UInt8]] = [:]
    var names: [String] = []
    var entry: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe environ
    // unsafe: a list of C texts that ends in NULL, and nobody else changes.
    while let text = unsafe entry?.pointee {
      let bytes = unsafe Array(UnsafeBufferPointer(start: text, count: strlen(text))).map { UInt8(bitPattern: $0) }
      unsafe entry = entry.map { unsafe $0 + 1 }
      guard bytes.starts(with: prefix.utf8), let equals = bytes.firstIndex(of: UInt8(ascii: "=")), equals > prefix.utf8.count else {
        continue
      }
      let name = String(decoding: bytes[..<equals], as: UTF8.self)
      names.append(name)
      values[String(name.dropFirst(prefix.count))] = Array(bytes[(equals + 1)...])
    }
    for name in names { unsafe unsetenv(name) }
    let kept = values
    return SecretSource { name throws(SecretError) in kept[name] }
  }

  /// The files of a directory: the file NAME is the secret NAME, without a line break at its end. Links are followed.
  ///
  /// Throws `exposed` if others than its owner may change the directory. A file that everybody may read or change, or its group may change,
  /// is refused in the same words when its secret is asked for.
  public static func directory(_ path: String) throws(SecretError) -> SecretSource {
    var status = stat()
    // unsafe: the path lives through the call, which fills the struct.
    guard unsafe stat(path, &status) == 0 else { throw .unreadable(name: "directory \(path)", reason: reason()) }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw .unreadable(name: "directory \(path)", reason: "it is no directory") }
    if status.st_mode & 0o022 != 0 { throw .exposed(path: path, reason: "can be changed by others") }
    return SecretSource { name throws(SecretError) in
      guard name.utf8.allSatisfy(isWord) else { return nil }
      return try file("\(path)/\(name)", name)
    }
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "_"), UInt8(ascii: "-"): true
    default: false
    }
  }

  private static func file(_ path: String, _ name: String) throws(SecretError) -> [UInt8]? {
    // unsafe: the path lives through the call. A pipe must not hold us up.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard file >= 0 else {
      if errno == ENOENT { return nil }
      throw .unreadable(name: name, reason: reason())
    }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw .unreadable(name: name, reason: reason()) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(name: name, reason: "it is no regular file") }
    if status.st_mode & 0o007 != 0 { throw .exposed(path: path, reason: "can be read or changed by everybody") }
    if status.st_mode & 0o020 != 0 { throw .exposed(path: path, reason: "can be changed by its group") }
    var bytes = [UInt8](repeating: 0, count: maximumBytes + 3)
    var length = 0
    while length < bytes.count {
      // unsafe: the array's own bytes, during the call.
      let got = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress! + length, $0.count - length) }
      if got < 0 {
        if errno == EINTR { continue }
        throw .unreadable(name: name, reason: reason())
      }
      if got == 0 { break }
      length += got
    }
    bytes.removeLast(bytes.count - length)
    if bytes.last == 0x0A { bytes.removeLast() }
    if bytes.last == 0x0D { bytes.removeLast() }
    return bytes
  }

  private static func reason() -> String {
    // unsafe: lives until the next call on this thread; copied at once.
    unsafe String(cString: strerror(errno))
  }
}
