import Foundation
import MillraceFaults
import Testing

/// The images tell a program that is right from one that is wrong.
@Suite struct CrashImageTests {
  static func recorded(_ words: [String], count: Int = 10, fault: String? = nil, exit: Int32 = 0) throws -> CrashImages {
    let scratch = try Scratch()
    var program = try scratch.victim(count, words)
    program.records = true
    program.fault = fault
    let ending = try program.run()
    #expect(ending.exit == exit, "\(ending.errors)")
    let trace = try #require(ending.trace)
    // Marks of two threads may change places on their way to the reader.
    #expect(trace.marks(before: trace.records.count).sorted() == ending.lines.sorted())
    return try CrashImages(trace)
  }

  /// The first image that breaks a promise.
  static func complaint(_ images: CrashImages, _ words: [String], perPoint: Int = 25, seed: UInt64 = 1) -> String? {
    var complaint: String?
    images.forEach(perPoint: perPoint, seed: seed) { image in
      guard complaint == nil, let words = VictimLog.complaint(image.directory, image.marks, direct: words.contains("direct")) else {
        return
      }
      complaint = "\(image): \(words)"
    }
    return complaint
  }

  @Test(
    "a log that is right survives every image",
    arguments: [[], ["dsync"], ["direct"], ["threads"], ["dsync", "threads"], ["direct", "threads"], ["stdout"]] as [[String]])
  func right(words: [String]) throws {
    let images = try Self.recorded(words)
    #expect(Self.complaint(images, words) == nil)
  }

  @Test(
    "a log that is wrong is caught",
    arguments: [
      ["no-sync"], ["early"], ["hint"], ["no-directory-sync"], ["no-head-sync"], ["threads", "early"], ["threads", "no-sync"],
      ["stdout", "early"],
      ["dsync", "no-directory-sync"], ["direct", "no-directory-sync"], ["direct", "no-head-sync"],
      ["threads", "direct", "no-directory-sync"],
    ] as [[String]])
  func wrong(words: [String]) throws {
    let images = try Self.recorded(words)
    #expect(Self.complaint(images, words) != nil)
  }

  @Test("a failed sync stops a log that is right; one that tries again is caught")
  func failedSync() throws {
    for number in 1...6 {
      let fault = "fdatasync:\(number):EIO"
      #expect(Self.complaint(try Self.recorded([], fault: fault, exit: 1), []) == nil)
      #expect(Self.complaint(try Self.recorded(["retries-sync"], fault: fault), []) != nil)
    }
  }

  @Test("a program that dies in a write leaves a trace to its last moment")
  func killed() throws {
    let images = try Self.recorded([], fault: "pwrite:3:kill", exit: -SIGKILL)
    #expect(Self.complaint(images, []) == nil)
    #expect(VictimLog.acknowledged(images.trace.marks(before: images.trace.records.count)) == 2)
    // The write was recorded whole, for it reached the kernel only in part: each part of it may be there.
    #expect(images.trace.records.last { $0.kind == .write }?.phase == .begin)
  }

  @Test("small traces: not one image of all that there are breaks a promise")
  func systematic() throws {
    for words in [[], ["dsync"], ["direct"]] as [[String]] {
      let images = try Self.recorded(words, count: 5)
      var count = 0
      for point in images.points {
        let isComplete = images.moment(at: point).forEach(limit: 20_000) { image in
          count += 1
          let complaint = VictimLog.complaint(image.directory, image.marks, direct: words.contains("direct"))
          if let complaint { Issue.record("\(image): \(complaint)") }
        }
        #expect(isComplete)
      }
      #expect(count > images.trace.records.count)
    }
  }

  @Test("the program itself recovers each image, and a crash in the recovery loses nothing either")
  func materialised() throws {
    let images = try Self.recorded([])
    let scratch = try Scratch()
    var image = images.image(seed: 0)
    for seed in 0..<30 as Range<UInt64> {
      image = images.image(seed: seed)
      let directory = scratch.path + "/image"
      try image.directory.write(to: directory)
      #expect(try DirectoryImage(reading: directory) == image.directory)
      var program = try scratch.victim(12, in: directory)
      program.records = true
      let ending = try program.run()
      #expect(ending.exit == 0, "\(ending.errors)")
      #expect(ending.lines.first == "recovered \(VictimLog.count(image.directory, direct: false))", "\(image)")
      let again = try CrashImages(try #require(ending.trace), before: image.directory)
      again.forEach(perPoint: 2, seed: seed) { second in
        if let complaint = VictimLog.complaint(second.directory, image.marks + second.marks) {
          Issue.record("\(image), then \(second): \(complaint)")
        }
      }
      try FileManager.default.removeItem(atPath: directory)
    }
  }

  @Test("a flipped bit below what was synced loses a record, and one above it none that was acknowledged")
  func flipped() throws {
    let images = try Self.recorded(["direct"])
    var durable = 0
    var unsynced = 0
    for point in images.points {
      let moment = images.moment(at: point)
      for seed in 0..<5 as Range<UInt64> {
        let acknowledged = VictimLog.acknowledged(moment.marks)
        if let image = moment.image(seed: seed, flipping: .unsynced) {
          unsynced += 1
          #expect(VictimLog.count(image.directory, direct: true) >= acknowledged)
        }
        // In the padding and in the head no record is hurt.
        if let image = moment.image(seed: seed, flipping: .durable), VictimLog.count(image.directory, direct: true) < acknowledged {
          durable += 1
        }
      }
    }
    #expect(durable > 20 && unsynced > 20)
  }
}
