import MillraceFaults
import Testing

/// What a crash may leave, rule by rule, in traces small enough that every image can be listed.
@Suite struct CrashRulesTests {
  static func sectors(_ bytes: UInt8...) -> [UInt8] { bytes.flatMap { [UInt8](repeating: $0, count: 512) } }

  /// Sectors by their first byte: "ab" is a sector of a and one of b, "." one of zeros.
  static func short(_ bytes: [UInt8]?) -> String {
    guard let bytes else { return "absent" }
    return stride(from: 0, to: bytes.count, by: 512).map { index in
      let byte = bytes[index]
      #expect(bytes[index..<min(index + 512, bytes.count)].allSatisfy { $0 == byte })
      return byte == 0 ? "." : String(UnicodeScalar(byte))
    }.joined()
  }

  static let a = UInt8(ascii: "a"), b = UInt8(ascii: "b"), c = UInt8(ascii: "c")

  /// All images at the end of a trace (or at a point of it), each said in a word.
  static func all(
    _ writer: TraceWriter, before: [String: [UInt8]] = [:], at point: Int? = nil,
    _ word: (DirectoryImage) -> String = { short($0.files["f"]) }
  ) throws -> Set<String> {
    var image = DirectoryImage()
    image.files = before
    let images = try CrashImages(try writer.trace, before: image)
    let moment = images.moment(at: point ?? writer.count)
    var found: Set<String> = []
    let isComplete = moment.forEach(limit: 100_000) { found.insert(word($0.directory)) }
    #expect(isComplete)
    // What seeds find is among them, but for sizes between: they are not enumerated.
    if !before.isEmpty { for seed in 0..<200 as Range<UInt64> { #expect(found.contains(word(moment.image(seed: seed).directory))) } }
    return found
  }

  static func written(_ writes: TraceWriter.Call...) -> TraceWriter {
    var writer = TraceWriter()
    for write in writes { writer.all(write) }
    return writer
  }

  @Test("a write that is not synced is absent, whole or torn; a synced one is there")
  func torn() throws {
    var writer = Self.written(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a, Self.a)))
    let before = ["f": Self.sectors(Self.c, Self.c, Self.c)]
    #expect(try Self.all(writer, before: before) == ["ccc", "acc", "cac", "aac"])
    writer.all(TraceWriter.sync(2, "f"))
    #expect(try Self.all(writer, before: before) == ["aac"])
    // Inside of the sync nothing is sure yet.
    #expect(try Self.all(writer, before: before, at: 3).count == 4)
  }

