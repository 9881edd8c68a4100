import CMillrace
import Glibc
import MillraceCore

/// Two threads that wake each other by a futex: what a round trip costs whose both ends sleep.
enum FutexPair {
  /// Nanoseconds of each round trip.
  static func measure(_ count: Int) -> [UInt64] {
    // unsafe: freed after the other thread was joined. The words lie apart.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 3 * padding, alignment: padding)
    defer { unsafe memory.deallocate() }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: 3 * padding)
    unsafe (memory + 2 * padding).storeBytes(of: UInt32(count), as: UInt32.self)
    var partner = pthread_t()
    let code = unsafe pthread_create(&partner, nil, { memory in unsafe FutexPair.answer(memory!) }, memory)
    precondition(code == 0, "a thread is to be had")
    var times: [UInt64] = []
    times.reserveCapacity(count)
    for turn in 1...UInt32(count) {
      let start = Clock.monotonic.now
      unsafe millrace_shared_store(memory, turn)
      unsafe millrace_shared_wake(memory)
      unsafe FutexPair.wait(memory + padding, for: turn)
      times.append(Clock.monotonic.now - start)
    }
    pthread_join(partner, nil)
    return times
  }

  private static func answer(_ memory: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    for turn in unsafe 1...millrace_shared_load(memory + 2 * padding) {
      unsafe wait(memory, for: turn)
      unsafe millrace_shared_store(memory + padding, turn)
      unsafe millrace_shared_wake(memory + padding)
    }
    return nil
  }

  private static func wait(_ word: UnsafeMutableRawPointer, for turn: UInt32) {
    while true {
      let now = unsafe millrace_shared_load(word)
      if now == turn { return }
      _ = unsafe millrace_shared_wait(word, now)
    }
  }
}
