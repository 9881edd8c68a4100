internal import Glibc
internal import Millrace

/// Asks the process that has a data directory something of one of its runs.
enum ControlClient {
  /// Seconds after which an answer is not waited for any more.
  static let patience = 30

  /// What it answers; nil: no process listens there. Throws what hinders asking, and what it refuses.
  static func ask(_ directory: String, _ request: [JSON.Member]) throws(Refusal) -> JSON? {
    let line = JSON.object(request).utf8() + [UInt8(ascii: "\n")]
    guard line.count <= ControlSocket.longestLine else {
      throw Refusal(.wrongUse, "what is sent has \(line.count) bytes, and may have \(ControlSocket.longestLine)")
    }
    guard let descriptor = connect(directory) else { return nil }
    defer { close(descriptor) }
    let text = try exchange(line, descriptor)
    let answer: JSON
    do throws(JSONSyntaxError) { answer = try JSON(parsing: text) } catch {
      throw Refusal(.tryAgain, "the process that has \(directory) answers with no JSON: \(error)")
    }
    if answer["ok"] == true { return answer }
    let message = answer["message"]?.string ?? "no reason is given"
    throw Refusal(exit(answer["code"]?.string ?? ""), message)
  }

  private static func exit(_ code: String) -> Exit {
    switch code {
    case "refused", "bad-request": .wrongUse
    default: .tryAgain
    }
  }

  private static func connect(_ directory: String) -> Int32? {
    do throws(ControlSocket.Failure) {
      let folder = try ControlSocket.open(directory)
      defer { close(folder) }
      let descriptor = try ControlSocket.make(isBlocking: true)
      if unsafe ControlSocket.withAddress(in: folder, { address, length in unsafe Glibc.connect(descriptor, address, length) }) == 0 {
        return descriptor
      }
      close(descriptor)
      return nil
    } catch { return nil }
  }

  /// The line that comes back.
  private static func exchange(_ line: [UInt8], _ descriptor: Int32) throws(Refusal) -> [UInt8] {
    var wait = timeval(tv_sec: patience, tv_usec: 0)
    // unsafe: read by the kernel during the call.
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    guard ControlSocket.send(line, to: descriptor) else {
      throw Refusal(.tryAgain, "the process that has the runs does not listen: \(Output.reason(errno))")
    }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while answer.count <= ControlSocket.longestLine {
      if let end = answer.firstIndex(of: UInt8(ascii: "\n")) { return Array(answer[..<end]) }
      // unsafe: at most as many bytes as the buffer has.
      let got = unsafe recv(descriptor, &buffer, buffer.count, 0)
      if got < 0, errno == EINTR { continue }
      if got < 0, errno == EAGAIN { break }
      guard got > 0 else { throw Refusal(.tryAgain, "the process that has the runs ended before it answered: see `millrace run show`") }
      answer += buffer[..<got]
    }
    throw Refusal(.tryAgain, "no answer in \(patience) s: whether it took place, `millrace run show` tells")
  }
}
