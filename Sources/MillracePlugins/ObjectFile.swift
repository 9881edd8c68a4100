import CMillrace
import Glibc

/// The headers of an ELF shared object, checked before the dynamic linker sees the file.
///
/// `dlopen` maps what the headers name and touches it: a file that ends too early kills the process with SIGBUS. Here
/// every range that a header names must lie within the file, and every count has a bound. The file is read with `pread`
/// into buffers, never mapped. This keeps out files that are cut off, of the wrong kind or for another machine; it is no
/// defence against a file made to do harm, for a plugin is code with all the rights of the process.
///
/// Source: System V Application Binary Interface, chapters 4 and 5; glibc `elf/dl-load.c`.
struct ObjectFile {
  static let largestSegmentCount = 128
  static let largestSectionCount = 16_384
  static let largestNameTable: UInt64 = 1 << 20
  /// The largest span of addresses that the segments may reserve.
  static let largestSpan: UInt64 = 4 << 30

  /// Whether code of the Swift runtime is inside, so that the object can never be unmapped: it has sections named
  /// `swift5_...`. True as well if there are no sections, for then nobody can tell.
  let mustStay: Bool
  /// The bytes of the section `.millrace`, where the manifest is; nil: it has none, or no sections at all.
  let manifest: [UInt8]?

  /// Checks the file behind `source`.
  ///
  /// - Throws: `notELF`, `notSharedObject`, `truncated`, `damaged`, `wrongArchitecture`.
  /// - Complexity: O(segments + sections + their names).
  init(checking source: some ObjectBytes, path: String) throws(PluginError) {
    let reader = ObjectReader(source: source, path: path)
    let header = try ObjectHeader(reader)
    try Self.checkSegments(header, reader)
    (mustStay, manifest) = try Self.checkSections(header, reader)
  }

  /// Program headers: each range in the file, loadable segments ascending, the dynamic table inside one of them.
  private static func checkSegments(_ header: ObjectHeader, _ reader: ObjectReader<some ObjectBytes>) throws(PluginError) {
    guard header.segmentCount > 0 else { throw reader.damaged("it has no program headers") }
    guard header.segmentCount <= largestSegmentCount else {
      throw reader.damaged("\(header.segmentCount) program headers, the limit is \(largestSegmentCount)")
    }
    guard header.segmentSize == Segment.bytes else {
      throw reader.damaged("a program header has \(header.segmentSize) bytes instead of \(Segment.bytes)")
    }
    let table = try reader.bytes(
      at: header.segmentOffset, count: header.segmentCount * Segment.bytes, part: "the program header table")
    let segments = (0..<header.segmentCount).map { Segment(table, at: $0 * Segment.bytes) }
    var loaded: [Segment] = []
    for (index, segment) in segments.enumerated() {
      if segment.kind == Segment.load || segment.fileBytes > 0 {
        try reader.require(segment.offset, segment.fileBytes, part: "segment \(index)")
      }
      guard segment.kind == Segment.load else { continue }
      guard segment.fileBytes <= segment.memoryBytes else {
        throw reader.damaged("segment \(index) has more bytes in the file than in memory")
      }
      let (end, overflow) = segment.address.addingReportingOverflow(segment.memoryBytes)
      guard !overflow, end <= largestSpan else { throw reader.damaged("segment \(index) ends beyond \(largestSpan) bytes of addresses") }
      guard segment.alignment & (segment.alignment &- 1) == 0 else {
        throw reader.damaged("segment \(index) has alignment \(segment.alignment)")
      }
      if let last = loaded.last, segment.address < last.address + last.memoryBytes {
        throw reader.damaged("segment \(index) begins inside the one before it")
      }
      loaded.append(segment)
    }
    guard !loaded.isEmpty else { throw reader.damaged("nothing in it is to be loaded") }
    guard let dynamic = segments.first(where: { $0.kind == Segment.dynamic }) else { throw reader.damaged("it has no dynamic table") }
    guard loaded.contains(where: { $0.holds(dynamic) }) else { throw reader.damaged("its dynamic table is not loaded") }
  }

