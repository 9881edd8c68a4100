import CMillraceEmbedding
import Synchronization
import Testing

@testable import MillraceEmbedding

@Suite struct MisuseTests {
  @Test("NULL where something is wanted is an error that names it")
  func null() throws {
    let engine = try CEngine()
    @safe func refuses(_ what: String, _ body: (UnsafeMutablePointer<millrace_error>) -> Int32) {
      let said = call(body)
      #expect(said.code == MILLRACE_BAD_ARGUMENT && said.message == "\(what) is NULL", "\(what): \(said)")
    }
    refuses("engine") { unsafe millrace_engine_create(nil, nil, $0) }
    refuses("metrics") { unsafe millrace_engine_metrics(engine.handle, nil, $0) }
    refuses("handler") { unsafe millrace_engine_register(engine.handle, nil, $0) }
    refuses("path") { unsafe millrace_engine_load(engine.handle, nil, $0) }
    refuses("workflow") { unsafe millrace_workflow_prepare(engine.handle, nil, "", 0, nil, $0) }
    var workflow = millrace_workflow()
    refuses("text") { unsafe millrace_workflow_prepare(engine.handle, nil, nil, 0, &workflow, $0) }
    refuses("message") { unsafe millrace_publish(engine.handle, nil, nil, $0) }
    refuses("name") { unsafe millrace_queue_declare(engine.handle, nil, nil, $0) }
    var handler = unsafe sized(millrace_handler.self)
    refuses("handler.name") { unsafe millrace_engine_register(engine.handle, &handler, $0) }
    unsafe "x".withCString { name in
      unsafe handler.name = unsafe name
      refuses("handler.run") { unsafe millrace_engine_register(engine.handle, &handler, $0) }
    }
    millrace_bytes_free(nil)
    // An error need not be wanted.
    #expect(millrace_engine_create(nil, nil, nil) == MILLRACE_BAD_ARGUMENT)
  }

  @Test("a handle that was never filled, made up, of another kind or given back is an error")
  func handles() throws {
    let engine = try CEngine()
    var status: UInt32 = 0
    for id: UInt64 in [0, 1, 7 << 56, .max, 3 << 56 | 1 << 32 | 0xFFFF_FFFF, engine.handle.id] {
      let said = call { unsafe millrace_run_status(millrace_run(id: id), &status, $0) }
      #expect(said.code == MILLRACE_BAD_HANDLE && !said.message.isEmpty, "\(id)")
    }
    let other = call { unsafe millrace_run_status(millrace_run(id: engine.handle.id), &status, $0) }
    #expect(other.message == "the handle names an engine, where a run is wanted")
    // Its place is used anew, by another one.
    let table = HandleTable()
    let owner = try HandleTable.shared.find(engine.handle.id, EmbeddedEngine.self)
    let first = try table.add(owner)
    try table.remove(first, EmbeddedEngine.self)
    let second = try table.add(owner)
    #expect(first & 0xFFFF_FFFF == second & 0xFFFF_FFFF && first != second)
    #expect(throws: Failure.self) { try table.find(first, EmbeddedEngine.self) }
    #expect(try table.find(second, EmbeddedEngine.self) === owner)
  }

  @Test("a struct without its size, of another version, or with more than is known is refused")
  func structs() throws {
    var configuration = unsafe sized(millrace_configuration.self)
    var engine = millrace_engine()
    unsafe configuration.size = 0
    #expect(call { unsafe millrace_engine_create(&configuration, &engine, $0) }.code == MILLRACE_BAD_ARGUMENT)
    unsafe configuration.size = 1 << 20
    #expect(call { unsafe millrace_engine_create(&configuration, &engine, $0) }.code == MILLRACE_BAD_ARGUMENT)
    unsafe configuration = unsafe sized(millrace_configuration.self)
    unsafe configuration.version = 9
    let said = call { unsafe millrace_engine_create(&configuration, &engine, $0) }
    #expect(said.code == MILLRACE_BAD_VERSION && said.message.contains("version 9"))
    // Longer, as a newer program has it: taken while it says nothing there.
    unsafe withUnsafeTemporaryAllocation(byteCount: 256, alignment: 16) { room in
      unsafe room.initializeMemory(as: UInt8.self, repeating: 0)
      unsafe room.storeBytes(of: 256, as: UInt32.self)
      let longer = unsafe room.baseAddress!.assumingMemoryBound(to: millrace_configuration.self)
      unsafe longer.pointee.threads = 1
      #expect(call { unsafe millrace_engine_create(longer, &engine, $0) }.message == "")
      #expect(millrace_engine_destroy(engine, nil) == 0)
      unsafe room[200] = 1
      #expect(call { unsafe millrace_engine_create(longer, &engine, $0) }.code == MILLRACE_BAD_VERSION)
    }
    #expect(engine.id == 0)
  }

