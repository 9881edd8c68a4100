internal import CMillrace
internal import Glibc
internal import MillraceCore

/// A log of events on this machine's disk: an event store in which nothing acknowledged is ever lost.
///
/// Requests of many threads go through a ring to one committer, which writes all that waits as one block, and answers them when it is on stable storage.
/// Where nobody commits, the appending thread may do it itself, which saves two wake-ups.
///
/// # Threads
/// Any. One process at a time has a log open for writing; the next one is told which.
/// # Progress
/// Appending is wait-free up to the end of the ring, unless the thread commits itself. Reading takes a lock for the places of a page.
/// # Limits
/// See `Configuration` and `EventLimits`.
/// # Source
/// docs/log.md how it works, docs/log-format.md what stands on the disk.
public final class EventLog: @unchecked Sendable {
  let storage: any LogStorage
  let settings: Settings
  let index: LogIndex
  private let supply: SegmentSupply
  let retirement: Retirement
  /// Belongs to the holder of the committer's role.
  private var writer: LogWriter
  private let handOver: HandOver
  private let ending = Monitor()
  /// 1: nothing is accepted any more. On a line of its own, in `words`.
  private let words: Region
  private var thread = pthread_t()
  /// Set by `close` before the committer's thread is woken for the last time.
  private var isStopping = false
  /// What opening has found.
  public let recovery: Recovery

  /// What opening a log has found.
  public struct Recovery: Sendable, Equatable {
    /// The log's first position that is still there, and the one after its last.
    public var firstPosition: UInt64
    /// The position of the next event.
    public var nextPosition: UInt64
    /// Streams that were found.
    public var streams: Int
    /// Segments' files.
    public var segments: Int
    /// The last stop was a clean one, or there was no log yet.
    public var wasClean: Bool
    /// Bytes of commits that were begun and never acknowledged; they count as not written.
    public var unfinishedBytes: Int
  }

  private var closedWord: SharedWord { unsafe SharedWord(words.base) }

  /// Opens the log in `storage`, and makes one if there is none. Complexity: O(bytes of the log), all of which is checked.
  public init(_ storage: any LogStorage, _ configuration: Configuration = Configuration()) throws(LogError) {
    settings = try Settings(configuration, unit: storage.unit)
    self.storage = storage
    do throws(StorageError) { try storage.lock(owner: configuration.owner) } catch { throw .storage(error) }
    do throws(LogError) {
      let opened = try Opened(storage, settings)
      index = opened.index
      recovery = opened.recovery
      retirement = Retirement(storage, index, configuration.retention, hasThreads: settings.hasThreads, settings.wall)
      let owner = Owner()
      self.owner = owner
      supply = SegmentSupply(storage, bytes: settings.segmentBytes, hasThread: settings.hasThreads) { owner.log?.retire() }
      writer = try LogWriter(settings, storage, index, supply, opened.end, opened.ids)
      do throws(MemoryError) {
        words = try Region(bytes: padding)
        handOver = try HandOver(capacity: settings.capacity)
      } catch { throw LogError.configuration(error.description) }
      do throws(StorageError) { try supply.prepare(after: writer.fileBytes) } catch { throw LogError.storage(error) }
    } catch {
      storage.unlock()
      throw error
    }
    owner.log = self
    guard settings.hasThreads else { return }
    // Safe: `close` joins the thread, and keeps this object alive until then.
    let code = unsafe pthread_create(&thread, nil, Self.body, Unmanaged.passUnretained(self).toOpaque())
    guard code == 0 else {
      // There is nobody who would close it.
      _ = closedWord.exchange(1)
      supply.stop()
      retirement.finish()
      storage.unlock()
      throw .storage(.of("pthread_create", "", code))
    }
  }

  deinit {
    precondition(closedWord.loadAcquiring() == 1, "an EventLog was let go without `close`")
    words.free()
    ending.deallocate()
  }

  var isClosed: Bool { closedWord.loadAcquiring() != 0 }

  /// For the supply's thread, which starts before there is a log. It is joined by `close`, before the log goes.
  private final class Owner: @unchecked Sendable {
    private let monitor = Monitor()
    private weak var it: EventLog?
    var log: EventLog? {
      get { monitor.locked { it } }
      set { monitor.locked { it = newValue } }
    }
    deinit { monitor.deallocate() }
  }
  private let owner: Owner

  /// Why a segment that should be gone is still there; nil: none should.
  public var retentionProblem: String? { retirement.problem }

  /// Nobody wants events before `position` any more: whole segments without a later one go, the oldest first, one after the other, soon after this has returned. The last event
  /// of all stays. Not kept over restarts: what has not gone by then is there again.
  package func truncate(before position: UInt64) {
    retirement.truncate(before: position)
    if settings.hasThreads { return supply.wake() }
    // As in `lead`, for each segment.
    for _ in 0..<2 * index.monitor.locked({ index.segments.count }) { retire() }
  }

