import CMillraceEmbedding
import Synchronization

@testable import MillraceEmbedding

/// What a call said.
struct Said: Equatable {
  var code: Int32
  var message: String
}

/// Calls with room for an error.
@safe func call(_ body: (UnsafeMutablePointer<millrace_error>) -> Int32) -> Said {
  unsafe withUnsafeTemporaryAllocation(of: millrace_error.self, capacity: 1) { room in
    let error = room.baseAddress!
    unsafe error.pointee.size = UInt32(MemoryLayout<millrace_error>.size)
    let code = unsafe body(error)
    if code == 0 { return Said(code: 0, message: "") }
    // unsafe: the library puts a NUL behind what it writes.
    let message = unsafe String(cString: UnsafeRawPointer(error).advanced(by: 8).assumingMemoryBound(to: CChar.self))
    return Said(code: unsafe error.pointee.code == code ? code : -1, message: message)
  }
}

/// A struct of the interface with its size set and all else zero.
@unsafe func sized<Struct: BitwiseCopyable>(_ type: Struct.Type) -> Struct {
  unsafe withUnsafeTemporaryAllocation(byteCount: MemoryLayout<Struct>.size, alignment: 16) { room in
    unsafe room.initializeMemory(as: UInt8.self, repeating: 0)
    unsafe room.storeBytes(of: UInt32(MemoryLayout<Struct>.size), as: UInt32.self)
    return unsafe room.load(as: Struct.self)
  }
}

/// An engine of two threads, as a program in C has one.
@safe final class CEngine {
  let handle: millrace_engine

  @safe init(_ change: (inout millrace_configuration) -> Void = { _ in }) throws {
    var configuration = unsafe sized(millrace_configuration.self)
    unsafe configuration.threads = 2
    unsafe change(&configuration)
    var engine = millrace_engine()
    let said = call { unsafe millrace_engine_create(&configuration, &engine, $0) }
    guard said.code == 0 else { throw Refused(said: said) }
    handle = engine
  }

  deinit { _ = millrace_engine_destroy(handle, nil) }

  struct Refused: Error { let said: Said }

  @safe func register(
    _ name: String, context: UnsafeMutableRawPointer? = nil,
    _ run:
      @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_call>?, UnsafeMutablePointer<millrace_outcome>?) -> UInt32
  ) -> Said {
    unsafe name.withCString { name in
      var handler = unsafe CEngine.handler("", run)
      unsafe handler.name = name
      unsafe handler.context = context
      return call { unsafe millrace_engine_register(handle, &handler, $0) }
    }
  }

  static func handler(
    _ name: StaticString,
    _ run:
      @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_call>?, UnsafeMutablePointer<millrace_outcome>?) -> UInt32
  ) -> millrace_handler {
    var handler = unsafe sized(millrace_handler.self)
    unsafe handler.name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
    unsafe handler.run = run
    return unsafe handler
  }

  func prepare(_ text: String) -> (said: Said, workflow: millrace_workflow) {
    var workflow = millrace_workflow()
    let said = call { unsafe millrace_workflow_prepare(handle, "test.yaml", text, text.utf8.count, &workflow, $0) }
    return (said, workflow)
  }

  /// Runs it to its end; -1: it was not started.
  func run(_ workflow: millrace_workflow, _ parameters: String? = nil) -> (said: Said, run: millrace_run, status: Int) {
    var run = millrace_run()
    var start = unsafe sized(millrace_start.self)
    let said = unsafe (parameters ?? "").withCString { text in
      if let parameters {
        unsafe start.parameters = unsafe text
        unsafe start.parameters_length = parameters.utf8.count
      }
      return call { unsafe millrace_run_start(workflow, &start, &run, $0) }
    }
    var status: UInt32 = 0
    guard said.code == 0, call({ unsafe millrace_run_wait(run, .max, &status, $0) }).code == 0 else { return (said, run, -1) }
    return (said, run, Int(status))
  }

  func output(_ run: millrace_run, of task: String? = nil) -> (said: Said, text: String) {
    var bytes = unsafe sized(millrace_bytes.self)
    let said =
      task == nil
      ? call { unsafe millrace_run_output(run, nil, &bytes, $0) } : call { unsafe millrace_run_output(run, task, &bytes, $0) }
    guard said.code == 0 else { return (said, "") }
    defer { unsafe millrace_bytes_free(&bytes) }
    return (said, unsafe String(decoding: UnsafeRawBufferPointer(start: bytes.data, count: Int(bytes.length)), as: UTF8.self))
  }
}

/// A handler in the manner of C: the input, once more.
@safe let echo:
  @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_call>?, UnsafeMutablePointer<millrace_outcome>?) -> UInt32 = {
    context, call, outcome in
    let (call, outcome) = unsafe (call!.pointee, outcome!)
    let host = unsafe call.host!
    var input = unsafe sized(millrace_input.self)
    guard unsafe host.pointee.input(call.attempt, 0, &input) == 0 else { return UInt32(MILLRACE_FAILED) }
    var payload = millrace_payload()
    guard let room = unsafe host.pointee.claim(call.attempt, input.payload.length, input.payload.content_type, &payload) else {
      return UInt32(MILLRACE_FAILED)
    }
    unsafe room.copyMemory(from: input.bytes, byteCount: Int(input.payload.length))
    unsafe outcome.pointee.output = payload
    return UInt32(MILLRACE_DONE)
  }

/// Counts and remembers what callbacks say; its address is their context.
final class Heard: Sendable {
  let count = Atomic<Int>(0)
  let value = Atomic<UInt64>(0)

  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  static func from(_ context: UnsafeMutableRawPointer?) -> Heard { unsafe Unmanaged<Heard>.fromOpaque(context!).takeUnretainedValue() }
}

/// Looks again and again, for a minute at most.
func eventually(_ condition: () -> Bool) async -> Bool {
  let end = ContinuousClock.now + .seconds(60)
  while !condition() {
    if ContinuousClock.now > end { return false }
    await Task.yield()
  }
  return true
}
