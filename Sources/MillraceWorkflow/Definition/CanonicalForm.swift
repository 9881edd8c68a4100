/// A definition in one form, whatever file it came from: what its SHA-256 is taken of.
///
/// JSON text without spaces, members in a fixed order, those of inputs by name. It holds all that a run is made of, templates written out, and the version;
/// no descriptions, no schedule, no messages that start it, nothing that was left out. Whatever field is added to a definition or a task and matters for a run belongs here.
extension Definition {
  /// Gives the form to `sink` in parts. Complexity: O(tasks + dependencies + inputs); memory for one task.
  package func writeCanonicalForm(_ sink: ([UInt8]) -> Void) {
    var head: [JSON.Member] = [.init("format", .integer(Int64(Definition.format))), .init("workflow", .string(name))]
    head.append("kind", kind == .workflow ? nil : .string(kind.rawValue))
    head.append("version", version.map { .integer(Int64($0)) })
    head.append("version_policy", versionPolicy == .pinned ? nil : .string(versionPolicy.rawValue))
    head.append("parameters", parameters.isEmpty ? nil : .array(parameters.map(\.canonical)))
    head.append("defaults", defaults == Policy() ? nil : defaults.canonical)
    head.append("on_failure", onFailure == .failFast ? nil : .string(onFailure.rawValue))
    head.append("durability", durability == .none ? nil : .string(durability.rawValue))
    head.append("result", result.map(JSON.string))
    head.append(
      "concurrency",
      concurrency.map { .array([$0.key.map(JSON.string) ?? .null, .integer(Int64($0.limit)), .string($0.whenFull.rawValue)]) })
    sink(JSON.object(head).utf8())
    for argument in arguments {
      sink(JSON.array([.string(argument.name), argument.value.sorted, argument.parameter.canonical]).utf8())
    }
    for (list, label) in [(tasks, "tasks"), (cleanup, "cleanup")] {
      sink(JSON.string(label).utf8())
      for task in list { sink(task.canonical.utf8()) }
    }
  }
}

extension Definition {
  fileprivate var canonicalText: String {
    var text = ""
    writeCanonicalForm { text += String(decoding: $0, as: UTF8.self) }
    return text
  }
}

extension TaskDefinition {
  fileprivate var canonical: JSON {
    var members: [JSON.Member] = [.init("id", .string(id)), .init("handler", .string(handler))]
    members.append("dependencies", dependencies.isEmpty ? nil : .array(dependencies.map(JSON.string)))
    members.append("input", input.isNull ? nil : input.sorted)
    members.append("recordedSeconds", recordedSeconds.map(JSON.number))
    guard isSpecial else { return .object(members) }
    members.append("when", condition.map(JSON.string))
    members.append("env", environment.isEmpty ? nil : .array(environment.map { .array([.string($0.name), .string($0.value)]) }))
    members.append("policy", policy == Policy() ? nil : policy.canonical)
    members.append("foreach", foreach?.canonical)
    members.append("parallelism", parallelism.map { .integer(Int64($0)) })
    members.append("wait", wait.map { .array([.string($0.kind), .string($0.text)]) })
    members.append("workflow", child.map { .array([.string($0.name), $0.definition.map { .string($0.canonicalText) } ?? .null]) })
    members.append("compensation", compensation?.canonical)
    members.append("pivot", isPivot ? .bool(true) : nil)
    return .object(members)
  }
}

extension Compensation {
  fileprivate var canonical: JSON {
    if !isNeeded { return "none" }
    let policy = Policy(retry: retry, timeouts: timeouts)
    return .array([.string(handler), .array(input.map { [$0.sorted] } ?? []), policy == Policy() ? .null : policy.canonical])
  }
}

extension Foreach {
  fileprivate var canonical: JSON {
    switch self {
    case .list(let list): .array([.string("list"), list.sorted])
    case .range(let from, let to, let step): .array([.string("range"), from, to, step])
    case .files(let pattern, let directory): .array([.string("files"), .string(pattern), directory.map(JSON.string) ?? .null])
    }
  }
}

extension Definition.Parameter {
  fileprivate var canonical: JSON {
    var members: [JSON.Member] = [.init("name", .string(name))]
    members.append("type", kind.map { .string($0.rawValue) })
    members.append("default", fallback?.sorted)
    members.append("enum", choices.map { .array($0.map(\.sorted)) })
    members.append("minimum", minimum)
    members.append("maximum", maximum)
    return .object(members)
  }
}

extension Policy {
  fileprivate var canonical: JSON {
    let time = { (value: UInt64?) in value.map { JSON.integer(Int64(clamping: $0)) } }
    var members: [JSON.Member] = []
    members.append("priority", priority.map { .string("\($0)") } ?? priorityExpression.map(JSON.string))
    members.append("scheduleToStart", time(timeouts.scheduleToStart))
    members.append("startToClose", time(timeouts.startToClose))
    members.append("scheduleToClose", time(timeouts.scheduleToClose))
    members.append("heartbeat", time(timeouts.heartbeat))
    members.append("key", concurrencyKey.map(JSON.string))
    members.append("limit", concurrencyLimit.map { .integer(Int64($0)) })
    members.append("weight", concurrencyWeight.map { .integer(Int64($0)) })
    members.append(
      "rate",
      rate.map {
        .array([.string($0.key), .integer(Int64($0.limit)), .integer(Int64(clamping: $0.per)), .integer(Int64($0.burst))])
      })
    members.append("breaker", breaker?.canonical)
    if let retry {
      members.append(
        "retry",
        .array(
          [
            .integer(Int64(retry.attempts)), .integer(Int64(clamping: retry.initial)), .number(retry.factor),
            .integer(Int64(clamping: retry.cap)),
          ]
            + retry.nonRetryable.map(JSON.string)))
    }
    return .object(members)
  }
}

extension [JSON.Member] {
  fileprivate mutating func append(_ name: String, _ value: JSON?) { if let value { append(JSON.Member(name, value)) } }
}

extension JSON {
  /// This value with the members of its objects by name. Recursive; the checker bounds the depth of inputs.
  fileprivate var sorted: JSON {
    switch self {
    case .array(let elements): .array(elements.map(\.sorted))
    case .object(let members):
      .object(members.map { Member($0.name, $0.value.sorted) }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) })
    default: self
    }
  }
}
