internal import ArgumentParser
internal import CMillrace
internal import Millrace

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Shows what a definition says: parameters, templates, tasks, schedule.",
    discussion: """
      Examples:
        millrace workflow show Examples/package-census.yaml
        millrace workflow show mine.yaml -o json

      The handlers are not needed for it. Exit code 65: the definition cannot run; `workflow check` tells why.
      """)

  @Argument(help: "The definition of a workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let overview: Overview
    do throws(DefinitionError) {
      overview = try Overview(try DefinitionReader().read(path: file))
    } catch {
      throw Refusal(.badData, "\(error)")
    }
    switch format {
    case .json: try Output.result(overview.json)
    case .text: try Output.result(ResultTables.text(overview.tables, width: Output.width))
    }
  }
}

/// A definition as a reader wants to see it before it is run.
struct Overview {
  private let definition: Definition
  private let templates: [DefinitionReader.Template]
  /// Of a saga.
  private let plan: SagaPlan?

  init(_ reading: DefinitionReader.Reading) throws(DefinitionError) {
    definition = reading.definition
    templates = reading.templates
    plan = definition.kind == .saga ? try SagaPlan(definition) : nil
  }

  private var all: [TaskDefinition] { definition.tasks + definition.cleanup }

  /// The handlers of compensations.
  private var undoing: [String] { all.compactMap(\.compensation).filter(\.isNeeded).map(\.handler) }

  /// How many tasks each handler has, most first.
  private var handlers: [(name: String, tasks: Int)] {
    Dictionary((all.map(\.handler) + undoing).map { ($0, 1) }, uniquingKeysWith: +).map { ($0.key, $0.value) }.sorted {
      ($1.1, $0.0) < ($0.1, $1.0)
    }
  }

  var json: JSON {
    .object([
      .init("workflow", .string(definition.name)),
      .init("kind", .string(definition.kind.rawValue)),
      .init("durability", .string(definition.durability.rawValue)),
      .init("version", definition.version.map { .integer(Int64($0)) } ?? .null),
      .init("versionPolicy", .string(definition.versionPolicy.rawValue)),
      .init("sha256", definition.sha256.map(JSON.string) ?? .null),
      .init("description", .string(definition.description)),
      .init("parameters", .array(definition.parameters.map(Self.json))),
      .init("templates", .array(templates.map(Self.json))),
      .init("tasks", .integer(Int64(definition.tasks.count))),
      .init("cleanup", .integer(Int64(definition.cleanup.count))),
      .init("dependencies", .integer(Int64(all.reduce(0) { $0 + $1.dependencies.count }))),
      .init(
        "handlers",
        .array(handlers.map { .object([.init("handler", .string($0.name)), .init("tasks", .integer(Int64($0.tasks)))]) })),
      .init("onFailure", .string(definition.onFailure.rawValue)),
      .init("result", definition.result.map(JSON.string) ?? .null),
      .init("schedule", definition.schedule.map(Self.json) ?? .null),
      .init("steps", plan.map { plan in .array(definition.tasks.indices.map { json($0, of: plan) }) } ?? .null),
    ])
  }

  private func json(_ step: Int, of plan: SagaPlan) -> JSON {
    let task = definition.tasks[step]
    return .object([
      .init("step", .string(task.id)),
      .init("kind", .string("\(plan.kind(of: step))")),
      .init("handler", .string(task.handler)),
      .init("compensation", task.compensation.map { $0.isNeeded ? .string($0.handler) : "none" } ?? .null),
      .init("dependencies", .array(task.dependencies.map(JSON.string))),
    ])
  }

  private func row(_ step: Int, of plan: SagaPlan) -> JSON {
    let task = definition.tasks[step]
    return .object([
      .init("step", .string(task.id)),
      .init("kind", .string("\(plan.kind(of: step))")),
      .init("handler", .string(task.handler)),
      .init("compensation", .string(task.compensation.map { $0.isNeeded ? $0.handler : "none" } ?? "")),
      .init("after", .string(task.dependencies.joined(separator: " "))),
    ])
  }

  private static func json(_ parameter: Definition.Parameter) -> JSON {
    var members: [JSON.Member] = [
      .init("name", .string(parameter.name)),
      .init("type", parameter.kind.map { .string($0.rawValue) } ?? .null),
      .init("required", .bool(parameter.fallback == nil)),
    ]
    if let fallback = parameter.fallback { members.append(.init("default", fallback)) }
    if let choices = parameter.choices { members.append(.init("enum", .array(choices))) }
    if let minimum = parameter.minimum { members.append(.init("minimum", minimum)) }
    if let maximum = parameter.maximum { members.append(.init("maximum", maximum)) }
    return .object(members + [.init("description", .string(parameter.description))])
  }

