internal import MillraceCore

/// Copies logs: for a backup while the log is written, and back from one.
public enum LogCopy {
  /// A file that says that a copy is not finished: nobody opens it as a log.
  static let mark = "incomplete"

  /// Copies what `reader` has read to `target`, which holds no file, and checks the copy. What is committed meanwhile is not in it.
  ///
  /// Complexity: O(bytes of the log), read and written once, then read. Throws `configuration` if there is something in `target`, and what the storages throw; then
  /// what is there is marked as not finished.
  public static func copy(_ reader: LogReader, to target: any LogStorage) throws(LogError) -> LogReader.Counts {
    do throws(StorageError) {
      guard try target.names().isEmpty else { throw StorageError("copy", "", code: 17, "the target is not empty: give a new directory") }
      guard target.unit <= reader.unit else {
        throw StorageError("copy", "", code: 22, "the target writes \(target.unit) bytes at once, the log was made for \(reader.unit)")
      }
      _ = try target.create(mark, bytes: target.unit) { _ in 1 << 20 }
      try target.syncNames()
      for segment in reader.parts { try copy(segment, to: target) }
      // The copy is whole on stable storage before the mark goes.
      try target.syncNames()
    } catch { throw .storage(error) }
    let copied = try LogReader(target, isUnfinished: true)
    guard copied.nextPosition == reader.nextPosition, copied.total == reader.total else {
      throw .damaged(position: copied.nextPosition, segment: 0, offset: 0, "the copy holds \(copied.total), the log \(reader.total)")
    }
    do throws(StorageError) {
      try target.remove(mark)
      try target.syncNames()
    } catch { throw .storage(error) }
    return copied.total
  }

  private static func copy(_ part: LogReader.Part, to target: any LogStorage) throws(StorageError) {
    let file = try target.create(part.name, bytes: part.file.bytes) { _ in 1 << 20 }
    let step = 1 << 20
    let region: Region
    do throws(MemoryError) { region = try Region(bytes: step + part.unit) } catch {
      throw StorageError("mmap", "", code: error.code, error.description)
    }
    defer { region.free() }
    let start = unsafe UnsafeMutableRawPointer(bitPattern: roundUp(Int(bitPattern: region.base), to: part.unit))!
    var offset = 0
    while offset < part.bytes {
      let count = min(step, part.bytes - offset)
      // Safe: the region has a unit more than a step.
      let got = try unsafe part.file.read(into: UnsafeMutableRawBufferPointer(start: start, count: count), at: offset)
      guard got == count else { throw StorageError("read", part.name, code: 5, "the file ends at byte \(offset + got)") }
      try unsafe file.write(UnsafeRawBufferPointer(start: start, count: count), at: offset)
      offset += count
    }
  }
}