  /// Section headers: each range in the file. They end most files, so that a cut shows here first. Returns whether the object must stay, and its
  /// manifest.
  private static func checkSections(
    _ header: ObjectHeader, _ reader: ObjectReader<some ObjectBytes>
  ) throws(PluginError) -> (mustStay: Bool, manifest: [UInt8]?) {
    if header.sectionOffset == 0 && header.sectionCount == 0 { return (true, nil) }
    guard (1...largestSectionCount).contains(header.sectionCount) else {
      throw reader.damaged("\(header.sectionCount) section headers, expected 1 to \(largestSectionCount)")
    }
    guard header.sectionSize == Section.bytes else {
      throw reader.damaged("a section header has \(header.sectionSize) bytes instead of \(Section.bytes)")
    }
    let table = try reader.bytes(
      at: header.sectionOffset, count: header.sectionCount * Section.bytes, part: "the section header table")
    let sections = (0..<header.sectionCount).map { Section(table, at: $0 * Section.bytes) }
    for (index, section) in sections.enumerated() where section.kind != Section.noBits && section.kind != Section.null {
      try reader.require(section.offset, section.fileBytes, part: "section \(index)")
    }
    guard header.nameSection < header.sectionCount else {
      throw reader.damaged("the section names are in section \(header.nameSection) of \(header.sectionCount)")
    }
    let nameSection = sections[header.nameSection]
    guard header.nameSection != 0, nameSection.kind == Section.strings else { return (true, nil) }
    guard nameSection.fileBytes <= largestNameTable else {
      throw reader.damaged("\(nameSection.fileBytes) bytes of section names, the limit is \(largestNameTable)")
    }
    let names = try reader.bytes(at: nameSection.offset, count: Int(nameSection.fileBytes), part: "the section names")
    let mustStay = sections.contains { names.dropFirst(Int($0.name)).starts(with: "swift5_".utf8) }
    return (mustStay, try manifest(sections, names, reader))
  }

  private static func manifest(
    _ sections: [Section], _ names: [UInt8], _ reader: ObjectReader<some ObjectBytes>
  ) throws(PluginError) -> [UInt8]? {
    let wanted = Array(MILLRACE_MANIFEST_SECTION.utf8) + [0]
    let found = sections.filter { $0.kind == Section.bits && names.dropFirst(Int($0.name)).starts(with: wanted) }
    guard let section = found.first else { return nil }
    guard found.count == 1 else { throw reader.damaged("it has \(found.count) sections named \(MILLRACE_MANIFEST_SECTION)") }
    guard section.fileBytes <= UInt64(PluginManifest.largest) else {
      throw .badManifest(path: reader.path, reason: "has \(section.fileBytes) bytes, the limit is \(PluginManifest.largest)")
    }
    return try reader.bytes(at: section.offset, count: Int(section.fileBytes), part: "the section \(MILLRACE_MANIFEST_SECTION)")
  }
}

/// The first 64 bytes of an ELF file for this machine.
struct ObjectHeader {
  static let bytes = 64

  let segmentOffset: UInt64
  let segmentSize: Int
  let segmentCount: Int
  let sectionOffset: UInt64
  let sectionSize: Int
  let sectionCount: Int
  let nameSection: Int

  init(_ reader: ObjectReader<some ObjectBytes>) throws(PluginError) {
    guard reader.source.size > 0 else { throw .notELF(path: reader.path, found: "is empty") }
    let start = try reader.bytes(at: 0, count: Int(min(UInt64(Self.bytes), reader.source.size)), part: "the ELF header")
    let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    guard start.starts(with: magic.prefix(start.count)) else {
      let shown = start.prefix(4).map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
      }
      throw .notELF(path: reader.path, found: "begins with the bytes \(shown.joined(separator: " "))")
    }
    try reader.require(0, UInt64(Self.bytes), part: "the ELF header")

