internal import Glibc

/// The folder of a definition: all that it may include lies below. A file is opened step by step from the open folder, no step follows a link, and what was
/// opened is what is looked at and read, whatever becomes of its name.
final class IncludeFolder: Sendable {
  /// Most files of a definition, itself not counted.
  static let maximumFiles = 64
  /// Files that include each other, the definition counted.
  static let maximumDepth = 8
  /// Most bytes of all of them together.
  static let maximumBytes = 16 << 20

  private static let fix = "write its path from the folder of the file that includes it"

  /// The folder, to stand before names in messages: `Examples/`, or nothing.
  let name: String
  /// -1: it cannot be opened.
  private let descriptor: Int32
  /// The definition itself, and how it is called; nil: it cannot be looked at.
  let definition: (file: Identity, name: String)?

  init(of path: String) {
    var status = stat()
    // A C string for the call, and what it fills in.
    let isThere = unsafe stat(path, &status) == 0
    definition = isThere ? (Identity(status), path) : nil
    name = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    // A C string for the call. The folder itself is what the user named, links and all.
    descriptor = unsafe open(name.isEmpty ? "." : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// What a file is whatever its names: device and number.
  struct Identity: Hashable {
    let device: UInt
    let number: UInt

    init(_ status: stat) {
      device = UInt(status.st_dev)
      number = UInt(status.st_ino)
    }
  }

  /// The file at `steps` below the folder: its bytes, at most `limit`, and which file it is.
  func read(_ steps: [String], limit: Int) -> Result<(bytes: [UInt8], file: Identity), FileBytes.Refusal> {
    var folder = descriptor
    defer { if folder != descriptor { close(folder) } }
    for step in steps.dropLast() {
      // A C string for the call.
      let next = unsafe openat(folder, step, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard next >= 0 else { return .failure(refusal(errno, in: folder, step)) }
      if folder != descriptor { close(folder) }
      folder = next
    }
    let last = steps.last ?? ""
    // Not blocking: opening a pipe must not wait for a writer.
    let file = unsafe openat(folder, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else { return .failure(refusal(errno, in: folder, last)) }
    defer { close(file) }
    var status = stat()
    // Filled in during the call.
    guard unsafe fstat(file, &status) == 0 else { return .failure(FileBytes.refusal(errno, fix: Self.fix)) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      return .failure(FileBytes.Refusal(code: .unreadable, message: "it is no regular file", fix: "include a file with templates"))
    }
    return FileBytes.read(file, limit: limit).map { ($0, Identity(status)) }
  }

  private func refusal(_ number: Int32, in folder: Int32, _ step: String) -> FileBytes.Refusal {
    var status = stat()
    // A C string for the call, and what it fills in.
    let isLink = unsafe fstatat(folder, step, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFLNK
    if isLink {
      return FileBytes.Refusal(
        code: .unreadable, message: "'\(step)' is a symbolic link, and none is followed", fix: "include the file itself")
    }
    return FileBytes.refusal(number, fix: Self.fix)
  }
}

/// Files that are being read, and have been.
struct IncludedFiles {
  var known: Set<IncludeFolder.Identity> = []
  /// The way to the file that is being read, the definition left out.
  var path: [(file: IncludeFolder.Identity, name: String, folder: [String])] = []
  var count = 0
  var bytes = 0
}

extension DefinitionDecoder {
  private static let includedKeys = ["format", "description", "include", "templates"]

  mutating func include(_ value: Located) {
    for element in list(value, "'include'", "files", fix: "write 'include: [common.yaml]'") {
      guard let name = text(element, "a file to include") else { continue }
      include(name, at: element.position)
    }
  }

  private mutating func include(_ name: String, at position: Position) {
    guard let folder else {
      return faults.add(
        .unreadable, "'\(name.prefix(200))' cannot be included: the definition is in no folder",
        fix: "read it from a file, or write the templates into it", at: position)
    }
    let steps = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    if name.isEmpty || name.utf8.contains(0) || steps.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
      return faults.add(
        .badValue, "'\(name.prefix(200))' does not lie in the folder of the file that includes it",
        fix: "write its path from there: no '/' first, no '.' and no '..'", at: position)
    }
    guard included.path.count + 1 < IncludeFolder.maximumDepth, included.count < IncludeFolder.maximumFiles else {
      let isDeep = included.path.count + 1 >= IncludeFolder.maximumDepth
      return faults.add(
        .limit,
        isDeep
          ? "files include each other more than \(IncludeFolder.maximumDepth) deep"
          : "more than \(IncludeFolder.maximumFiles) files are included",
        fix: "put templates that belong together into one file", at: position)
    }
    let whole = (included.path.last?.folder ?? []) + steps
    included.count += 1
    switch folder.read(whole, limit: IncludeFolder.maximumBytes - included.bytes) {
    case .success(let (bytes, file)):
      included.bytes += bytes.count
      include(bytes, file, whole, folder.name + whole.joined(separator: "/"), at: position)
    case .failure(let refusal):
      faults.add(refusal.code, "'\(name.prefix(200))' cannot be included: \(refusal.message)", fix: refusal.fix, at: position)
    }
  }

  private mutating func include(
    _ bytes: [UInt8], _ file: IncludeFolder.Identity, _ steps: [String], _ name: String, at position: Position
  ) {
    var way: [(file: IncludeFolder.Identity, name: String)] = []
    if let definition = folder?.definition { way.append(definition) }
    way += included.path.map { ($0.file, $0.name) }
    if let first = way.firstIndex(where: { $0.file == file }) {
      let circle = way[first...].map(\.name) + [way[first].name]
      return faults.add(
        .cycle, "files include each other: \(circle.joined(separator: " -> "))", fix: "remove one of them from 'include'", at: position)
    }
    // By two ways: its templates are there once.
    guard included.known.insert(file).inserted else { return }
    let outer = faults.file
    faults.file = name
    included.path.append((file, name, Array(steps.dropLast())))
    if let root = DefinitionReader.parse(bytes, name: name, &faults) { includedFile(root) }
    included.path.removeLast()
    faults.file = outer
  }

  private mutating func includedFile(_ root: Located) {
    let label = "a file that is included"
    guard let entries = map(root, label, Self.includedKeys, fix: "begin with 'format: 1' and 'templates:'") else { return }
    require(["format"], in: entries, of: label, examples: ["format: 1"], at: root.position)
    for entry in entries {
      switch entry.name {
      case "format": format(entry.value)
      case "description": _ = text(entry.value, "'description'")
      case "include": include(entry.value)
      case "templates": templates(entry.value)
      default: break
      }
    }
  }
}
