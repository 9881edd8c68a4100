import Glibc
import MillracePluginKit

extension HandlerError {
  /// A failed system call on `path`, as the word that retry policies match.
  static func ofSystem(_ code: Int32, _ path: String) -> HandlerError {
    // The text is the C library's, copied at once.
    let message = unsafe "\(path): \(String(cString: strerror(code)))"
    return switch code {
    case ENOENT: .failed("not-found", message)
    case ENOTDIR: .failed("not-a-directory", message)
    case EACCES, EPERM: .failed("not-permitted", message)
    case EMFILE, ENFILE, ENOMEM: .retry("busy", message)
    default: .failed("io", message)
    }
  }
}

extension JSON {
  /// Null is taken as an empty object.
  ///
  /// - Throws: `bad-input` for another kind of value, or a member that is not in `known`.
  func refuseMembers(except known: [String]) throws(HandlerError) {
    switch self {
    case .null: return
    case .object(let members):
      guard let unknown = members.first(where: { !known.contains($0.name) }) else { return }
      throw .failed("bad-input", "input 0 has an unknown member \"\(unknown.name)\"; known: \(known.joined(separator: ", "))")
    default: throw .failed("bad-input", "input 0 is not an object")
    }
  }

  /// A member that may be absent or null.
  ///
  /// - Throws: `bad-input` if it is something else than `kind`.
  func optional<Value>(_ name: String, _ kind: String, _ read: (JSON) -> Value?) throws(HandlerError) -> Value? {
    guard let member = self[name], member != .null else { return nil }
    guard let value = read(member) else { throw .failed("bad-input", "\"\(name)\" is not \(kind)") }
    return value
  }
}

extension JSONWriter {
  /// A member that is a list of texts.
  mutating func names(_ name: String, _ texts: [String]) {
    self.name(name)
    beginArray()
    for text in texts { value(text) }
    endArray()
  }
}
