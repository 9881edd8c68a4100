package import MillraceLog
internal import Synchronization

/// A disk in memory that can be switched off at any moment, and then holds what a real one might: all that was synced, and of the rest this or that.
///
/// # Faults, when it is switched off
/// Of a write under way each sector is there or not, whatever their order (`reordered`); or a first part of it (`lost`); one sector may be there in part (`torn`); of names
/// that were not synced each change is there or not. `flipped` besides changes one bit of what was under way.
///
/// # Threads
/// Any; one lock.
package final class SimulatedDisk: LogStorage, Sendable {
  package enum Fault: CaseIterable, Sendable { case lost, torn, reordered, flipped }

  static let sector = 512

  struct State {
    var files: [Int: SimulatedFile.Contents] = [:]
    /// As they are, and as they are on stable storage.
    var names: [String: Int] = [:]
    var durableNames: [String: Int] = [:]
    var changes: [NameChange] = []
    var nextFile = 0
    var room: Int
    var isLocked = false
    /// Steps until it is switched off; nil: never.
    var stepsLeft: Int?
    var isOff = false
    /// The write that was under way then.
    var interrupted: (file: Int, offset: Int, bytes: [UInt8])?
    var steps = 0
    var isBroken = false
    /// A name that can neither be changed nor removed.
    var stuck: String?
  }

  enum NameChange {
    case add(String, Int)
    /// An entry names a file: whatever else became of the names, this one gets the file that was renamed.
    case rename(String, String, Int)
    case remove(String)
  }

  package let unit: Int
  let state: Mutex<State>

  /// - Parameters:
  ///   - room: bytes that files may take.
  ///   - unit: bytes that it writes at once.
  ///   - steps: writes, creations and syncs of names that it does before it is switched off in the midst of the next one.
  package init(room: Int = 1 << 30, unit: Int = 4096, offAfter steps: Int? = nil) {
    self.unit = unit
    state = Mutex(State(room: room, stepsLeft: steps))
  }

  private init(_ state: sending State, unit: Int) {
    self.unit = unit
    self.state = Mutex(state)
  }

  /// Steps that were done.
  package var steps: Int { state.withLock { $0.steps } }
  package var isOff: Bool { state.withLock { $0.isOff } }
  /// Room that files may take from now on.
  package func setRoom(_ bytes: Int) { state.withLock { $0.room = bytes } }
  /// This name can neither be changed nor removed from now on; nil: each can.
  package func stick(_ name: String?) { state.withLock { $0.stuck = name } }
  /// From now on every write fails: the device is broken.
  package func breakDown() { state.withLock { $0.isBroken = true } }

  static let off = StorageError("disk", "", code: 5, "the disk is switched off")

  package func names() throws(StorageError) -> [String] {
    try state.withLock { state throws(StorageError) in
      if state.isOff { throw Self.off }
      return Array(state.names.keys)
    }
  }

  package func create(_ name: String, bytes: Int, pace: (Int) -> Int) throws(StorageError) -> any LogFile {
    let number = try state.withLock { state throws(StorageError) in
      guard state.names[name] == nil else { throw StorageError("open", name, code: 17, "File exists") }
      let used = state.files.values.reduce(0) { $0 + $1.bytes.count }
      guard used + bytes <= state.room else { throw StorageError("fallocate", name, code: 28, "No space left on device") }
      guard state.step() else { throw Self.off }
      let number = state.nextFile
      state.nextFile += 1
      state.files[number] = SimulatedFile.Contents(bytes: Array(repeating: 0, count: bytes))
      state.names[name] = number
      state.changes.append(.add(name, number))
      return number
    }
    return SimulatedFile(self, number, bytes)
  }

  package func open(_ name: String, writing: Bool) throws(StorageError) -> any LogFile {
    try state.withLock { state throws(StorageError) in
      if state.isOff { throw Self.off }
      guard let number = state.names[name] else { throw StorageError("open", name, code: 2, "No such file or directory") }
      return SimulatedFile(self, number, state.files[number]!.bytes.count)
    }
  }

  package func rename(_ name: String, to other: String) throws(StorageError) {
    try state.withLock { state throws(StorageError) in
      if state.isOff { throw Self.off }
      if state.stuck == name { throw StorageError("rename", name, code: 1, "Operation not permitted") }
      guard let number = state.names.removeValue(forKey: name) else {
        throw StorageError("rename", name, code: 2, "No such file or directory")
      }
      state.names[other] = number
      state.changes.append(.rename(name, other, number))
    }
  }

  package func remove(_ name: String) throws(StorageError) {
    try state.withLock { state throws(StorageError) in
      if state.isOff { throw Self.off }
      if state.stuck == name { throw StorageError("unlink", name, code: 1, "Operation not permitted") }
      guard state.names.removeValue(forKey: name) != nil else { throw StorageError("unlink", name, code: 2, "No such file or directory") }
      state.changes.append(.remove(name))
    }
  }

  package func syncNames() throws(StorageError) {
    try state.withLock { state throws(StorageError) in
      guard state.step() else { throw Self.off }
      state.durableNames = state.names
      state.changes.removeAll()
    }
  }

  package func lock(owner: String) throws(StorageError) {
    try state.withLock { state throws(StorageError) in
      if state.isLocked { throw StorageError("lock", "", code: 11, "in use") }
      state.isLocked = true
    }
  }

  package func unlock() { state.withLock { $0.isLocked = false } }

  /// The disk as it may be when it is switched on again. Complexity: O(names); files are copied when they are written.
  package func afterCrash(_ fault: Fault, _ random: inout some RandomNumberGenerator) -> SimulatedDisk {
    var state = state.withLock { $0 }
    var names = state.durableNames
    for change in state.changes where Bool.random(using: &random) {
      switch change {
      case .add(let name, let file): if names[name] == nil { names[name] = file }
      case .rename(let name, let other, let file):
        if names[name] == file { names[name] = nil }
        names[other] = file
      case .remove(let name): names[name] = nil
      }
    }
    if let write = state.interrupted { state.files[write.file]!.bytes.apply(write.bytes, at: write.offset, fault, &random) }
    var survivor = State(room: state.room)
    survivor.names = names
    survivor.durableNames = names
    survivor.files = state.files.filter { names.values.contains($0.key) }
    survivor.nextFile = state.nextFile
    return SimulatedDisk(survivor, unit: unit)
  }

  /// A file as it is, on stable storage.
  package func put(_ name: String, _ bytes: [UInt8]) {
    state.withLock { state in
      state.files[state.nextFile] = SimulatedFile.Contents(bytes: bytes)
      state.names[name] = state.nextFile
      state.durableNames[name] = state.nextFile
      state.nextFile += 1
    }
  }

  /// Changes one bit of a file that is there, as a failing disk may.
  package func flip(_ name: String, bit: Int) {
    state.withLock { state in
      guard let file = state.names[name] else { return }
      state.files[file]!.bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  /// Cuts a file off.
  package func truncate(_ name: String, to bytes: Int) {
    state.withLock { state in
      guard let file = state.names[name] else { return }
      state.files[file]!.bytes.removeLast(max(0, state.files[file]!.bytes.count - bytes))
    }
  }

  package func bytes(of name: String) -> [UInt8]? { state.withLock { state in state.names[name].map { state.files[$0]!.bytes } } }

  /// A copy, switched on, which nobody has locked.
  package func copy(unit: Int? = nil) -> SimulatedDisk {
    var copied = state.withLock { $0 }
    copied.isLocked = false
    copied.stepsLeft = nil
    return SimulatedDisk(copied, unit: unit ?? self.unit)
  }

  package func setOff(after steps: Int?) { state.withLock { $0.stepsLeft = steps } }
}

extension SimulatedDisk.State {
  /// Counts a step. False: the disk is or goes off.
  mutating func step() -> Bool {
    if isOff { return false }
    if let left = stepsLeft {
      if left == 0 {
        isOff = true
        return false
      }
      stepsLeft = left - 1
    }
    steps += 1
    return true
  }
}

extension [UInt8] {
  /// What may be there of a write that was interrupted.
  fileprivate mutating func apply(
    _ bytes: [UInt8], at offset: Int, _ fault: SimulatedDisk.Fault, _ random: inout some RandomNumberGenerator
  ) {
    let sector = SimulatedDisk.sector
    let sectors = bytes.count / sector
    let whole = Int.random(in: 0...sectors, using: &random)
    for index in 0..<sectors {
      let isThere =
        switch fault {
        case .lost, .torn: index < whole
        case .reordered, .flipped: Bool.random(using: &random)
        }
      if isThere {
        replaceSubrange(offset + index * sector..<offset + (index + 1) * sector, with: bytes[index * sector..<(index + 1) * sector])
      }
    }
    if fault == .torn, whole < sectors {
      let part = Int.random(in: 0..<sector, using: &random)
      let start = whole * sector
      replaceSubrange(offset + start..<offset + start + part, with: bytes[start..<start + part])
    }
    if fault == .flipped, !bytes.isEmpty {
      let bit = Int.random(in: 0..<bytes.count * 8, using: &random)
      self[offset + bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }
}

/// One file of a simulated disk.
final class SimulatedFile: LogFile, Sendable {
  struct Contents {
    var bytes: [UInt8]
  }

  private let disk: SimulatedDisk
  private let number: Int
  let bytes: Int

  init(_ disk: SimulatedDisk, _ number: Int, _ bytes: Int) {
    self.disk = disk
    self.number = number
    self.bytes = bytes
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StorageError) -> Int {
    try disk.state.withLock { state throws(StorageError) in
      if state.isOff { throw SimulatedDisk.off }
      return unsafe state.files[number]!.bytes.withUnsafeBytes { held in
        let count = max(0, min(buffer.count, held.count - offset))
        // Safe: within both.
        if count > 0 { unsafe buffer.baseAddress!.copyMemory(from: held.baseAddress! + offset, byteCount: count) }
        return count
      }
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
    precondition(offset % disk.unit == 0 && bytes.count % disk.unit == 0, "a log writes whole units")
    let copy = unsafe Array(bytes)
    try disk.state.withLock { state throws(StorageError) in
      if state.isBroken { throw StorageError("write", "", code: 5, "Input/output error") }
      if state.isOff { throw SimulatedDisk.off }
      guard state.step() else {
        state.interrupted = (number, offset, copy)
        throw SimulatedDisk.off
      }
      state.files[number]!.bytes.replaceSubrange(offset..<offset + copy.count, with: copy)
    }
  }
}
