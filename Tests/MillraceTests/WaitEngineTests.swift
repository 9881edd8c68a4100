import Millrace
import Testing

/// Waits and child workflows on real threads.
@Suite(.timeLimit(.minutes(5))) struct WaitEngineTests {
  private func engine(slots: Int, threads: Int = 2) throws -> Engine {
    var configuration = Engine.Configuration()
    (configuration.slots, configuration.threads) = (slots, threads)
    let engine = try Engine(configuration)
    try engine.register("echo") { call in .text(call.taskID) }
    return engine
  }

  @Test("with one slot a thousand waits hold up nothing, and each takes one signal of many threads")
  func signals() async throws {
    let engine = try engine(slots: 1)
    var workflow = Definition("w")
    let count = 1_000
    let waits = (0..<count).map { workflow.wait("t\($0)", for: .signal($0 % 2 == 0 ? "even" : "odd")) }
    workflow.task("last", handler: "echo", dependencies: waits)
    let handle = try engine.start(workflow)
    await withTaskGroup(of: Void.self) { group in
      for thread in 0..<4 {
        group.addTask {
          for i in 0..<count where i % 4 == thread {
            #expect(throws: Never.self) { try handle.signal(i % 2 == 0 ? "even" : "odd", .integer(Int64(i))) }
          }
        }
      }
    }
    #expect(await handle.finished() == .completed)
    let taken = try (0..<count).map { try handle.output(of: "t\($0)", as: Int.self) }
    #expect(Set(taken) == Set(0..<count))
    #expect(throws: SignalError.ended) { try handle.signal("even") }
    #expect(handle.record().signals.count == count)
    engine.shutdown()
  }

  @Test("a short wait for a duration and for a time of the wall clock ends by itself")
  func times() async throws {
    let engine = try engine(slots: 1)
    var workflow = Definition("w", parameters: [.init("long", fallback: "1ms")])
    let first = workflow.wait("for", for: .duration("${params.long}"))
    workflow.wait("until", for: .until("2000-01-01T00:00:00Z"), dependencies: [first])
    #expect(try await engine.run(workflow).status == .completed)
    engine.shutdown()
  }

  @Test("two answers at once: one counts, the other is told")
  func answers() async throws {
    let engine = try engine(slots: 1)
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<200 { workflow.wait("t\(i)", for: .approval("?")) }
    let handle = try engine.start(workflow)
    while handle.waits.count < 200 { await Task.yield() }
    let taken = await withTaskGroup(of: Int.self) { group in
      for thread in 0..<2 {
        group.addTask {
          (0..<200).count { i in
            do throws(ApprovalError) {
              if thread == 0 { try handle.approve(task: "t\(i)") } else { try handle.reject(task: "t\(i)") }
              return true
            } catch { return false }
          }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(taken == 200)
    _ = await handle.finished()
    let record = handle.record()
    for task in record.tasks { #expect(task.answer?.isApproved == (task.status == .completed)) }
    engine.shutdown()
  }

  @Test("workflows are deployed by name and version; runs and children take the newest, and versions do not change")
  func registry() async throws {
    let engine = try engine(slots: 2)
    func workflow(_ task: String) -> Definition {
      var workflow = Definition("greet", result: task)
      workflow.task(task, handler: "echo")
      return workflow
    }
    #expect(try engine.deploy(workflow("one")) == 1)
    #expect(try engine.deploy(workflow("two")) == 2)
    #expect(try engine.deploy(workflow("nine"), version: 9) == 9)
    #expect(throws: EngineError.self) { try engine.deploy(workflow("nine"), version: 9) }
    #expect(throws: EngineError.self) { try engine.deploy(workflow("zero"), version: 0) }
    #expect(throws: DefinitionError.self) { try engine.deploy(Definition("greet", tasks: [TaskDefinition("t", handler: "none")])) }
    #expect(engine.deployedWorkflows.map(\.version) == [1, 2, 9])
    #expect(try await engine.run("greet").payload(of: "nine")?.text == "nine")
    #expect(try await engine.run("greet", version: 2).payload(of: "two")?.text == "two")
    #expect(throws: EngineError.self) { try engine.start("greed") }
    var parent = Definition("parent", result: "child")
    parent.workflow("child", named: "greet")
    #expect(try await engine.run(parent).payload(of: "child")?.text == "nine")
    engine.shutdown()
  }

  @Test("children of children on few slots, some cancelled: every run ends, no slot is lost")
  func children() async throws {
    let engine = try engine(slots: 2)
    var leaf = Definition("leaf", result: "b")
    let a = leaf.task("a", handler: "echo")
    leaf.task("b", handler: "echo", dependencies: [a])
    leaf.cleanup("c", handler: "echo")
    var middle = Definition("middle", result: "m0")
    for i in 0..<3 { middle.workflow("m\(i)", of: leaf) }
    var top = Definition("top", result: "t0")
    for i in 0..<3 { top.workflow("t\(i)", of: middle) }
    let handles = try (0..<60).map { _ in try engine.start(top) }
    for (i, handle) in handles.enumerated() where i % 3 == 0 {
      await Task.yield()
      handle.cancel()
    }
    for (i, handle) in handles.enumerated() {
      let status = await handle.finished()
      #expect(status == .completed || i % 3 == 0 && status == .cancelled)
      #expect(handle.progress().running == 0)
      for task in handle.record().tasks { for child in task.children { #expect(child.status != .running) } }
    }
    #expect(await engine.drain(timeout: .seconds(60)))
  }

  @Test("an engine that is shut down ends children and their cleanup, and what waits")
  func shutdown() async throws {
    let engine = try engine(slots: 1)
    var child = Definition("child")
    child.wait("ever", for: .approval("?"))
    child.wait("long", for: .duration("30d"))
    child.cleanup("tidy", handler: "echo")
    var parent = Definition("parent")
    parent.workflow("task", of: child)
    let handles = try (0..<200).map { _ in try engine.start(parent) }
    for handle in handles { while handle.waits.count < 2 { await Task.yield() } }
    engine.shutdown()
    for handle in handles {
      #expect(handle.status == .cancelled)
      #expect(handle.record().tasks[0].children.first?.tasks.map(\.status) == [.cancelled, .cancelled, .completed])
    }
  }
}
