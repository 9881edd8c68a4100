/// Leaves of a workflow: `container`, `script` and `resource` templates as `shell/run` tasks, `suspend` as a wait, and the texts in them.
extension ArgoReader {
  private static let templateKeys: Set<String> = [
    "name", "inputs", "container", "script", "resource", "suspend", "retryStrategy", "activeDeadlineSeconds", "synchronization",
  ]

  /// Adds the task of a template that does work.
  mutating func leaf(
    _ template: Located, _ name: String, called: String, _ scope: ArgoScope, after: [String], foreach: JSON?
  ) -> ArgoNode {
    noteUnread(template.entries ?? [], except: Self.templateKeys, "the template '\(name)'")
    refusal = nil
    let work: [JSON.Member]
    if let container = template["container"] {
      guard let members = input(container: container, scope) else {
        return placeholder(called, scope, after, "the program is the one that its image begins with", at: container.position)
      }
      work = program(members)
    } else if let script = template["script"] {
      work = program(input(script: script, scope))
    } else if let resource = template["resource"] {
      work = program(input(resource: resource, scope))
    } else if let suspend = template["suspend"] {
      if foreach != nil {
        return placeholder(called, scope, after, "its items are known only while it runs, and it waits for each", at: suspend.position)
      }
      work = [.init("wait", wait(suspend, name, scope))]
    } else {
      return placeholder(
        called, scope, after, "the template '\(name)' is no dag, steps, container, script, resource or suspend", at: template.position)
    }
    let policy = policy(template, scope)
    if let refusal { return placeholder(called, scope, after, refusal.reason, at: refusal.position ?? template.position) }
    var members = work
    if let foreach {
      members.append(.init("foreach", foreach))
      if let bound = scope.parallelism { members.append(.init("parallelism", .integer(Int64(bound)))) }
    }
    let id = add(called, scope, after, members + policy)
    return ArgoNode(ends: [id], task: id, hasResult: template["suspend"] == nil)
  }

  private func program(_ input: [JSON.Member]) -> [JSON.Member] {
    [.init("handler", .string(ArgoWorkflow.handler)), .init("input", .object(input))]
  }

  /// A task that fails and says what could not be imported.
  mutating func placeholder(_ called: String, _ scope: ArgoScope, _ after: [String], _ reason: String, at position: Position) -> ArgoNode {
    note("'\(scope.prefix)\(called)' is not imported: \(reason)", fix: "write the task by hand; until then it fails", at: position)
    let text = "not imported from Argo, line \(position.line): \(reason)".filter { $0 != "'" }
    let command = ArgoText.escaped("echo '\(text)' >&2; exit 69")
    return ArgoNode(ends: [add(called, scope, after, program([.init("command", .string(command))]))])
  }

  private mutating func add(_ called: String, _ scope: ArgoScope, _ after: [String], _ work: [JSON.Member]) -> String {
    let id = unusedId(scope.prefix + called)
    var members: [JSON.Member] = [.init("id", .string(id))]
    if !after.isEmpty { members.append(.init("dependencies", .array(after.map { .string($0) }))) }
    if scope.condition != .always { members.append(.init("when", .string("${\(scope.condition.text)}"))) }
    let task = JSON.object(members + work)
    if scope.isCleanup { cleanup.append(task) } else { tasks.append(task) }
    return id
  }

