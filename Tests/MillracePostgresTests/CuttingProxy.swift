#if Postgres
  import Foundation
  import Synchronization

  /// A socket in front of a server's, that cuts connections where a test wants it.
  ///
  /// # Threads
  /// One of its own for each connection, and one that accepts.
  final class CuttingProxy: Sendable {
    /// What happens to the next bytes that a client sends, once it has said so many.
    enum Cut: Sendable {
      /// They reach the server, and its answer does not come back: the connection ends when the server has answered.
      case answerLost
      /// They never reach the server.
      case requestLost
      /// The first half of them reaches the server.
      case requestHalved
      /// They reach the server; then nothing passes any more, and neither end is told.
      case frozen
    }

    private struct State {
      var cut: Cut?
      var skipped = 0
      var isOpen = true
      var isShut = false
      var cuts = 0
    }

    let folder: String
    private let server: String
    private let listener: Int32
    private let state = Mutex(State())

    /// `server`: the folder of its socket. Listens in a folder of its own: `host` for clients.
    init(_ server: PostgresServer) throws {
      self.server = server.folder
      folder = NSTemporaryDirectory() + "millrace-proxy-" + UUID().uuidString.prefix(8)
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      let code = unsafe Self.withAddress(folder) { address, length in unsafe bind(listener, address, length) }
      guard listener >= 0, code == 0, listen(listener, 16) == 0 else { throw Failed("the proxy cannot listen: errno \(errno)") }
      let own = self
      Thread.detachNewThread { own.acceptAll() }
    }

    /// Cuts once, after `skipped` more sends of clients.
    func cut(_ how: Cut, after skipped: Int = 0) {
      state.withLock {
        $0.cut = how
        $0.skipped = skipped
      }
    }

    /// While it is shut, whoever connects is sent away.
    func shut(_ isShut: Bool) { state.withLock { $0.isShut = isShut } }

    var cuts: Int { state.withLock { $0.cuts } }

    func close() {
      state.withLock { $0.isOpen = false }
      shutdown(listener, Int32(SHUT_RDWR))
      try? FileManager.default.removeItem(atPath: folder)
    }

    private static func withAddress<Value>(_ folder: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      // unsafe: a path shorter than the room for it, which is zero behind it.
      unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
        for (index, byte) in (folder + "/.s.PGSQL.5432").utf8.enumerated() where index < room.count - 1 { unsafe room[index] = byte }
      }
      return unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
      }
    }

    private func acceptAll() {
      while state.withLock({ $0.isOpen }) {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { break }
        let upstream = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let code = unsafe Self.withAddress(server) { address, length in unsafe connect(upstream, address, length) }
        if code == 0, !state.withLock({ $0.isShut }) {
          Thread.detachNewThread { [self] in
            pump(client, upstream)
            Glibc.close(client)
            Glibc.close(upstream)
          }
        } else {
          // As a server that is down.
          Glibc.close(client)
          Glibc.close(upstream)
        }
      }
      Glibc.close(listener)
    }

    /// Until either end closes, or the cut.
    private func pump(_ client: Int32, _ server: Int32) {
      var bytes = [UInt8](repeating: 0, count: 1 << 16)
      var isAnswerLost = false
      while true {
        var entries = [pollfd(fd: client, events: Int16(POLLIN), revents: 0), pollfd(fd: server, events: Int16(POLLIN), revents: 0)]
        guard unsafe poll(&entries, 2, -1) > 0 else { return }
        if entries[1].revents != 0 {
          let count = unsafe read(server, &bytes, bytes.count)
          if count <= 0 || isAnswerLost { return }
          if !send(bytes[..<count], to: client) { return }
        }
        if entries[0].revents != 0 {
          let count = unsafe read(client, &bytes, bytes.count)
          if count <= 0 { return }
          switch nextCut() {
          case nil: if !send(bytes[..<count], to: server) { return }
          case .requestLost: return
          case .requestHalved:
            _ = send(bytes[..<(count / 2)], to: server)
            return
          case .answerLost:
            if !send(bytes[..<count], to: server) { return }
            isAnswerLost = true
          case .frozen:
            _ = send(bytes[..<count], to: server)
            // Until the client gives up: then the server is told, as a network would do it much later.
            while unsafe read(client, &bytes, bytes.count) > 0 {}
            return
          }
        }
      }
    }

    private func nextCut() -> Cut? {
      state.withLock {
        guard let cut = $0.cut else { return nil }
        if $0.skipped > 0 {
          $0.skipped -= 1
          return nil
        }
        $0.cut = nil
        $0.cuts += 1
        return cut
      }
    }

    private func send(_ bytes: ArraySlice<UInt8>, to socket: Int32) -> Bool {
      unsafe bytes.withUnsafeBytes { buffer in
        var done = 0
        while done < buffer.count {
          let count = unsafe Glibc.send(socket, buffer.baseAddress! + done, buffer.count - done, Int32(MSG_NOSIGNAL))
          if count <= 0 { return false }
          done += count
        }
        return true
      }
    }
  }
#endif
