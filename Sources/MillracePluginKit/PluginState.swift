internal import CMillrace

/// What a plugin keeps in memory, handed over to the build that takes its place: the extension `millrace.state/1`.
///
/// ```swift
/// let plugin = Plugin("counter", version: "2", summary: "Counts", state: PluginState(format: 1) { () throws(HandlerError) in
///   counts.bytes
/// } load: { format, bytes throws(HandlerError) in
///   guard format == 1 else { throw .failed("format", "format \(format) is not known") }
///   counts.take(bytes)
/// }) { ... }
/// ```
///
/// # Threads
/// `save` and `load` are called on the thread that loads plugins; calls of handlers may be in progress beside `save`.
public struct PluginState: Sendable {
  let format: UInt32
  let save: @Sendable () throws(HandlerError) -> [UInt8]
  let load: @Sendable (_ format: UInt32, _ bytes: [UInt8]) throws(HandlerError) -> Void

  /// - Parameters:
  ///   - format: the plugin's own number for what `save` gives: 1, 2 ...
  ///   - save: gives the state, at most `MILLRACE_STATE_BYTES`, 16 MiB: called twice where it has more than 4 KiB. What it throws keeps this build in its place.
  ///   - load: takes over what a build saved in `format`, which may be another one's; at most once, before the first call of a handler. What it throws refuses
  ///     this build, and the old one stays.
  public init(
    format: UInt32, save: @escaping @Sendable () throws(HandlerError) -> [UInt8],
    load: @escaping @Sendable (_ format: UInt32, _ bytes: [UInt8]) throws(HandlerError) -> Void
  ) {
    self.format = format
    self.save = save
    self.load = load
  }

  /// Made once and never freed.
  func makeTable() -> UnsafePointer<millrace_state> {
    let table = UnsafeMutablePointer<millrace_state>.allocate(capacity: 1)
    unsafe table.initialize(
      to: millrace_state(
        size: UInt32(MemoryLayout<millrace_state>.size), format: format,
        save: { bytes, capacity in unsafe Plugin.saveState(bytes, capacity) },
        load: { format, bytes, length, message, room in unsafe Plugin.loadState(format, bytes, length, message, room) }))
    return unsafe UnsafePointer(table)
  }
}

extension Plugin {
  fileprivate static func saveState(_ bytes: UnsafeMutableRawPointer?, _ capacity: Int) -> Int64 {
    guard let state = unsafe current?.state, let bytes = unsafe bytes else { return -1 }
    do throws(HandlerError) {
      let saved = try state.save()
      // unsafe: `capacity` bytes at `bytes`, as the interface says.
      if saved.count <= capacity { unsafe UnsafeMutableRawBufferPointer(start: bytes, count: capacity).copyBytes(from: saved) }
      return Int64(saved.count)
    } catch {
      // The interface has no words for this: they go to the log.
      unsafe host?.log(.error, "the state was not saved: \(error.message)")
      return -1
    }
  }

  fileprivate static func loadState(
    _ format: UInt32, _ bytes: UnsafeRawPointer?, _ length: Int, _ message: UnsafeMutablePointer<CChar>?, _ room: Int
  ) -> Int32 {
    guard let state = unsafe current?.state else { return -1 }
    do throws(HandlerError) {
      // unsafe: `length` bytes at `bytes` for the call, copied.
      try state.load(format, unsafe Array(UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : length)))
      return 0
    } catch {
      unsafe refuse(error, message, room)
      return -1
    }
  }
}
