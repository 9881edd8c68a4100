/// Limits how many jobs run at once: of one handler, or with one key. Jobs beyond the limit wait in line, higher priorities first.
///
/// # Threads
/// Any, behind a lock of its own. # Progress: blocking, O(1) inside. Jobs without a limit never come here.
@safe struct Limit {
  static let bytes = 64

  private struct Line {
    var head: UInt32
    var tail: UInt32
  }

  private let lock: SpinLock
  /// running, limit: UInt32 each.
  private let counts: UnsafeMutablePointer<UInt32>
  /// One line for each priority; 0 is none, else index + 1.
  private let lines: UnsafeMutablePointer<Line>

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the limit.
  @unsafe init(_ memory: UnsafeMutableRawPointer) {
    unsafe lock = SpinLock(at: memory)
    unsafe counts = (memory + 4).assumingMemoryBound(to: UInt32.self)
    unsafe lines = (memory + 16).assumingMemoryBound(to: Line.self)
  }

  func setLimit(_ limit: Int) {
    lock.lock()
    unsafe counts[1] = UInt32(limit)
    lock.unlock()
  }

  /// True: the job has a permit. False: it waits in line and is handed out by a later `leave`.
  func enter(_ index: UInt32, _ jobs: Slab) -> Bool {
    lock.lock()
    defer { lock.unlock() }
    // unsafe: under the lock.
    if unsafe counts[0] < counts[1] {
      unsafe counts[0] += 1
      return true
    }
    let job = Job(jobs, index)
    let p = unsafe job.fields.pointee.word.priority
    unsafe job.fields.pointee.link = 0
    if unsafe lines[p].head == 0 {
      unsafe lines[p].head = index + 1
    } else {
      unsafe Job(jobs, lines[p].tail - 1).fields.pointee.link = index + 1
    }
    unsafe lines[p].tail = index + 1
    return false
  }

  /// Gives a permit back. The job that has it now, if one waited.
  func leave(_ jobs: Slab) -> UInt32? {
    lock.lock()
    defer { lock.unlock() }
    for p in stride(from: ReadySet.priorities - 1, through: 0, by: -1) {
      // unsafe: under the lock.
      let first = unsafe lines[p].head
      if first == 0 { continue }
      unsafe lines[p].head = Job(jobs, first - 1).fields.pointee.link
      return first - 1
    }
    unsafe counts[0] -= 1
    return nil
  }
}
