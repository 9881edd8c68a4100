/// Leaves of a workflow: `container`, `script` and `resource` templates as `shell/run` tasks, and the texts in them.
extension ArgoReader {
  private static let templateKeys: Set<String> = [
    "name", "inputs", "container", "script", "resource", "retryStrategy", "activeDeadlineSeconds",
  ]

  /// Adds the task of a template that does work; its id.
  mutating func leaf(_ template: Located, _ name: String, called: String, _ scope: ArgoScope, after: [String]) -> String {
    noteUnread(template.entries ?? [], except: Self.templateKeys, "the template '\(name)'")
    let input: [JSON.Member]
    if let container = template["container"] {
      guard let members = self.input(container: container, scope) else {
        return placeholder(called, scope, after, "the program is the one that its image begins with", at: container.position)[0]
      }
      input = members
    } else if let script = template["script"] {
      input = self.input(script: script, scope)
    } else if let resource = template["resource"] {
      input = self.input(resource: resource, scope)
    } else {
      return placeholder(
        called, scope, after, "the template '\(name)' is no dag, steps, container, script or resource", at: template.position)[0]
    }
    var policy: [JSON.Member] = []
    if let seconds = template["activeDeadlineSeconds"] {
      if let number = seconds.wholeNumber, 1...315_360_000 ~= number {
        policy.append(.init("timeouts", .object([.init("startToClose", .string("\(number)s"))])))
      } else {
        note("'activeDeadlineSeconds' is no number of seconds", fix: "write a number", at: seconds.position)
      }
    }
    if let strategy = template["retryStrategy"], let retry = retry(strategy) { policy.append(.init("retry", retry)) }
    return add(called, scope, after, input, policy)
  }

  /// A task that fails and says what could not be imported.
  mutating func placeholder(_ called: String, _ scope: ArgoScope, _ after: [String], _ reason: String, at position: Position) -> [String] {
    note("'\(scope.prefix)\(called)' is not imported: \(reason)", fix: "write the task by hand; until then it fails", at: position)
    let text = "not imported from Argo, line \(position.line): \(reason)".filter { $0 != "'" }
    return [add(called, scope, after, [.init("command", .string(Self.escaped("echo '\(text)' >&2; exit 69")))], [])]
  }

  private mutating func add(
    _ called: String, _ scope: ArgoScope, _ after: [String], _ input: [JSON.Member], _ policy: [JSON.Member]
  ) -> String {
    let id = unusedId(scope.prefix + called)
    var members: [JSON.Member] = [.init("id", .string(id)), .init("handler", .string(ArgoWorkflow.handler))]
    if !after.isEmpty { members.append(.init("dependencies", .array(after.map { .string($0) }))) }
    members += policy + [.init("input", .object(input))]
    tasks.append(.object(members))
    return id
  }

  // MARK: Programs

  private static let containerKeys: Set<String> = ["name", "image", "imagePullPolicy", "command", "args", "env", "workingDir", "source"]

  /// nil if the image says what runs.
  private mutating func input(container: Located, _ scope: ArgoScope) -> [JSON.Member]? {
    noteContainer(container)
    let words = texts(container["command"], scope) + texts(container["args"], scope)
    guard container["command"] != nil, let program = words.first else { return nil }
    return [.init("program", .string(program)), .init("arguments", .array(words.dropFirst().map { .string($0) }))]
      + surroundings(container, scope)
  }

  private mutating func input(script: Located, _ scope: ArgoScope) -> [JSON.Member] {
    noteContainer(script)
    let words = texts(script["command"], scope)
    let source = script["source"].map { replace($0.plainText, scope, at: $0.position) } ?? ""
    let program = words.first ?? "sh"
    let name = program.split(separator: "/").last.map(String.init) ?? program
    let flags = ["sh": "-c", "bash": "-c", "dash": "-c", "ash": "-c", "zsh": "-c", "perl": "-e", "ruby": "-e", "node": "-e"]
    var members: [JSON.Member] = [.init("program", .string(program))]
    if let flag = flags[name] ?? (name.hasPrefix("python") ? "-c" : nil) {
      members.append(.init("arguments", .array((words.dropFirst() + [flag, source]).map { .string($0) })))
    } else {
      note(
        "'\(program)' gets its script on standard input, not as a file", fix: "look whether it reads it there", at: script.position)
      members.append(.init("arguments", .array(words.dropFirst().map { .string($0) })))
      members.append(.init("stdin", .string(source)))
    }
    return members + surroundings(script, scope)
  }

  private mutating func input(resource: Located, _ scope: ArgoScope) -> [JSON.Member] {
    noteUnread(resource.entries ?? [], except: ["action", "manifest"], "a resource")
    note("a resource needs kubectl and its configuration where the engine runs", fix: "install it there", at: resource.position)
    let action = resource["action"].map { replace($0.plainText, scope, at: $0.position) } ?? "apply"
    let manifest = resource["manifest"].map { replace($0.plainText, scope, at: $0.position) } ?? ""
    return [
      .init("program", "kubectl"), .init("arguments", .array([.string(action), "-f", "-"])), .init("stdin", .string(manifest)),
    ]
  }

