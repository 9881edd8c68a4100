internal import MillraceCore
package import MillraceLog

/// How far schedules have been followed: a stream for each workflow that has one, `schedule-` and its name. Each fire stands there together with the run that it
/// started, so that no fire is lost between two processes, and none comes twice.
extension RunStore {
  private static let prefix = "schedule-"
  private static let followed = "schedule-followed"
  private static let fired = "schedule-fired"

  /// How far a schedule has been followed, and the fires after that whose runs were started nevertheless, before those of fires that wait; one that is followed for the
  /// first time begins with `now`, which is recorded. Blocks. Throws `EventStoreError`, `RecordError`.
  package func schedule(_ name: String, from now: UTCTime) throws -> (state: ScheduleState, started: Set<UTCTime>) {
    let stream = try StreamName(RunStore.prefix + name)
    let page = try read(ReadRequest(.stream(stream), .backward, limit: EventLimits.eventsInPage))
    guard let last = try page.events.first.map(ScheduleEvent.init) else {
      let reply = Reply<AppendReceipt>()
      let begin = ScheduleEvent(time: now, followed: now)
      append([StreamAppend(stream: stream, expected: .noStream, events: [begin.draft(RunStore.followed, nil)])]) { reply.give($0) }
      _ = try reply.wait().get()
      return (ScheduleState(handled: now), [])
    }
    var started: Set<UTCTime> = []
    for event in page.events {
      let event = try ScheduleEvent(event)
      // Before the clock was found to be wrong.
      if event.followed.seconds > last.followed.seconds + ScheduleState.correctedSeconds { break }
      if !event.isFilled, event.time > last.followed { started.insert(event.time) }
    }
    return (ScheduleState(handled: last.followed), started)
  }

  /// A fire, to be recorded together with the creation of its run. Throws `EventStoreError`.
  package func fire(_ name: String, _ fire: ScheduledFire, run: RunID) throws(EventStoreError) -> StreamAppend {
    let event = ScheduleEvent(time: fire.time, followed: fire.followed, isFilled: fire.isFilled)
    return StreamAppend(stream: try StreamName(RunStore.prefix + name), events: [event.draft(RunStore.fired, run)])
  }
}

/// A fire of a schedule whose run is to be started.
package struct ScheduledFire: Sendable {
  package var time: UTCTime
  /// Up to here each fire is started or passed over, once this one is.
  package var followed: UTCTime
  /// Somebody has it filled in, beside what the schedule starts.
  package var isFilled: Bool

  package init(_ time: UTCTime, followed: UTCTime, isFilled: Bool) {
    (self.time, self.followed, self.isFilled) = (time, followed, isFilled)
  }
}

/// What stands in the stream of a schedule.
private struct ScheduleEvent {
  var time: UTCTime
  var followed: UTCTime
  var isFilled = false

  init(time: UTCTime, followed: UTCTime, isFilled: Bool = false) {
    (self.time, self.followed, self.isFilled) = (time, followed, isFilled)
  }

  init(_ event: RecordedEvent) throws(RecordError) {
    let record = try RecordReader(line: event.payload)
    time = UTCTime(seconds: try record.integer("seconds"))
    followed = UTCTime(seconds: try record.integer("followed"))
    isFilled = record["filled"] == true
  }

  func draft(_ type: String, _ run: RunID?) -> EventDraft {
    var members: [JSON.Member] = [
      .init("time", .string(time.description)), .init("seconds", .integer(time.seconds)), .init("followed", .integer(followed.seconds)),
    ]
    if isFilled { members.append(.init("filled", true)) }
    if let run { members.append(.init("run", .string(run.description))) }
    return EventDraft(
      id: EventID(high: .random(in: .min ... .max), low: .random(in: .min ... .max)), type: type, payload: JSON.object(members).utf8())
  }
}
