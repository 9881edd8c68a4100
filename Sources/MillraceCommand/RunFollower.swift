internal import CMillrace
internal import Glibc
internal import Millrace
internal import MillraceCore

/// Shows runs until they have ended, answers what is asked of them, and minds signals: the first cancels the run, or suspends durable ones.
struct RunFollower {
  /// Nanoseconds between two looks: what a person hardly notices, and a redraw every second time.
  private static let tick: UInt64 = 50_000_000
  /// Runs of which SIGUSR1 tells what they wait for.
  private static let explained = 8

  private let engine: Engine
  private let messages: Messages
  private let data: DataOptions
  /// Of durable runs; nil: there are none.
  private let directory: String?
  private let display = ProgressDisplay()

  init(_ engine: Engine, _ messages: Messages, _ data: DataOptions, directory: String?) {
    self.engine = engine
    self.messages = messages
    self.data = data
    self.directory = directory
  }

  /// Returns when all have ended, or a signal is to suspend them: that signal, or the one that cancelled the run.
  func follow(_ handles: [WorkflowHandle], _ answers: AnswerOptions?) -> Int32? {
    let control = control(handles)
    var desks = handles.map { WaitDesk($0, answers, mayAsk: handles.count == 1) }
    for index in desks.indices { desks[index].send() }
    var open = Array(handles.indices)
    var signal: Int32?
    while let first = open.first {
      _ = handles[first].wait(nanoseconds: Self.tick)
      control?.serve(now: millrace_monotonic())
      if signal == nil, let number = Signals.received, handles[first].wait(nanoseconds: 0) == nil {
        signal = number
        display.clear()
        if !stop(open.map { handles[$0] }, number) { break }
      }
      let ended = open.filter { handles[$0].wait(nanoseconds: 0) != nil }
      open.removeAll(where: ended.contains)
      var lines = messages.take()
      if handles.count > 1 { lines += ended.map { Self.ending(handles[$0]) } }
      if Signals.isAsked { lines += open.prefix(Self.explained).flatMap { Self.explanation(handles[$0]) } }
      if !lines.isEmpty { display.clear() }
      for line in lines { Output.note(line) }
      for index in open { desks[index].look(clear: display.clear) }
      guard handles.count == 1, let handle = open.first.map({ handles[$0] }), !desks[0].isAsking else { continue }
      let progress = handle.progress()
      display.update(progress: progress, running: handle.running, now: progress.elapsed)
    }
    display.finish()
    if open.isEmpty { Signals.unwatch() }
    return signal
  }

  /// Where other processes ask; nil: nobody else knows of these runs, or they cannot ask, and that was told.
  private func control(_ handles: [WorkflowHandle]) -> ControlServer? {
    guard let directory, handles.contains(where: { $0.definition.durability == .log }) else { return nil }
    do throws(Refusal) { return try ControlServer(directory, ControlDesk(engine, handles)) } catch {
      Output.note("warning: `millrace run cancel`, `signal` and `approve` do not reach this process: \(error.message)")
      return nil
    }
  }

  /// False: they are to be suspended by the end of the engine.
  private func stop(_ handles: [WorkflowHandle], _ signal: Int32) -> Bool {
    let isDurable = handles.allSatisfy { $0.definition.durability == .log }
    let running = handles.prefix(Self.explained).flatMap(\.runningTasks)
    let names = running.isEmpty ? "" : " (\(running.joined(separator: ", ")))"
    let what = signal == SIGINT ? "interrupted" : "told to stop"
    Output.note("\(what): \(isDurable ? "suspending, " : "")waiting for the running tasks\(names); once more ends at once")
    if !isDurable { for handle in handles { handle.cancel() } }
    return !isDurable
  }

  /// How it stands, and by what command it goes on; nil: it does not. Of a durable run that has not ended the engine is shut down first.
  func record(_ handle: WorkflowHandle) -> (record: RunRecord, resumption: String?) {
    let isOver = ![.created, .running].contains(handle.status)
    guard let directory, handle.definition.durability == .log, !isOver else { return (handle.record(), nil) }
    engine.shutdown()
    var record = handle.record()
    // What is recorded is what counts.
    do throws(Refusal) {
      let archive = try RunArchive(DataOptions(directory: directory))
      record = try archive.run(try archive.find(handle.id)).record
    } catch { Output.note("what is recorded of the run cannot be read: \(error.message)") }
    if record.reason == nil, record.status == .running { record.reason = handle.reason }
    return (record, record.status == .running ? "millrace run resume\(data.words)" : nil)
  }

  private static func ending(_ handle: WorkflowHandle) -> String {
    let progress = handle.progress()
    let status = [.created, .running].contains(handle.status) ? "is suspended" : handle.status.rawValue
    return "run \(handle.id) of \(handle.definition.name) \(status): \(progress.completed) of \(progress.tasks) tasks completed"
  }

  /// What the run waits for.
  private static func explanation(_ handle: WorkflowHandle) -> [String] {
    let progress = handle.progress()
    return ["run \(handle.id): \(progress.finished) of \(progress.tasks) tasks are done"]
      + handle.explain().flatMap { $0.text.split(separator: "\n").map(String.init) }
  }
}
