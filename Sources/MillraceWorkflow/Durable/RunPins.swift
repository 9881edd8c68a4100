package import MillraceLog

/// The builds of plugins that a durable run has.
package struct RunPins: Sendable {
  package let run: RunID
  /// Nanoseconds since 1970.
  package let created: Int64
  /// Name to SHA-256.
  package fileprivate(set) var builds: [JSON.Member]
  /// How it ended; nil: it has not.
  package fileprivate(set) var ended: WorkflowStatus?

  /// It goes on, or can be made to.
  package var needsBuilds: Bool { ended != .completed }
}

extension RunReading {
  /// All runs, in the order in which they were created. Complexity: O(events of all runs). Blocks. Throws `EventStoreError`.
  package func pins() throws(EventStoreError) -> [RunPins] {
    var places: [StreamName: Int] = [:]
    var runs: [RunPins] = []
    var failure: RecordError?
    try pages(ReadRequest(.category(RunEvent.category), limit: EventLimits.eventsInPage)) { event in
      guard ["run-created", "run-upgraded", "run-retried", "run-ended"].contains(event.type), failure == nil else { return }
      do throws(RecordError) {
        let told = try RunEvent(event)
        if case .created(let creation) = told {
          places[event.stream] = runs.count
          runs.append(RunPins(run: creation.run, created: creation.wall, builds: creation.builds))
        }
        guard let place = places[event.stream] else { return }
        switch told {
        case .upgraded(_, _, let builds): runs[place].builds = builds
        case .retried: runs[place].ended = nil
        case .ended(let status, _): runs[place].ended = status
        default: break
        }
      } catch { failure = error }
    }
    if let failure { throw .damaged(position: 0, failure.description) }
    return runs
  }
}
