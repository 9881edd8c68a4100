import Foundation
import MillraceFaults

/// What the recorder saw of `RunVictim`.
struct RunTrace {
  let records: [RecordedTrace.Record]

  init(_ records: [RecordedTrace.Record]) { self.records = records }

  /// `RUN/step-NUMBER`, as handlers have said them.
  var keys: [String] { records.indices.compactMap { mark(at: $0, "end ") } }

  /// What is wrong with a run's steps; nil: the record of each stood on stable storage before the next handler began.
  var complaint: String? {
    for key in keys {
      guard let next = RunTrace.next(key), let begin = records.indices.first(where: { mark(at: $0, "begin ") == next }) else { continue }
      guard let end = records.indices.first(where: { mark(at: $0, "end ") == key }), end < begin else {
        return "\(next) began before \(key) had ended"
      }
      if !isDurable(key, after: end, before: begin) { return "\(next) began, and the record of \(key) was not on stable storage" }
    }
    return nil
  }

  /// A write with the step's record began after its handler's end, and it or a sync behind it was over before the next one began.
  private func isDurable(_ key: String, after end: Int, before begin: Int) -> Bool {
    let needle = Data("\"output\":\"\(key)\"".utf8)
    return records.indices[end..<begin].contains { index in
      let write = records[index]
      guard write.kind == .write, write.phase == .begin, Data(write.bytes).range(of: needle) != nil,
        let over = returned(write, after: index, before: begin), records[over].result == write.count
      else { return false }
      if write.flags & O_DSYNC != 0 { return true }
      return records.indices[over..<begin].contains { index in
        let sync = records[index]
        return sync.kind == .sync && sync.phase == .begin && sync.inode == write.inode
          && returned(sync, after: index, before: begin).map { records[$0].result == 0 } ?? false
      }
    }
  }

  private func returned(_ call: RecordedTrace.Record, after index: Int, before end: Int) -> Int? {
    records.indices[index..<end].first { records[$0].call == call.call && records[$0].phase == .end }
  }

  /// The key that the handler's words at a record are about.
  private func mark(at index: Int, _ word: String) -> String? {
    guard records[index].kind == .mark else { return nil }
    let line = String(decoding: records[index].bytes, as: UTF8.self)
    return line.hasPrefix(word) ? String(line.dropFirst(word.count).dropLast()) : nil
  }

  private static func next(_ key: String) -> String? {
    guard let dash = key.lastIndex(of: "-"), let number = Int(key[key.index(after: dash)...]) else { return nil }
    return key[...dash] + "\(number + 1)"
  }
}
