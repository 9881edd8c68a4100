import CMillrace

/// The layout of the plugin interface that a plugin was compiled with, from the section `.millrace` of its file.
///
/// It is read and compared before any code of the plugin runs: fields that a plugin and its host have in different places would be memory corruption.
///
/// # Source
/// The format: `millrace_manifest` in `millrace/plugin.h`.
public struct PluginManifest: Sendable, Hashable {
  /// A struct, as "host", or a field, as "host.now".
  public struct Entry: Sendable, Hashable {
    /// As the header spells it, without `millrace_`.
    public let name: String
    /// Bytes from the start of the struct; 0 for a struct.
    public let offset: UInt32
    /// Bytes.
    public let size: UInt32

    /// The struct that it is, or is a field of.
    var owner: Substring { name[..<(name.firstIndex(of: ".") ?? name.endIndex)] }
    var isStruct: Bool { !name.contains(".") }
    /// Whether its size may be another one: whoever makes the struct says how large it is.
    package var mayGrow: Bool { isStruct && name != PluginManifest.fixed }
    package var kind: String { isStruct ? "struct" : "field" }
    /// In words.
    package var place: String { isStruct ? "of \(size) bytes" : "at byte \(offset) with \(size) bytes" }
  }

  /// Bytes of a manifest, at most.
  static let largest = 1 << 18

  /// `MILLRACE_ABI_VERSION` of the header.
  public let abiVersion: UInt32
  /// In the order of the header.
  public let entries: [Entry]

  init(abiVersion: UInt32, entries: [Entry]) {
    self.abiVersion = abiVersion
    self.entries = entries
  }

  /// - Throws: `badManifest`.
  /// - Complexity: O(bytes).
  init(parsing bytes: [UInt8], path: String) throws(PluginError) {
    func bad(_ reason: String) -> PluginError { .badManifest(path: path, reason: reason) }
    let header = MemoryLayout<millrace_manifest>.offset(of: \.entries)!
    let entryBytes = MemoryLayout<millrace_manifest_entry>.size
    guard bytes.count >= header else { throw bad("has \(bytes.count) bytes, expected \(header) or more") }
    guard bytes.starts(with: "MILLRACE".utf8) else { throw bad("does not begin with MILLRACE") }
    let (size, version): (UInt32, UInt32) = (bytes.integer(at: 8, as: UInt32.self), bytes.integer(at: 12, as: UInt32.self))
    guard version == MILLRACE_MANIFEST_VERSION else { throw bad("has version \(version), this host reads \(MILLRACE_MANIFEST_VERSION)") }
    guard size == bytes.count else {
      throw bad("says that it has \(size) bytes, and has \(bytes.count): is MILLRACE_MANIFEST() there twice?")
    }
    abiVersion = bytes.integer(at: 16, as: UInt32.self)
    let count = bytes.integer(at: 20, as: UInt32.self)
    guard UInt64(header) + UInt64(count) * UInt64(entryBytes) == UInt64(size) else { throw bad("has \(count) entries in \(size) bytes") }
    var entries: [Entry] = []
    var structs: [Substring: UInt32] = [:]
    var names: Set<String> = []
    for index in 0..<Int(count) {
      let start = header + index * entryBytes
      let text = bytes[start..<start + 40]
      let name = text.prefix { $0 != 0 }
      guard !name.isEmpty, name.count < text.count, name.allSatisfy(Self.isAllowed), text.dropFirst(name.count).allSatisfy({ $0 == 0 })
      else {
        throw bad("has no name in entry \(index)")
      }
      let entry = Entry(
        name: String(decoding: name, as: UTF8.self), offset: bytes.integer(at: start + 40, as: UInt32.self),
        size: bytes.integer(at: start + 44, as: UInt32.self))
      guard names.insert(entry.name).inserted else { throw bad("names \(entry.name) twice") }
      if entry.isStruct {
        structs[entry.owner] = entry.size
      } else {
        guard let whole = structs[entry.owner] else { throw bad("names \(entry.name) before its struct") }
        guard UInt64(entry.offset) + UInt64(entry.size) <= UInt64(whole) else {
          throw bad("has \(entry.name) beyond the \(whole) bytes of its struct")
        }
      }
      entries.append(entry)
    }
    self.entries = entries
  }

  /// That of a plugin's file, none of whose code runs.
  ///
  /// - Throws: as ``PluginLoader/load(_:sha256:named:)`` does before the dynamic linker sees the file, but for `foreignLayout`.
  /// - Complexity: O(bytes of the file).
  public init(ofFile path: String) throws(PluginError) {
    let copy = try PrivateCopy.make(of: path, limit: PluginLoader.largestFile)
    let file = try ObjectFile(checking: DescriptorBytes(descriptor: copy.descriptor, size: copy.size), path: path)
    guard let bytes = file.manifest else { throw .missingManifest(path: path) }
    try self.init(parsing: bytes, path: path)
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."): true
    default: false
    }
  }

  /// That of this host.
  static let host: PluginManifest = {
    // A constant of the compiler's.
    let bytes = unsafe Array(UnsafeRawBufferPointer(start: millrace_layout(), count: MemoryLayout<millrace_manifest>.size))
    do throws(PluginError) { return try PluginManifest(parsing: bytes, path: "this host") } catch { preconditionFailure("\(error)") }
  }()

  /// Whether a plugin with this manifest and a host can work together.
  ///
  /// Every field that both have must be at the same place with the same size; every field of version 1 must be there. A struct may be larger than the
  /// host's, or smaller: whoever made it says by its `size` which fields it has. `payload`, which has no `size`, must have the same.
  ///
  /// - Parameters:
  ///   - host: the host's own.
  ///   - required: the names of version 1.
  /// - Throws: `wrongABI`, `foreignLayout` with the first field.
  func check(
    against host: PluginManifest = .host, required: Set<String> = PluginManifest.required, path: String
  ) throws(PluginError) {
    guard abiVersion == host.abiVersion else { throw .wrongABI(path: path, plugin: abiVersion, host: host.abiVersion) }
    let own = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) })
    for expected in host.entries {
      guard let entry = own[expected.name] else {
        if required.contains(expected.name) {
          throw .foreignLayout(path: path, field: expected.name, plugin: "left out", host: expected.place)
        }
        continue
      }
      if expected.mayGrow { continue }
      guard entry == expected else { throw .foreignLayout(path: path, field: entry.name, plugin: entry.place, host: expected.place) }
    }
  }

  /// The struct without a `size`.
  private static let fixed = "payload"

  /// Whether every plugin of this interface has this struct or field.
  package static func isRequired(_ name: String) -> Bool { required.contains(name) }

  /// The names of version 1, which stand first in the host's own.
  static let required = Set(host.entries.prefix(Int(MILLRACE_REQUIRED_COUNT)).map(\.name))
}