  @Test("what a configuration cannot be is an error, and no engine is left")
  func configuration() throws {
    @safe func refusal(_ change: (inout millrace_configuration) -> Void) -> Said {
      do {
        _ = try CEngine(change)
        return Said(code: 0, message: "")
      } catch let refused as CEngine.Refused { return refused.said } catch { return Said(code: -1, message: "\(error)") }
    }
    #expect(refusal { unsafe $0.threads = 5_000 }.code == MILLRACE_BAD_ARGUMENT)
    #expect(refusal { unsafe $0.slots = .max }.code == MILLRACE_BAD_ARGUMENT)
    unsafe withCTexts(["{\"a\": \"b\"}", "[", "/nowhere/at/all.so", "{\"a b\": 1}"]) { texts in
      #expect(refusal { unsafe $0.tenants = texts[0] }.message.contains("weight of a"))
      #expect(refusal { unsafe $0.settings = texts[1] }.code == MILLRACE_BAD_ARGUMENT)
      #expect(refusal { unsafe $0.plugins = texts[2] }.code == MILLRACE_NOT_FOUND)
      #expect(refusal { unsafe $0.tenants = texts[3] }.code == MILLRACE_BAD_ARGUMENT)
    }
    // A loop of which it is not known whose libuv it is.
    var room = [UInt8](repeating: 0, count: 2_048)
    unsafe room.withUnsafeMutableBytes { bytes in
      #expect(refusal { unsafe $0.loop = bytes.baseAddress }.message.contains("uv_version"))
      let another: @convention(c) () -> UInt32 = { 1 << 16 }
      let said = refusal { configuration in
        unsafe configuration.loop = bytes.baseAddress
        unsafe configuration.uv_version = another
      }
      #expect(said.code == MILLRACE_BAD_VERSION && said.message.contains("libuv"), "\(said)")
    }
  }

  @Test("a definition with faults is refused with all of them and their places, and one that is too large without reading it")
  func definitions() throws {
    let engine = try CEngine()
    let bad = engine.prepare("format: 1\nworkflow: w\ntasks:\n  - { id: a, handler: none }\n  - { id: a, handler: other }\n").said
    #expect(bad.code == MILLRACE_BAD_DEFINITION)
    #expect(bad.message.contains("test.yaml:4") && bad.message.contains("test.yaml:5"), "\(bad.message)")
    #expect(engine.prepare("").said.code == MILLRACE_BAD_DEFINITION)
    #expect(engine.prepare("\u{0}\u{1}").said.code == MILLRACE_BAD_DEFINITION)
    #expect(engine.prepare("[[[[").said.code == MILLRACE_BAD_DEFINITION)
    var workflow = millrace_workflow()
    // Nothing is read beyond the bound: the text has two bytes.
    #expect(call { unsafe millrace_workflow_prepare(engine.handle, nil, "{}", Int.max, &workflow, $0) }.code == MILLRACE_TOO_LARGE)
    #expect(call { unsafe millrace_workflow_prepare(engine.handle, nil, "{}", -1, &workflow, $0) }.code == MILLRACE_TOO_LARGE)
  }

  @Test("parameters and tenants that are none are the caller's fault, and no run begins")
  func parameters() throws {
    let engine = try CEngine()
    #expect(engine.register("echo", echo).code == 0)
    #expect(engine.register("echo", echo).code == MILLRACE_EXISTS)
    #expect(engine.register("No Name", echo).code == MILLRACE_BAD_ARGUMENT)
    let workflow = engine.prepare(EngineFunctionTests.greeting).workflow
    for text in ["[]", "{", "{\"whom\": 1}", "nul"] {
      #expect(engine.run(workflow, text).said.code == MILLRACE_BAD_ARGUMENT, "\(text)")
    }
    var start = unsafe sized(millrace_start.self)
    var run = millrace_run()
    unsafe withCTexts(["nobody", "no trace"]) { texts in
      unsafe start.tenant = texts[0]
      let said = call { unsafe millrace_run_start(workflow, &start, &run, $0) }
      #expect(said.code == MILLRACE_NOT_FOUND && said.message.contains("nobody"))
      unsafe start.tenant = nil
      unsafe start.trace = texts[1]
      #expect(call { unsafe millrace_run_start(workflow, &start, &run, $0) }.code == MILLRACE_BAD_ARGUMENT)
    }
    #expect(run.id == 0)
    let done = engine.run(workflow).run
    #expect(engine.output(done, of: "goodbye").said.code == MILLRACE_NOT_FOUND)
  }