  private static func json(_ template: DefinitionReader.Template) -> JSON {
    .object([
      .init("name", .string(template.name)),
      .init("description", .string(template.description)),
      .init("parameters", .array(template.parameters.map(json))),
      .init("tasks", .integer(Int64(template.tasks))),
      .init("uses", .integer(Int64(template.uses))),
      .init("file", .string(template.file)),
    ])
  }

  private static func json(_ schedule: Schedule) -> JSON {
    .object([
      .init("zone", .string(schedule.zone.name)),
      .init("next", next(schedule).map(JSON.string) ?? .null),
      .init("missed", .string(schedule.missed.rawValue)),
      .init("overlap", .string(schedule.overlap.rawValue)),
    ])
  }

  /// The next fire by the clocks of the zone.
  static func next(_ schedule: Schedule) -> String? {
    schedule.next(after: UTCTime(seconds: millrace_wall() / 1_000_000_000)).map(schedule.zone.text)
  }

  // MARK: For people

  var tables: JSON {
    var members: [JSON.Member] = [.init("workflow", .string(definition.name))]
    if !definition.description.isEmpty { members.append(.init("description", .string(definition.description))) }
    let policy = definition.versionPolicy == .pinned ? "" : ", \(definition.versionPolicy.rawValue)"
    members.append(.init("version", .string((definition.version.map { "\($0)" } ?? "not numbered") + policy)))
    if let hash = definition.sha256 { members.append(.init("build", .string(String(hash.prefix(12))))) }
    members.append(.init("\(definition.noun)s", .string(tasks)))
    if definition.durability != .none { members.append(.init("durability", .string(definition.durability.rawValue))) }
    if let result = definition.result { members.append(.init("result", .string(result))) }
    if definition.kind == .workflow { members.append(.init("onFailure", .string(definition.onFailure.rawValue))) }
    if let schedule = definition.schedule {
      members.append(.init("schedule", .string(Self.next(schedule).map { "next at \($0)" } ?? "no fire from now on")))
    }
    if !definition.parameters.isEmpty { members.append(.init("parameters", .array(definition.parameters.map(Self.row)))) }
    if !templates.isEmpty { members.append(.init("templates", .array(templates.map(Self.row)))) }
    if let plan { members.append(.init("order", .array(definition.tasks.indices.map { row($0, of: plan) }))) }
    members.append(
      .init(
        "handlers",
        .array(handlers.map { .object([.init("handler", .string($0.name)), .init("tasks", .string("\($0.tasks)"))]) })))
    return .object(members)
  }

  private var tasks: String {
    let cleanup = definition.cleanup.isEmpty ? "" : " and \(definition.cleanup.count) of cleanup"
    return "\(definition.tasks.count)\(cleanup), \(all.reduce(0) { $0 + $1.dependencies.count }) dependencies"
  }

  private static func row(_ parameter: Definition.Parameter) -> JSON {
    .object([
      .init("parameter", .string(parameter.name)),
      .init("type", .string(parameter.words)),
      .init("default", .string(parameter.fallback.map { $0.string ?? $0.text() } ?? "must be given")),
      .init("description", .string(parameter.description)),
    ])
  }

  private static func row(_ template: DefinitionReader.Template) -> JSON {
    let names = template.parameters.map { $0.fallback == nil ? $0.name : "[\($0.name)]" }.joined(separator: " ")
    return .object([
      .init("template", .string(template.name)),
      .init("takes", .string(names)),
      .init("tasks", .string("\(template.tasks)")),
      .init("uses", .string("\(template.uses)")),
      .init("description", .string(template.description)),
    ])
  }
}

extension Definition.Parameter {
  /// Type and bounds, as `integer 1...9`.
  fileprivate var words: String {
    if let choices { return choices.map { $0.string ?? $0.text() }.joined(separator: " | ") }
    let range =
      switch (minimum?.text(), maximum?.text()) {
      case (let low?, let high?): " \(low)...\(high)"
      case (let low?, nil): " from \(low)"
      case (nil, let high?): " up to \(high)"
      case (nil, nil): ""
      }
    return (kind?.rawValue ?? "any") + range
  }
}
