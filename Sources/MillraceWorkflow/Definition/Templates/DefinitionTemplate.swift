/// Tasks that belong together, as they stand in the file: those of the workflow, or of one template.
struct TaskScope {
  var tasks: [TaskDefinition] = []
  var positions = DefinitionPositions()
  /// Tasks among `tasks` that stand for those of a template, in order; these have no handler.
  var uses: [TemplateUse] = []
  /// Tasks that expressions name.
  var named: [ExpressionChecker.Use] = []
}

/// `- id: left`, `template: hash-tree`: a task in whose place those of a template come.
struct TemplateUse {
  /// Index among the tasks of its scope.
  var task: Int
  var template: String
  var templatePosition: Position
  var arguments: [Located.Entry] = []
  /// `with` is no map, which has been told.
  var isUnclear = false
}

/// A template as it stands in a file.
struct DefinitionTemplate {
  /// Most of a definition, with those that it includes.
  static let maximumCount = 10_000
  /// Templates inside each other.
  static let maximumDepth = 16

  var name: String
  var description = ""
  /// The file it stands in, and where.
  var file: String
  var position: Position
  var parameters: [Definition.Parameter] = []
  /// The task whose output is that of a use; nil: none is named.
  var result: String?
  var resultPosition: Position?
  var scope = TaskScope()
}

extension DefinitionDecoder {
  private static let templateKeys = ["template", "description", "parameters", "result", "tasks"]
  private static let useKeys = [
    "id", "template", "with", "description", "dependencies", "when", "priority", "timeouts", "retry", "concurrency",
  ]

  // MARK: Templates

  mutating func templates(_ value: Located) {
    for element in list(value, "'templates'", "templates", fix: "write '- template: NAME' with 'tasks' for each") { template(element) }
  }

  private mutating func template(_ value: Located) {
    let label = value["template"]?.string.map { "the template '\($0.prefix(Identifier.maximumLength))'" } ?? "a template"
    guard let entries = map(value, label, Self.templateKeys, fix: "write '- template: NAME' with 'tasks'") else { return }
    require(["template", "tasks"], in: entries, of: label, examples: ["template: NAME", "tasks:"], at: value.position)
    var template = DefinitionTemplate(name: "", file: faults.file, position: value.position)
    // What the workflow declares means nothing inside.
    let outer = (positions, expressions, uses)
    (positions, expressions, uses) = (DefinitionPositions(), ExpressionChecker(), [])
    expressions.template = value["template"]?.string ?? ""
    if let list = entries.first(where: { $0.name == "parameters" })?.value { template.parameters = parameters(list) }
    for entry in entries {
      switch entry.name {
      case "template":
        template.name = id(entry.value, "'template'", code: .badId) ?? entry.value.string ?? ""
        template.position = entry.value.position
      case "description": template.description = text(entry.value, "'description'") ?? ""
      case "result":
        template.result = id(entry.value, "'result'", code: .badId)
        template.resultPosition = entry.value.position
      case "tasks": template.scope.tasks = tasks(entry.value, "'tasks'")
      default: break
      }
    }
    template.scope.positions = positions
    template.scope.uses = uses
    template.scope.named = expressions.uses
    (positions, expressions, uses) = outer
    keep(template)
  }

  private mutating func keep(_ template: DefinitionTemplate) {
    if let first = templates.first(where: { $0.name == template.name && !template.name.isEmpty }) {
      let place = first.file == template.file ? "line \(first.position.line)" : "\(first.file):\(first.position.line)"
      faults.add(
        .duplicateId, "the template '\(template.name)' is there twice; first at \(place)", fix: "give one of them another name",
        at: template.position)
    }
    guard templates.count < DefinitionTemplate.maximumCount else {
      if templates.count == DefinitionTemplate.maximumCount {
        faults.add(
          .limit, "more than \(DefinitionTemplate.maximumCount) templates", fix: "include the files that are needed only",
          at: template.position)
      }
      return
    }
    templates.append(template)
  }

  // MARK: Uses

  /// A task with the key `template`, in `entries`. Its place is among the tasks of its scope, so that others can name it.
  mutating func use(
    _ value: Located, _ label: String, _ entries: [Located.Entry], index: Int, _ places: inout DefinitionPositions.TaskPositions
  ) -> TaskDefinition {
    var task = TaskDefinition("", handler: "")
    // Not in the condition of a use either: what stands for several tasks has no items.
    expressions.hasItems = false
    var use = TemplateUse(task: index, template: "", templatePosition: value.position)
    require(["id"], in: entries, of: label, examples: ["id: NAME"], at: value.position)
    var policy = Policy()
    for entry in entries {
      switch entry.name {
      case "template":
        use.template = id(entry.value, "'template'", code: .badId) ?? ""
        use.templatePosition = entry.value.position
      case "with":
        guard case .map(let arguments) = entry.value.content else {
          wrongType(entry.value, "'with'", "a map of parameters", fix: "write 'with: { NAME: VALUE }'")
          use.isUnclear = true
          continue
        }
        use.arguments = arguments
        for argument in arguments { checkExpressions(argument.value, in: .input, of: index) }
      case "input", "env", "handler":
        faults.add(
          .unknownKey, "\(label) uses a template, and has no '\(entry.name)'",
          fix: entry.name == "handler"
            ? "remove 'handler' or 'template'" : "give values to the template's parameters: 'with: { NAME: VALUE }'",
          at: entry.position)
      case _ where Self.useKeys.contains(entry.name): taskField(entry, &task, &policy, &places, index: index)
      case _ where Self.taskKeys.contains(entry.name):
        faults.add(
          .unknownKey, "\(label) uses a template, and has no '\(entry.name)'", fix: "write it for the tasks of the template",
          at: entry.position)
      default: break
      }
    }
    if policy != Policy() { task.policy = policy }
    uses.append(use)
    positions.uses[task.id] = use.template
    return task
  }
}

extension DefinitionDecoder {
  /// The definition with the tasks of templates in the place of their uses; only good if no error was added to `faults`.
  mutating func writtenOut(_ definition: Definition, handlers: Set<String>?) -> DefinitionReader.Reading {
    guard !templates.isEmpty || !uses.isEmpty else { return DefinitionReader.Reading(definition: definition, warnings: faults.sorted) }
    let main = TaskScope(tasks: definition.tasks + definition.cleanup, positions: positions, uses: uses, named: expressions.uses)
    var checker = TemplateChecker(templates)
    checker.check(main, result: definition.result, resultPosition: positions.result, handlers: handlers, &faults, &nearest)
    var reading = DefinitionReader.Reading(definition: definition, warnings: [])
    if faults.errors == 0 {
      var expansion = TemplateExpansion(checker)
      if !uses.isEmpty { reading.definition = expansion.expand(definition, main, &faults) }
      let counts = Dictionary(uses.map { ($0.template, 1) }, uniquingKeysWith: +)
      reading.templates = templates.map { template in
        DefinitionReader.Template(
          name: template.name, description: template.description, parameters: template.parameters,
          tasks: checker.shapes[template.name]?.tasks ?? 0, uses: counts[template.name] ?? 0, file: template.file)
      }
    }
    reading.warnings = faults.sorted
    return reading
  }
}
