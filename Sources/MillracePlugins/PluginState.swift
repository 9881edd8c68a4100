import CMillrace
import Glibc
import Synchronization

/// What a plugin keeps in memory, on its way from one build to the next: see `millrace_state` in `millrace/plugin.h`.
package struct PluginState: Sendable {
  /// The plugin's own number for what the bytes are.
  package let format: UInt32
  /// At most `MILLRACE_STATE_BYTES`.
  package let bytes: [UInt8]
}

extension LoadedPlugin {
  /// Bytes that `save` is offered first.
  private static let firstRoom = 4096

  /// Whether it has a state to hand over, or could take one over.
  ///
  /// - Throws: `badState`: its table is none.
  package func hasState() throws(PluginError) -> Bool { try unsafe stateTable() != nil }

  /// Its state; nil: it has none. On the thread that loads.
  ///
  /// - Throws: `badState`.
  /// - Complexity: O(bytes), and what `save` takes, once or twice.
  package func saveState() throws(PluginError) -> PluginState? {
    guard let table = try unsafe stateTable() else { return nil }
    var room = Self.firstRoom
    while true {
      var bytes = [UInt8](repeating: 0, count: room)
      // The plugin writes at most `room` bytes.
      let length = unsafe bytes.withUnsafeMutableBytes { unsafe table.save($0.baseAddress, room) }
      guard length >= 0 else { throw bad("it could not save its state") }
      guard length <= Int64(MILLRACE_STATE_BYTES) else {
        throw bad("its state has \(length) bytes, the most that is handed over are \(MILLRACE_STATE_BYTES)")
      }
      if length <= room {
        bytes.removeLast(room - Int(length))
        return PluginState(format: table.format, bytes: bytes)
      }
      // It grew while it was saved, by calls in progress: there is an end to that, too.
      guard room < Int(MILLRACE_STATE_BYTES) else { throw bad("its state grew beyond what it asked for") }
      room = room == Self.firstRoom ? Int(length) : Int(MILLRACE_STATE_BYTES)
    }
  }

  /// Takes over a state, before its first call. On the thread that loads.
  ///
  /// - Throws: `badState` with the plugin's reason.
  package func load(_ state: PluginState) throws(PluginError) {
    guard let table = try unsafe stateTable() else { throw bad("it does not take over a state, and the build before has one") }
    var reason = [CChar](repeating: 0, count: PluginLoader.reasonBytes)
    let result = unsafe state.bytes.withUnsafeBytes {
      unsafe table.load(state.format, $0.baseAddress, $0.count, &reason, PluginLoader.reasonBytes)
    }
    if result == 0 { return }
    let words = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    throw bad("it does not take over the state in format \(state.format): \(words.isEmpty ? "it returned \(result)" : words)")
  }

  /// A copy of the table: unsafe, as its functions are the plugin's.
  @unsafe private func stateTable() throws(PluginError) -> millrace_state? {
    guard let found = unsafe description.extensionTable(MILLRACE_STATE) else { return nil }
    // The id names this struct; its size is looked at before anything behind it.
    let table = unsafe found.assumingMemoryBound(to: millrace_state.self)
    let size = unsafe Int(table.pointee.size)
    guard size >= MemoryLayout<millrace_state>.size else {
      throw bad("its \(MILLRACE_STATE) has \(size) bytes, expected \(MemoryLayout<millrace_state>.size) or more")
    }
    guard unsafe table.pointee.save != nil, unsafe table.pointee.load != nil else { throw bad("its \(MILLRACE_STATE) lacks a function") }
    return unsafe table.pointee
  }

  private func bad(_ reason: String) -> PluginError { .badState(path: path, plugin: "\(name) \(version)", reason: reason) }

  // MARK: Builds that stay mapped

  /// Builds whose code can never be unmapped that a process loads beside others.
  package static let mostMapped = 16
  private static let mapped = Atomic<Int>(0)

  /// Counts one more. False: there are `mostMapped`.
  static func mayMapForGood() -> Bool {
    var count = mapped.load(ordering: .relaxed)
    while count < mostMapped {
      let (done, now) = mapped.weakCompareExchange(expected: count, desired: count + 1, ordering: .relaxed)
      if done { return true }
      count = now
    }
    return false
  }

  /// How many more a process takes.
  package static var mappedRoom: Int { mostMapped - mapped.load(ordering: .relaxed) }
}

/// The file of a build, kept when the build itself may go: for the way back. Costs memory of its size, and a descriptor.
package final class KeptPlugin: Sendable {
  package let path: String
  package let sha256: String
  let signature: [UInt8]?
  let descriptor: Int32

  /// Of a plugin that is loaded.
  ///
  /// - Throws: `unreadable`.
  package init(_ plugin: LoadedPlugin) throws(PluginError) {
    (path, sha256, signature) = (plugin.path, plugin.sha256, plugin.signature)
    descriptor = unsafe open(plugin.copyPath, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .unreadable(path: plugin.path, reason: errorText()) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }
}
