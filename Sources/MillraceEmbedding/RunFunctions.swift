// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Millrace
internal import Synchronization

// What millrace/millrace.h says of workflows and runs. Throughout, unsafe: the caller's memory is as the header says.

@c @implementation public func millrace_workflow_prepare(
  _ engine: millrace_engine, _ name: UnsafePointer<CChar>?, _ text: UnsafePointer<CChar>?, _ length: Int,
  _ workflow: UnsafeMutablePointer<millrace_workflow>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let place = try unsafe Arguments.place(workflow, "workflow")
    unsafe place.pointee.id = 0
    if unsafe text == nil { throw Arguments.missing("text") }
    let name = try unsafe Arguments.optionalText(name, "name") ?? "workflow"
    let bytes = try unsafe Arguments.bytes(
      UnsafeRawPointer(text), UInt64(UInt(bitPattern: length)), "text", limit: Int(MILLRACE_DEFINITION_BYTES))
    let made = EmbeddedWorkflow(try embedded.engine.reader.read(bytes, name: name), of: embedded)
    unsafe place.pointee.id = try HandleTable.shared.add(made)
  }
}

@c @implementation public func millrace_workflow_release(_ workflow: millrace_workflow, _ error: UnsafeMutablePointer<millrace_error>?)
  -> Int32
{
  unsafe perform(error) { try HandleTable.shared.remove(workflow.id, EmbeddedWorkflow.self) }
}

@c @implementation public func millrace_run_start(
  _ workflow: millrace_workflow, _ start: UnsafePointer<millrace_start>?, _ run: UnsafeMutablePointer<millrace_run>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(workflow.id, EmbeddedWorkflow.self)
    let place = try unsafe Arguments.place(run, "run")
    unsafe place.pointee.id = 0
    let wish = try unsafe start == nil ? millrace_start() : Arguments.read(start, "start")
    let parameters = try unsafe Arguments.parameters(wish.parameters, wish.parameters_length, "start.parameters")
    let tenant = try unsafe Arguments.optionalText(wish.tenant, "start.tenant")
    var trace: TraceContext?
    if let text = try unsafe Arguments.optionalText(wish.trace, "start.trace") {
      trace = TraceContext(text)
      if trace == nil { throw Failure(.badArgument, "start.trace is no traceparent: \(text.prefix(80))") }
    }
    let owner = embedded.owner
    // Order: releasing. Pairs with the exchange in `EmbeddedEngine.resume`.
    owner.hasBegun.store(true, ordering: .releasing)
    let handle: WorkflowHandle
    do { handle = try embedded.start(parameters, tenant: tenant, trace: trace) } catch let error as DefinitionError {
      // The definition was found good: these are faults of the parameters.
      throw Failure(.badArgument, "\(error)")
    }
    let id: UInt64
    let made = EmbeddedRun(handle, of: owner)
    do { id = try HandleTable.shared.add(made) } catch {
      handle.cancel()
      throw error
    }
    unsafe place.pointee.id = id
    owner.counts.started.wrappingAdd(1, ordering: .relaxed)
    unsafe made.follow(id, context: wish.context, wish.finished)
  }
}

@c @implementation public func millrace_run_wait(
  _ run: millrace_run, _ timeout: UInt64, _ status: UnsafeMutablePointer<UInt32>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(run.id, EmbeddedRun.self)
    var end = embedded.handle.status
    if end == .created || end == .running {
      try embedded.owner.checkMayWait("millrace_run_wait")
      if timeout == .max {
        end = embedded.handle.wait()
      } else {
        guard let ended = embedded.handle.wait(nanoseconds: timeout) else {
          throw Failure(.timedOut, "the run \(embedded.handle.id) is \(embedded.handle.status.rawValue)")
        }
        end = ended
      }
    }
    embedded.count(end)
    if let status = unsafe status { unsafe status.pointee = end.number }
  }
}

@c @implementation public func millrace_run_status(
  _ run: millrace_run, _ status: UnsafeMutablePointer<UInt32>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(run.id, EmbeddedRun.self)
    let now = embedded.handle.status
    embedded.count(now)
    unsafe try Arguments.place(status, "status").pointee = now.number
  }
}

@c @implementation public func millrace_run_id(
  _ run: millrace_run, _ id: UnsafeMutablePointer<CChar>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(run.id, EmbeddedRun.self)
    let place = try unsafe Arguments.place(id, "id")
    let text = Array(embedded.handle.id.utf8.prefix(Int(MILLRACE_RUN_ID_BYTES) - 1)) + [0]
    for index in text.indices { unsafe place[index] = CChar(bitPattern: text[index]) }
  }
}

@c @implementation public func millrace_run_cancel(
  _ run: millrace_run, _ reason: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(run.id, EmbeddedRun.self)
    embedded.handle.cancel(by: nil, because: try unsafe Arguments.optionalText(reason, "reason"))
  }
}

@c @implementation public func millrace_run_output(
  _ run: millrace_run, _ task: UnsafePointer<CChar>?, _ output: UnsafeMutablePointer<millrace_bytes>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let handle = try HandleTable.shared.find(run.id, EmbeddedRun.self).handle
    try unsafe GivenBytes.fill(output, "output") {
      let definition = handle.definition
      guard let name = try unsafe Arguments.optionalText(task, "task") ?? definition.result else {
        throw Failure(.badArgument, "the workflow \(definition.name) names no task as its `result`: name one")
      }
      if let payload = handle.payload(of: name) { return payload }
      let id = name.prefix { $0 != "[" }
      if !definition.tasks.contains(where: { $0.id == id }) {
        throw Failure(.notFound, "the workflow \(definition.name) has no task \(name.prefix(200))")
      }
      throw Failure(.notReady, "the task \(name.prefix(200)) is not completed: the run is \(handle.status.rawValue)")
    }
  }
}

@c @implementation public func millrace_run_signal(
  _ run: millrace_run, _ name: UnsafePointer<CChar>?, _ payload: UnsafePointer<CChar>?, _ length: Int,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let handle = try HandleTable.shared.find(run.id, EmbeddedRun.self).handle
    let name = try unsafe Arguments.text(name, "name")
    let bytes = try unsafe Arguments.bytes(
      UnsafeRawPointer(payload), UInt64(UInt(bitPattern: length)), "payload", limit: Int(MILLRACE_PARAMETER_BYTES))
    let value: JSON
    do { value = bytes.isEmpty ? .null : try JSON(parsing: bytes) } catch { throw Failure(.badArgument, "payload: \(error)") }
    try handle.signal(name, value)
  }
}

@c @implementation public func millrace_run_record(
  _ run: millrace_run, _ record: UnsafeMutablePointer<millrace_bytes>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let handle = try HandleTable.shared.find(run.id, EmbeddedRun.self).handle
    try unsafe GivenBytes.fill(record, "record") { .json(RunSummary.record(handle.record())) }
  }
}

@c @implementation public func millrace_run_release(_ run: millrace_run, _ error: UnsafeMutablePointer<millrace_error>?) -> Int32 {
  unsafe perform(error) { try HandleTable.shared.remove(run.id, EmbeddedRun.self) }
}