  /// The first position of the oldest segment that begins behind `position`; nil: none does.
  package func segmentStart(after position: UInt64) -> UInt64? {
    index.monitor.locked { index.segments.lazy.map(\.header.firstPosition).first { $0 > position } }
  }

  /// On the supply's thread.
  private func retire() {
    retirement.work(
      { [self] number, done in
        submit(
          PendingAppend(self, .retire(number)) { result in
            if case .success = result { done(true) } else { done(false) }
          })
      }, { [weak supply] in supply?.wake() })
  }

  // MARK: Appending

  /// Why a request was not taken. The caller has it still.
  public enum Refusal: Error, Sendable {
    /// As many are under way as the log takes: again in a moment.
    case busy
    /// The log is closed, or about to be.
    case closed
  }

  /// Hands a request over; its sink is told when it has ended, perhaps before this returns.
  ///
  /// - Parameters:
  ///   - request: what to append.
  ///   - mayLead: this thread commits by itself if nobody does, and so waits for the disk.
  ///
  /// unsafe: the request stays where it is and as it is until its sink is told.
  @unsafe public func append(_ request: UnsafeMutablePointer<AppendRequest>, mayLead: Bool = false) throws(Refusal) {
    var raw = UnsafeMutableRawPointer(request)
    try unsafe withUnsafePointer(to: &raw) { one throws(Refusal) in
      try unsafe append(UnsafeBufferPointer(start: one, count: 1), mayLead: mayLead)
    }
  }

  /// As above, for several, which keep their order: pointers to `AppendRequest`. All or none are taken.
  @unsafe public func append(_ requests: UnsafeBufferPointer<UnsafeMutableRawPointer>, mayLead: Bool = false) throws(Refusal) {
    if requests.isEmpty { return }
    guard handOver.reserve(requests.count) else {
      // Counted for a moment: `close` may have seen it.
      release(0)
      throw .busy
    }
    // Order: sequentially consistent after the reservation. Pairs with the exchange in `close`: one of the two sees the other.
    guard closedWord.loadSequential() == 0 else {
      release(requests.count)
      throw .closed
    }
    unsafe handOver.publish(requests)
    if handOver.claim(grant: !mayLead && settings.hasThreads) { lead() }
  }

  private func lead() {
    let segments = writer.segments
    repeat { round(isLeader: true) } while handOver.giveBack(isThread: !settings.hasThreads)
    if !settings.hasThreads, writer.segments != segments {
      // Once to choose, once to give the file back.
      retire()
      retire()
    }
  }

  private func release(_ count: Int) {
    handOver.release(count)
    // Order: as in `append`.
    if closedWord.loadSequential() != 0 { ending.locked { ending.broadcast(.ended) } }
  }

  // MARK: Committing

  private static let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
    // Safe: `init` hands over the object, which `close` keeps alive until here has ended.
    unsafe Unmanaged<EventLog>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.work() }
    return nil
  }

  private func work() {
    while true {
      guard handOver.awaitGrant(-1) else { continue }
      if isStopping { return }
      repeat { round(isLeader: false) } while linger() || handOver.giveBack(isThread: true)
    }
  }

  /// Looks a moment longer, since sleeping and waking take longer than that. True: there is something. Not for long: a committer that spins keeps the very
  /// disk from working that it waits for.
  private func linger() -> Bool {
    let begin = millrace_monotonic()
    while unsafe handOver.peek() == nil {
      if millrace_monotonic() &- begin > Settings.quiet { return false }
      millrace_pause()
    }
    return true
  }

  private func round(isLeader: Bool) { writer.round(handOver, isLeader: isLeader) { release($0) } }

  // MARK: Stopping

  /// Refuses what comes from now on, commits what was accepted, writes the mark of a clean stop, and gives the directory free. Waits for that. Not from a sink,
  /// nor from `Retention.archive`.
  public func close() {
    // Order: sequentially consistent. Pairs with the looks after `reserve` and `release`.
    guard closedWord.exchange(1) == 0 else { return }
    ending.locked { while handOver.underWay != 0 { ending.wait(.ended) } }
    handOver.hold()
    writer.seal()
    isStopping = true
    if settings.hasThreads {
      handOver.handToThread()
      pthread_join(thread, nil)
    }
    supply.stop()
    retirement.finish()
    storage.unlock()
    let waits = index.monitor.locked { index.takeWaits(all: true) }
    for completion in waits { completion(.failure(.closed)) }
  }

  /// Commits, that is syncs, so far. After `close`.
  public var commits: UInt64 { writer.commits }

  /// Why nothing is written any more. For whoever was told `failed` or `outcomeUnknown`.
  public var failureText: String { index.monitor.locked { index.failure }?.description ?? "no failure" }
}
