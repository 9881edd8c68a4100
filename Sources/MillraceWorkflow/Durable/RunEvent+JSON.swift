internal import CMillrace
internal import MillraceCore
package import MillraceLog

/// Events of runs as payloads: JSON objects, members without a value left out.
extension RunEvent {
  /// Of the streams of runs.
  package static let category = "run"
  /// Of the streams of definitions.
  static let definitions = "definition"
  /// An event of a run's stream whose payload is an output, or a list, that was too large for the next record.
  static let payload = "run-payload"

  /// What the event is called.
  package var type: String {
    switch self {
    case .created: "run-created"
    case .started: "task-started"
    case .completed: "task-completed"
    case .retryScheduled: "task-retry-scheduled"
    case .failed: "task-failed"
    case .skipped: "task-skipped"
    case .items: "task-items"
    case .childStarted: "task-child-started"
    case .signalled: "run-signalled"
    case .answered: "task-answered"
    case .cancelAsked: "run-cancel-asked"
    case .suspended: "run-suspended"
    case .resumed: "run-resumed"
    case .quarantined: "run-quarantined"
    case .retried: "run-retried"
    case .upgraded: "run-upgraded"
    case .saga(let word, _): "saga-" + word
    case .ended: "run-ended"
    }
  }

  /// Complexity: O(length).
  package var json: [UInt8] {
    var writer = RecordWriter()
    switch self {
    case .created(let creation): return creation.json.utf8()
    case .started(let place, let attempt, let at, let closes):
      writer.place(place, attempt)
      writer.time("at", at)
      if let closes { writer.time("closes", closes) }
    case .completed(let place, let attempt, let started, let ended, let output):
      writer.place(place, attempt)
      writer.integer("started", started)
      writer.integer("ended", ended)
      writer.output(output)
    case .retryScheduled(let attempt, let due, let closes):
      writer.attempt(attempt)
      writer.time("due", due)
      if let closes { writer.time("closes", closes) }
    case .failed(let attempt, let isUnknown):
      writer.attempt(attempt)
      if isUnknown { writer.flag("unknown", true) }
    case .skipped(let place): writer.place(place, nil)
    case .items(let task, let items):
      writer.name("task", task)
      switch items {
      case .list(let list): writer.raw("list", list)
      case .range(let from, let step, let count):
        writer.integer("from", from)
        writer.integer("step", step)
        writer.integer("count", Int64(count))
      case .spilled(let version): writer.integer("spilled", Int64(clamping: version))
      }
    case .childStarted(let place, let attempt, let run):
      writer.place(place, attempt)
      writer.name("run", run.description)
    case .signalled(let name, let number, let payload):
      writer.name("signal", name)
      writer.integer("number", Int64(number))
      writer.raw("payload", payload)
    case .answered(let task, let attempt, let answer):
      writer.place(TaskPlace(task), attempt)
      writer.flag("approved", answer.isApproved)
      writer.text("by", answer.by)
      writer.text("comment", answer.comment)
    case .cancelAsked(let by, let reason):
      writer.text("by", by)
      writer.text("reason", reason)
    case .suspended: break
    case .resumed(let number, let interrupted, let boot):
      writer.integer("number", Int64(number))
      writer.text("boot", boot)
      writer.names("interrupted", interrupted)
    case .quarantined(let suspects): writer.names("suspects", suspects)
    case .retried(let by, let tasks):
      writer.text("by", by)
      writer.names("tasks", tasks)
    case .upgraded(let definition, let version, let builds):
      var members: [JSON.Member] = [.init("definition", .string(definition))]
      if let version { members.append(.init("version", .integer(Int64(version)))) }
      if !builds.isEmpty { members.append(.init("builds", .object(builds))) }
      return JSON.object(members).utf8()
    case .saga(_, let fact): return fact.utf8()
    case .ended(let status, let reason):
      writer.name("status", status.rawValue)
      writer.text("reason", reason)
    }
    return writer.end()
  }

  /// Of an event of a run's stream; nil: it is none of those known here, and may be passed over. Throws `RecordError`.
  package init?(_ event: RecordedEvent) throws(RecordError) {
    do throws(RecordError) {
      guard let known = try Self.known(event) else { return nil }
      self = known
    } catch {
      throw RecordError("event \(event.version) of stream \(event.stream): \(error)")
    }
  }

