// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Glibc
internal import Millrace
internal import Synchronization

// What millrace/millrace.h says of engines. Throughout, unsafe: the caller's memory is as the header says.

/// For ever, with a NUL.
private func fixed(_ text: StaticString) -> UnsafePointer<CChar> {
  unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

// unsafe: written once, never freed.
@safe private nonisolated(unsafe) let versionText = unsafe strdup(Engine.version)

@c @implementation public func millrace_version() -> UnsafePointer<CChar>! { unsafe UnsafePointer(versionText) }

@c @implementation public func millrace_embedding_version() -> UInt32 { MILLRACE_EMBEDDING_VERSION }

@c @implementation public func millrace_code_name(_ code: Int32) -> UnsafePointer<CChar>! {
  if code == 0 { return unsafe fixed("MILLRACE_OK") }
  guard let known = Failure.Code(rawValue: code) else { return unsafe fixed("unknown") }
  return unsafe fixed(known.name)
}

@c @implementation public func millrace_bytes_free(_ bytes: UnsafeMutablePointer<millrace_bytes>?) {
  guard let bytes = unsafe bytes, unsafe Int(bytes.pointee.size) >= MemoryLayout<millrace_bytes>.size else { return }
  unsafe free(bytes.pointee.data)
  unsafe bytes.pointee.data = nil
  unsafe bytes.pointee.length = 0
}

@c @implementation public func millrace_engine_create(
  _ configuration: UnsafePointer<millrace_configuration>?, _ engine: UnsafeMutablePointer<millrace_engine>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let place = try unsafe Arguments.place(engine, "engine")
    unsafe place.pointee.id = 0
    if HandleTable.shared.count(.engine) >= EmbeddedEngine.maximum {
      throw Failure(.full, "the process has \(EmbeddedEngine.maximum) engines, the most there may be: destroy one")
    }
    let made = try unsafe EmbeddedEngine(configuration)
    do { unsafe place.pointee.id = try HandleTable.shared.add(made) } catch {
      made.end()
      throw error
    }
  }
}

@c @implementation public func millrace_engine_drain(
  _ engine: millrace_engine, _ timeout: UInt64, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    if timeout == 0 { return embedded.engine.close() }
    try embedded.checkMayWait("millrace_engine_drain")
    if !embedded.engine.drainHere(nanoseconds: timeout) {
      throw Failure(.timedOut, "\(embedded.engine.load.runs) runs go on: wait longer, or destroy the engine, which cancels them")
    }
  }
}

@c @implementation public func millrace_engine_destroy(_ engine: millrace_engine, _ error: UnsafeMutablePointer<millrace_error>?) -> Int32 {
  unsafe perform(error) {
    try HandleTable.shared.find(engine.id, EmbeddedEngine.self).checkMayEnd()
    // Of two callers one goes on.
    let embedded = try HandleTable.shared.remove(engine.id, EmbeddedEngine.self)
    let gone = HandleTable.shared.removeAll(with: embedded)
    embedded.end()
    // Consumers were the engine's until here.
    withExtendedLifetime(gone) {}
  }
}

@c @implementation public func millrace_engine_metrics(
  _ engine: millrace_engine, _ metrics: UnsafeMutablePointer<millrace_metrics>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    try unsafe Arguments.fill(metrics, "metrics") {
      let load = embedded.engine.load
      let counts = embedded.counts
      var figures = millrace_metrics()
      figures.threads = UInt32(embedded.engine.threads)
      figures.slots = UInt64(load.slots)
      figures.slots_in_use = UInt64(load.slotsInUse)
      figures.tasks = UInt64(max(0, load.tasks))
      figures.runs = UInt64(load.runs)
      figures.runs_waiting = UInt64(embedded.engine.waitingRuns)
      figures.runs_started = counts.started.load(ordering: .relaxed)
      figures.runs_completed = counts.completed.load(ordering: .relaxed)
      figures.runs_failed = counts.failed.load(ordering: .relaxed)
      figures.runs_cancelled = counts.cancelled.load(ordering: .relaxed)
      figures.published = counts.published.load(ordering: .relaxed)
      figures.refused = counts.refused.load(ordering: .relaxed)
      figures.replies_lost = UInt64(embedded.engine.lostReplies)
      return figures
    }
  }
}

@c @implementation public func millrace_engine_register(
  _ engine: millrace_engine, _ handler: UnsafePointer<millrace_handler>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    try embedded.engine.add(unsafe RegisteredHandler(foreign: handler))
  }
}

@c @implementation public func millrace_engine_load(
  _ engine: millrace_engine, _ path: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    try embedded.engine.load(plugin: unsafe Arguments.text(path, "path"))
  }
}
