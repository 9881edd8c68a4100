internal import CUV

/// The event loop could not be set up.
public struct LoopError: Error, Equatable, CustomStringConvertible {
  /// The libuv or system function that failed.
  public let function: String
  /// libuv's error code: a negative errno value.
  public let code: Int32

  init(_ function: String, _ code: Int32) {
    self.function = function
    self.code = code
  }

  public var description: String {
    // Room for the longest text of libuv; a longer one would be cut, never overrun.
    let text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      guard let start = buffer.baseAddress else { return "" }
      return unsafe String(cString: uv_strerror_r(code, start, buffer.count))
    }
    return "the event loop cannot be set up: \(function): \(text)"
  }
}
