import Foundation
import Glibc
import Millrace
import Testing

/// The socket by which other processes speak to the one that has the runs.
@Suite("The control socket", .timeLimit(.minutes(5)))
struct CommandControlTests {
  private static let waits = """
    format: 1
    workflow: waits
    durability: log
    tasks: [{ id: go, wait: { signal: release } }]
    """

  /// One connection to the socket.
  private final class Caller {
    private let descriptor: Int32

    init(_ command: Command) throws {
      descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      try #require(descriptor >= 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = Array(command.file(".millrace/control").utf8)
      try #require(path.count < 108)
      // unsafe: at most 107 bytes of 108, the rest of which is 0.
      unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
      let result = unsafe withUnsafePointer(to: &address) { pointer in
        // unsafe: a sockaddr_un begins as every sockaddr.
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(result == 0)
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
      var rest = bytes[...]
      while !rest.isEmpty {
        // unsafe: the bytes outlive the call.
        let sent = unsafe rest.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent <= 0 { return }
        rest = rest.dropFirst(sent)
      }
    }

    /// A line, or what there was before the end.
    func line() -> String {
      var line: [UInt8] = []
      var byte: UInt8 = 0
      // unsafe: one byte into one byte.
      while unsafe recv(descriptor, &byte, 1, 0) == 1, byte != 0x0A { line.append(byte) }
      return String(decoding: line, as: UTF8.self)
    }

    func ask(_ text: String) throws -> JSON {
      send(Array((text + "\n").utf8))
      return try JSON(parsing: line())
    }
  }

  @Test("what is no request, too long, or unknown is refused, and the run goes on")
  func badInput() throws {
    let command = try Command()
    var run = try CommandSignalTests.Going(command, Self.waits, [])
    #expect(try run.see("waits for the signal release"), "\(run.lines)")
    let listed = try command.run("run", "list", "-o", "json").object()
    let id = try #require(listed["runs"]?[0]?["run"]?.string)
    let attributes = try FileManager.default.attributesOfItem(atPath: command.file(".millrace/control"))
    #expect(attributes[.posixPermissions] as? Int == 0o600)

    let caller = try Caller(command)
    for (request, code) in [
      ("nonsense", "bad-request"), ("", "bad-request"), ("[]", "bad-request"), ("{}", "bad-request"),
      ("{\"verb\":1,\"run\":2}", "bad-request"),
      ("{\"verb\":\"cancel\",\"run\":\"\(UUID())\"}", "unknown-run"), ("{\"verb\":\"dance\",\"run\":\"\(id)\"}", "bad-request"),
      ("{\"verb\":\"cancel\",\"run\":\"\(id)\",\"reason\":7}", "bad-request"), ("{\"verb\":\"signal\",\"run\":\"\(id)\"}", "bad-request"),
      ("{\"verb\":\"signal\",\"run\":\"\(id)\",\"signal\":\"relase\"}", "refused"),
      ("{\"verb\":\"approve\",\"run\":\"\(id)\",\"task\":\"go\"}", "refused"), (String(repeating: "[", count: 60_000), "bad-request"),
    ] {
      let answer = try caller.ask(request)
      #expect(answer["ok"] == false && answer["code"] == .string(code), "\(request.prefix(80)): \(answer)")
    }
    caller.send([0xFF, 0x00, 0xFE, 0x0A])
    #expect(caller.line().contains("bad-request"))

    let long = try Caller(command)
    long.send([UInt8](repeating: UInt8(ascii: "x"), count: 70_000))
    #expect(long.line().contains("bad-request"))

    let many = try (0..<20).map { _ in try Caller(command) }
    let answers = try many.map { caller in
      caller.send(Array("{}\n".utf8))
      return try JSON(parsing: caller.line())["code"]
    }
    #expect(answers.contains("busy") && answers.contains("bad-request"))

    let sent = try caller.ask("{\"verb\":\"signal\",\"run\":\"\(id)\",\"signal\":\"release\"}")
    #expect(sent == ["ok": true])
    #expect(try run.end() == 0, "\(run.lines)")
  }

  @Test("a directory whose path is longer than a socket's address has a socket all the same")
  func longPath() throws {
    let command = try Command()
    let long = String(repeating: "d", count: 150)
    var run = try CommandSignalTests.Going(command, Self.waits, ["--data", long])
    #expect(try run.see("waits for the signal release"), "\(run.lines)")
    let id = try #require(try command.run("run", "list", "--data", long, "-o", "json").object()["runs"]?[0]?["run"]?.string)
    #expect(try command.run("run", "signal", id, "release", "--data", long).exit == 0)
    #expect(try run.end() == 0, "\(run.lines)")
  }
}