    // Other word sizes and byte orders place the fields elsewhere: name them before reading on.
    let (wordClass, byteOrder) = (start[4], start[5])
    guard (1...2).contains(wordClass), (1...2).contains(byteOrder) else {
      throw reader.damaged("class \(wordClass), byte order \(byteOrder)")
    }
    let machine = byteOrder == 1 ? start.integer(at: 18, as: UInt16.self) : start.integer(at: 18, as: UInt16.self).byteSwapped
    guard wordClass == 2, byteOrder == 1, machine == Architecture.host else {
      let file = Architecture.name(machine, wide: wordClass == 2, little: byteOrder == 1)
      throw .wrongArchitecture(path: reader.path, file: file, host: Architecture.name(Architecture.host, wide: true, little: true))
    }
    guard start[6] == 1, start.integer(at: 20, as: UInt32.self) == 1 else { throw reader.damaged("an unknown version of ELF") }
    switch start.integer(at: 16, as: UInt16.self) {
    case 3: break
    case 1: throw .notSharedObject(path: reader.path, kind: "object file")
    case 2: throw .notSharedObject(path: reader.path, kind: "program")
    case 4: throw .notSharedObject(path: reader.path, kind: "core dump")
    case let other: throw .notSharedObject(path: reader.path, kind: "file of type \(other)")
    }
    segmentOffset = start.integer(at: 32, as: UInt64.self)
    sectionOffset = start.integer(at: 40, as: UInt64.self)
    segmentSize = Int(start.integer(at: 54, as: UInt16.self))
    segmentCount = Int(start.integer(at: 56, as: UInt16.self))
    sectionSize = Int(start.integer(at: 58, as: UInt16.self))
    sectionCount = Int(start.integer(at: 60, as: UInt16.self))
    nameSection = Int(start.integer(at: 62, as: UInt16.self))
  }
}

private struct Segment {
  static let bytes = 56
  static let load: UInt32 = 1
  static let dynamic: UInt32 = 2

  let kind: UInt32
  let offset: UInt64
  let address: UInt64
  let fileBytes: UInt64
  let memoryBytes: UInt64
  let alignment: UInt64

  init(_ table: [UInt8], at start: Int) {
    kind = table.integer(at: start, as: UInt32.self)
    offset = table.integer(at: start + 8, as: UInt64.self)
    address = table.integer(at: start + 16, as: UInt64.self)
    fileBytes = table.integer(at: start + 32, as: UInt64.self)
    memoryBytes = table.integer(at: start + 40, as: UInt64.self)
    alignment = table.integer(at: start + 48, as: UInt64.self)
  }

  /// Whether `other` lies in the bytes that this segment takes from the file. Both file ranges were checked before.
  func holds(_ other: Segment) -> Bool {
    other.address >= address && other.address - address <= fileBytes && other.memoryBytes <= fileBytes - (other.address - address)
  }
}

private struct Section {
  static let bytes = 64
  static let null: UInt32 = 0
  static let bits: UInt32 = 1
  static let strings: UInt32 = 3
  static let noBits: UInt32 = 8

  let name: UInt32
  let kind: UInt32
  let offset: UInt64
  let fileBytes: UInt64

  init(_ table: [UInt8], at start: Int) {
    name = table.integer(at: start, as: UInt32.self)
    kind = table.integer(at: start + 4, as: UInt32.self)
    offset = table.integer(at: start + 24, as: UInt64.self)
    fileBytes = table.integer(at: start + 32, as: UInt64.self)
  }
}

/// The processors that messages name.
enum Architecture {
  #if arch(x86_64)
    static let host: UInt16 = 62
  #elseif arch(arm64)
    static let host: UInt16 = 183
  #endif

  static func name(_ machine: UInt16, wide: Bool, little: Bool) -> String {
    let name =
      switch machine {
      case 3: "i386"
      case 8: "MIPS"
      case 20: "PowerPC"
      case 21: "PowerPC 64"
      case 22: "S/390"
      case 40: "ARM"
      case 62: "x86-64"
      case 183: "AArch64"
      case 243: "RISC-V"
      case 258: "LoongArch"
      default: "machine \(machine)"
      }
    return "\(name) (\(wide ? 64 : 32)-bit, \(little ? "little" : "big")-endian)"
  }
}