  private mutating func noteContainer(_ container: Located) {
    noteUnread(container.entries ?? [], except: Self.containerKeys, "a container")
    if let image = container["image"], let name = image.string, images.insert(name).inserted {
      note("runs on this machine, not in the image '\(name)'", fix: "install what the image holds", at: image.position)
    }
  }

  private mutating func surroundings(_ container: Located, _ scope: ArgoScope) -> [JSON.Member] {
    var environment: [JSON.Member] = []
    for variable in container["env"]?.elements ?? [] {
      guard let name = variable["name"]?.string else { continue }
      if let value = variable["value"] {
        environment.append(.init(name, .string(replace(value.plainText, scope, at: value.position))))
      } else {
        note("the variable '\(name)' is read from the cluster", fix: "set it where the engine runs", at: variable.position)
      }
    }
    var members: [JSON.Member] = environment.isEmpty ? [] : [.init("environment", .object(environment))]
    if let folder = container["workingDir"] {
      members.append(.init("directory", .string(replace(folder.plainText, scope, at: folder.position))))
    }
    return members
  }

  private mutating func texts(_ list: Located?, _ scope: ArgoScope) -> [String] {
    (list?.elements ?? []).map { replace($0.plainText, scope, at: $0.position) }
  }

  // MARK: Retries

  private mutating func retry(_ strategy: Located) -> JSON? {
    noteUnread(strategy.entries ?? [], except: ["limit", "backoff", "retryPolicy"], "a retry strategy")
    if let policy = strategy["retryPolicy"], let name = policy.string, !["Always", "OnFailure"].contains(name) {
      note("'retryPolicy: \(name)' is treated as Always", fix: "name errors that are not retried: nonRetryable", at: policy.position)
    }
    var attempts = 1_000_000
    if let limit = strategy["limit"] {
      guard let number = limit.wholeNumber, 0..<1_000_000 ~= number else {
        note("the limit of retries is no number", fix: "write a number", at: limit.position)
        return nil
      }
      attempts = number + 1
    }
    var members: [JSON.Member] = [.init("attempts", .integer(Int64(attempts)))]
    let backoff = strategy["backoff"]
    noteUnread(backoff?.entries ?? [], except: ["duration", "factor", "cap"], "a backoff")
    members.append(.init("initial", .string(backoff?["duration"].flatMap { duration($0) } ?? "0s")))
    members.append(.init("factor", .integer(Int64(max(1, min(1_000, backoff?["factor"]?.wholeNumber ?? 1))))))
    if let cap = backoff?["cap"].flatMap({ duration($0) }) { members.append(.init("cap", .string(cap))) }
    return .object(members)
  }

  /// `15`, which is seconds, `15s`, `2m`, `1h`.
  private mutating func duration(_ value: Located) -> String? {
    let text = value.plainText
    if Int(text) != nil { return text + "s" }
    do throws(DurationSyntaxError) {
      _ = try DurationText.nanoseconds(text)
      return text
    } catch {
      note("the duration '\(text)': \(error.message)", fix: error.fix, at: value.position)
      return nil
    }
  }

  // MARK: Texts

  /// A text with `{{...}}` replaced, and `${` kept from meaning anything. What cannot be known before the run is told, and stays as it stands.
  mutating func replace(_ text: String, _ scope: ArgoScope, at position: Position) -> String {
    var result = ""
    var rest = text[...]
    while let open = rest.firstRange(of: "{{") {
      result += Self.escaped(rest[..<open.lowerBound])
      guard let close = rest[open.upperBound...].firstRange(of: "}}") else { break }
      let name = rest[open.upperBound..<close.lowerBound].filter { $0 != " " }
      if let value = value(name, scope) {
        result += value
      } else {
        result += Self.escaped(rest[open.lowerBound..<close.upperBound])
        note("'{{\(name.prefix(80))}}' is not replaced", fix: "write what it stands for", at: position)
      }
      rest = rest[close.upperBound...]
    }
    return result + Self.escaped(rest)
  }

  private func value(_ name: String, _ scope: ArgoScope) -> String? {
    if name.hasPrefix("workflow.parameters.") { return parameters[String(name.dropFirst(20))].map { "${params.\($0)}" } }
    if name.hasPrefix("inputs.parameters.") { return scope.inputs[String(name.dropFirst(18))] }
    guard let item = scope.item else { return nil }
    if name == "item" { return Self.escaped(item.string ?? item.text()) }
    guard name.hasPrefix("item."), let field = item[String(name.dropFirst(5))] else { return nil }
    return Self.escaped(field.string ?? field.text())
  }

  /// With `${` as a literal of ours.
  static func escaped(_ text: some StringProtocol) -> String { String(text).replacing("${", with: "$${") }
}
