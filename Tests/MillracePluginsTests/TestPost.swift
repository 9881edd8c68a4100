import CMillrace
import Foundation
import Synchronization

/// Where a test host's messages go: it writes down what it is given, and answers as the test says.
final class TestPost: Sendable {
  @safe struct State: @unchecked Sendable {
    var lines: [String] = []
    var bytes: UnsafeMutableRawBufferPointer?
    var answers: (claim: UInt32, publish: UInt32)
  }

  let state: Mutex<State>

  init(claim: Int = 0, publish: Int = 0) { state = Mutex(unsafe State(bytes: nil, answers: (UInt32(claim), UInt32(publish)))) }

  var lines: [String] { state.withLock { $0.lines } }

  private static func text(_ pointer: UnsafePointer<CChar>?) -> String { unsafe pointer.map { unsafe String(cString: $0) } ?? "-" }

  fileprivate func claim(_ length: UInt64, _ message: millrace_publication) -> (UInt32, UnsafeMutableRawPointer?) {
    let texts = unsafe [message.exchange, message.key, message.id, message.content_type, message.correlation_id, message.reply_to].map {
      unsafe Self.text($0)
    }
    let headers = unsafe (0..<Int(message.header_count) * 2).map { unsafe Self.text(message.headers[$0]) }
    let numbers = unsafe [UInt64(message.size), UInt64(message.flags), message.delay, message.time_to_live, UInt64(message.priority)]
    nonisolated(unsafe) var start: UnsafeMutableRawPointer?
    let code = state.withLock { state in
      state.lines.append("claim \(length) \(texts.joined(separator: ",")) \(headers.joined(separator: ",")) \(numbers)")
      if state.answers.claim == 0 {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(length), alignment: 8)
        unsafe state.bytes = bytes
        unsafe start = bytes.baseAddress
      }
      return state.answers.claim
    }
    return unsafe (code, start)
  }

  fileprivate func end(_ word: String) -> UInt32 {
    state.withLock { state in
      let text = unsafe state.bytes.map { unsafe String(decoding: $0, as: UTF8.self) } ?? "nothing"
      state.lines.append("\(word) \(text)")
      if word == "drop" || state.answers.publish <= 1 {
        unsafe state.bytes?.deallocate()
        unsafe state.bytes = nil
      }
      return state.answers.publish
    }
  }

  // Never freed: the interface wants them as long as any plugin is loaded.
  nonisolated(unsafe) static let table: UnsafeMutablePointer<millrace_broker> = {
    let table = UnsafeMutablePointer<millrace_broker>.allocate(capacity: 1)
    unsafe table.initialize(
      to: millrace_broker(
        size: UInt32(MemoryLayout<millrace_broker>.size), reserved: 0,
        claim: { host, attempt, length, message, draft, bytes in
          precondition(unsafe attempt != nil, "the kit says for whom it publishes")
          let (code, start) = unsafe TestHost.post(host).claim(length, message!.pointee)
          if code == 0 {
            unsafe draft!.pointee = 77
            unsafe bytes!.pointee = start
          }
          return code
        },
        publish: { host, draft, queues in
          precondition(draft == 77)
          unsafe queues!.pointee = 3
          return unsafe TestHost.post(host).end("publish")
        },
        drop: { host, draft in
          precondition(draft == 77)
          _ = unsafe TestHost.post(host).end("drop")
        }))
    return unsafe table
  }()

  nonisolated(unsafe) static let random: UnsafeMutablePointer<millrace_random> = {
    let table = UnsafeMutablePointer<millrace_random>.allocate(capacity: 1)
    unsafe table.initialize(
      to: millrace_random(
        size: UInt32(MemoryLayout<millrace_random>.size), reserved: 0,
        fill: { _, bytes, length in
          unsafe memset(bytes!, 0x5A, length)
          return 0
        }))
    return unsafe table
  }()
}
