internal import CMillrace
internal import MillraceCore

/// The outputs of a task's items as its own: an ordered list of references to where they lie. Nothing is copied until somebody wants the list as one text.
extension WorkflowRun {
  /// The list, for an expression.
  func outputs(of items: Items) -> ValueList {
    ValueList(
      count: items.count, element: { [self] item throws(ExpressionError) in try output(item, of: items) },
      whole: { [self] () throws(ExpressionError) in
        let payload = try list(of: items)
        // unsafe: the bytes stay until the run is freed.
        return unsafe Bytes(base: arena.bytes(of: payload)?.assumingMemoryBound(to: UInt8.self), count: Int(payload.length))
      })
  }

  /// The output of an item; null of one that its condition skipped.
  private func output(_ item: Int, of items: Items) throws(ExpressionError) -> RootValue {
    try value(of: items.records.output(item)) { items.id(item) }
  }

  /// All outputs as one JSON list in the run's memory: made once, when it is first asked for. Of a task that is completed.
  ///
  /// Complexity: O(outputs) the first time. Throws `ExpressionError`: it has more than 16 MiB, or an output is no JSON.
  func list(of items: Items) throws(ExpressionError) -> millrace_payload {
    let made = items.monitor.locked {
      if let whole = items.whole { return whole }
      let whole = Result { () throws(ExpressionError) in try makeList(of: items) }
      items.whole = whole
      return whole
    }
    return try made.get()
  }

  private func makeList(of items: Items) throws(ExpressionError) -> millrace_payload {
    var writer = ExpressionWriter(limit: Int(MILLRACE_INLINE_BYTES))
    do throws(ExpressionError) {
      try writer.literal("[".utf8)
      for item in 0..<items.count {
        if item > 0 { try writer.literal(",".utf8) }
        try writer.json(whole(try output(item, of: items), items, item))
      }
      try writer.literal("]".utf8)
    } catch {
      guard error.kind == .limit else { throw error }
      let id = definition.tasks[Int(items.node)].id
      throw ExpressionError(
        kind: .limit, offset: 0,
        message: "the outputs of the \(items.count) items of '\(id)' have more than \(writer.limit) bytes as one list",
        fix: "use them one by one, as tasks.\(id).output[0], or let each be smaller")
    }
    guard let (target, claimed) = unsafe arena.claim(lane: host.workers, length: writer.bytes.count) else {
      throw ExpressionError(
        kind: .limit, offset: 0, message: "no memory for a list of \(writer.bytes.count) bytes", fix: "give the engine more memory")
    }
    unsafe target.copyMemory(from: writer.bytes, byteCount: writer.bytes.count)
    var payload = claimed
    payload.content_type = UInt32(MILLRACE_JSON)
    return payload
  }

  /// The one value that an output is, checked: it becomes a part of another JSON text.
  private func whole(_ output: RootValue, _ items: Items, _ item: Int) throws(ExpressionError) -> ExpressionValue {
    switch output {
    case .value(let value): return value
    case .list(let list): return .list(try list.whole())
    case .json(let text):
      var scanner = JSONScanner(text)
      scanner.skipSpace()
      var reason = "no JSON"
      do throws(ExpressionError) {
        let value = try scanner.value(depth: 1)
        scanner.skipSpace()
        if scanner.index == text.count { return value }
      } catch {
        // Too deep; anything else is told with its place below.
        if error.kind == .limit { reason = error.message }
      }
      throw ExpressionError(
        kind: .type, offset: 0, message: "the output of '\(items.id(item))' is \(reason) at byte \(scanner.index)",
        fix: "let its handler give JSON")
    }
  }

  // MARK: Of dependents

  /// The output of a dependency with items, as an input: one list. nil: there is none; the attempt that asks for it fails, and says why.
  func listInput(_ items: Items, for node: UInt32) -> millrace_payload? {
    do {
      return try list(of: items)
    } catch {
      monitor.locked { unreadable[node] = AttemptError(type: "too-large", message: "\(error.message): \(error.fix)") }
      return nil
    }
  }

  /// The items that an input of a node is made of; nil: it is no list of items.
  func items(_ node: UInt32, input index: Int) -> Items? {
    let (run, node) = home(node)
    guard !run.compiled.foreaches.isEmpty, index > 0, index < run.inputCount(node) else { return nil }
    let dependency = run.compiled.predecessors[Int(run.compiled.rows[Int(node)]) + index - 1]
    return run.records.status(dependency) == .completed ? run.items(of: dependency) : nil
  }

  /// The output of one of them, as an input; nil: there is no such item.
  func input(_ node: UInt32, _ index: Int, item: Int) -> millrace_input? {
    guard let items = items(node, input: index), item >= 0, item < items.count else { return nil }
    let owner = items.owner
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    unsafe input.name = owner.texts.id(Int(items.node))
    if items.status(item) == .skipped {
      unsafe input.payload = millrace_payload(offset: 0, length: 4, arena: .max, content_type: UInt32(MILLRACE_JSON))
      unsafe input.bytes = UnsafeRawPointer(owner.texts.null)
      return unsafe input
    }
    let output = items.records.output(item)
    unsafe input.payload = output
    unsafe input.bytes = output.length == 0 ? nil : arena.bytes(of: output)
    return unsafe input
  }

  /// Why an attempt cannot have ended well: an input that it asked for could not be made. nil: there is no such thing.
  func unreadableInput(_ node: UInt32) -> AttemptError? {
    let (run, node) = home(node)
    if run.compiled.foreaches.isEmpty { return nil }
    return run.monitor.locked { run.unreadable[node] }
  }

  // MARK: For the embedder

  /// Why a completed task's output cannot be had; nil: it can, or the task is not completed.
  package func outputProblem(of task: String) -> String? {
    guard let node = compiled.index[task] else { return cleanup?.outputProblem(of: task) }
    guard records.status(node) == .completed, let items = items(of: node) else { return nil }
    do throws(ExpressionError) { _ = try list(of: items) } catch { return "\(error.message): \(error.fix)" }
    return nil
  }

  /// The output of a task's items, or of one of them by `ID[index]`; nil: it is not completed.
  func itemsOutput(_ task: String) -> millrace_payload? {
    if let node = compiled.index[task] { return items(of: node).flatMap { try? list(of: $0) } }
    guard task.hasSuffix("]"), let bracket = task.lastIndex(of: "["), let item = Int(task[task.index(after: bracket)...].dropLast()),
      let node = compiled.index[String(task[..<bracket])], let items = items(of: node), item >= 0, item < items.count,
      items.records.status(item) == .completed
    else { return nil }
    return items.records.output(item)
  }
}