  @Test("a write may be there though an earlier one is not, and a sector holds no more than one moment")
  func reordered() throws {
    let before = ["f": Self.sectors(Self.c, Self.c)]
    let apart = Self.written(
      TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a)), TraceWriter.write(2, "f", at: 512, Self.sectors(Self.b)))
    #expect(try Self.all(apart, before: before) == ["cc", "ac", "cb", "ab"])
    let same = Self.written(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a)), TraceWriter.write(2, "f", at: 0, Self.sectors(Self.b)))
    #expect(try Self.all(same, before: before) == ["cc", "ac", "bc"])
    let halves = Self.written(TraceWriter.write(2, "f", at: 0, [1]), TraceWriter.write(2, "f", at: 1, [2]))
    #expect(try Self.all(halves, before: ["f": [0, 0]]) { "\($0.files["f"]!)" } == ["[0, 0]", "[1, 0]", "[1, 2]"])
  }

  @Test("the size of a file may be there without its bytes, which are zeros then, and be missing with them")
  func size() throws {
    var writer = TraceWriter()
    writer.create("f", 2)
    writer.all(TraceWriter.syncDirectory)
    writer.all(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a, Self.b)))
    #expect(try Self.all(writer) == ["", "..", "a.", ".b", "ab"])
    var sizes: Set<Int> = []
    let moment = try CrashImages(try writer.trace).moment(at: writer.count)
    for seed in 0..<500 as Range<UInt64> { sizes.insert(try #require(moment.image(seed: seed).directory.files["f"]).count) }
    #expect(sizes == [0, 512, 1024])
    writer.all(TraceWriter.Call(kind: .sync, inode: 2, flags: 1, name: "f"))
    #expect(try Self.all(writer) == ["ab"], "fdatasync covers the size")
  }

  @Test("a sync covers what had returned before it began, no more")
  func overlap() throws {
    let before = ["f": Self.sectors(Self.c, Self.c)]
    var writer = TraceWriter()
    let late = writer.begin(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a)))
    writer.all(TraceWriter.write(2, "f", at: 512, Self.sectors(Self.b)))
    let sync = writer.begin(TraceWriter.sync(2, "f"))
    writer.end(late)
    writer.end(sync)
    #expect(try Self.all(writer, before: before) == ["cb", "ab"])
  }

  @Test("a write through O_DSYNC is durable when it has returned, with the size it needs, and covers no other")
  func dataSync() throws {
    var writer = TraceWriter()
    writer.create("f", 2)
    writer.all(TraceWriter.syncDirectory)
    writer.all(TraceWriter.write(2, "f", at: 1024, Self.sectors(Self.c)))
    writer.all(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a), dataSync: true))
    #expect(try Self.all(writer, at: writer.count - 1).count > 2)
    #expect(try Self.all(writer) == ["a..", "a.c"])
  }

  @Test("what a failed sync should have covered, no later sync covers")
  func failed() throws {
    var writer = Self.written(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a)))
    writer.all(TraceWriter.sync(2, "f", result: -5))
    writer.all(TraceWriter.write(2, "f", at: 512, Self.sectors(Self.b)))
    writer.all(TraceWriter.sync(2, "f"))
    #expect(try Self.all(writer, before: ["f": Self.sectors(Self.c, Self.c)]) == ["cb", "ab"])
  }

  @Test("a write that failed with EIO may be there and is never durable; with another error nothing was written")
  func failedWrite() throws {
    var broken = TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a), dataSync: true)
    for (result, images) in [(-5, ["c", "a"]), (-28, ["c"])] as [(Int, Set<String>)] {
      broken.result = result
      var writer = Self.written(broken)
      writer.all(TraceWriter.sync(2, "f"))
      #expect(try Self.all(writer, before: ["f": Self.sectors(Self.c)]) == images)
    }
  }

  @Test("behind a cut that is not on the disk, nothing written later is")
  func cut() throws {
    var writer = TraceWriter()
    writer.all(TraceWriter.Call(kind: .truncate, inode: 2, offset: 512, name: "f"))
    writer.all(TraceWriter.write(2, "f", at: 512, Self.sectors(Self.b)))
    let before = ["f": Self.sectors(Self.c, Self.c, Self.c)]
    #expect(try Self.all(writer, before: before) == ["ccc", "c", "c.", "cb"])
    writer.all(TraceWriter.sync(2, "f"))
    #expect(try Self.all(writer, before: before) == ["cb"])
  }

  static func names(_ image: DirectoryImage) -> String {
    (Array(image.files.keys) + Array(image.directories)).sorted().joined(separator: " ")
  }

  @Test("a new file whose directory is not synced may vanish, whatever was synced of itself")
  func vanish() throws {
    var writer = TraceWriter()
    writer.create("f", 2)
    writer.all(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a), dataSync: true))
    writer.all(TraceWriter.sync(2, "f"))
    #expect(try Self.all(writer) == ["absent", "a"])
    writer.all(TraceWriter.syncDirectory)
    #expect(try Self.all(writer) == ["a"])
  }

  @Test("a rename is there for both names or for neither, an unlinked file may come back, and names do not wait for each other")
  func entries() throws {
    var rename = TraceWriter()
    rename.all(TraceWriter.Call(kind: .rename, name: "f", target: "g"))
    #expect(
      try Self.all(rename, before: ["f": [1], "g": [2]]) { "\($0.files["f"] ?? []) \($0.files["g"] ?? [])" } == ["[1] [2]", "[] [1]"])
    var unlink = TraceWriter()
    unlink.all(TraceWriter.Call(kind: .unlink, name: "f"))
    unlink.all(TraceWriter.Call(kind: .unlink, name: "g"))
    #expect(try Self.all(unlink, before: ["f": [], "g": []], Self.names) == ["", "f", "g", "f g"])
    unlink.all(TraceWriter.syncDirectory)
    #expect(try Self.all(unlink, before: ["f": [], "g": []], Self.names) == [""])
    // The old name is used again: that it is there says that the rename happened.
    rename.create("f", 4)
    #expect(
      try Self.all(rename, before: ["f": [1]]) { "\($0.files["f"] ?? [9]) \($0.files["g"] ?? [9])" } == ["[1] [9]", "[9] [1]", "[] [1]"])
  }

  @Test("what lies in a new directory needs both directories synced")
  func directories() throws {
    var writer = TraceWriter()
    writer.all(TraceWriter.Call(kind: .makeDirectory, inode: 7, name: "d", what: 2))
    writer.create("d/f", 2)
    writer.all(TraceWriter.Call(kind: .sync, inode: 7, name: "d"))
    #expect(try Self.all(writer, Self.names) == ["", "d d/f"])
    writer.all(TraceWriter.syncDirectory)
    #expect(try Self.all(writer, Self.names) == ["d d/f"])
  }

  @Test("a file with two names is one file, and a sync of everything covers everything")
  func links() throws {
    var writer = TraceWriter()
    writer.all(TraceWriter.Call(kind: .link, name: "f", target: "g"))
    writer.all(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a)))
    let word = { (image: DirectoryImage) in Self.short(image.files["f"]) + Self.short(image.files["g"]) }
    #expect(try Self.all(writer, before: ["f": Self.sectors(Self.c)], word) == ["cabsent", "aabsent", "cc", "aa"])
    writer.all(TraceWriter.Call(kind: .sync))
    #expect(try Self.all(writer, before: ["f": Self.sectors(Self.c)], word) == ["aa"])
  }

  @Test("one seed, one image; a flipped bit is a durable one or one that is not, as asked")
  func seeds() throws {
    var writer = Self.written(TraceWriter.write(2, "f", at: 0, Self.sectors(Self.a, Self.a)))
    writer.all(TraceWriter.sync(2, "f"))
    writer.all(TraceWriter.write(2, "f", at: 512, Self.sectors(Self.b, Self.b)))
    var before = DirectoryImage()
    before.files = ["f": [UInt8](repeating: Self.c, count: 4 * 512)]
    let images = try CrashImages(try writer.trace, before: before)
    let again = try CrashImages(try writer.trace, before: before)
    var different: Set<[UInt8]> = []
    for seed in 0..<100 as Range<UInt64> {
      #expect(images.image(seed: seed).directory == again.image(seed: seed).directory)
      different.insert(images.image(seed: seed).directory.files["f"]!)
      let moment = images.moment(at: writer.count)
      let durable = try #require(moment.image(seed: seed, flipping: .durable)?.flipped)
      let unsynced = try #require(moment.image(seed: seed, flipping: .unsynced)?.flipped)
      #expect(durable.byte < 512 || durable.byte >= 3 * 512)
      #expect((512..<(3 * 512)).contains(unsynced.byte))
    }
    #expect(different.count > 4)
    #expect(images.moment(at: 4).image(seed: 1, flipping: .unsynced) == nil)
  }

  @Test("a trace that is cut or changed is refused or tells another story, and never ends the process")
  func broken() throws {
    var writer = TraceWriter()
    writer.create("f", 2)
    let whole = writer.bytes
    var refused = 0
    for length in whole.indices where (try? RecordedTrace(Array(whole[..<length]))) == nil { refused += 1 }
    // Between two records it is a shorter trace.
    #expect(refused == whole.count - 2)
    for index in whole.indices {
      var bytes = whole
      bytes[index] ^= 0xff
      if let trace = try? RecordedTrace(bytes) { #expect(trace.records.count <= 2) }
    }
    var unknown = TraceWriter()
    unknown.all(TraceWriter.write(9, "g", at: 0, [1]))
    #expect(throws: CrashImages.Fault.unknownFile("g")) { try CrashImages(try unknown.trace) }
  }
}
