/// What a trace says, file by file and name by name.
struct CrashHistory {
  /// A file or a directory. Number 0 is the directory that was watched.
  private(set) var files: [Int: FileHistory] = [:]
  private(set) var entries = EntryHistory()

  private var directories: Set<Int> = [0]
  private var nodes = 1
  /// The kernel gives numbers again: this is what they stand for now.
  private var inodes: [UInt64: Int] = [:]
  private var syncs: [Int: [Sync]] = [:]

  init(_ trace: RecordedTrace, before: DirectoryImage) throws(CrashImages.Fault) {
    if let call = trace.unseen.first { throw .unseen(call) }
    for path in before.directories.sorted() { entries.found(try name(path), makeNode(directory: true)) }
    for (path, bytes) in before.files.sorted(by: { $0.key < $1.key }) {
      let node = makeNode(directory: false)
      files[node] = FileHistory(bytes)
      entries.found(try name(path), node)
    }
    var returns: [UInt64: Int] = [:]
    for (index, record) in trace.records.enumerated() where record.phase == .end { returns[record.call] = index }
    for (index, record) in trace.records.enumerated() {
      switch record.phase {
      case .moment: break
      case .begin: try begin(record, index, returns[record.call].map { ($0, trace.records[$0]) })
      case .end: if record.kind == .open, record.result >= 0 { try bind(record) }
      }
    }
    for (node, list) in syncs { syncs[node] = list.sorted { $0.end < $1.end } }
    for node in files.keys { files[node]!.settle(syncs[node] ?? []) }
    entries.settle(syncs)
  }

  private mutating func makeNode(directory: Bool) -> Int {
    defer { nodes += 1 }
    if directory { directories.insert(nodes) }
    return nodes
  }

  private func node(_ path: String) -> Int? {
    var node = 0
    for name in path.split(separator: "/") {
      guard let next = entries.live[EntryHistory.Name(directory: node, name: String(name))] else { return nil }
      node = next
    }
    return node
  }

  private func name(_ path: String) throws(CrashImages.Fault) -> EntryHistory.Name {
    let parts = path.split(separator: "/")
    guard let last = parts.last, let directory = node(parts.dropLast().joined(separator: "/")) else { throw .unknownFile(path) }
    return EntryHistory.Name(directory: directory, name: String(last))
  }

  /// Which file a descriptor's number means. One that was open before, or that was there before, is known by its name.
  private mutating func bind(_ record: RecordedTrace.Record) throws(CrashImages.Fault) {
    if inodes[record.inode] != nil { return }
    guard let node = node(record.name) else { throw .unknownFile(record.name) }
    inodes[record.inode] = node
  }

  private mutating func bound(_ record: RecordedTrace.Record) throws(CrashImages.Fault) -> Int {
    try bind(record)
    return inodes[record.inode]!
  }

  private mutating func file(_ record: RecordedTrace.Record) throws(CrashImages.Fault) -> Int {
    let node = try bound(record)
    guard files[node] != nil else { throw .unknownFile(record.name) }
    guard record.offset <= FileHistory.limit, record.count <= FileHistory.limit - record.offset else { throw .tooLarge(record.name) }
    return node
  }

  private mutating func begin(_ record: RecordedTrace.Record, _ index: Int, _ returned: (index: Int, record: RecordedTrace.Record)?)
    throws(CrashImages.Fault)
  {
    let failed = returned.map { $0.record.result < 0 } ?? false
    let end = failed ? nil : returned?.index
    switch record.kind {
    case .mark, .unseen: break
    case .open: if !failed { try open(record, index, returned) }
    case .write: try write(record, index, returned)
    case .allocate, .truncate: if !failed { try resize(record, index, end) }
    case .sync: if let returned { try sync(record, Sync(begin: index, end: returned.index, succeeded: !failed)) }
    case .rename, .unlink, .removeDirectory, .link, .makeDirectory: if !failed { try change(record, index, returned) }
    }
  }

  private mutating func open(_ record: RecordedTrace.Record, _ index: Int, _ returned: (index: Int, record: RecordedTrace.Record)?)
    throws(CrashImages.Fault)
  {
    // Whoever died in an open made a file, or not.
    if returned?.record.created ?? (node(record.name) == nil) {
      let node = makeNode(directory: false)
      files[node] = FileHistory()
      entries.change([(try name(record.name), node)], begin: index, end: returned?.index)
      if let returned { inodes[returned.record.inode] = node }
    } else if record.flags & OpenFlags.truncates != 0 {
      guard let node = node(record.name), files[node] != nil else { throw .unknownFile(record.name) }
      files[node]!.setSize(0, begin: index, end: returned?.index)
    }
  }

  private mutating func write(_ record: RecordedTrace.Record, _ index: Int, _ returned: (index: Int, record: RecordedTrace.Record)?)
    throws(CrashImages.Fault)
  {
    let result = returned?.record.result ?? record.bytes.count
    // Only after EIO may something have been written.
    if result < 0, result != -OpenFlags.inputOutputError { return }
    let node = try file(record)
    let count = result < 0 ? record.bytes.count : result
    files[node]!.write(Array(record.bytes.prefix(count)), at: record.offset, begin: index, end: result < 0 ? nil : returned?.index)
    if record.flags & OpenFlags.dataSync != 0, count > 0 { files[node]!.settleLast() }
  }

  private mutating func resize(_ record: RecordedTrace.Record, _ index: Int, _ end: Int?) throws(CrashImages.Fault) {
    let node = try file(record)
    guard record.kind == .allocate else {
      files[node]!.setSize(record.offset, begin: index, end: end)
      return
    }
    let keepsSize = record.flags & 1 != 0
    switch record.flags & ~1 {
    case 0: if !keepsSize { files[node]!.extend(to: record.offset + record.count, begin: index, end: end) }
    case 0x02, 0x10:  // FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE
      files[node]!.write([UInt8](repeating: 0, count: record.count), at: record.offset, begin: index, end: end, extends: !keepsSize)
    default: throw .unseen("fallocate with mode \(record.flags)")
    }
  }

  private mutating func sync(_ record: RecordedTrace.Record, _ sync: Sync) throws(CrashImages.Fault) {
    if record.inode == 0 {
      for node in 0..<nodes { syncs[node, default: []].append(sync) }
    } else {
      syncs[try bound(record), default: []].append(sync)
    }
  }

  private mutating func change(_ record: RecordedTrace.Record, _ index: Int, _ returned: (index: Int, record: RecordedTrace.Record)?)
    throws(CrashImages.Fault)
  {
    let name = try name(record.name)
    let end = returned?.index
    if record.kind == .makeDirectory {
      let node = makeNode(directory: true)
      entries.change([(name, node)], begin: index, end: end)
      if let returned { inodes[returned.record.inode] = node }
      return
    }
    guard let node = entries.live[name] else { throw .unknownFile(record.name) }
    switch record.kind {
    case .rename:
      let target = try self.name(record.target)
      // Two names of one file: nothing happens.
      if entries.live[target] != node { entries.change([(name, nil), (target, node)], begin: index, end: end) }
    case .link: entries.change([(try self.name(record.target), node)], begin: index, end: end)
    default: entries.change([(name, nil)], begin: index, end: end)
    }
  }

  func isDirectory(_ node: Int) -> Bool { directories.contains(node) }
}
