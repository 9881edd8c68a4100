internal import CMillrace
internal import MillraceCore

/// What plugins publish by. `millrace/plugin.h` says what each promises.
package protocol PluginBroker: AnyObject, Sendable {
  /// A code, and unless that is `MILLRACE_PUBLISH_DONE` no draft. unsafe: the message is the plugin's, during the call.
  @unsafe func claim(_ bytes: UInt64, _ message: UnsafeRawPointer, tenant: String?, trace: String?) -> PluginClaim
  /// A code, and how many queues have it.
  func publish(_ draft: UInt64) -> (code: UInt32, queues: Int)
  func drop(_ draft: UInt64)
}

/// Memory for a message.
@safe package struct PluginClaim {
  package var code: UInt32
  package var draft: UInt64 = 0
  // unsafe: the plugin's until the draft is over.
  package var bytes: UnsafeMutableRawPointer?

  package init(code: UInt32) { self.code = code }

  /// unsafe: `bytes` stay until the draft is over.
  @unsafe package init(_ draft: UInt64, _ bytes: UnsafeMutableRawPointer?) {
    code = UInt32(MILLRACE_PUBLISH_DONE)
    self.draft = draft
    unsafe self.bytes = bytes
  }
}

extension HostFunctions {
  /// The extension `MILLRACE_RANDOM`.
  static var random: millrace_random {
    unsafe millrace_random(
      size: UInt32(MemoryLayout<millrace_random>.size), reserved: 0,
      fill: { host, bytes, length in
        guard length > 0 else { return 0 }
        guard let bytes = unsafe bytes, length <= Int(MILLRACE_RANDOM_BYTES) else { return -1 }
        // unsafe: `length` bytes of the caller's.
        return unsafe TaskHost.from(host).randomness.fill(UnsafeMutableRawBufferPointer(start: bytes, count: length)) ? 0 : -1
      })
  }

  /// The extension `MILLRACE_BROKER`.
  static var broker: millrace_broker {
    unsafe millrace_broker(
      size: UInt32(MemoryLayout<millrace_broker>.size), reserved: 0,
      claim: { host, attempt, length, message, draft, bytes in
        guard let message = unsafe message, let draft = unsafe draft, let bytes = unsafe bytes else {
          return UInt32(MILLRACE_PUBLISH_MALFORMED)
        }
        guard let broker = unsafe TaskHost.from(host).broker else { return UInt32(MILLRACE_PUBLISH_CLOSED) }
        var (tenant, trace): (String?, String?)
        if let attempt = unsafe attempt {
          let attempt = unsafe HostFunctions.attempt(attempt)
          tenant = unsafe attempt.pointee.run._withUnsafeGuaranteedRef { $0.tenant.name }
          trace = unsafe attempt.trace?.description
        }
        let claim = unsafe broker.claim(length, UnsafeRawPointer(message), tenant: tenant, trace: trace)
        if claim.code == UInt32(MILLRACE_PUBLISH_DONE) {
          unsafe draft.pointee = claim.draft
          unsafe bytes.pointee = claim.bytes
        }
        return claim.code
      },
      publish: { host, draft, queues in
        let (code, count) = unsafe TaskHost.from(host).broker?.publish(draft) ?? (UInt32(MILLRACE_PUBLISH_CLOSED), 0)
        unsafe queues?.pointee = UInt32(clamping: count)
        return code
      },
      drop: { host, draft in unsafe TaskHost.from(host).broker?.drop(draft) })
  }
}
