internal import CMillrace

/// What tasks read, and what they gave.
extension WorkflowRun {
  func inputCount(_ node: UInt32) -> Int {
    if let items { return items.owner.inputCount(items.node) }
    return 1 + Int(compiled.rows[Int(node) + 1] - compiled.rows[Int(node)])
  }

  /// Input 0 is the definition's; then the outputs of the dependencies, where they lie, and null for one that was skipped.
  /// `turn`: of an item.
  func input(_ node: UInt32, _ index: Int, _ turn: ItemTurn? = nil) -> millrace_input? {
    if let items { return unsafe input(items, turn, index) }
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    if index == 0 {
      if let subject {
        // unsafe: the run keeps its subject.
        let (bytes, type) = unsafe subject.input
        unsafe input.payload = millrace_payload(offset: 0, length: UInt64(bytes.count), arena: .max, content_type: type)
        unsafe input.bytes = bytes.baseAddress
        unsafe input.name = texts.inputName
        return unsafe input
      }
      if compiled.hasExpressions, let own = compiled.expressions[node], own.input != nil, let inputs = unsafe inputs {
        let made = unsafe inputs[own.inputSlot]
        unsafe input.payload = made
        unsafe input.payload.content_type = UInt32(MILLRACE_JSON)
        unsafe input.bytes = arena.bytes(of: made)
        unsafe input.name = texts.inputName
        return unsafe input
      }
      let bytes = unsafe texts.input(Int(node))
      unsafe input.payload = millrace_payload(offset: 0, length: UInt64(bytes.count), arena: .max, content_type: UInt32(MILLRACE_JSON))
      unsafe input.bytes = unsafe UnsafeRawPointer(bytes.baseAddress)
      unsafe input.name = texts.inputName
      return unsafe input
    }
    guard index > 0, index < inputCount(node) else { return nil }
    let dependency = compiled.predecessors[Int(compiled.rows[Int(node)]) + index - 1]
    unsafe input.name = texts.id(Int(dependency))
    if compiled.hasExpressions, records.status(dependency) == .skipped {
      unsafe input.payload = millrace_payload(offset: 0, length: 4, arena: .max, content_type: UInt32(MILLRACE_JSON))
      unsafe input.bytes = UnsafeRawPointer(texts.null)
      return unsafe input
    }
    var output = records.output(dependency)
    if compiled.hasExpressions, let items = items(of: dependency) {
      guard let list = listInput(items, for: node) else { return nil }
      output = list
    }
    unsafe input.payload = output
    unsafe input.bytes = output.length == 0 ? nil : arena.bytes(of: output)
    return unsafe input
  }

  /// The bytes of a completed task's output, where they lie: valid as long as the run is held. `ID[index]` is an item of a task with `foreach`, `ID` the list
  /// of its items' outputs. nil: no such task, it is not completed, or the list is too long: `outputProblem` says so.
  ///
  /// Complexity: O(1); O(outputs) for a list that nobody has asked for.
  public func output(of task: String) -> (bytes: UnsafeRawBufferPointer, contentType: UInt32)? {
    let payload: millrace_payload
    if let node = compiled.index[task], compiled.foreaches[node] == nil {
      guard records.status(node) == .completed else { return nil }
      payload = records.output(node)
    } else if let node = compiled.index[task], records.status(node) != .completed {
      return nil
    } else if let output = itemsOutput(task) {
      payload = output
    } else {
      return unsafe cleanup?.output(of: task)
    }
    return unsafe (UnsafeRawBufferPointer(start: arena.bytes(of: payload), count: Int(payload.length)), payload.content_type)
  }
}
