extension RetryPolicy {
  /// The longest wait before retry `retry` (from 1): min(cap, initial x factor^(retry - 1)), nanoseconds. Complexity: O(log retry).
  public func longestWait(beforeRetry retry: Int) -> UInt64 {
    // Nothing times infinity is no number.
    if initial == 0 { return 0 }
    var wait = Double(initial)
    var base = factor
    var exponent = max(retry, 1) - 1
    while exponent > 0 {
      if exponent & 1 == 1 { wait *= base }
      base *= base
      exponent >>= 1
    }
    return wait >= Double(cap) ? cap : UInt64(wait)
  }

  /// The wait before retry `retry` (from 1), drawn from U(0, `longestWait`): full jitter. Nanoseconds.
  ///
  /// Source: Brooker, "Exponential Backoff and Jitter" (2015).
  public func wait(beforeRetry retry: Int, using random: inout some RandomNumberGenerator) -> UInt64 {
    let (choices, overflow) = longestWait(beforeRetry: retry).addingReportingOverflow(1)
    // The high word of a product: the same in every release of Swift, and uneven by at most one part in 2^64 / choices.
    return overflow ? random.next() : random.next().multipliedFullWidth(by: choices).high
  }
}

/// The generator of retry waits: its numbers depend on the seed alone, whatever the machine and the release.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// Any number, 0 too; the same one gives the same sequence.
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
