/// What a job asks of the limit of its key, in one word: index of the limit (16 bits), permits (16 bits).
public struct PermitRequest: Sendable, Hashable, RawRepresentable {
  /// Most permits of one job.
  public static let maxWeight = 65_535

  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `limit`: from `Scheduler.makeLimit`. `weight`: 1 ... `maxWeight`; more than the limit counts as all of it.
  public init(limit: UInt32, weight: Int = 1) {
    precondition(1...PermitRequest.maxWeight ~= weight, "a job asks for 1 to \(PermitRequest.maxWeight) permits")
    rawValue = limit & 0xFFFF | UInt32(weight) << 16
  }

  public var limit: UInt32 { rawValue & 0xFFFF }
  @inline(__always) var weight: UInt32 { rawValue >> 16 }
}

/// Limits how much runs at once: of one handler, or with one key. Jobs beyond the limit wait in line, higher priorities first.
///
/// In line is in line: whoever comes while one of the same or a higher priority waits goes behind it, even if its own permits would be there. So a job that
/// needs many is not held up by those that need few.
///
/// # Threads
/// Any, behind a lock of its own. # Progress: blocking, O(1) inside, O(jobs let in) in `leave`. Jobs without a limit never come here.
@safe struct Limit {
  static let bytes = 64

  @safe private struct Counts {
    var held: UInt32
    var limit: UInt32
    /// Nobody asks for it any more: it is free when nothing is held.
    var isRetired: UInt32
  }

  private struct Line {
    var head: UInt32
    var tail: UInt32
  }

  private let lock: SpinLock
  private let counts: UnsafeMutablePointer<Counts>
  /// One line for each priority; 0 is none, else index + 1.
  private let lines: UnsafeMutablePointer<Line>
  /// Next free limit, index + 1. Under the scheduler's registration lock.
  let nextFree: UnsafeMutablePointer<UInt32>

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the limit.
  @unsafe init(_ memory: UnsafeMutableRawPointer) {
    unsafe lock = SpinLock(at: memory)
    unsafe counts = (memory + 4).assumingMemoryBound(to: Counts.self)
    unsafe lines = (memory + 16).assumingMemoryBound(to: Line.self)
    unsafe nextFree = (memory + 48).assumingMemoryBound(to: UInt32.self)
  }

  func setLimit(_ limit: Int) {
    lock.lock()
    unsafe counts.pointee.limit = UInt32(limit)
    unsafe counts.pointee.isRetired = 0
    lock.unlock()
  }

  /// True: the job has its permits. False: it waits in line and is handed out by a later `leave`.
  func enter(_ index: UInt32, keyed: Bool, _ jobs: Slab) -> Bool {
    let job = Job(jobs, index)
    // unsafe: the job is the caller's until it stands in line; the counts and lines are read and written under the lock.
    let p = unsafe job.fields.pointee.word.priority
    lock.lock()
    defer { lock.unlock() }
    if !waits(from: p), take(job, keyed: keyed) { return true }
    unsafe job.fields.pointee.link = 0
    if unsafe lines[p].head == 0 {
      unsafe lines[p].head = index + 1
    } else {
      unsafe Job(jobs, lines[p].tail - 1).fields.pointee.link = index + 1
    }
    unsafe lines[p].tail = index + 1
    return false
  }

  /// What came of `leave`.
  struct Left {
    /// The first of the jobs that have their permits now, in the order in which they may start, linked by `Job.Fields.link`: index + 1; 0: none.
    var first: UInt32 = 0
    /// The limit was retired, and nobody is in it any more.
    var isFree = false
  }

  /// Gives a job's permits back.
  func leave(_ index: UInt32, keyed: Bool, _ jobs: Slab) -> Left {
    lock.lock()
    defer { lock.unlock() }
    // unsafe: under the lock; the job is the caller's, those in the lines are the limit's.
    let held = unsafe keyed ? PermitRequest(rawValue: Job(jobs, index).fields.pointee.limit).weight : 1
    unsafe counts.pointee.held &-= held
    return letIn(keyed: keyed, jobs)
  }

  /// Gives permits to those in line. With the lock held.
  private func letIn(keyed: Bool, _ jobs: Slab) -> Left {
    var left = Left()
    var last: UInt32 = 0
    var p = ReadySet.priorities - 1
    while p >= 0 {
      let first = unsafe lines[p].head
      if first == 0 {
        p -= 1
        continue
      }
      let job = Job(jobs, first - 1)
      if !take(job, keyed: keyed) { break }
      unsafe lines[p].head = job.fields.pointee.link
      unsafe job.fields.pointee.link = 0
      if last == 0 { left.first = first } else { unsafe Job(jobs, last - 1).fields.pointee.link = first }
      last = first
    }
    left.isFree = unsafe counts.pointee.held == 0 && counts.pointee.isRetired != 0
    if left.isFree { unsafe counts.pointee.isRetired = 0 }
    return left
  }

  /// Takes the nodes of a run out of the lines: the first of them, linked as in `Left`, and what came of that for the others. Complexity: O(jobs in line).
  func letOut(of run: RunBody, keyed: Bool, _ jobs: Slab) -> (out: UInt32, left: Left) {
    lock.lock()
    defer { lock.unlock() }
    var first: UInt32 = 0
    for p in 0..<ReadySet.priorities {
      var before: UInt32 = 0
      // unsafe: under the lock; those in the lines are the limit's.
      var next = unsafe lines[p].head
      while next != 0 {
        let place = next
        let job = unsafe Job(jobs, place - 1).fields
        next = unsafe job.pointee.link
        guard unsafe job.pointee.word.flags & Job.Flag.node != 0 && job.pointee.first == run.bits else {
          before = place
          continue
        }
        if before == 0 { unsafe lines[p].head = next } else { unsafe Job(jobs, before - 1).fields.pointee.link = next }
        if unsafe lines[p].tail == place { unsafe lines[p].tail = before }
        unsafe job.pointee.link = first
        first = place
      }
    }
    return (first, letIn(keyed: keyed, jobs))
  }

  /// Nobody will ask for it any more, but for those who are in it or in line. True: nobody is, it is free now. False: some `leave` will say so.
  func retire() -> Bool {
    lock.lock()
    defer { lock.unlock() }
    // Whoever waits, waits for permits that are held.
    let isFree = unsafe counts.pointee.held == 0
    unsafe counts.pointee.isRetired = isFree ? 0 : 1
    return isFree
  }

  /// Takes a job's permits if they are there: no more than all there are, so that no job waits for ever. Its record says how many. With the lock held.
  private func take(_ job: Job, keyed: Bool) -> Bool {
    let limit = unsafe counts.pointee.limit
    // unsafe: the job is the caller's, or stands in a line.
    let request = unsafe PermitRequest(rawValue: job.fields.pointee.limit)
    let need = keyed ? min(request.weight, limit) : 1
    if unsafe counts.pointee.held &+ need > limit { return false }
    unsafe counts.pointee.held &+= need
    if keyed, need != request.weight { unsafe job.fields.pointee.limit = PermitRequest(limit: request.limit, weight: Int(need)).rawValue }
    return true
  }

  /// Somebody of this priority or a higher one waits. With the lock held.
  private func waits(from priority: Int) -> Bool {
    for p in priority..<ReadySet.priorities where unsafe lines[p].head != 0 { return true }
    return false
  }
}
