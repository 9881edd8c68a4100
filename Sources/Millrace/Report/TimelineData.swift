import MillraceWorkflow

/// A run in the compact form that the timeline page reads: one JSON object of columns, safe inside `<script type="application/json">`.
///
/// Columns instead of objects, start times as differences, handlers and errors by index, a column of equal values as that value: some 60 bytes
/// a task. Times are in ticks of `unit` nanoseconds, a power of ten chosen so that the run has at most 10^8 of them, and at least one
/// nanosecond. The page holds no more than a browser draws smoothly: see the limits below; run.json has everything.
struct TimelineData {
  /// Attempts in the page; of a run with more, those of the critical path, those that did not complete, and the longest.
  static let attemptLimit = 100_000
  /// Bytes of one message.
  static let messageLimit = 400
  /// Bytes of all messages: this, plus as many for each attempt as `messageBytesPerAttempt`.
  static let messagesLimit = 12_000
  static let messageBytesPerAttempt = 16
  /// Steps of the strip of running tasks when the page cannot count them itself because attempts were left out.
  static let stripSteps = 2_000

  private var text = ""

  static func json(_ record: RunRecord, path: CriticalPath, releasers: Releasers, limit: Int = attemptLimit) -> String {
    var data = TimelineData()
    data.encode(record, path: path, releasers: releasers, limit: limit)
    return data.text
  }

  private mutating func encode(_ record: RunRecord, path: CriticalPath, releasers: Releasers, limit: Int) {
    let lanes = Lanes(record, limit: limit, keeping: Set(path.steps.map(\.task)))
    let makespan = record.makespan
    var unit: UInt64 = 1
    while makespan / unit > 100_000_000 { unit *= 10 }

    // Tasks get new indices: those with an attempt in the page, those on the path, and what they refer to by name.
    var kept: [Int] = []
    if lanes.omitted == 0 {
      kept = Array(record.tasks.indices)
    } else {
      var wanted = Set(lanes.places.map(\.task))
      wanted.formUnion(path.steps.map(\.task))
      kept = wanted.sorted()
    }
    var position: [Int: Int] = [:]
    for (new, old) in kept.enumerated() { position[old] = new }
    let tasks = kept.map { record.tasks[$0] }

    let handlers = handlersByTime(record)
    let handlerIndex = Dictionary(uniqueKeysWithValues: handlers.enumerated().map { ($1, $0) })
    let statuses = Dictionary(uniqueKeysWithValues: TaskStatus.allCases.enumerated().map { ($1, $0) })

    text = "{"
    member("format", "1")
    member("unit", String(unit))
    member("end", String((makespan + unit - 1) / unit))
    member("slots", String(record.slots))
    member("startedMilliseconds", String(record.startedWall / 1_000_000))
    member("omitted", String(lanes.omitted))
    strings("statuses", TaskStatus.allCases.map(\.rawValue))
    strings("priorities", Priority.allCases.map { "\($0)" })
    strings("handlers", handlers)
    list("rowKind", lanes.rows.map(\.kind.rawValue))
    list("rowNumber", lanes.rows.map(\.number))
    strings("id", tasks.map(\.id))
    column("handler", tasks.map { handlerIndex[$0.handler] ?? 0 })
    column("status", tasks.map { statuses[$0.status] ?? 0 })
    column("priority", tasks.map { Int($0.priority.rawValue) })
    column("ready", tasks.map { task in task.ready.map { Int(clamping: $0 / unit) } ?? -1 })
    column("bytes", tasks.map { Int(clamping: $0.outputBytes) })
    // What released the task, as the distance back to it: mostly small, 0 for none.
    column("by", kept.enumerated().map { new, old in releasers.of[old].flatMap { position[$0] }.map { new - $0 } ?? 0 })
    list("path", path.steps.compactMap { position[$0.task] })

    let places = lanes.places
    let starts = places.map { Int(clamping: $0.start / unit) }
    member("attempts", String(places.count))
    column("attemptTask", places.map { position[$0.task] ?? 0 })
    column("attemptStart", zip(starts, [0] + starts).map { $0 - $1 })
    column(
      "attemptLength",
      places.map { place in
        record.tasks[place.task].attempts[place.attempt].end == nil ? -1 : Int(clamping: place.end / unit - place.start / unit)
      })
    column("attemptRow", places.map(\.row))
    column("attemptNumber", places.map { record.tasks[$0.task].attempts[$0.attempt].number })
    column("attemptStatus", places.map { statuses[record.tasks[$0.task].attempts[$0.attempt].status] ?? 0 })
    errors(places.map { record.tasks[$0.task].attempts[$0.attempt] })
    skipCauses(tasks)
    if lanes.omitted > 0 { strip(record, unit: unit) }
    text += "}"
  }

