#if Services
  import InMemoryLogging
  import Logging
  import Millrace
  import MillraceServices
  import ServiceLifecycle
  import ServiceLifecycleTestKit
  import Testing

  @Suite struct EngineServiceTests {
    /// An engine with a handler that waits until it is let go or cancelled, and one run of it that has begun.
    private static func engine(_ gate: Gate) async throws -> (Engine, WorkflowHandle) {
      let engine = try Engine()
      try engine.register("wait") { (_: TaskContext) async throws in
        await gate.arrive()
        while await !gate.isOpen {
          try Task.checkCancellation()
          await Task.yield()
        }
        return .empty
      }
      let run = try engine.start(definition)
      while await gate.arrivals == 0 { await Task.yield() }
      return (engine, run)
    }

    private static let definition = Definition("w", tasks: [TaskDefinition("t", handler: "wait")])

    private actor Gate {
      var isOpen = false
      var arrivals = 0
      func open() { isOpen = true }
      func arrive() { arrivals += 1 }
    }

    /// Until the engine takes no more runs: the shutdown has begun.
    private static func refuses(_ engine: Engine) async {
      while true {
        do { try engine.start(definition).cancel() } catch { return }
        await Task.yield()
      }
    }

    @Test("a graceful shutdown lets runs end that go on, takes no more, and says so")
    func graceful() async throws {
      let gate = Gate()
      let (engine, run) = try await Self.engine(gate)
      let handler = InMemoryLogHandler()
      let service = EngineService(engine, drainTimeout: .seconds(60), logger: Logger(label: "test") { _ in handler })
      try await testGracefulShutdown { trigger in
        async let ended: Void = service.run()
        trigger.triggerGracefulShutdown()
        await Self.refuses(engine)
        #expect(run.status == .running)
        #expect(engine.load.runs >= 1 && engine.load.slotsInUse >= 1 && engine.load.tasks >= 1)
        await gate.open()
        try await ended
      }
      #expect(run.status == .completed)
      #expect(handler.entries.map(\.message) == ["draining", "shut down"])
      #expect(handler.entries.last?.metadata["drained"] == "true")
      #expect(throws: EngineError.self) { try engine.start(Self.definition) }
      #expect(engine.load.runs == 0)
    }

    @Test("runs that go on when the time to drain is over are cancelled, and told")
    func tooLong() async throws {
      let (engine, run) = try await Self.engine(Gate())
      let service = EngineService(engine, drainTimeout: .milliseconds(1))
      await #expect(throws: EngineServiceError.notDrained(runs: 1, timeout: .milliseconds(1))) {
        try await testGracefulShutdown { trigger in
          trigger.triggerGracefulShutdown()
          try await service.run()
        }
      }
      #expect(run.status == .cancelled)
    }

    @Test("cancellation shuts down at once: before the shutdown has begun, and while runs are waited for", arguments: [false, true])
    func cancelled(isDraining: Bool) async throws {
      let (engine, run) = try await Self.engine(Gate())
      let service = EngineService(engine, drainTimeout: .seconds(3600))
      await testGracefulShutdown { trigger in
        let running = Task { try await service.run() }
        if isDraining {
          trigger.triggerGracefulShutdown()
          await Self.refuses(engine)
        }
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
      }
      #expect(run.status == .cancelled)
      #expect(throws: EngineError.self) { try engine.start(Self.definition) }
    }

    @Test("in a service group the engine ends with the group")
    func group() async throws {
      let gate = Gate()
      let (engine, run) = try await Self.engine(gate)
      let group = ServiceGroup(
        services: [EngineService(engine, drainTimeout: .seconds(60))], logger: Logger(label: "test") { _ in InMemoryLogHandler() })
      async let ended: Void = group.run()
      await group.triggerGracefulShutdown()
      await Self.refuses(engine)
      await gate.open()
      try await ended
      #expect(run.status == .completed)
    }
  }
#endif
