internal import MillraceCore
package import MillraceLog

/// How far schedules have been followed: a stream for each workflow that has one, `schedule-` and its name. Each fire stands there together with the run that it
/// started, so that no fire is lost between two processes, and none comes twice.
extension RunStore {
  private static let prefix = "schedule-"
  private static let followed = "schedule-followed"
  private static let fired = "schedule-fired"

  /// How far a schedule has been followed; one that is followed for the first time begins with `now`, which is recorded. Blocks. Throws `EventStoreError`, `RecordError`.
  package func schedule(_ name: String, from now: UTCTime) throws -> ScheduleState {
    let stream = try StreamName(RunStore.prefix + name)
    let page = try read(ReadRequest(.stream(stream), .backward, limit: 1))
    if let last = page.events.first {
      let record = try RecordReader(line: last.payload)
      return ScheduleState(handled: UTCTime(seconds: try record.integer("seconds")))
    }
    let reply = Reply<AppendReceipt>()
    append([StreamAppend(stream: stream, expected: .noStream, events: [event(RunStore.followed, now, nil)])]) { reply.give($0) }
    _ = try reply.wait().get()
    return ScheduleState(handled: now)
  }

  /// A fire, to be recorded together with the creation of its run. Throws `EventStoreError`.
  package func fire(_ name: String, _ fire: UTCTime, run: RunID) throws(EventStoreError) -> StreamAppend {
    StreamAppend(stream: try StreamName(RunStore.prefix + name), events: [event(RunStore.fired, fire, run)])
  }

  private func event(_ type: String, _ time: UTCTime, _ run: RunID?) -> EventDraft {
    var members: [JSON.Member] = [.init("time", .string(time.description)), .init("seconds", .integer(time.seconds))]
    if let run { members.append(.init("run", .string(run.description))) }
    return EventDraft(
      id: EventID(high: .random(in: .min ... .max), low: .random(in: .min ... .max)), type: type, payload: JSON.object(members).utf8())
  }
}
