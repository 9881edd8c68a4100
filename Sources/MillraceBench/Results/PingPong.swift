internal import Glibc
internal import MillraceCore

/// How long a cache line takes to the other processor and back: what every figure of two threads rests on, and what differs most from one hour
/// to the next on a virtual machine.
public enum PingPong {
  /// Round trips between two readings of the clock.
  private static let batch = 64
  private static let batches = 400
  /// Nanoseconds: with both threads on one processor a round trip takes a time slice, and the rest is not waited for.
  private static let patience: UInt64 = 100_000_000
  /// With fewer batches there is no median to speak of.
  private static let fewest = 20

  /// What the two threads share. A turn is a number; the caller sends odd ones, the partner answers with the next.
  ///
  /// # Threads
  /// The caller and its partner. `turn` is written by whoever has it; `closed` by the caller, once.
  private struct Line {
    let turn: SharedWord
    let closed: SharedWord

    /// unsafe: `memory` holds two padded words and outlives both threads.
    @unsafe init(_ memory: UnsafeMutableRawPointer) {
      unsafe turn = SharedWord(memory)
      unsafe closed = SharedWord(memory + padding)
    }
  }

  /// Nanoseconds, median; nil where less than two processors are granted, or the process never had two at once. Takes 2 to 10 ms, 100 ms at most.
  public static func measure() -> Double? {
    guard Machine.read().maySpin(threads: 2) else { return nil }
    let region: Region
    do throws(MemoryError) { region = try Region(bytes: 2 * padding) } catch { return nil }
    defer { region.free() }
    var partner = pthread_t()
    // The region is freed after the thread was joined.
    let code = unsafe pthread_create(&partner, nil, { unsafe PingPong.answer($0) }, region.base)
    guard code == 0 else { return nil }
    // As above: the words live until the join below.
    let line = unsafe Line(region.base)
    var figures = serve(line)
    line.closed.storeReleasing(1)
    pthread_join(partner, nil)
    guard figures.count >= fewest else { return nil }
    figures.sort()
    return figures[figures.count / 2]
  }

  /// Nanoseconds a round trip, of each batch.
  private static func serve(_ line: Line) -> [Double] {
    var figures: [Double] = []
    let begin = Clock.monotonic.now
    var turn: UInt64 = 1
    for number in 0...batches {
      let start = Clock.monotonic.now
      for _ in 0..<batch {
        line.turn.storeReleasing(turn)
        var looks = 0
        while line.turn.loadAcquiring() != turn + 1 {
          looks += 1
          if looks & 0xFFFF == 0, Clock.monotonic.now - begin > patience { return figures }
        }
        turn += 2
      }
      let end = Clock.monotonic.now
      // The first batch waits for the partner's thread to begin.
      if number > 0 { figures.append(Double(end - start) / Double(batch)) }
      if end - begin > patience { break }
    }
    return figures
  }

  private static func answer(_ memory: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let memory = unsafe memory else { return nil }
    // The caller joins this thread before it frees the words.
    let line = unsafe Line(memory)
    var expected: UInt64 = 1
    while line.closed.loadAcquiring() == 0 {
      if line.turn.loadAcquiring() == expected {
        line.turn.storeReleasing(expected + 1)
        expected += 2
      }
    }
    return nil
  }
}