  /// Those that took the most time first: the first ones get colours of their own.
  private func handlersByTime(_ record: RunRecord) -> [String] {
    var busy: [String: UInt64] = [:]
    for task in record.tasks { busy[task.handler, default: 0] += record.busy(task) }
    return busy.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
  }

  /// `errors`: pairs of type and message, each once; `attemptError`: attempt, error, attempt, error, ... for attempts that have one.
  private mutating func errors(_ attempts: [AttemptRecord]) {
    var budget = Self.messagesLimit + Self.messageBytesPerAttempt * attempts.count
    var known: [[String]: Int] = [:]
    var texts: [String] = []
    var pairs: [Int] = []
    for (index, attempt) in attempts.enumerated() where !attempt.errorType.isEmpty || !attempt.message.isEmpty {
      let type = Self.shortened(attempt.errorType, 64)
      var message = Self.shortened(attempt.message, Self.messageLimit)
      if known[[type, message]] == nil, type.utf8.count + message.utf8.count > budget { message = "(in run.json)" }
      let key = [type, message]
      if known[key] == nil {
        known[key] = known.count
        texts += key
        budget -= type.utf8.count + message.utf8.count
      }
      pairs += [index, known[key] ?? 0]
    }
    strings("errors", texts)
    list("attemptError", pairs)
  }

  /// `causes`: ids; `taskCause`: task, cause, task, cause, ... for skipped tasks.
  private mutating func skipCauses(_ tasks: [TaskRecord]) {
    var known: [String: Int] = [:]
    var texts: [String] = []
    var pairs: [Int] = []
    for (index, task) in tasks.enumerated() {
      guard let cause = task.cause else { continue }
      if known[cause] == nil {
        known[cause] = texts.count
        texts.append(cause)
      }
      pairs += [index, known[cause] ?? 0]
    }
    strings("causes", texts)
    list("taskCause", pairs)
  }

  /// `strip`: for each of equal parts of the run, how many attempts were running on average, in hundredths.
  private mutating func strip(_ record: RunRecord, unit: UInt64) {
    let width = Double(max(1, record.makespan)) / Double(Self.stripSteps)
    // Differences of a running sum: whole steps between the ends are O(1) an attempt.
    var partial = [Double](repeating: 0, count: Self.stripSteps + 1)
    var change = [Double](repeating: 0, count: Self.stripSteps + 2)
    for task in record.tasks {
      for attempt in task.attempts {
        let from = Double(attempt.start) / width
        let to = Double(attempt.start + record.duration(attempt)) / width
        let first = min(Int(from), Self.stripSteps - 1)
        let last = min(Int(to), Self.stripSteps - 1)
        if first == last {
          partial[first] += to - from
        } else {
          partial[first] += Double(first + 1) - from
          partial[last] += to - Double(last)
          change[first + 1] += 1
          change[last] -= 1
        }
      }
    }
    var running = 0.0
    column(
      "strip",
      (0..<Self.stripSteps).map { step in
        running += change[step]
        return Int(((running + partial[step]) * 100).rounded())
      })
  }

  // MARK: Writing

  private mutating func member(_ name: String, _ value: String) {
    if text.utf8.count > 1 { text += ",\n" }
    text += "\"\(name)\":\(value)"
  }

  private mutating func strings(_ name: String, _ values: [String]) {
    member(name, "[" + values.map(Self.quoted).joined(separator: ",") + "]")
  }

  private mutating func list(_ name: String, _ values: [Int]) {
    member(name, "[" + values.lazy.map(String.init).joined(separator: ",") + "]")
  }

  /// A column as array, or as its value if all values are equal and there are at least two.
  private mutating func column(_ name: String, _ values: [Int]) {
    if values.count > 1, let first = values.first, values.allSatisfy({ $0 == first }) { return member(name, String(first)) }
    list(name, values)
  }

  /// At most `limit` bytes of UTF-8, cut between characters.
  static func shortened(_ text: String, _ limit: Int) -> String {
    if text.utf8.count <= limit { return text }
    var kept = ""
    var bytes = 3  // of `…`
    for character in text.unicodeScalars {
      bytes += character.utf8.count
      if bytes > limit { break }
      kept.unicodeScalars.append(character)
    }
    return kept + "…"
  }

  /// A JSON string that is also safe within a script element and in any encoding of the page: `<`, `>`, `&`, controls, line separators,
  /// bidirectional controls and noncharacters are escaped.
  static func quoted(_ text: String) -> String {
    var result = "\""
    result.reserveCapacity(text.utf8.count + 2)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "<", ">", "&": escape(UInt16(scalar.value), into: &result)
      default:
        let value = scalar.value
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF, 0xFFF9...0xFFFF:
          escape(UInt16(value), into: &result)
        default: result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }

  private static func escape(_ unit: UInt16, into result: inout String) {
    let digits = String(unit, radix: 16)
    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
