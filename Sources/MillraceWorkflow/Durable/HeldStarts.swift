internal import MillraceCore
internal import Synchronization

/// Beginnings of attempts that are not recorded yet. Each goes with the record of its attempt's end if that comes soon, for most tasks are over before one sync is; else by
/// itself: after two milliseconds at most, or when its lane begins another attempt.
///
/// # Threads
/// Any. What is taken out of a place is appended under the place's lock, unless who takes it appends the end: so no record of an attempt is before its beginning.
final class HeldStarts: @unchecked Sendable {
  private struct Start {
    let run: WorkflowRun
    let node: UInt32
    let event: RunEvent
    /// A sweep has found it before.
    var isSeen = false

    func record() { run.note(event) }
  }

  /// Of one lane.
  private final class Place: @unchecked Sendable {
    private let monitor = Monitor()
    private var start: Start?

    deinit { monitor.deallocate() }

    func put(_ next: Start) {
      monitor.locked {
        start?.record()
        start = next
      }
    }

    func take(_ run: WorkflowRun, _ node: UInt32) -> RunEvent? {
      monitor.locked {
        guard let start, start.run === run, start.node == node else { return nil }
        self.start = nil
        return start.event
      }
    }

    /// False: there is nothing. `which`: what is to be recorded now.
    func sweep(_ which: (Start) -> Bool) -> Bool {
      monitor.locked {
        guard let start else { return false }
        self.start?.isSeen = true
        if which(start) {
          start.record()
          self.start = nil
        }
        return true
      }
    }
  }

  private static let period: UInt64 = 1_000_000
  /// Sweeps that find nothing before there are none.
  private static let quietSweeps = 16

  private let errands: Errands
  /// Lanes behind these hold nothing.
  private let places = (0..<64).map { _ in Place() }
  private let isSwept = Atomic<Bool>(false)

  init(_ errands: Errands) { self.errands = errands }

  /// An attempt begins.
  func begin(_ run: WorkflowRun, _ node: UInt32, lane: Int, _ event: RunEvent) {
    let start = Start(run: run, node: node, event: event)
    guard places.indices.contains(lane) else { return start.record() }
    places[lane].put(start)
    sweepSoon()
  }

  /// The beginning of an attempt, which the caller records together with what came of it; nil: it is on its way already.
  func take(_ run: WorkflowRun, _ node: UInt32, lane: Int) -> RunEvent? {
    places.indices.contains(lane) ? places[lane].take(run, node) : nil
  }

  /// Records what a run has here: before its end.
  func flush(_ run: WorkflowRun) {
    for place in places { _ = place.sweep { $0.run === run } }
  }

  private func sweepSoon() {
    // Order: sequentially consistent after the place's lock. Pairs with the store in `sweep`, which looks at the places once more behind it.
    if isSwept.load(ordering: .sequentiallyConsistent) || isSwept.exchange(true, ordering: .sequentiallyConsistent) { return }
    sweepAfterPeriod(quiet: 0)
  }

  private func sweepAfterPeriod(quiet: Int) {
    if errands.run(after: HeldStarts.period, { [self] in sweep(quiet) }) { return }
    // Nobody sweeps: nothing stays.
    isSwept.store(false, ordering: .sequentiallyConsistent)
    for place in places { _ = place.sweep { _ in true } }
  }

  private func sweep(_ quiet: Int) {
    var isBusy = false
    for place in places where place.sweep(\.isSeen) { isBusy = true }
    if isBusy || quiet < HeldStarts.quietSweeps { return sweepAfterPeriod(quiet: isBusy ? 0 : quiet + 1) }
    isSwept.store(false, ordering: .sequentiallyConsistent)
    for place in places where place.sweep({ _ in false }) { return sweepSoon() }
  }
}
