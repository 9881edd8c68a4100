import Glibc
import MillracePluginKit

/// `files/list`: the regular files of a directory, in the order of their names, each with its size.
///
/// Input 0: `{"directory", "pattern", "recursive", "limit"}`. Output: `{"directory", "files": [{"path", "bytes"}], "count",
/// "bytes", "missing": [path], "unreadable": [path], "unnameable": n}`: what vanished while it was listed, directories
/// below that may not be read, and how many names are not UTF-8 and so cannot be said in JSON.
///
/// Errors: `bad-input`, `not-found`, `not-a-directory`, `not-permitted`, `too-many`, `too-deep`, `too-large`, `io`.
@Sendable func listFiles(_ call: borrowing Call) throws(HandlerError) -> Output {
  var listing = try Listing(call.json(ofInput: 0))
  try listing.walk(call)
  return .json(listing.output())
}

struct Listing {
  /// Files, unless `limit` says otherwise.
  static let defaultLimit: Int64 = 100_000
  static let largestLimit: Int64 = 1_000_000
  /// Directories inside each other; each holds a descriptor open.
  static let deepest = 128

  static let schema = """
    {"type":"object","required":["directory"],"additionalProperties":false,"properties":{"directory":{"type":"string","minLength":1},\
    "pattern":{"type":"string","description":"shell pattern for the file's name, as *.txt"},"recursive":{"type":"boolean","default":false},\
    "limit":{"type":"integer","minimum":1,"maximum":1000000,"default":100000}}}
    """

  private let directory: String
  private let pattern: String?
  private let isRecursive: Bool
  private let limit: Int
  private var files: [(path: String, bytes: Int64)] = []
  private var missing: [String] = []
  private var unreadable: [String] = []
  private var unnameable = 0

  init(_ input: JSON) throws(HandlerError) {
    try input.refuseMembers(except: ["directory", "pattern", "recursive", "limit"])
    guard let directory = input["directory"]?.string, !directory.isEmpty, !directory.utf8.contains(0) else {
      throw .failed("bad-input", "input 0 needs \"directory\", a path")
    }
    self.directory = directory
    pattern = try input.optional("pattern", "a string") { $0.string }
    isRecursive = try input.optional("recursive", "true or false") { $0.bool } ?? false
    let limit = try input.optional("limit", "an integer") { $0.integer } ?? Self.defaultLimit
    guard (1...Self.largestLimit).contains(limit) else {
      throw .failed("bad-input", "\"limit\" is \(limit), expected 1 to \(Self.largestLimit)")
    }
    self.limit = Int(limit)
  }

  mutating func walk(_ call: borrowing Call) throws(HandlerError) {
    // The directory itself may be named through a link; below it none is followed.
    let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .ofSystem(errno, directory) }
    try walk(descriptor, path: directory, depth: 1, call)
    files.sort { $0.path < $1.path }
  }

  /// Takes over `descriptor`.
  private mutating func walk(_ descriptor: Int32, path: String, depth: Int, _ call: borrowing Call) throws(HandlerError) {
    guard let entries = unsafe fdopendir(descriptor) else {
      let code = errno
      close(descriptor)
      throw .ofSystem(code, path)
    }
    // Closes the descriptor as well.
    defer { unsafe closedir(entries) }
    guard depth <= Self.deepest else { throw .failed("too-deep", "\(path) is more than \(Self.deepest) directories deep") }
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { preconditionFailure("a C struct has offsets") }
    let prefix = path.hasSuffix("/") ? path : path + "/"
    while true {
      try call.checkCancellation()
      errno = 0
      guard let entry = unsafe readdir(entries) else {
        guard errno == 0 else { throw .ofSystem(errno, path) }
        return
      }
      // The entry, and its name in it, stay until the next `readdir`. By address: an entry is only as long as its name.
      let bytes = unsafe UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: CChar.self)
      guard let name = unsafe String(validatingCString: bytes) else {
        unnameable += 1
        continue
      }
      if name == "." || name == ".." { continue }
      try visit(name, in: descriptor, path: prefix + name, depth: depth, call)
    }
  }

  private mutating func visit(
    _ name: String, in descriptor: Int32, path: String, depth: Int, _ call: borrowing Call
  ) throws(HandlerError) {
    var status = stat()
    // `status` outlives the call.
    guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return try note(errno, path) }
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      guard pattern.map({ unsafe fnmatch($0, name, 0) == 0 }) ?? true else { return }
      guard files.count < limit else {
        throw .failed("too-many", "\(directory) holds more than \(limit) files: raise \"limit\" or narrow \"pattern\"")
      }
      files.append((path, Int64(status.st_size)))
    case S_IFDIR where isRecursive:
      // A directory that was replaced by a link since is not followed either.
      let below = unsafe openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
      guard below >= 0 else { return try note(errno, path) }
      try walk(below, path: path, depth: depth + 1, call)
    default: break
    }
  }

  /// What happens to single entries does not end the listing.
  private mutating func note(_ code: Int32, _ path: String) throws(HandlerError) {
    switch code {
    case ENOENT, ENOTDIR, ELOOP: missing.append(path)
    case EACCES, EPERM: unreadable.append(path)
    default: throw .ofSystem(code, path)
    }
  }

  func output() -> JSONWriter {
    var json = JSONWriter(reservingBytes: 256 + files.count * 64)
    json.beginObject()
    json.name("directory")
    json.value(directory)
    json.name("files")
    json.beginArray()
    for file in files {
      json.beginObject()
      json.name("path")
      json.value(file.path)
      json.name("bytes")
      json.value(file.bytes)
      json.endObject()
    }
    json.endArray()
    json.name("count")
    json.value(files.count)
    json.name("bytes")
    json.value(files.reduce(0) { $0 + $1.bytes })
    json.names("missing", missing.sorted())
    json.names("unreadable", unreadable.sorted())
    json.name("unnameable")
    json.value(unnameable)
    json.endObject()
    return json
  }
}
