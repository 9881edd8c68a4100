import Glibc
import MillracePluginKit

/// The files that `files/hash` and `files/statistics` work on.
///
/// Named in input 0, `{"files": [path]}`, they must be there: the first that is not, or may not be read, fails the task. Without
/// "files" they come from the outputs of the dependencies, `{"files": [{"path"}]}` as `files/list` writes it: what was
/// listed may have vanished since, so such a file is reported under `missing` or `unreadable` instead.
struct FileSelection {
  /// Files in one call.
  static let largestCount = 1_000_000

  static let schema = """
    {"type":["object","null"],"additionalProperties":false,"properties":{"files":{"type":"array","items":{"type":"string","minLength":1},\
    "description":"without it: the files that the dependencies list"}}}
    """

  let paths: [String]
  let mustExist: Bool

  init(_ call: borrowing Call) throws(HandlerError) {
    let input: JSON = call.inputCount > 0 ? try call.json(ofInput: 0) : .null
    try input.refuseMembers(except: ["files"])
    var paths: [String] = []
    if let files = input["files"] {
      guard let named = files.array else { throw .failed("bad-input", "\"files\" in input 0 is not an array") }
      try Self.append(named, to: &paths, from: "input 0") { $0.string }
      mustExist = true
    } else {
      guard call.inputCount > 1 else { throw .failed("bad-input", "input 0 has no \"files\", and no dependency lists any") }
      for index in 1..<call.inputCount {
        let name = try call.inputName(index)
        guard let listed = try call.json(ofInput: index)["files"]?.array else {
          throw .failed("bad-input", "the output of \(name) has no \"files\"")
        }
        try Self.append(listed, to: &paths, from: "the output of \(name)") { $0["path"]?.string }
      }
      mustExist = false
    }
    self.paths = paths
  }

  private static func append(
    _ values: [JSON], to paths: inout [String], from source: String, _ path: (JSON) -> String?
  ) throws(HandlerError) {
    guard paths.count + values.count <= largestCount else {
      throw .failed("too-many", "\(paths.count + values.count) files, the limit is \(largestCount)")
    }
    for (index, value) in values.enumerated() {
      guard let path = path(value), !path.isEmpty, !path.utf8.contains(0) else {
        throw .failed("bad-input", "file \(index) of \(source) is not a path")
      }
      paths.append(path)
    }
  }
}

/// One pass over the selected files: reads each in blocks, writes the output.
///
/// Blocks are read with `pread`, not mapped: a file that is cut off while it is mapped raises SIGBUS, which a plugin cannot
/// catch without taking the signal from the whole process.
@safe struct FilePass: ~Copyable {
  static let blockBytes = 1 << 18

  private let selection: FileSelection
  // Freed in `deinit`.
  private let block: UnsafeMutableBufferPointer<UInt8>
  private var missing: [String] = []
  private var unreadable: [String] = []
  private(set) var json: JSONWriter
  private var count = 0
  private var bytes: Int64 = 0

  init(_ call: borrowing Call) throws(HandlerError) {
    selection = try FileSelection(call)
    json = JSONWriter(reservingBytes: 256 + selection.paths.count * 128)
    // Last: what throws above runs no `deinit`.
    unsafe block = .allocate(capacity: FilePass.blockBytes)
  }

  deinit { unsafe block.deallocate() }

  /// Runs `begin`, `update` for each block, and `end`, which writes the file's own members, for each file; then `totals`.
  ///
  /// Looks for cancellation and says that it is alive at each file and each block.
  mutating func run<State: ~Copyable>(
    _ call: borrowing Call, begin: () throws(HandlerError) -> State, update: (inout State, Span<UInt8>) -> Void,
    end: (consuming State, inout JSONWriter) -> Void, totals: (inout JSONWriter) -> Void
  ) throws(HandlerError) -> Output {
    json.beginObject()
    json.name("files")
    json.beginArray()
    for (index, path) in selection.paths.enumerated() {
      try call.checkCancellation()
      call.heartbeat(perMille: index * 1_000 / selection.paths.count)
      guard let file = try open(path) else { continue }
      defer { close(file) }
      var state = try begin()
      let size = try read(file, path: path, call) { update(&state, $0) }
      count += 1
      bytes += size
      json.beginObject()
      json.name("path")
      json.value(path)
      json.name("bytes")
      json.value(size)
      end(state, &json)
      json.endObject()
    }
    json.endArray()
    json.name("count")
    json.value(count)
    json.name("bytes")
    json.value(bytes)
    totals(&json)
    json.names("missing", missing)
    json.names("unreadable", unreadable)
    json.endObject()
    return .json(json)
  }

  /// The descriptor of a regular file; nil if it was noted as missing or unreadable.
  private mutating func open(_ path: String) throws(HandlerError) -> Int32? {
    // Not blocking: a pipe must not wait for a writer.
    let file = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard file >= 0 else {
      let code = errno
      if selection.mustExist { throw .ofSystem(code, path) }
      switch code {
      case ENOENT, ENOTDIR: missing.append(path)
      case EACCES, EPERM, ENXIO: unreadable.append(path)
      default: throw .ofSystem(code, path)
      }
      return nil
    }
    var status = stat()
    // `status` outlives the call.
    guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(file)
      if selection.mustExist { throw .failed("not-a-file", "\(path) is not a regular file") }
      unreadable.append(path)
      return nil
    }
    return file
  }

  /// Hands each block to `body` until the end of the file.
  ///
  /// - Returns: the bytes that were read.
  private func read(
    _ file: Int32, path: String, _ call: borrowing Call, _ body: (Span<UInt8>) -> Void
  ) throws(HandlerError) -> Int64 {
    var offset: Int64 = 0
    while true {
      try call.checkCancellation()
      // At most `blockBytes` are written.
      let got = unsafe pread(file, block.baseAddress, Self.blockBytes, off_t(offset))
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .ofSystem(errno, path) }
      guard got > 0 else { return offset }
      body(unsafe Span(_unsafeElements: UnsafeBufferPointer(rebasing: block[..<got])))
      offset += Int64(got)
    }
  }
}