  /// The tasks, those whose results are asked for with `result: true`.
  func withResults(_ tasks: [JSON]) -> [JSON] {
    tasks.map { task in
      guard needs.results.contains(task["id"]?.string ?? ""), var members = task.object,
        let index = members.firstIndex(where: { $0.name == "input" }), let input = members[index].value.object
      else { return task }
      members[index].value = .object(input + [.init("result", true)])
      return .object(members)
    }
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

  // MARK: Policies

  /// Deadline, retries and locks.
  private mutating func policy(_ template: Located, _ scope: ArgoScope) -> [JSON.Member] {
    var policy: [JSON.Member] = []
    if let seconds = template["activeDeadlineSeconds"] {
      if let number = seconds.wholeNumber, 1...315_360_000 ~= number {
        policy.append(.init("timeouts", .object([.init("startToClose", .string("\(number)s"))])))
      } else {
        note("'activeDeadlineSeconds' is no number of seconds", fix: "write a number", at: seconds.position)
      }
    }
    if let strategy = template["retryStrategy"], let retry = retry(strategy) { policy.append(.init("retry", retry)) }
    if let locks = template["synchronization"], let key = mutex(locks, scope) {
      if template["suspend"] != nil {
        note("a task that waits holds no mutex", fix: "look whether it matters here", at: locks.position)
      } else {
        policy.append(.init("concurrency", .object([.init("key", .string(key)), .init("limit", 1)])))
      }
    }
    return policy
  }

  /// The key of the one mutex of a template or a workflow. The limit of a semaphore is in the cluster.
  mutating func mutex(_ locks: Located, _ scope: ArgoScope) -> String? {
    noteUnread(locks.entries ?? [], except: ["mutex", "mutexes"], "the synchronization")
    let mutexes = locks["mutex"].map { [$0] } ?? locks["mutexes"]?.elements ?? []
    guard let first = mutexes.first, let name = first["name"] else { return nil }
    for other in mutexes.dropFirst() {
      note("a task holds one mutex: '\(other["name"]?.string ?? "")' is left out", fix: "use one for both", at: other.position)
    }
    noteUnread(first.entries ?? [], except: ["name"], "the mutex")
    let key = read(name.plainText, scope, at: name.position)
    let isSettled = key.parts.allSatisfy { part in
      switch part {
      case .text: true
      case .value(let value): value.parameter != nil
      case .unknown: false
      }
    }
    guard isSettled, 1...ConcurrencyKey.maximumBytes ~= key.template.utf8.count else {
      note("the mutex '\(name.plainText.prefix(80))' is not known when a run starts", fix: "write 'concurrency' by hand", at: name.position)
      return nil
    }
    return key.template
  }

  // MARK: Waits

  private mutating func wait(_ suspend: Located, _ name: String, _ scope: ArgoScope) -> JSON {
    noteUnread(suspend.entries ?? [], except: ["duration"], "a suspend")
    guard let length = suspend["duration"] else { return .object([.init("approval", .string("Go on after '\(ArgoText.escaped(name))'?"))]) }
    let text = read(length.plainText, scope, at: length.position)
    if let constant = text.constant {
      guard let duration = duration(constant, at: length.position) else {
        refusal = ("how long it waits is not known", length.position)
        return .null
      }
      return .object([.init("for", .string(duration))])
    }
    note("how long it waits must have its unit here, as 20s", fix: "give it so", at: length.position)
    return .object([.init("for", .string(replace(length.plainText, scope, at: length.position)))])
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
  private mutating func duration(_ value: Located) -> String? { duration(value.plainText, at: value.position) }

  private mutating func duration(_ text: String, at position: Position) -> String? {
    if Int(text) != nil { return text + "s" }
    do throws(DurationSyntaxError) {
      _ = try DurationText.nanoseconds(text)
      return text
    } catch {
      note("the duration '\(text)': \(error.message)", fix: error.fix, at: position)
      return nil
    }
  }

  // MARK: Texts

  /// A text of a task as one of ours. What has no counterpart keeps its task from being imported.
  mutating func replace(_ text: String, _ scope: ArgoScope, at position: Position) -> String {
    let read = read(text, scope, at: position)
    if refusal == nil { refusal = read.refusal }
    needs.add(read)
    for case .value(let value) in read.parts where value.kind == .status || value.kind == .runStatus {
      note("'\(value.text)' is put as a word of ours: COMPLETED, not Succeeded", fix: "look who reads it", at: position)
    }
    return read.template
  }
}