  private static func known(_ event: RecordedEvent) throws(RecordError) -> RunEvent? {
    if event.type == payload { return nil }
    let record = try RecordReader(line: event.payload)
    switch event.type {
    case "run-created": return .created(try RunCreation(record))
    case "task-started":
      return .started(
        try record.place, attempt: Int(try record.integer("attempt")), at: try record.time("at"), closes: try record.optionalTime("closes"))
    case "task-completed":
      return .completed(
        try record.place, attempt: Int(try record.integer("attempt")), started: try record.integer("started"),
        ended: try record.integer("ended"), output: try record.output)
    case "task-retry-scheduled":
      return .retryScheduled(try record.failedAttempt, due: try record.time("due"), closes: try record.optionalTime("closes"))
    case "task-failed": return .failed(try record.failedAttempt, isUnknown: record["unknown"] == .bool(true))
    case "task-skipped": return .skipped(try record.place)
    case "task-items": return .items(try record.text("task"), try record.items)
    case "task-child-started":
      return .childStarted(try record.place, attempt: Int(try record.integer("attempt")), run: try record.run("run"))
    case "run-signalled":
      guard let payload = record["payload"] else { throw record.missing("payload") }
      return .signalled(name: try record.text("signal"), number: Int(try record.integer("number")), payload: payload.utf8())
    case "task-answered":
      guard let isApproved = record["approved"]?.bool else { throw record.missing("approved") }
      return .answered(
        try record.text("task"), attempt: Int(try record.integer("attempt")),
        Answer(isApproved: isApproved, by: try record.optionalText("by"), comment: try record.optionalText("comment")))
    case "run-cancel-asked": return .cancelAsked(by: try record.optionalText("by"), reason: try record.optionalText("reason"))
    case "run-suspended": return .suspended
    case "run-resumed":
      return
        .resumed(
          number: Int(try record.integer("number")), interrupted: try record.texts("interrupted"), boot: try record.text("boot"))
    case "run-quarantined": return .quarantined(suspects: try record.texts("suspects"))
    case "run-retried": return .retried(by: try record.optionalText("by"), tasks: try record.texts("tasks"))
    case "run-upgraded":
      return .upgraded(
        definition: try record.text("definition"), version: try record.optionalInteger("version"), builds: record["builds"]?.object ?? [])
    case "run-ended": return .ended(try record.word("status"), reason: try record.optionalText("reason"))
    case let type where type.hasPrefix("saga-"): return .saga(word: String(type.dropFirst(5)), record.value)
    default: return nil
    }
  }

  /// The machine of a saga hears of it.
  var isOutcome: Bool {
    switch self {
    case .completed, .failed, .saga: true
    default: false
    }
  }

  /// What somebody wants of a saga.
  package init(wish fact: SagaFact, in plan: SagaPlan) {
    if case .cancelAsked(let who, let reason) = fact {
      self = .cancelAsked(by: who, reason: reason)
    } else {
      self = .saga(word: fact.word, fact.json(in: plan))
    }
  }

  /// As an event of the run's stream. Where it can come only once its id follows from what it is.
  package func draft(of run: RunID) -> EventDraft {
    let id = key.map { RunEvent.id(run, type, $0) } ?? EventID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    return EventDraft(id: id, type: type, payload: json, correlation: EventID(high: run.high, low: run.low))
  }

  /// What tells events of one type and run apart; nil: they may come again, as after `retried`.
  private var key: (name: String, item: Int, number: Int)? {
    switch self {
    case .created: ("", -1, 0)
    case .upgraded(let definition, _, _): (definition, -1, 0)
    case .started(let place, let attempt, _, _), .completed(let place, let attempt, _, _, _): (place.task, place.item ?? -1, attempt)
    case .retryScheduled(let attempt, _, _), .failed(let attempt, _): (attempt.place.task, attempt.place.item ?? -1, attempt.attempt)
    case .items(let task, _): (task, -1, 0)
    case .childStarted(let place, let attempt, _): (place.task, place.item ?? -1, attempt)
    case .answered(let task, let attempt, _): (task, -1, attempt)
    case .signalled(_, let number, _), .resumed(let number, _, _): ("", -1, number)
    case .cancelAsked, .ended, .quarantined, .retried, .saga, .skipped, .suspended: nil
    }
  }

