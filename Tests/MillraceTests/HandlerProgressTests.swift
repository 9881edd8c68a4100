import Testing

@testable import Millrace
@testable import MillraceWorkflow

/// What Swift handlers say of their progress.
@Suite struct HandlerProgressTests {
  @Test("how much a handler says is done is shown where the run is looked at", .timeLimit(.minutes(1)))
  func shown() async throws {
    let engine = try engine()
    let door = Door()
    try engine.register("copies") { (context: TaskContext) async in
      context.heartbeat(perMille: 355)
      while !door.isPassable { await Task.yield() }
      return .empty
    }
    var workflow = Definition("w")
    workflow.task("t", handler: "copies")
    let run = try engine.start(workflow)
    for await progress in run.updates(every: .zero) where progress.perMille > 0 {
      #expect(progress.perMille == 355 && progress.share == 0.355)
      break
    }
    #expect(run.running == [RunningTask(id: "t", perMille: 355)])
    let why = try #require(run.explain("t"))
    #expect(why.evidence.contains("its handler said that 35.5 % of it is done"))
    door.open()
    #expect(await run.finished() == .completed)
    #expect(run.running.isEmpty)
    engine.shutdown()
  }

  @Test("words that come while their attempts end leave nothing behind")
  func race() async throws {
    let engine = try engine(slots: 64, threads: 2)
    try engine.register("talks") { (context: TaskContext) async in
      for first in [1, 2] {
        Task.detached {
          var share = first
          while !context.isCancelled {
            context.heartbeat(perMille: share % 1000 + 1)
            share += 2
            await Task.yield()
          }
        }
      }
      await Task.yield()
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<2_000 { workflow.task("t\(i)", handler: "talks") }
    let run = try engine.start(workflow)
    #expect(await run.finished() == .completed)
    #expect(run.run.said.isEmpty)
    engine.shutdown()
  }
}
