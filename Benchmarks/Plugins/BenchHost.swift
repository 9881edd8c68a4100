import CMillrace

/// The least that a plugin can be loaded with and called by: tokens that are numbers, no inputs, and a count of what has ended. What is measured with it is the way to
/// the plugin and back, and no engine.
@safe struct BenchHost {
  // unsafe: allocated in init, never freed: a benchmark ends with its process.
  let table: UnsafeMutablePointer<millrace_host>
  /// Attempts that have ended, and that ended as they should.
  private let counts: UnsafeMutablePointer<UInt64>

  init() {
    unsafe counts = .allocate(capacity: 2)
    unsafe counts.initialize(repeating: 0, count: 2)
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(
      to: millrace_host(
        size: UInt32(MemoryLayout<millrace_host>.size), abi_version: MILLRACE_ABI_VERSION, name: BenchHost.text("bench"),
        version: BenchHost.text("0"),
        context: counts,
        now: { _ in millrace_monotonic() }, setting: { _, _ in nil }, log: { _, _, line in unsafe print(String(cString: line!)) },
        input_count: { _ in 0 }, input: { _, _, _ in -1 }, claim: { _, _, _, _ in nil }, cancelled: { _ in 0 }, heartbeat: { _, _ in },
        token: { _ in 1 },
        complete: { host, _, outcome in
          let counts = unsafe host!.pointee.context.assumingMemoryBound(to: UInt64.self)
          unsafe counts[0] &+= 1
          if unsafe outcome!.pointee.status == UInt32(MILLRACE_DONE) { unsafe counts[1] &+= 1 }
          return 0
        },
        complete_after: { _, _, _, _ in -1 }, extension: { _, _ in nil }))
  }

  var ended: UInt64 { unsafe counts[0] }
  var done: UInt64 { unsafe counts[1] }

  private static func text(_ text: String) -> UnsafePointer<CChar> {
    let bytes = Array(text.utf8CString)
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (place, byte) in bytes.enumerated() { unsafe copy[place] = byte }
    return unsafe UnsafePointer(copy)
  }
}

/// What a handler is called with, over and over, as an engine fills it.
@safe struct BenchCall {
  private let call: UnsafeMutablePointer<millrace_call>
  private let outcome: UnsafeMutablePointer<millrace_outcome>
  private let message: UnsafeMutablePointer<CChar>
  private let handler: UnsafePointer<millrace_handler>

  /// unsafe: `handler` is valid as long as this.
  @unsafe init(_ handler: UnsafePointer<millrace_handler>, _ host: BenchHost) {
    unsafe self.handler = handler
    unsafe message = .allocate(capacity: Int(MILLRACE_MESSAGE_BYTES))
    unsafe message.initialize(repeating: 0, count: Int(MILLRACE_MESSAGE_BYTES))
    unsafe message[0] = 120
    unsafe call = .allocate(capacity: 1)
    unsafe outcome = .allocate(capacity: 1)
    unsafe call.initialize(
      to: millrace_call(
        size: UInt32(MemoryLayout<millrace_call>.size), attempt_number: 1, attempt: nil, host: UnsafePointer(host.table),
        task_key: UnsafePointer(message),
        task_id: UnsafePointer(message), deadline: 0, reserved: 0))
    unsafe outcome.initialize(to: millrace_outcome())
  }

  @inline(__always) func run() -> UInt32 {
    unsafe outcome.pointee = millrace_outcome()
    unsafe outcome.pointee.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.pointee.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    unsafe outcome.pointee.message = message
    return unsafe handler.pointee.run(handler.pointee.context, call, outcome)
  }
}