  @Test("a handler can neither wait for a run nor destroy its engine: it is told so, and goes on")
  func threads() throws {
    final class Seen: Sendable {
      let engine: millrace_engine
      let waited = Atomic<Int32>(-1)
      let destroyed = Atomic<Int32>(-1)
      let drained = Atomic<Int32>(-1)
      let run = Atomic<UInt64>(0)
      init(_ engine: millrace_engine) { self.engine = engine }
    }
    let engine = try CEngine()
    let seen = Seen(engine.handle)
    let context = unsafe Unmanaged.passUnretained(seen).toOpaque()
    let registered = engine.register("bold", context: context) { context, _, _ in
      let seen = unsafe Unmanaged<Seen>.fromOpaque(context!).takeUnretainedValue()
      seen.waited.store(millrace_run_wait(millrace_run(id: seen.run.load(ordering: .acquiring)), .max, nil, nil), ordering: .relaxed)
      seen.destroyed.store(millrace_engine_destroy(seen.engine, nil), ordering: .relaxed)
      seen.drained.store(millrace_engine_drain(seen.engine, 1, nil), ordering: .relaxed)
      return UInt32(MILLRACE_DONE)
    }
    #expect(registered.code == 0)
    let waiting = engine.prepare("format: 1\nworkflow: waiting\ntasks: [{ id: a, wait: { signal: go } }]").workflow
    var run = millrace_run()
    #expect(call { unsafe millrace_run_start(waiting, nil, &run, $0) }.code == 0)
    seen.run.store(run.id, ordering: .releasing)
    let bold = engine.prepare("format: 1\nworkflow: bold\ntasks: [{ id: a, handler: bold }]").workflow
    #expect(engine.run(bold).status == MILLRACE_RUN_COMPLETED)
    #expect(seen.waited.load(ordering: .relaxed) == MILLRACE_WRONG_THREAD)
    #expect(seen.destroyed.load(ordering: .relaxed) == MILLRACE_WRONG_THREAD)
    #expect(seen.drained.load(ordering: .relaxed) == MILLRACE_WRONG_THREAD)
    withExtendedLifetime(seen) {}
  }

  @Test("a message is cut off at the end of a character where there is no room for it")
  func shortError() throws {
    unsafe withUnsafeTemporaryAllocation(of: millrace_error.self, capacity: 1) { room in
      let error = room.baseAddress!
      let bytes = UnsafeMutableRawPointer(error)
      func text(size: UInt32) -> String {
        unsafe room.withMemoryRebound(to: UInt8.self) { unsafe $0.update(repeating: 0x2A) }
        unsafe bytes.storeBytes(of: size, as: UInt32.self)
        let name = "世界"
        return unsafe name.withCString { name in
          var configuration = unsafe sized(millrace_configuration.self)
          unsafe configuration.settings = unsafe name
          var made = millrace_engine()
          #expect(unsafe millrace_engine_create(&configuration, &made, error) == MILLRACE_BAD_ARGUMENT)
          return size <= 8 ? "" : unsafe String(validatingCString: (bytes + 8).assumingMemoryBound(to: CChar.self)) ?? "no UTF-8"
        }
      }
      let whole = text(size: UInt32(MemoryLayout<millrace_error>.size))
      #expect(whole.hasPrefix("configuration.settings: "))
      for size: UInt32 in 9...60 {
        let part = text(size: size)
        #expect(whole.hasPrefix(part) && part.utf8.count <= Int(size) - 9, "\(size): \(part)")
        // unsafe: the struct has far more bytes.
        #expect(unsafe bytes.load(fromByteOffset: Int(size), as: UInt8.self) == 0x2A, "\(size)")
      }
      for size: UInt32 in [0, 4, 8] {
        _ = text(size: size)
        #expect(unsafe bytes.load(fromByteOffset: 8, as: UInt8.self) == 0x2A)
      }
    }
  }
}
