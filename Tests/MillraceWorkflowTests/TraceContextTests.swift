import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

@Suite struct TraceContextTests {
  private static let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test("a traceparent is read, and written as it was")
  func roundTrip() throws {
    let trace = try #require(TraceContext(Self.text))
    #expect(trace.traceID == (0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c))
    #expect(trace.spanID == 0xb7ad_6b71_6920_3331)
    #expect(trace.isSampled)
    #expect(trace.description == Self.text)
    #expect(trace.traceIDText == "0af7651916cd43dd8448eb211c80319c")
    #expect(trace.spanIDText == "b7ad6b7169203331")
    #expect(TraceContext(traceID: trace.traceID, spanID: trace.spanID, flags: 1) == trace)
  }

  @Test("random contexts come back from their texts")
  func random() {
    var random = SeededRandom(seed: 5)
    for _ in 0..<1000 {
      let trace = TraceContext(
        traceID: (random.next() >> (random.next() & 63), random.next()), spanID: random.next() | 1,
        flags: UInt8.random(in: 0...255, using: &random))
      #expect(trace != nil && trace == trace.flatMap { TraceContext($0.description) })
      #expect(trace?.description.utf8.count == TraceContext.textBytes)
    }
  }

  @Test(
    "what is no traceparent is refused",
    arguments: [
      "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1é",
    ])
  func refused(text: String) {
    #expect(TraceContext(text) == nil)
  }

  @Test("of a later version the known fields are read, of a text up to 512 bytes")
  func later() {
    let fields = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"
    #expect(TraceContext(fields)?.description == "00" + fields.dropFirst(2))
    #expect(TraceContext(fields + "-what-comes")?.flags == 3)
    #expect(TraceContext(fields + "-" + String(repeating: "x", count: 456)) != nil)
    #expect(TraceContext(fields + "-" + String(repeating: "x", count: 457)) == nil)
  }

  @Test("no byte of a text that is cut, changed or made up crashes the reader, and what it takes it writes alike")
  func fuzz() {
    var random = SeededRandom(seed: 11)
    var taken = 0
    for _ in 0..<20_000 {
      var bytes = Array(Self.text.utf8)
      for _ in 0..<Int.random(in: 0...2, using: &random) {
        bytes[Int.random(in: bytes.indices, using: &random)] = Array("0123456789abcdefg-".utf8).randomElement(using: &random)!
      }
      if random.next() & 7 == 0 { bytes.removeLast(Int.random(in: 1...55, using: &random)) }
      let text = String(decoding: bytes, as: UTF8.self)
      guard let trace = TraceContext(text) else { continue }
      taken += 1
      #expect(trace.description.dropFirst(2) == text.dropFirst(2))
    }
    #expect(taken > 1000)
  }

  @Test("a plugin reads the trace of its run by the host's extension; without one nothing is written")
  func ofPlugins() throws {
    let world = try SteppedWorld()
    world.handler("trace") { call in
      let found = unsafe call.host.pointee.extension(call.host, MILLRACE_TRACE)!.assumingMemoryBound(to: millrace_trace.self)
      var text = [CChar](repeating: 7, count: 56)
      let code = unsafe text.withUnsafeMutableBufferPointer { unsafe found.pointee.traceparent(call.attempt, $0.baseAddress) }
      return call.done(
        "\(code) \(code == 0 ? String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "\(text[0])")")
    }
    var workflow = Definition("w")
    workflow.task("a", handler: "trace")
    workflow.cleanup("b", handler: "trace")
    for trace in [TraceContext(Self.text), nil] {
      let run = try world.start(workflow, trace: trace)
      world.drain()
      #expect(run.status == .completed)
      let expected = trace == nil ? "-1 7" : "0 \(Self.text)"
      #expect(run.text("a") == expected)
      #expect(run.text("b") == expected)
    }
  }
}
