public import MillraceWorkflow

/// Why a JSON text is not the record of a run.
public struct RunRecordError: Error, Sendable, Hashable, CustomStringConvertible {
  /// As `tasks[3].status`; empty: the whole.
  public let path: String
  /// What is wrong there, for behind the path.
  public let reason: String

  public var description: String { path.isEmpty ? reason : "`\(path)` \(reason)" }
}

extension RunRecord {
  /// Reads what `RunSummary.record` writes, run.json: format 1; members that are not known are left alone. Throws `RunRecordError`.
  ///
  /// Complexity: O(tasks + dependencies + attempts).
  public init(_ json: JSON) throws(RunRecordError) {
    let whole = Member(json, "")
    guard json.object != nil else { throw whole.error("this is no record of a run: it is no object") }
    guard json["format"] == 1 else { throw whole.error("this is no record of a run of format 1: `format` is missing, or another number") }
    let items = try whole.member("tasks").elements()
    var tasks: [TaskRecord] = []
    tasks.reserveCapacity(items.count)
    for item in items { tasks.append(try TaskRecord(item, count: items.count)) }
    let recorded = json["recordedMakespanSeconds"] ?? .null
    self.init(
      run: try whole.member("run").text(), workflow: try whole.member("workflow").text(), status: try whole.member("status").word(),
      slots: Int(clamping: try whole.member("slots").count()), threads: Int(clamping: try whole.member("threads").count()),
      order: try whole.member("order").text(), startedWall: Int64(clamping: try whole.member("startedWallNanoseconds").integer()),
      elapsed: try whole.member("elapsedNanoseconds").count(),
      recordedMakespanSeconds: recorded == .null ? nil : recorded.double,
      tenant: json["tenant"]?.string ?? RunTenant.standard.name, reason: json["reason"]?.string, tasks: tasks)
    // Records of earlier releases have none of these.
    workflowVersion = json["workflowVersion"]?.integer.flatMap(Int.init(exactly:))
    definitionSHA256 = json["definitionSHA256"]?.string
    for build in json["plugins"] == nil ? [] : try whole.member("plugins").elements() {
      plugins.append(
        PluginBuild(
          name: try build.member("name").text(), version: try build.member("version").text(), sha256: try build.member("sha256").text()))
    }
    for item in json["signals"] == nil ? [] : try whole.member("signals").elements() {
      signals.append(
        SignalRecord(name: try item.member("name").text(), time: try item.member("nanoseconds").count(), task: item.value["task"]?.string))
    }
  }
}

extension TaskRecord {
  fileprivate init(_ item: Member, count: Int) throws(RunRecordError) {
    let name = try item.member("priority").text()
    guard let priority = Priority.allCases.first(where: { "\($0)" == name }) else {
      throw item.member("priority").error("is \(name), which is no priority")
    }
    var dependencies: [Int] = []
    for dependency in try item.member("dependencies").elements() {
      guard let index = Int(exactly: try dependency.integer()), index >= 0, index < count else {
        throw dependency.error("is no index of a task: there are \(count)")
      }
      dependencies.append(index)
    }
    var attempts: [AttemptRecord] = []
    for attempt in try item.member("attempts").elements() { attempts.append(try AttemptRecord(attempt)) }
    self.init(
      id: try item.member("id").text(), handler: try item.member("handler").text(), priority: priority,
      status: try item.member("status").word(), dependencies: dependencies, ready: try item.member("readyNanoseconds").optionalCount(),
      attempts: attempts, cause: item.value["cause"]?.string, outputBytes: try item.member("outputBytes").count())
    if item.value["items"] != nil { items = try ItemsRecord(item.member("items"), tasks: count) }
    for run in item.value["runs"]?.array ?? [] { children.append(try RunRecord(run)) }
    guard let wait = item.value["wait"] else { return }
    for kind in ["signal", "until", "for", "approval"] { if let text = wait[kind]?.string { self.wait = Wait(kind: kind, text) } }
    if case .bool(let isApproved) = wait["approved"] {
      answer = Answer(isApproved: isApproved, by: wait["by"]?.string, comment: wait["comment"]?.string)
    }
  }
}

extension ItemsRecord {
  fileprivate init(_ item: Member, tasks: Int) throws(RunRecordError) {
    var listed: [Int] = []
    for place in try item.member("listed").elements() {
      guard let index = Int(exactly: try place.integer()), index >= 0, index < tasks else {
        throw place.error("is no index of a task: there are \(tasks)")
      }
      listed.append(index)
    }
    self.init(
      count: Int(clamping: try item.member("count").count()), statuses: try Self.statuses(item.member("statuses")),
      attempts: Int(clamping: try item.member("attempts").count()), listed: listed,
      unlistedStatuses: try Self.statuses(item.member("unlisted")),
      unlistedAttempts: Int(clamping: try item.member("unlistedAttempts").count()),
      unlistedTime: try item.member("unlistedNanoseconds").count())
  }

  private static func statuses(_ item: Member) throws(RunRecordError) -> [TaskStatus: Int] {
    var statuses: [TaskStatus: Int] = [:]
    for status in TaskStatus.allCases where item.value[status.rawValue] != nil {
      statuses[status] = Int(clamping: try item.member(status.rawValue).count())
    }
    return statuses
  }
}

extension AttemptRecord {
  fileprivate init(_ item: Member) throws(RunRecordError) {
    self.init(
      number: Int(clamping: try item.member("number").integer()), status: try item.member("status").word(),
      start: try item.member("startNanoseconds").count(), end: try item.member("endNanoseconds").optionalCount(),
      lane: Int(clamping: try item.member("lane").integer()), errorType: try item.member("errorType").text(),
      message: try item.member("message").text())
  }
}

/// A value in the text, and where it is.
private struct Member {
  let value: JSON
  let path: String

  init(_ value: JSON, _ path: String) {
    self.value = value
    self.path = path
  }

  func error(_ reason: String) -> RunRecordError { RunRecordError(path: path, reason: reason) }

  /// null where it is missing.
  func member(_ name: String) -> Member { Member(value[name] ?? .null, path.isEmpty ? name : "\(path).\(name)") }

  func elements() throws(RunRecordError) -> [Member] {
    guard let elements = value.array else { throw error("is missing, or no list") }
    return elements.enumerated().map { Member($1, "\(path)[\($0)]") }
  }

  func text() throws(RunRecordError) -> String {
    guard let text = value.string else { throw error("is missing, or no text") }
    return text
  }

  func integer() throws(RunRecordError) -> Int64 {
    guard case .integer(let integer) = value else { throw error("is missing, or no integer") }
    return integer
  }

  func count() throws(RunRecordError) -> UInt64 {
    guard let count = UInt64(exactly: try integer()) else { throw error("is negative") }
    return count
  }

  func optionalCount() throws(RunRecordError) -> UInt64? { value == .null ? nil : try count() }

  func word<Status: RawRepresentable>() throws(RunRecordError) -> Status where Status.RawValue == String {
    guard let status = Status(rawValue: try text()) else { throw error("is \(value.text()), which is no status") }
    return status
  }
}
