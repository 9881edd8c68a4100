internal import Glibc
internal import MillraceCore

/// The files that a pattern names, in the order of their paths: what a task with `foreach: { files: ... }` is done for. Reads directories, so that it runs in
/// the blocking pool.
///
/// The parts of a pattern, between slashes, are those of a shell: `*`, `?` and `[...]` stand for characters, for a leading dot only where one is written; `**`
/// for directories at any depth. Regular files count. Links are followed where they are written out, and nowhere else.
@safe struct FileListing {
  /// Longest JSON text of all paths.
  static let maximumBytes = 64 << 20
  /// Directories inside each other.
  static let maximumDepth = 128

  /// Why there is no list.
  struct Refusal: Error {
    let type: String
    let message: String
  }

  private var paths: [[UInt8]] = []
  private var bytes = 0
  private var count = 0
  private let isStopped: () -> Bool

  /// `isStopped` is asked at each file. Throws `Refusal`, `ItemList.TooMany`; nil: it was stopped.
  static func list(_ pattern: String, in directory: String?, isStopped: @escaping () -> Bool) throws -> ItemList? {
    var listing = FileListing(isStopped: isStopped)
    let isAbsolute = pattern.hasPrefix("/")
    if isAbsolute, let directory {
      throw Refusal(type: "bad-input", message: "the pattern '\(pattern)' is absolute, so that it cannot be in '\(directory)'")
    }
    // `**` twice is what it is once.
    let parts = pattern.split(separator: "/").map(String.init).reduce(into: [String]()) {
      if $1 != "**" || $0.last != "**" { $0.append($1) }
    }
    guard !parts.isEmpty, !pattern.utf8.contains(0), directory?.isEmpty != true, directory?.utf8.contains(0) != true else {
      throw Refusal(type: "bad-input", message: "'\(directory.map { $0 + "/" } ?? "")\(pattern)' is no pattern for files")
    }
    let base = isAbsolute ? "/" : directory.map { $0.hasSuffix("/") ? $0 : $0 + "/" } ?? ""
    guard try listing.walk(base, parts[...], depth: 0) else { return nil }
    return try listing.items()
  }

  private init(isStopped: @escaping () -> Bool) { self.isStopped = isStopped }

  private static func isPattern(_ part: String) -> Bool { part.utf8.contains { "*?[\\".utf8.contains($0) } }

  /// False: it was stopped. `base` is empty or ends in a slash.
  private mutating func walk(_ base: String, _ parts: ArraySlice<String>, depth: Int) throws -> Bool {
    guard let part = parts.first else { return true }
    if isStopped() { return false }
    let rest = parts.dropFirst()
    if part == "**" { return try below(base, rest, depth: depth) }
    if Self.isPattern(part) { return try matches(base, part, rest, depth: depth) }
    if !rest.isEmpty { return try walk(base + part + "/", rest, depth: depth) }
    var status = stat()
    // unsafe: `status` outlives the call.
    guard unsafe stat(base + part, &status) == 0 else {
      if errno == ENOENT { return true }
      throw Self.refusal(errno, base + part)
    }
    if status.st_mode & S_IFMT == S_IFREG { add(base + part) }
    return true
  }

  /// Entries whose names fit `part`.
  private mutating func matches(_ base: String, _ part: String, _ rest: ArraySlice<String>, depth: Int) throws -> Bool {
    for entry in try entries(base, mayBeMissing: depth > 0) where unsafe fnmatch(part, entry.name, FNM_PERIOD) == 0 {
      if isStopped() { return false }
      if rest.isEmpty {
        if entry.kind == S_IFREG { add(base + entry.name) }
      } else if entry.kind == S_IFDIR {
        guard try walk(base + entry.name + "/", rest, depth: depth + 1) else { return false }
      }
    }
    return true
  }

  /// This directory and those below it.
  private mutating func below(_ base: String, _ rest: ArraySlice<String>, depth: Int) throws -> Bool {
    if depth > Self.maximumDepth {
      throw Refusal(type: "too-deep", message: "\(base) is more than \(Self.maximumDepth) directories deep")
    }
    // `**` at the end stands for all files.
    guard try walk(base, rest.isEmpty ? ["*"] : rest, depth: depth) else { return false }
    for entry in try entries(base, mayBeMissing: depth > 0) where entry.kind == S_IFDIR && !entry.name.hasPrefix(".") {
      guard try below(base + entry.name + "/", rest, depth: depth + 1) else { return false }
    }
    return true
  }

  private struct Entry {
    let name: String
    let kind: mode_t
  }

  private func entries(_ base: String, mayBeMissing: Bool) throws -> [Entry] {
    let path = base.isEmpty ? "." : base
    guard let directory = unsafe opendir(path) else {
      // What was found a moment ago may have gone.
      if mayBeMissing, errno == ENOENT || errno == ENOTDIR { return [] }
      throw Self.refusal(errno, path)
    }
    // unsafe: opened above, closed here.
    defer { unsafe closedir(directory) }
    let descriptor = unsafe dirfd(directory)
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { preconditionFailure("a C struct has offsets") }
    var entries: [Entry] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(directory) else {
        guard errno == 0 else { throw Self.refusal(errno, path) }
        return entries
      }
      // unsafe: the entry, and its name in it, stay until the next `readdir`. By address: an entry is only as long as its name.
      let bytes = unsafe UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: CChar.self)
      guard let name = unsafe String(validatingCString: bytes) else {
        throw Refusal(type: "bad-name", message: "the name of a file in \(path) is not UTF-8, so that it cannot be an item")
      }
      if name == "." || name == ".." { continue }
      var status = stat()
      // unsafe: `status` outlives the call.
      guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
        if errno == ENOENT { continue }
        throw Self.refusal(errno, path + name)
      }
      entries.append(Entry(name: name, kind: status.st_mode & S_IFMT))
    }
  }

  private mutating func add(_ path: String) {
    count += 1
    bytes += path.utf8.count + 3
    if count <= Foreach.maximumItems, bytes <= Self.maximumBytes { paths.append(Array(path.utf8)) }
  }

  private mutating func items() throws -> ItemList {
    if count > Foreach.maximumItems { throw ItemList.TooMany(count: UInt64(count)) }
    if bytes > Self.maximumBytes {
      throw Refusal(type: "too-large", message: "the paths of \(count) files have \(bytes) bytes; at most \(Self.maximumBytes) are taken")
    }
    paths.sort { $0.lexicographicallyPrecedes($1) }
    // Two ways may lead to one file: `**/a/**`.
    var text: [UInt8] = [UInt8(ascii: "[")]
    text.reserveCapacity(bytes + 2)
    var last: [UInt8]?
    for path in paths where path != last {
      if last != nil { text.append(UInt8(ascii: ",")) }
      text += JSON.quoted(String(decoding: path, as: UTF8.self)).utf8
      last = path
    }
    text.append(UInt8(ascii: "]"))
    let kept = KeptBytes(text)
    return try ItemList.elements(of: kept.bytes, kept: kept)
  }

  private static func refusal(_ number: Int32, _ path: String) -> Refusal {
    // unsafe: strerror gives a string that lives until the next call on this thread.
    let reason = unsafe String(cString: strerror(number))
    let type =
      switch number {
      case ENOENT: "not-found"
      case ENOTDIR: "not-a-directory"
      case EACCES, EPERM: "permission-denied"
      default: "io"
      }
    return Refusal(type: type, message: "\(path): \(reason)")
  }
}