  /// 128 bits by FNV-1a with two starting points, mixed with those of the run.
  static func id(_ run: RunID, _ type: String, _ key: (name: String, item: Int, number: Int)) -> EventID {
    var (a, b) = (0xCBF2_9CE4_8422_2325 ^ run.high, 0x9E37_79B9_7F4A_7C15 ^ run.low)
    func mix(_ byte: UInt8) {
      a = (a ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
      b = (b ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
      b ^= b >> 29
    }
    for byte in type.utf8 { mix(byte) }
    mix(0)
    for byte in key.name.utf8 { mix(byte) }
    for number in [UInt64(bitPattern: Int64(key.item)), UInt64(bitPattern: Int64(key.number))] {
      for place in 0..<8 { mix(UInt8(truncatingIfNeeded: number >> UInt64(place * 8))) }
    }
    return EventID(high: a, low: b)
  }
}

extension RunCreation {
  /// As it is recorded.
  var json: JSON {
    var members: [JSON.Member] = [.init("run", .string(run.description)), .init("workflow", .string(workflow))]
    if isSaga { members.append(.init("kind", "saga")) }
    if let version { members.append(.init("version", .integer(Int64(version)))) }
    members.append(.init("definition", .string(definition)))
    if !parameters.isEmpty { members.append(.init("parameters", .object(parameters))) }
    if !builds.isEmpty { members.append(.init("builds", .object(builds))) }
    members.append(.init("tenant", .string(tenant)))
    members.append(.init("wall", .integer(wall)))
    members.append(.init("seed", .integer(Int64(bitPattern: seed))))
    if !boot.isEmpty { members.append(.init("boot", .string(boot))) }
    if depth > 0 { members.append(.init("depth", .integer(Int64(depth)))) }
    if let trace { members.append(.init("trace", .string(trace.description))) }
    if let parent {
      members.append(
        .init(
          "parent",
          .object([
            .init("run", .string(parent.run.description)), .init("task", .string(parent.task)),
            .init("attempt", .integer(Int64(parent.attempt))),
          ])))
    }
    if let schedule { members.append(.init("schedule", .string(schedule))) }
    if let origin { members.append(.init("origin", .string(origin.description))) }
    return .object(members)
  }

  fileprivate init(_ record: RecordReader) throws(RecordError) {
    self.init(
      run: try record.run("run"), workflow: try record.text("workflow"), version: try record.optionalInteger("version"),
      definition: try record.text("definition"), parameters: record["parameters"]?.object ?? [], builds: record["builds"]?.object ?? [],
      tenant: try record.text("tenant"), wall: try record.integer("wall"), seed: UInt64(bitPattern: try record.integer("seed")),
      boot: try record.optionalText("boot") ?? "", depth: try record.optionalInteger("depth") ?? 0,
      trace: try record.optionalText("trace").flatMap { TraceContext($0) })
    isSaga = record["kind"] == "saga"
    schedule = try record.optionalText("schedule")
    if let parent = record["parent"] {
      let reader = RecordReader(parent)
      self.parent = Parent(run: try reader.run("run"), task: try reader.text("task"), attempt: Int(try reader.integer("attempt")))
    }
    if record["origin"] != nil { origin = try record.run("origin") }
  }
}

/// Writes one object. Names are literals without anything to escape.
private struct RecordWriter {
  private var bytes: [UInt8] = []

  init() {
    bytes.reserveCapacity(192)
    bytes.append(UInt8(ascii: "{"))
  }

  /// Once, at the end.
  mutating func end() -> [UInt8] {
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }

  private mutating func begin(_ name: StaticString) {
    if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
    bytes.append(UInt8(ascii: "\""))
    name.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
  }

  mutating func integer(_ name: StaticString, _ value: Int64) {
    begin(name)
    decimal(value)
  }

  private mutating func decimal(_ value: Int64) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    let magnitude = value.magnitude
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    // unsafe: 20 digits at most in 24 bytes.
    unsafe withUnsafeMutableBytes(of: &digits) { buffer in
      var (rest, at) = (magnitude, buffer.count)
      repeat {
        at -= 1
        unsafe buffer[at] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
        rest /= 10
      } while rest > 0
      unsafe bytes.append(contentsOf: buffer[at...])
    }
  }

  /// A name: `[A-Za-z0-9._/-]`, nothing to escape.
  mutating func name(_ name: StaticString, _ value: String) {
    begin(name)
    bytes.append(UInt8(ascii: "\""))
    bytes.append(contentsOf: value.utf8)
    bytes.append(UInt8(ascii: "\""))
  }

  mutating func text(_ name: StaticString, _ value: String?) {
    guard let value else { return }
    begin(name)
    bytes.append(contentsOf: JSON.string(value).utf8())
  }

  mutating func flag(_ name: StaticString, _ value: Bool) {
    begin(name)
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  mutating func names(_ name: StaticString, _ values: [String]) {
    if values.isEmpty { return }
    begin(name)
    bytes.append(contentsOf: JSON.array(values.map(JSON.string)).utf8())
  }

  /// A JSON text.
  mutating func raw(_ name: StaticString, _ value: [UInt8]) {
    begin(name)
    bytes.append(contentsOf: value)
  }

  mutating func time(_ name: StaticString, _ time: DurableTime) {
    begin(name)
    bytes.append(UInt8(ascii: "{"))
    part("wall", time.wall)
    bytes.append(UInt8(ascii: ","))
    part("boot", Int64(clamping: time.boot))
    bytes.append(UInt8(ascii: "}"))
  }

  private mutating func part(_ name: StaticString, _ value: Int64) {
    bytes.append(UInt8(ascii: "\""))
    name.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    decimal(value)
  }

  mutating func place(_ place: TaskPlace, _ attempt: Int?) {
    name("task", place.task)
    if let item = place.item { integer("item", Int64(item)) }
    if let attempt { integer("attempt", Int64(attempt)) }
  }

  mutating func attempt(_ attempt: FailedAttempt) {
    place(attempt.place, attempt.attempt)
    name("status", attempt.status.rawValue)
    integer("started", attempt.started)
    integer("ended", attempt.ended)
    text("type", attempt.errorType.isEmpty ? nil : attempt.errorType)
    text("message", attempt.message.isEmpty ? nil : attempt.message)
  }

  mutating func output(_ output: RecordedOutput) {
    switch output {
    case .spilled(let version, let type):
      integer("spilled", Int64(clamping: version))
      if type != UInt32(MILLRACE_JSON) { integer("contentType", Int64(type)) }
    case .inline(let output, let type):
      if type != UInt32(MILLRACE_JSON) { integer("contentType", Int64(type)) }
      if output.isEmpty { return }
      if type == UInt32(MILLRACE_JSON), RecordWriter.isCompactJSON(output) {
        raw("output", output)
      } else {
        name("outputBase64", Base64.text(output))
      }
    }
  }

  /// It reads back as the same bytes: one JSON value, numbers and spaces as `JSON.utf8` writes them.
  private static func isCompactJSON(_ bytes: [UInt8]) -> Bool {
    do throws(JSONSyntaxError) { return try JSON(parsing: bytes).utf8() == bytes } catch { return false }
  }
}

extension RecordReader {
  fileprivate var place: TaskPlace {
    get throws(RecordError) { TaskPlace(try text("task"), item: try optionalInteger("item")) }
  }

  fileprivate func run(_ name: String) throws(RecordError) -> RunID {
    guard let run = RunID(try text(name)) else { throw missing(name) }
    return run
  }

  fileprivate func time(_ name: String) throws(RecordError) -> DurableTime {
    guard let value = value[name], let wall = value["wall"]?.integer, let boot = value["boot"]?.integer else { throw missing(name) }
    return DurableTime(wall: wall, boot: UInt64(clamping: boot))
  }
  fileprivate func optionalTime(_ name: String) throws(RecordError) -> DurableTime? { value[name] == nil ? nil : try time(name) }

  fileprivate var failedAttempt: FailedAttempt {
    get throws(RecordError) {
      FailedAttempt(
        place: try place, attempt: Int(try integer("attempt")), status: try word("status"), started: try integer("started"),
        ended: try integer("ended"), errorType: try optionalText("type") ?? "", message: try optionalText("message") ?? "")
    }
  }

  fileprivate var output: RecordedOutput {
    get throws(RecordError) {
      let type = UInt32(clamping: try optionalInteger("contentType") ?? Int(MILLRACE_JSON))
      if let version = try optionalWhole("spilled") { return .spilled(version: version, contentType: type) }
      if let output = self["output"] { return .inline(output.utf8(), contentType: type) }
      guard let text = try optionalText("outputBase64") else { return .inline([], contentType: type) }
      guard let bytes = Base64.bytes(text) else { throw missing("outputBase64") }
      return .inline(bytes, contentType: type)
    }
  }

  fileprivate var items: ItemsRecorded {
    get throws(RecordError) {
      if let list = self["list"] { return .list(list.utf8()) }
      if let version = try optionalWhole("spilled") { return .spilled(version: version) }
      return .range(from: try integer("from"), step: try integer("step"), count: Int(try integer("count")))
    }
  }
}
